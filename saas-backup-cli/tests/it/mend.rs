//! Daily care, and what is left when there is no copy.

use std::fmt::Write as _;

use crate::support::Sandbox;

/// Two points of `notes`, with records in an object of their own.
fn with_points() -> Sandbox {
    let sandbox = Sandbox::with_notes();
    for title in ["one", "eins"] {
        // Too much for a commit's own body.
        sandbox.account(&[("1", title), ("2", &title.repeat(1_000_000))]);
        sandbox.run(&["backup"]).expect(0);
    }
    sandbox
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]");
    settings.add_filter(r"/(keys|data|commit)/[0-9A-Za-z_./-]+", "/$1/[object]");
    settings.add_filter(r"[0-9.]+ (B|KiB|MiB)\b", "[bytes]");
    settings.add_filter(r"history: \d+ %", "history: [share] %");
    settings.add_filter(r#""(bytes|unread_bytes|stored|raw|growth_per_day)": \d+"#, r#""$1": "[bytes]""#);
    settings
}

/// Damages the first data object.
fn hurt(sandbox: &Sandbox) {
    let objects = sandbox.repository();
    let (name, mut bytes) = objects.into_iter().find(|(name, _)| name.to_string_lossy().contains("/data/")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(sandbox.path("saas-backup-repository").join(name), bytes).unwrap();
}

#[test]
fn what_people_read_of_verification_keeps_its_form() {
    let sandbox = with_points();
    let mut text = String::new();
    let mut run = |arguments: &[&str], code: i32| {
        let ran = sandbox.run(arguments).expect(code);
        let _ = writeln!(text, "$ saas-backup {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
    };
    run(&["verify"], 0);
    run(&["verify", "--read", "due"], 0);
    run(&["verify", "--read", "due", "--within", "1d"], 0);
    run(&["verify", "--read", "50", "--within", "1d"], 2);
    run(&["verify", "--read", "all"], 0);
    run(&["stats"], 0);
    run(&["maintain", "--all"], 0);
    run(&["stats", "notes"], 0);
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn what_people_read_of_mending_without_a_copy_keeps_its_form() {
    let sandbox = with_points();
    hurt(&sandbox);
    let mut text = String::new();
    let mut run = |arguments: &[&str], code: i32| {
        let ran = sandbox.run(arguments).expect(code);
        let _ = writeln!(text, "$ saas-backup {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
    };
    run(&["repair", "--read", "all"], 5);
    let before = sandbox.repository();
    run(&["repair", "--read", "all", "--drop", "--dry-run"], 5);
    assert_eq!(sandbox.repository(), before);
    run(&["repair", "--read", "all", "--drop"], 0);
    run(&["verify", "--read", "all"], 0);
    run(&["snapshots"], 0);
    run(&["completeness", "notes", "--at", "1"], 3);
    run(&["backup"], 0);
    run(&["snapshots"], 0);
    run(&["show", "notes", "posts", "1"], 0);
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn what_programs_read_of_care_keeps_its_form() {
    let sandbox = with_points();
    let mut text = String::new();
    for (arguments, code) in
        [(vec!["verify", "--read", "all"], 0), (vec!["stats"], 0), (vec!["repair", "--read", "all", "--drop"], 0)]
    {
        let ran = sandbox.run(&[arguments.as_slice(), &["--json"]].concat()).expect(code);
        let [object] = ran.json().try_into().unwrap();
        let _ = writeln!(text, "{}\n{}", arguments.join(" "), serde_json::to_string_pretty(&object).unwrap());
        hurt(&sandbox);
    }
    settings().bind(|| insta::assert_snapshot!(text));
}
