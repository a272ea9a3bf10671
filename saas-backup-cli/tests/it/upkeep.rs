use std::fmt::Write as _;

use crate::support::Sandbox;

/// Three points of `notes`, of which the retention keeps two.
fn with_points() -> Sandbox {
    let sandbox = Sandbox::with_notes();
    sandbox.configure("\n[retention]\nkeep_last = 2\nmin_age = \"0s\"\n");
    for title in ["one", "eins", "un"] {
        sandbox.account(&[("1", title), ("2", "two")]);
        sandbox.run(&["backup"]).expect(0);
    }
    sandbox
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r#""[0-9A-HJKMNP-TV-Z]{26}""#, r#""[run]""#);
    settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]");
    settings.add_filter(r"[0-9.]+ (B|KiB)\b", "[bytes]");
    settings.add_filter(r#""(bytes|bytes_added|bytes_before|bytes_after|waiting_bytes)": \d+"#, r#""$1": "[bytes]""#);
    settings
}

#[test]
fn a_dry_run_changes_nothing() {
    let sandbox = with_points();
    let before = sandbox.repository();
    sandbox.run(&["forget", "--dry-run"]).expect(0);
    sandbox.run(&["maintain", "--all", "--grace", "0s", "--dry-run"]).expect(0);
    assert_eq!(sandbox.repository(), before);
}

#[test]
fn what_people_read_of_upkeep_keeps_its_form() {
    let sandbox = with_points();
    let mut text = String::new();
    for arguments in [
        vec!["forget", "--dry-run"],
        vec!["forget"],
        vec!["forget", "notes"],
        vec!["maintain", "--all", "--dry-run"],
        vec!["maintain", "--all"],
        vec!["maintain"],
        vec!["snapshots"],
        vec!["verify", "--read", "all"],
    ] {
        let ran = sandbox.run(&arguments).expect(0);
        let _ = writeln!(text, "$ saas-backup {}\n{}", arguments.join(" "), ran.stdout);
    }
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn what_programs_read_of_upkeep_keeps_its_form() {
    let sandbox = with_points();
    let mut text = String::new();
    for arguments in [vec!["forget", "--dry-run"], vec!["forget"], vec!["maintain", "--all"]] {
        let [object] = sandbox.run(&[arguments.as_slice(), &["--json"]].concat()).expect(0).json().try_into().unwrap();
        let _ = writeln!(text, "{}\n{}", arguments.join(" "), serde_json::to_string_pretty(&object).unwrap());
    }
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn upkeep_takes_the_identity_and_says_so() {
    let sandbox = with_points();
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    let identity = config.lines().find(|line| line.starts_with("identity")).unwrap();
    sandbox.reconfigure(identity, "");
    for arguments in [["forget", "--dry-run"], ["forget", "notes"], ["maintain", "--dry-run"], ["maintain", "notes"]] {
        let ran = sandbox.run(&arguments).expect(2);
        let told: Vec<&str> = ran.stderr.lines().collect();
        assert!(told.len() == 1 && told[0].contains("add identity = { file = \"me.key\" }"), "{}", ran.stderr);
    }
}

#[test]
fn without_a_retention_the_next_step_is_said() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let ran = sandbox.run(&["forget"]).expect(2);
    assert!(ran.stderr.contains("add a [retention], such as keep_daily = 30"), "{}", ran.stderr);
    sandbox.configure("\n[retention]\nkeep_daily = 30\nkeep_dayly = 30\n");
    let ran = sandbox.run(&["forget"]).expect(2);
    let line = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap().lines().count();
    assert!(ran.stderr.contains("unknown key `keep_dayly`"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("line: {line}, column: 1")), "{}", ran.stderr);
    sandbox.run(&["maintain", "--grace", "soon"]).expect(2);
}

#[test]
fn a_source_that_cannot_be_maintained_does_not_keep_the_others_from_it() {
    let sandbox = with_points();
    let ran = sandbox.run(&["maintain", "nowhere", "notes"]).expect(2);
    assert!(ran.stdout.starts_with("notes: ") && ran.stderr.contains("configured: notes"), "{}", ran.stderr);
    let ran = sandbox.run(&["forget", "nowhere", "notes"]).expect(2);
    assert!(ran.stdout.contains("1 of 3 points forgotten"), "{}", ran.stdout);
}

#[test]
fn locks_and_versions_take_a_bucket_and_the_configuration_says_so() {
    let sandbox = with_points();
    sandbox.reconfigure("[repository]", "[repository]\nlock = { keys = \"7d\" }");
    let ran = sandbox.run(&["maintain"]).expect(2);
    assert!(ran.stderr.contains("only known of s3://"), "{}", ran.stderr);
    for (wrong, told) in [("data = \"soon\"", "write 90s"), ("mode = \"firm\"", "compliance"), ("bytes = 7", "unknown")]
    {
        sandbox.reconfigure("lock = { ", &format!("lock = {{ {wrong}, "));
        let ran = sandbox.run(&["maintain"]).expect(2);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
        sandbox.reconfigure(&format!("lock = {{ {wrong}, "), "lock = { ");
    }
}
