use crate::support::Sandbox;

#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_keys_a_configuration_and_a_repository() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["init"]).expect(0);
    assert!(ran.stdout.contains("KEEP SAFE: me.key"), "{}", ran.stdout);
    #[cfg(unix)]
    for file in ["me.key", "agent.key", "saas-backup.toml"] {
        assert_eq!(mode(&sandbox.path(file)), 0o600, "{file}");
    }
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    assert!(config.contains("recipients = [\"age1") && !config.contains("AGE-SECRET-KEY"), "{config}");
    assert!(sandbox.path("saas-backup-repository/repo.json").exists());
}

#[test]
fn a_repository_is_made_once() {
    let sandbox = Sandbox::new();
    sandbox.run(&["init"]).expect(0);
    let before = std::fs::read(sandbox.path("me.key")).unwrap();
    let ran = sandbox.run(&["init"]).expect(1);
    assert!(ran.stderr.contains("there is a repository already"), "{}", ran.stderr);
    assert_eq!(std::fs::read(sandbox.path("me.key")).unwrap(), before);
}

#[test]
fn init_says_what_a_configuration_still_needs() {
    let sandbox = Sandbox::new();
    sandbox.configure("[repository]\nurl = \"copies\"\n");
    let ran = sandbox.run(&["init", "--json"]).expect(0);
    let [object] = ran.json().try_into().unwrap();
    let add: Vec<&str> = object["add"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(add[0].starts_with("identity = ") && add[1].starts_with("root = "), "{add:?}");
    sandbox.configure(&format!("{}\n", add.join("\n")));
    sandbox.run(&["status"]).expect(0);
}

#[test]
fn a_key_that_was_made_before_is_taken() {
    let sandbox = Sandbox::new();
    let recipient = sandbox.run(&["keygen", "--out", "me.key"]).expect(0).stdout;
    sandbox.run(&["init"]).expect(0);
    let config = std::fs::read_to_string(sandbox.path("saas-backup.toml")).unwrap();
    assert!(config.contains(recipient.trim()), "{config}");
}

#[test]
fn the_identity_is_needed_to_make_a_repository_and_not_to_fill_it() {
    let sandbox = Sandbox::new();
    let recipient = sandbox.run(&["keygen", "--out", "me.key"]).expect(0).stdout;
    let recipient = recipient.trim();
    sandbox.configure(&format!(
        "[repository]\nurl = \"copies\"\nrecipients = [\"{recipient}\"]\nagent = {{ file = \"agent.key\" }}\n\n\
         [[source]]\nname = \"notes\"\nconnector = \"jsonl\"\npath = \"account\"\n"
    ));
    std::fs::rename(sandbox.path("me.key"), sandbox.path("away.key")).unwrap();
    let ran = sandbox.run(&["init"]).expect(2);
    assert!(ran.stderr.contains("put me.key beside the configuration"), "{}", ran.stderr);
    sandbox.run(&["keygen", "--out", "me.key"]).expect(0);
    let ran = sandbox.run(&["init"]).expect(2);
    assert!(ran.stderr.contains("not that of one of the recipients"), "{}", ran.stderr);

    std::fs::rename(sandbox.path("away.key"), sandbox.path("me.key")).unwrap();
    sandbox.run(&["init"]).expect(0);
    std::fs::remove_file(sandbox.path("me.key")).unwrap();
    sandbox.account(&[("1", "one")]);
    sandbox.run(&["backup"]).expect(0);
}

#[test]
fn a_repository_of_another_owner_is_refused() {
    let sandbox = Sandbox::with_notes();
    let other = Sandbox::new();
    other.run(&["init"]).expect(0);
    let theirs = other.path("saas-backup-repository").display().to_string();
    sandbox.reconfigure("url = \"saas-backup-repository\"", &format!("url = \"{theirs}\""));
    let ran = sandbox.run(&["backup"]).expect(5);
    assert!(ran.stderr.contains("not the one that is pinned"), "{}", ran.stderr);
}

#[test]
fn an_unencrypted_repository_is_only_made_when_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.configure("[repository]\nurl = \"copies\"\nencryption = \"none\"\n");
    let ran = sandbox.run(&["init"]).expect(0);
    assert!(ran.stdout.contains("NOT encrypted"), "{}", ran.stdout);
}

#[test]
fn a_key_is_never_replaced() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["keygen", "--out", "second.key"]).expect(0);
    assert!(ran.stdout.starts_with("age1"), "{}", ran.stdout);
    let before = std::fs::read_to_string(sandbox.path("second.key")).unwrap();
    assert!(before.contains("AGE-SECRET-KEY-1"));
    sandbox.run(&["keygen", "--out", "second.key"]).expect(1);
    assert_eq!(std::fs::read_to_string(sandbox.path("second.key")).unwrap(), before);
    assert!(sandbox.run(&["keygen"]).expect(0).stdout.contains("AGE-SECRET-KEY-1"));
}

#[test]
fn a_machine_without_the_identity_backs_up_and_cannot_read() {
    let sandbox = Sandbox::with_notes();
    std::fs::rename(sandbox.path("me.key"), sandbox.path("safe.key")).unwrap();
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["snapshots"]).expect(0);
    sandbox.run(&["status"]).expect(0);
    let ran = sandbox.run(&["ls", "notes"]).expect(2);
    assert!(ran.stderr.contains("me.key"), "{}", ran.stderr);
}

#[test]
fn another_key_does_not_open_the_copies() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["backup"]).expect(0);
    std::fs::remove_file(sandbox.path("me.key")).unwrap();
    sandbox.run(&["keygen", "--out", "me.key"]).expect(0);
    let ran = sandbox.run(&["ls", "notes"]);
    assert_ne!(ran.code, 0);
    assert!(!ran.stdout.contains("posts"), "{}", ran.stdout);
}

#[test]
fn a_folder_that_is_no_repository_is_refused() {
    let sandbox = Sandbox::with_notes();
    std::fs::create_dir(sandbox.path("photos")).unwrap();
    std::fs::write(sandbox.path("photos/cat.jpg"), "meow").unwrap();
    sandbox.reconfigure("url = \"saas-backup-repository\"", "url = \"photos\"");
    let ran = sandbox.run(&["backup"]).expect(1);
    assert!(ran.stderr.contains("there is no repository at the configured address"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(sandbox.path("photos")).unwrap().count(), 1);
}
