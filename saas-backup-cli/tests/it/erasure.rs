use std::fmt::Write as _;

use crate::support::Sandbox;

/// Two points of `notes` with a person in them, and replicas that keep all and that follow.
fn with_person() -> Sandbox {
    let sandbox = Sandbox::with_notes();
    sandbox.configure("\n[[replica]]\nurl = \"keeps\"\n\n[[replica]]\nurl = \"follows\"\nprune = true\n");
    for title in ["lovelace", "lovelace again"] {
        sandbox.account(&[("1", title), ("2", "two"), ("3", "three")]);
        sandbox.run(&["backup"]).expect(0);
    }
    sandbox.account(&[("2", "two"), ("3", "three")]);
    std::fs::write(sandbox.path("names.txt"), "lovelace\n").unwrap();
    sandbox
}

fn settings(sandbox: &Sandbox) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&sandbox.path("").display().to_string(), "[folder]/");
    settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]");
    settings.add_filter(r"source/notes/(blob|bundle|commit|data|state)/[0-9A-Za-z_./-]+", "[object]");
    settings.add_filter(r#""[0-9A-HJKMNP-TV-Z]{26}""#, r#""[run]""#);
    settings.add_filter(r"[0-9.]+ (B|KiB)\b", "[bytes]");
    settings.add_filter(r#""(bytes|bytes_before|bytes_after|waiting_bytes)": \d+"#, r#""$1": "[bytes]""#);
    settings
}

#[test]
fn what_people_read_of_an_erasure_keeps_its_form() {
    let sandbox = with_person();
    let mut text = String::new();
    let mut run = |arguments: &[&str], code: i32| {
        let ran = sandbox.run(arguments).expect(code);
        let _ = writeln!(text, "$ saas-backup {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
    };
    run(&["replicate"], 0);
    run(&["erasures", "--search", "names.txt"], 5);
    let before = sandbox.repository();
    run(&["erase", "notes", "--subject", "posts/1", "--request", "T-1", "--dry-run"], 0);
    assert_eq!(sandbox.repository(), before);
    run(&["erase", "notes", "--where", "posts/title=lovelace", "--request", "T-1"], 0);
    run(&["show", "notes", "posts", "1", "--at", "latest~1"], 1);
    run(&["erase", "notes", "--subject", "posts/1", "--request", "T-1"], 0);
    run(&["backup"], 0);
    run(&["maintain", "--grace", "0s"], 0);
    run(&["erasures", "notes", "--search", "names.txt", "--sign", "evidence"], 0);
    run(&["verify", "--read", "all"], 0);
    run(&["replicate"], 0);
    settings(&sandbox).bind(|| insta::assert_snapshot!(text));
    let signed = std::fs::read_to_string(sandbox.path("evidence/notes.erasures")).unwrap();
    assert!(signed.contains("T-1") && !signed.contains("lovelace"), "{signed}");
}

#[test]
fn what_programs_read_of_an_erasure_keeps_its_form() {
    let sandbox = with_person();
    let mut text = String::new();
    let erase = ["erase", "notes", "--subject", "posts/1", "--request", "T-1"];
    for arguments in [[&erase[..], &["--dry-run"]].concat(), erase.to_vec(), vec!["erasures"]] {
        let [object] = sandbox.run(&[arguments.as_slice(), &["--json"]].concat()).expect(0).json().try_into().unwrap();
        let _ = writeln!(text, "{}\n{}", arguments.join(" "), serde_json::to_string_pretty(&object).unwrap());
    }
    settings(&sandbox).bind(|| insta::assert_snapshot!(text));
}

#[test]
fn an_erasure_that_does_not_say_what_changes_nothing() {
    let sandbox = with_person();
    let before = sandbox.repository();
    for (wrong, told) in [
        (&["--request", "T-1"][..], "required"),
        (&["--subject", "posts/1"], "--request"),
        (&["--subject", "somebody", "--request", "T-1"], "COLLECTION/ID"),
        (&["--where", "posts=1", "--request", "T-1"], "COLLECTION/POINTER=VALUE"),
        (&["--relation", "author", "--record", "posts/1", "--request", "T-1"], "--subject"),
        (&["--record", "posts/1", "--request", ""], "the id of its request"),
        (&["--record", "posts/1", "--request", "T-1", "--basis", "because"], "data-subject-request"),
    ] {
        let ran = sandbox.run(&[&["erase", "notes"], wrong].concat()).expect(2);
        assert!(ran.stderr.contains(told), "{wrong:?}: {}", ran.stderr);
    }
    sandbox.run(&["erase", "nowhere", "--record", "posts/1", "--request", "T-1"]).expect(2);
    assert_eq!(sandbox.repository(), before);
    let ran = sandbox.run(&["erase", "notes", "--record", "posts/77", "--request", "T-1"]).expect(0);
    assert!(ran.stdout.contains("nothing of this is held"), "{}", ran.stdout);
    assert_eq!(sandbox.repository(), before);
}
