use std::fmt::Write as _;
use std::fs::OpenOptions;

use crate::support::{Sandbox, signal};

/// What differs from run to run.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r#""[0-9A-HJKMNP-TV-Z]{26}""#, r#""[run]""#);
    settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]");
    settings.add_filter(r"[0-9.]+ (B|KiB)\b", "[bytes]");
    settings
}

#[test]
fn a_backup_takes_what_changed_and_says_what() {
    let sandbox = Sandbox::with_notes();
    let ran = sandbox.run(&["check"]).expect(0);
    assert!(ran.stdout.contains("posts"), "{}", ran.stdout);
    let first = sandbox.run(&["backup"]).expect(0);
    assert!(first.stdout.starts_with("notes: complete. 3 written"), "{}", first.stdout);
    let again = sandbox.run(&["backup"]).expect(0);
    assert!(again.stdout.starts_with("notes: complete. 0 written"), "{}", again.stdout);

    sandbox.account(&[("1", "one"), ("2", "zwei"), ("4", "four")]);
    sandbox.run(&["backup"]).expect(0);
    let diff = sandbox.run(&["diff", "notes", "--from", "latest~1"]).expect(0);
    assert_eq!(diff.stdout, "~ posts/2\n    /data/title: \"two\" → \"zwei\"\n- posts/3\n+ posts/4\n");
    assert_eq!(sandbox.run(&["show", "notes", "posts", "2"]).expect(0).stdout, "{\"title\":\"zwei\",\"price\":1.10}\n");
    let old = sandbox.run(&["show", "notes", "posts", "2", "--at", "latest~1"]).expect(0);
    assert_eq!(old.stdout, "{\"title\":\"two\",\"price\":1.10}\n");
    sandbox.run(&["show", "notes", "posts", "3"]).expect(1);
    let history = sandbox.run(&["show", "notes", "posts", "3", "--history", "--json"]).expect(0).json();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0]["record"]["data"]["title"], "three");
    assert!(history[1]["record"].is_null());
}

#[test]
fn what_programs_read_keeps_its_form() {
    let sandbox = Sandbox::with_notes();
    let mut text = String::new();
    for arguments in [
        vec!["backup"],
        vec!["snapshots"],
        vec!["ls", "notes"],
        vec!["ls", "notes", "posts"],
        vec!["show", "notes", "posts", "1"],
        vec!["completeness", "notes"],
        vec!["export", "notes", "--format", "jsonl", "--to", "archive"],
        vec!["verify"],
    ] {
        let ran = sandbox.run(&[arguments.as_slice(), &["--json"]].concat()).expect(0);
        for object in ran.json() {
            let _ = writeln!(text, "{}\n{}", arguments.join(" "), serde_json::to_string_pretty(&object).unwrap());
        }
    }
    let mut settings = settings();
    settings.add_filter(r#""(bytes|bytes_added)": \d+"#, r#""$1": "[bytes]""#);
    settings.bind(|| insta::assert_snapshot!(text));
}

#[test]
fn what_people_read_keeps_its_form() {
    let sandbox = Sandbox::with_notes();
    let mut text = String::new();
    for arguments in [
        vec!["backup"],
        vec!["snapshots"],
        vec!["ls", "notes"],
        vec!["ls", "notes", "posts"],
        vec!["completeness", "notes"],
        vec!["backup", "--plan"],
        vec!["verify"],
    ] {
        let ran = sandbox.run(&arguments).expect(0);
        let _ = writeln!(text, "$ saas-backup {}\n{}", arguments.join(" "), ran.stdout);
    }
    settings().bind(|| insta::assert_snapshot!(text));
}

#[test]
fn an_account_that_empties_itself_needs_review() {
    let sandbox = Sandbox::with_notes();
    let many: Vec<(String, String)> = (0..40).map(|id| (id.to_string(), format!("post {id}"))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(id, title)| (id.as_str(), title.as_str())).collect();
    sandbox.account(&many);
    sandbox.run(&["backup"]).expect(0);
    sandbox.account(&many[..2]);
    let ran = sandbox.run(&["backup"]).expect(4);
    assert!(ran.stdout.contains("38 of 40 records would be deleted"), "{}", ran.stdout);
    assert!(sandbox.run(&["status"]).expect(0).stdout.contains("--accept-deletions"));
    assert!(sandbox.run(&["show", "notes", "posts", "30"]).expect(0).stdout.contains("post 30"));
    sandbox.run(&["backup", "--accept-deletions"]).expect(0);
    sandbox.run(&["show", "notes", "posts", "30"]).expect(1);
}

#[test]
fn one_source_that_fails_does_not_keep_the_others_from_their_run() {
    let sandbox = Sandbox::with_notes();
    sandbox.configure("\n[[source]]\nname = \"gone\"\nconnector = \"jsonl\"\npath = \"nowhere\"\n");
    sandbox.reconfigure(
        "[[source]]\nname = \"notes\"",
        "[[source]]\nname = \"aaa\"\nconnector = \"jsonl\"\npath = \"nowhere\"\n\n[[source]]\nname = \"notes\"",
    );
    let ran = sandbox.run(&["backup"]).expect(1);
    assert!(ran.stdout.contains("notes: complete. 3 written"), "{}", ran.stdout);
    assert!(ran.stderr.contains("source: gone"), "{}", ran.stderr);
}

#[test]
fn a_run_that_is_at_work_keeps_others_away() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let repository = std::fs::read_dir(sandbox.path("state")).unwrap().next().unwrap().unwrap().path();
    let lock = OpenOptions::new().write(true).open(repository.join("locks/notes.lock")).unwrap();
    lock.lock().unwrap();
    let ran = sandbox.run(&["backup"]).expect(6);
    assert!(ran.stderr.contains("another run of this source is at work"), "{}", ran.stderr);
    drop(lock);
    sandbox.run(&["backup"]).expect(0);
}

#[test]
fn an_export_reads_back_as_a_point_in_time() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["export", "notes", "--format", "jsonl", "--to", "archive"]).expect(0);
    let twice = sandbox.run(&["export", "notes", "--format", "jsonl", "--to", "archive"]).expect(1);
    assert!(twice.stderr.contains("--overwrite"), "{}", twice.stderr);
    sandbox.run(&["export", "notes", "--format", "jsonl", "--to", "archive", "--overwrite"]).expect(0);
    sandbox.run(&["export", "notes", "--format", "nope", "--to", "archive"]).expect(2);

    sandbox.run(&["import", "jsonl", "archive", "--as", "old-notes"]).expect(0);
    let shown = sandbox.run(&["show", "old-notes", "posts", "3"]).expect(0);
    assert_eq!(shown.stdout, "{\"title\":\"three\",\"price\":1.10}\n");
}

#[test]
fn an_export_may_be_one_file() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    for file in ["notes.zip", "notes.tar.zst"] {
        let ran = sandbox.run(&["export", "notes", "--format", "markdown", "--to", file]).expect(0);
        assert!(ran.stdout.contains("0 faults") && sandbox.path(file).is_file(), "{}", ran.stdout);
        let name = format!("from-{}", &file[6..9]);
        sandbox.run(&["import", "markdown", file, "--as", &name]).expect(0);
        let shown = sandbox.run(&["show", &name, "posts", "3"]).expect(0);
        assert_eq!(shown.stdout, "{\"title\":\"three\",\"price\":1.10}\n");
    }
}

#[test]
fn a_format_takes_settings() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let export = ["export", "notes", "--format", "csv", "--to", "tables", "--set"];
    sandbox.run(&[&export[..], &["spreadsheet=true"]].concat()).expect(0);
    assert!(sandbox.path("tables/posts.excel.csv").exists());
    for wrong in ["spreadsheets=true", "spreadsheet=perhaps", "spreadsheet"] {
        sandbox.run(&[&export[..], &[wrong, "--overwrite"]].concat()).expect(2);
    }
    let told = sandbox.run(&["connectors", "csv"]).expect(0);
    assert!(told.stdout.contains("spreadsheet  (true or false, optional)"), "{}", told.stdout);
    let told = sandbox.run(&["connectors", "jsonl"]).expect(0);
    assert!(told.stdout.contains("[[source]]") && told.stdout.contains("--set"), "{}", told.stdout);
    sandbox.run(&["connectors", "papyrus"]).expect(2);
}

#[test]
fn an_overlay_says_how_an_export_reads_the_records() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    std::fs::write(
        sandbox.path("posts.toml"),
        "[collections.posts]\nkind = 'document'\n[collections.posts.fields]\ntitle = 'price'\n",
    )
    .unwrap();
    let export = ["export", "notes", "--format", "markdown", "--to", "vault", "--overlay", "posts.toml"];
    let ran = sandbox.run(&export).expect(0);
    assert!(ran.stdout.contains("0 faults"), "{}", ran.stdout);
    assert!(sandbox.path("vault/posts/1.10.md").exists());

    std::fs::write(sandbox.path("posts.toml"), "[collections.psots]\nkind = 'document'\n").unwrap();
    let ran = sandbox.run(&[&export[..], &["--overwrite"]].concat()).expect(2);
    assert!(ran.stderr.contains("psots") && ran.stderr.contains("posts"), "{}", ran.stderr);
}

#[test]
fn one_record_is_restored_as_it_was() {
    let sandbox = Sandbox::with_notes();
    sandbox.configure("\n[[source]]\nname = \"copy\"\nconnector = \"jsonl\"\npath = \"copied\"\n");
    sandbox.run(&["backup", "notes"]).expect(0);
    sandbox.account(&[("1", "one"), ("2", "zwei"), ("3", "three")]);
    sandbox.run(&["backup", "notes"]).expect(0);
    let restore = ["restore", "notes", "--to", "copy", "--collection", "posts", "--id", "2", "--at", "latest~1"];
    let dry = sandbox.run(&[restore.as_slice(), &["--dry-run"]].concat()).expect(1);
    assert!(dry.stderr.contains("without doing it"), "{}", dry.stderr);
    let ran = sandbox.run(&[restore.as_slice(), &["--json"]].concat()).expect(0);
    let [object] = ran.json().try_into().unwrap();
    assert_eq!((&object["totals"]["written"], &object["to"]), (&1.into(), &"copy".into()));
    let lines = std::fs::read_to_string(sandbox.path("copied/records/posts.jsonl")).unwrap();
    assert!(lines.contains("\"two\"") && lines.lines().count() == 1, "{lines}");
    sandbox.run(&["restore", "notes", "--to", "copy", "--id", "2"]).expect(2);
    sandbox.run(&["restore", "notes", "--to", "nowhere"]).expect(2);
}

#[test]
fn a_timeline_that_was_rolled_back_is_noticed() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let before = sandbox.repository();
    sandbox.account(&[("1", "uno"), ("2", "two"), ("3", "three")]);
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["verify"]).expect(0);
    std::fs::remove_dir_all(sandbox.path("saas-backup-repository")).unwrap();
    for (name, bytes) in before {
        let path = sandbox.path("saas-backup-repository").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let ran = sandbox.run(&["verify"]).expect(5);
    assert!(ran.stdout.contains("NOT whole"), "{}", ran.stdout);
}

#[test]
fn damage_is_an_integrity_error() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["verify", "--read", "all"]).expect(0);
    let repository = sandbox.path("saas-backup-repository");
    let mut files = sandbox.repository().into_iter();
    let (name, mut bytes) = files.find(|(name, _)| name.to_string_lossy().contains("commit")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(repository.join(name), bytes).unwrap();
    sandbox.run(&["verify", "--read", "all"]).expect(5);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_in_order_and_the_next_goes_on() {
    let sandbox = Sandbox::with_notes();
    sandbox.reconfigure(
        "path = \"account\"",
        "path = { command = [\"sh\", \"-c\", \"touch begun; sleep 1; echo account\"] }",
    );
    let child = sandbox.start(&["backup"]);
    while !sandbox.path("begun").exists() {
        std::thread::yield_now();
    }
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stdout} {stderr}");
    assert!(stderr.contains("the next run goes on from there") && stdout.contains("stopped"), "{stdout} {stderr}");
    assert!(sandbox.run(&["backup"]).expect(0).stdout.contains("3 written"));
}
