use crate::support::Sandbox;

#[test]
fn a_configuration_is_checked_without_asking_anybody() {
    let sandbox = Sandbox::with_notes();
    let text = sandbox.run(&["config", "check"]).expect(0).stdout;
    assert!(text.contains("notes: nothing backs it up by itself") && text.contains("no [[alert]]"), "{text}");
    sandbox.reconfigure("connector = \"jsonl\"", "connector = \"jsonl\"\nschedule = \"0 3 * * *\"\nrpo = \"2d\"");
    sandbox.configure("\n[[alert]]\nkind = \"command\"\nprogram = [\"true\"]\n\n[verify]\nschedule = \"@daily\"\n");
    std::fs::remove_dir_all(sandbox.path("account")).unwrap();
    let [object] = sandbox.run(&["config", "check", "--json"]).expect(0).json().try_into().unwrap();
    assert_eq!((&object["sources"][0], &object["alerts"][0]), (&"notes".into(), &"command".into()));
    assert_eq!((&object["jobs"][0]["job"], &object["jobs"][1]["job"]), (&"notes".into(), &"(verify)".into()));
    assert!(object["jobs"][0]["starts"].as_str().unwrap().ends_with("T03:00:00Z"), "{object}");
    assert_eq!(object["warnings"], serde_json::json!([]));
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_with_its_place() {
    for (text, told) in [
        ("[[source]]\nname = \"a\"\nconnector = \"jsonl\"\npaht = \"x\"", "unknown key `paht`"),
        ("[[source]]\nname = \"a\"\nconnector = \"jsonl\"\npath = { file = \"nowhere\" }", "source: a"),
        ("[[alert]]\nkind = \"command\"\nprogramme = [\"x\"]", "alert: command"),
        ("[drill]\ninto = \"paper\"", "source: notes"),
        ("[drill]\ninto = \"notes\"", "scratch = true"),
        ("[maintain]\nschedule = \"61 * * * *\"", "line"),
    ] {
        let sandbox = Sandbox::with_notes();
        sandbox.configure(&format!("\n{text}\n"));
        let ran = sandbox.run(&["config", "check"]).expect(2);
        assert!(ran.stderr.contains(told), "{text}: {}", ran.stderr);
    }
}
