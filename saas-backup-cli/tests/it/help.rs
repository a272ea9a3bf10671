use crate::support::Sandbox;
use std::fmt::Write as _;

#[test]
fn the_help_of_every_command() {
    let sandbox = Sandbox::new();
    let commands = [
        "keygen",
        "init",
        "key",
        "connectors",
        "check",
        "backup",
        "snapshots",
        "ls",
        "show",
        "diff",
        "completeness",
        "export",
        "restore",
        "import",
        "verify",
        "repair",
        "forget",
        "maintain",
        "replicate",
        "serve",
        "status",
    ];
    let mut text = sandbox.run(&["--help"]).expect(0).stdout;
    for command in commands {
        let help = sandbox.run(&[command, "--help"]).expect(0).stdout;
        let _ = write!(text, "\n──── {command}\n{help}");
    }
    for command in
        ["list", "add-recipient", "remove-recipient", "add-writer", "revoke-writer", "rewrap", "check", "escrow"]
    {
        let help = sandbox.run(&["key", command, "--help"]).expect(0).stdout;
        let _ = write!(text, "\n──── key {command}\n{help}");
    }
    insta::assert_snapshot!(text);
}
