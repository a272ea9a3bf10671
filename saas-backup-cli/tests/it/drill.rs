use std::fmt::Write as _;

use crate::support::Sandbox;

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]");
    settings.add_filter(r"\d+\.\d s\b", "[took]");
    settings.add_filter(r#"("[a-z_]+_ms": )\d+"#, "$1[ms]");
    settings.add_filter(r#""[0-9a-f]{64}""#, r#""[sha256]""#);
    settings.add_filter(r"\b[12]s measured", "[rto] measured");
    settings.add_filter(r"\(1s\)", "([rto])");
    settings.add_filter(r#""rto_measured": "1s""#, r#""rto_measured": "[rto]""#);
    settings
}

fn scene() -> Sandbox {
    let sandbox = Sandbox::with_notes();
    sandbox.reconfigure("connector = \"jsonl\"", "connector = \"jsonl\"\nrto = \"1h\"");
    sandbox.run(&["backup"]).expect(0);
    sandbox
}

#[test]
fn what_people_read_of_drills_keeps_its_form() {
    let sandbox = scene();
    let mut text = String::new();
    for arguments in
        [vec!["drill"], vec!["drill", "notes", "--random", "--sample", "2", "--seed", "7"], vec!["drill", "--list"]]
    {
        let ran = sandbox.run(&arguments).expect(0);
        let _ = writeln!(text, "$ saas-backup {}\n{}", arguments.join(" "), ran.stdout);
    }
    let status = sandbox.run(&["status"]).expect(0).stdout;
    assert!(status.contains("1h met (1s)"), "{status}");
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn what_programs_read_of_a_drill_keeps_its_form() {
    let sandbox = scene();
    let [object] = sandbox.run(&["drill", "--json", "--seed", "7"]).expect(0).json().try_into().unwrap();
    let [kept] = sandbox.run(&["drill", "--list", "--json"]).expect(0).json().try_into().unwrap();
    assert_eq!(kept["report"], object["report_sha256"]);
    let text =
        format!("{}\n{}", serde_json::to_string_pretty(&object).unwrap(), serde_json::to_string_pretty(&kept).unwrap());
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn a_drill_of_a_damaged_copy_ends_with_5_and_is_listed() {
    let sandbox = scene();
    let damaged =
        sandbox.repository().into_keys().find(|path| path.components().any(|part| part.as_os_str() == "commit"));
    let path = sandbox.path("saas-backup-repository").join(damaged.unwrap());
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    sandbox.run(&["drill", "notes"]).expect(5);
    std::fs::write(&path, whole).unwrap();
    let status = sandbox.run(&["status"]).expect(0).stdout;
    assert!(status.contains("run `saas-backup drill notes`"), "{status}");
    sandbox.run(&["drill", "notes"]).expect(0);
    let status = sandbox.run(&["status"]).expect(0).stdout;
    assert!(!status.contains("run `saas-backup drill notes`"), "{status}");
}

#[test]
fn what_makes_no_sense_of_a_drill_is_refused() {
    let sandbox = scene();
    let ran = sandbox.run(&["drill", "notes", "--into", "notes"]).expect(2);
    assert!(ran.stderr.contains("scratch = true"), "{}", ran.stderr);
    let ran = sandbox.run(&["drill", "notes", "--into", "nothing"]).expect(2);
    assert!(ran.stderr.contains("jsonl"), "{}", ran.stderr);
    sandbox.run(&["drill", "notes", "--full", "--sample", "3"]).expect(2);
    sandbox.run(&["drill", "nowhere"]).expect(1);
    sandbox.configure("\n[drill]\nsample = 0\n");
    let ran = sandbox.run(&["drill"]).expect(2);
    assert!(ran.stderr.contains("a sample of no records") && ran.stderr.contains("line"), "{}", ran.stderr);
}
