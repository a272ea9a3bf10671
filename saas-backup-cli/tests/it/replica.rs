use std::fmt::Write as _;

use crate::support::Sandbox;

/// Two points of `notes`, and a replica in the folder `offsite`.
fn with_replica() -> Sandbox {
    let sandbox = Sandbox::with_notes();
    sandbox.configure("\n[[replica]]\nurl = \"offsite\"\n");
    for title in ["one", "eins"] {
        // Too much for a commit's own body.
        sandbox.account(&[("1", title), ("2", &title.repeat(1_000_000))]);
        sandbox.run(&["backup"]).expect(0);
    }
    sandbox
}

fn settings(sandbox: &Sandbox) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&sandbox.path("").display().to_string(), "[folder]/");
    settings.add_filter(r"/(blob|keys|data)/[0-9A-Za-z_./-]+", "/$1/[object]");
    settings.add_filter(r"[0-9.]+ (B|KiB)\b", "[bytes]");
    settings.add_filter(r#""bytes": \d+"#, r#""bytes": "[bytes]""#);
    settings
}

/// Removes the first data object, or damages it.
fn hurt(sandbox: &Sandbox, remove: bool) {
    let (name, mut bytes) =
        sandbox.repository().into_iter().find(|(name, _)| name.to_string_lossy().contains("/data/")).unwrap();
    let path = sandbox.path("saas-backup-repository").join(name);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    if remove { std::fs::remove_file(path).unwrap() } else { std::fs::write(path, bytes).unwrap() }
}

#[test]
fn what_people_read_of_copies_keeps_its_form() {
    let sandbox = with_replica();
    let mut text = String::new();
    let mut run = |arguments: &[&str], code: i32| {
        let ran = sandbox.run(arguments).expect(code);
        let _ = writeln!(text, "$ saas-backup {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
    };
    run(&["replicate"], 0);
    run(&["replicate"], 0);
    run(&["repair"], 0);
    hurt(&sandbox, true);
    run(&["replicate", "--to", "second"], 5);
    run(&["repair"], 0);
    hurt(&sandbox, false);
    run(&["repair", "--read", "all"], 0);
    hurt(&sandbox, false);
    run(&["repair", "--read", "all", "--from", "second"], 5);
    run(&["repair", "--read", "all", "--from", "offsite"], 0);
    settings(&sandbox).bind(|| insta::assert_snapshot!(text));
}

#[test]
fn what_programs_read_of_copies_keeps_its_form() {
    let sandbox = with_replica();
    let mut text = String::new();
    for arguments in [vec!["replicate"], vec!["repair", "--read", "all"]] {
        let [object] = sandbox.run(&[arguments.as_slice(), &["--json"]].concat()).expect(0).json().try_into().unwrap();
        let _ = writeln!(text, "{}\n{}", arguments.join(" "), serde_json::to_string_pretty(&object).unwrap());
        hurt(&sandbox, false);
    }
    settings(&sandbox).bind(|| insta::assert_snapshot!(text));
}

#[test]
fn a_copy_opens_with_the_same_keys_and_takes_over() {
    let sandbox = with_replica();
    sandbox.run(&["replicate"]).expect(0);
    let points = sandbox.run(&["snapshots", "--json"]).expect(0).stdout;
    std::fs::remove_dir_all(sandbox.path("saas-backup-repository")).unwrap();
    sandbox.reconfigure("url = \"saas-backup-repository\"", "url = \"offsite\"");
    sandbox.reconfigure("[[replica]]\nurl = \"offsite\"", "[[replica]]\nurl = \"saas-backup-repository\"");
    assert_eq!(sandbox.run(&["snapshots", "--json"]).expect(0).stdout, points);
    sandbox.run(&["verify", "--read", "all"]).expect(0);
    sandbox.account(&[("3", "three")]);
    sandbox.run(&["backup", "--accept-deletions"]).expect(0);
    sandbox.run(&["replicate"]).expect(0);
}

#[test]
fn a_copy_with_a_history_of_its_own_is_another_run_that_won() {
    let sandbox = with_replica();
    sandbox.run(&["replicate"]).expect(0);
    sandbox.reconfigure("url = \"saas-backup-repository\"", "url = \"offsite\"");
    sandbox.reconfigure("[[replica]]\nurl = \"offsite\"", "");
    sandbox.run(&["maintain", "--all"]).expect(0);
    sandbox.reconfigure("url = \"offsite\"", "url = \"saas-backup-repository\"");
    sandbox.account(&[("1", "uno"), ("2", "two")]);
    sandbox.run(&["backup"]).expect(0);
    // One that fails does not keep the others from theirs.
    sandbox.configure("\n[[replica]]\nurl = \"offsite\"\n[[replica]]\nurl = \"second\"\n");
    let ran = sandbox.run(&["replicate"]).expect(6);
    assert!(ran.stderr.contains("another history") && ran.stderr.contains("offsite"), "{}", ran.stderr);
    assert!(ran.stdout.contains("second: ") && ran.stdout.contains("it holds everything"), "{}", ran.stdout);
}

#[test]
fn what_is_wrong_with_a_copy_is_told_with_its_next_step() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let ran = sandbox.run(&["replicate"]).expect(2);
    assert!(ran.stderr.contains("has no [[replica]]"), "{}", ran.stderr);
    let ran = sandbox.run(&["replicate", "--to", "saas-backup-repository"]).expect(2);
    assert!(ran.stderr.contains("where the repository lies"), "{}", ran.stderr);
    sandbox.run(&["repair", "--from", "nowhere"]).expect(1);
    sandbox.configure("\n[[replica]]\nurl = \"offsite\"\n");
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    let identity = config.lines().find(|line| line.starts_with("identity")).unwrap();
    sandbox.reconfigure(identity, "");
    for command in ["replicate", "repair"] {
        let ran = sandbox.run(&[command]).expect(2);
        assert!(ran.stderr.contains("add identity = { file = \"me.key\" }"), "{}", ran.stderr);
    }
}

#[test]
fn a_replica_by_records_is_a_repository_of_its_own() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["keygen", "--out", "replica.key"]).expect(0);
    let follower = "\n[[replica]]\nurl = \"offsite\"\nby = \"records\"\nidentity = { file = \"replica.key\" }\n";
    sandbox.configure(follower);
    for title in ["one", "eins"] {
        sandbox.account(&[("1", title), ("2", "two")]);
        sandbox.run(&["backup", "--accept-deletions"]).expect(0);
    }
    let mut text = String::new();
    let mut run = |arguments: &[&str], code: i32| {
        let ran = sandbox.run(arguments).expect(code);
        let _ = writeln!(text, "$ saas-backup {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
    };
    run(&["replicate", "--dry-run"], 0);
    run(&["replicate"], 0);
    run(&["replicate"], 0);
    run(&["repair", "--from", "offsite"], 2);
    let [object] = sandbox.run(&["replicate", "--json"]).expect(0).json().try_into().unwrap();
    let _ = writeln!(text, "$ saas-backup replicate --json\n{}", serde_json::to_string_pretty(&object).unwrap());
    let mut settings = settings(&sandbox);
    settings.add_filter(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?( UTC|Z)?", "[time]");
    settings.bind(|| insta::assert_snapshot!(text));

    // What is lost at the first is restored from it, with its own key.
    std::fs::remove_dir_all(sandbox.path("saas-backup-repository")).unwrap();
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    let sources = &config[config.find("\n[[source]]").unwrap()..config.find(follower).unwrap()];
    let own = format!("[repository]\nurl = \"offsite\"\nidentity = {{ file = \"replica.key\" }}\n{sources}");
    std::fs::write(sandbox.path("saas-backup.toml"), own).unwrap();
    sandbox.run(&["verify", "--read", "all"]).expect(0);
    assert!(sandbox.run(&["show", "notes", "posts", "1"]).expect(0).stdout.contains("eins"));
}

#[test]
fn a_replica_by_records_without_a_key_is_told_how_to_make_one() {
    let sandbox = Sandbox::with_notes();
    sandbox.configure("\n[[replica]]\nurl = \"offsite\"\nby = \"records\"\n");
    let ran = sandbox.run(&["replicate"]).expect(2);
    assert!(ran.stderr.contains("saas-backup keygen --out replica.key"), "{}", ran.stderr);
}
