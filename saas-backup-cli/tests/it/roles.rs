use std::fmt::Write as _;

use crate::support::{Ran, Sandbox};

/// A sandbox with a backup, and the public key of somebody else, whose identity is in `second.key`.
fn with_second() -> (Sandbox, String) {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let second = sandbox.run(&["keygen", "--out", "second.key"]).expect(0).stdout.trim().to_owned();
    (sandbox, second)
}

/// Runs a command with `second.key` in place of the owner's identity.
fn as_second(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let swap = |from: &str, to: &str| sandbox.reconfigure(&format!("file = \"{from}\""), &format!("file = \"{to}\""));
    swap("me.key", "second.key");
    let ran = sandbox.run(arguments);
    swap("second.key", "me.key");
    ran
}

#[test]
fn somebody_else_reads_until_he_is_removed() {
    let (sandbox, second) = with_second();
    assert!(as_second(&sandbox, &["ls", "notes"]).expect(1).stderr.contains("not an owner's of this repository"));
    let before = sandbox.repository();
    let ran = sandbox.run(&["key", "add-recipient", &second]).expect(0);
    assert!(ran.stdout.contains("3 of 3 key objects were rewritten"), "{}", ran.stdout);
    let after = sandbox.repository();
    let same = before.iter().filter(|(name, bytes)| after.get(*name) == Some(bytes)).count();
    assert_eq!((before.len() - same, after.len() - before.len()), (3, 1));
    assert!(as_second(&sandbox, &["show", "notes", "posts", "1"]).expect(0).stdout.contains("one"));
    as_second(&sandbox, &["key", "check"]).expect(0);
    // It reads, and decides nothing.
    for command in
        [&["key", "add-recipient", &second][..], &["key", "add-writer", "third.key"], &["forget", "--dry-run"]]
    {
        assert_ne!(as_second(&sandbox, command).code, 0, "{command:?}");
    }

    let dry = sandbox.run(&["key", "remove-recipient", &second, "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("3 of 3 key objects would be rewritten"), "{}", dry.stdout);
    assert_eq!(sandbox.repository(), after);
    let ran = sandbox.run(&["key", "remove-recipient", &second]).expect(0);
    assert!(ran.stdout.contains("take the access to the storage away"), "{}", ran.stdout);
    assert!(as_second(&sandbox, &["ls", "notes"]).expect(1).stderr.contains("not an owner's"));
    sandbox.run(&["key", "remove-recipient", &second]).expect(1);
    // A machine whose configuration still names him goes on, and says so.
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    let recipients = config.lines().find(|line| line.starts_with("recipients = ")).unwrap();
    sandbox.reconfigure(recipients, &recipients.replace(']', &format!(", \"{second}\"]")));
    sandbox.account(&[("1", "uno")]);
    let ran = sandbox.run(&["backup"]).expect(0);
    assert!(ran.stderr.contains("not encrypted to a recipient that the configuration names"), "{}", ran.stderr);
}

#[test]
fn a_recipient_that_nobody_added_is_a_wrong_configuration() {
    let (sandbox, second) = with_second();
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    let recipients = config.lines().find(|line| line.starts_with("recipients = ")).unwrap();
    sandbox.reconfigure(recipients, &recipients.replace(']', &format!(", \"{second}\"]")));
    let ran = sandbox.run(&["backup"]).expect(2);
    assert!(ran.stderr.contains("`saas-backup key add-recipient` adds it"), "{}", ran.stderr);
}

#[test]
fn another_agent_writes_until_it_is_revoked() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    let [added] =
        sandbox.run(&["key", "add-writer", "second-agent.key", "--json"]).expect(0).json().try_into().unwrap();
    let (id, written) = (added["writer"].as_str().unwrap(), added["written"].as_str().unwrap());
    assert_eq!((written, added["rewritten"].as_u64()), ("second-agent.key", Some(2)));
    sandbox.reconfigure("agent = { file = \"agent.key\" }", "agent = { file = \"second-agent.key\" }");
    sandbox.account(&[("1", "uno"), ("2", "two"), ("3", "three")]);
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["key", "check"]).expect(0);

    let before = sandbox.repository();
    sandbox.run(&["key", "revoke-writer", id, "--dry-run"]).expect(0);
    assert_eq!(sandbox.repository(), before);
    sandbox.run(&["key", "revoke-writer", id]).expect(0);
    sandbox.account(&[("1", "hidden"), ("2", "two"), ("3", "three")]);
    let ran = sandbox.run(&["backup"]).expect(1);
    assert!(ran.stderr.contains("this writer was revoked"), "{}", ran.stderr);
    assert!(sandbox.run(&["show", "notes", "posts", "1"]).expect(0).stdout.contains("uno"));
    let ran = sandbox.run(&["key", "check"]).expect(4);
    assert!(ran.stdout.contains("ROLE") && ran.stdout.contains("next: `saas-backup key list`"), "{}", ran.stdout);
    sandbox.run(&["key", "add-writer", "second-agent.key"]).expect(1);
}

#[test]
fn an_escrow_opens_the_repository_without_the_configured_keys() {
    let (sandbox, notary) = with_second();
    let escrow = ["key", "escrow", "--to", &notary, "--out", "escrow.age"];
    assert!(sandbox.run(&escrow).expect(0).stdout.contains(&notary));
    sandbox.run(&escrow).expect(1);
    for key in ["me.key", "agent.key"] {
        std::fs::remove_file(sandbox.path(key)).unwrap();
    }
    let agent = "agent = { file = \"agent.key\" }";
    sandbox.reconfigure(agent, "");
    let check = ["key", "check", "--escrow", "escrow.age", "--identity"];
    let ran = sandbox.run(&[&check[..], &["second.key"]].concat()).expect(0);
    assert!(ran.stdout.contains("opens 3 key objects") && ran.stdout.contains("in order"), "{}", ran.stdout);
    sandbox.run(&["keygen", "--out", "stranger.key"]).expect(0);
    sandbox.run(&[&check[..], &["stranger.key"]].concat()).expect(1);
    let other = Sandbox::with_notes();
    std::fs::copy(sandbox.path("escrow.age"), other.path("escrow.age")).unwrap();
    std::fs::copy(sandbox.path("second.key"), other.path("second.key")).unwrap();
    let ran = other.run(&[&check[..], &["second.key"]].concat()).expect(1);
    assert!(ran.stderr.contains("another repository"), "{}", ran.stderr);
}

#[test]
fn lost_keys_are_an_integrity_error_and_statements_that_are_gone_are_told() {
    let (sandbox, second) = with_second();
    sandbox.run(&["key", "add-recipient", &second]).expect(0);
    std::fs::remove_file(sandbox.path("saas-backup-repository/roles/00000000000000000001")).unwrap();
    let ran = sandbox.run(&["key", "check"]).expect(4);
    assert!(
        ran.stderr.contains("newest statement") && ran.stdout.contains("OUTDATED"),
        "{} {}",
        ran.stderr,
        ran.stdout
    );
    let keys = sandbox.path("saas-backup-repository/source/notes/keys");
    std::fs::remove_file(keys.join("naming.age")).unwrap();
    let ran = sandbox.run(&["key", "check"]).expect(5);
    assert!(ran.stdout.contains("LOST source/notes/keys/naming.age"), "{}", ran.stdout);
}

#[test]
fn what_people_and_programs_read_of_keys_keeps_its_form() {
    let (sandbox, second) = with_second();
    let mut text = String::new();
    for arguments in [
        &["key", "list"][..],
        &["key", "add-recipient", &second],
        &["key", "check"],
        &["key", "rewrap"],
        &["key", "escrow", "--to", &second, "--out", "escrow.age"],
        &["key", "list", "--json"],
        &["key", "rewrap", "--json"],
        &["key", "check", "--json"],
    ] {
        let ran = sandbox.run(arguments).expect(0);
        let _ = writeln!(text, "$ saas-backup {}\n{}", arguments.join(" "), ran.stdout);
    }
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"age1[0-9a-z]{58}", "[recipient]");
    settings.add_filter(r"[A-Za-z0-9+/]{43}=", "[root]");
    settings.add_filter(r"\b[0-9a-f]{16}\b", "[writer]");
    // In the order of names, which are random.
    settings.add_filter(r"(write and maintain: the owner|write) +\[recipient\]", "[may] [recipient]");
    settings.add_filter(r#""maintains":(true|false)"#, r#""maintains":[bool]"#);
    settings.bind(|| insta::assert_snapshot!(text));
}
