use crate::support::Sandbox;

#[test]
fn an_unknown_option_is_wrong_usage() {
    let ran = Sandbox::new().run(&["backup", "--ful"]).expect(2);
    assert!(ran.stderr.contains("--full"), "{}", ran.stderr);
}

#[test]
fn a_wrong_point_in_time_is_wrong_usage() {
    let ran = Sandbox::new().run(&["ls", "blog", "--at", "2026-11-21"]).expect(2);
    assert!(ran.stderr.contains("2026-11-21T10:00:00Z"), "{}", ran.stderr);
}

#[test]
fn without_a_configuration_the_next_step_is_said() {
    let ran = Sandbox::new().run(&["backup"]).expect(2);
    assert!(ran.stderr.contains("saas-backup init"), "{}", ran.stderr);
}

#[test]
fn an_unknown_key_is_told_with_file_line_and_column() {
    let sandbox = Sandbox::new();
    sandbox
        .configure("[repository]\nurl = \"r\"\n\n[[source]]\nname = \"notes\"\nconnector = \"jsonl\"\npaht = \"x\"\n");
    let ran = sandbox.run(&["check"]).expect(2);
    assert!(ran.stderr.contains("unknown key `paht`; the known ones are path"), "{}", ran.stderr);
    assert!(ran.stderr.contains("line: 7, column: 1"), "{}", ran.stderr);

    sandbox.reconfigure("paht", "path");
    sandbox.reconfigure("[[source]]", "identiy = 1\n\n[[source]]");
    let ran = sandbox.run(&["check"]).expect(2);
    assert!(ran.stderr.contains("unknown key `identiy`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("line: 4, column: 1, file: saas-backup.toml"), "{}", ran.stderr);
}

#[test]
fn an_unknown_source_names_those_that_are_configured() {
    let sandbox = Sandbox::new();
    sandbox
        .configure("[repository]\nurl = \"r\"\n\n[[source]]\nname = \"notes\"\nconnector = \"jsonl\"\npath = \"x\"\n");
    let ran = sandbox.run(&["backup", "note"]).expect(2);
    assert!(ran.stderr.contains("configured: notes"), "{}", ran.stderr);
}

#[test]
fn an_error_is_an_object_for_programs() {
    let sandbox = Sandbox::new();
    sandbox.configure("[repository]\nurl = \"r\"\n\n[[source]]\nname = \"notes\"\nconnector = \"nope\"\n");
    let ran = sandbox.run(&["check", "--json"]).expect(2);
    let [object] = ran.json().try_into().unwrap();
    assert_eq!(object["error"]["kind"], "configuration");
    assert_eq!(object["error"]["context"]["connector"], "nope");
}

#[test]
fn the_connectors_and_their_settings_are_listed() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["connectors", "--json"]).expect(0);
    let [object] = ran.json().try_into().unwrap();
    let names = |list: &str| -> Vec<String> {
        object[list].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names("connectors").contains(&"jsonl".to_owned()) && names("formats").contains(&"jsonl".to_owned()));
    insta::assert_snapshot!(sandbox.run(&["connectors", "jsonl"]).expect(0).stdout);

    let schema: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["connectors", "--schema"]).expect(0).stdout).unwrap();
    assert_eq!(schema["title"], "saas-backup.toml");
    sandbox.run(&["connectors", "nope"]).expect(2);
}
