use crate::support::Sandbox;

const LISTENS: &str = "\n[[alert]]\nkind = \"command\"\nprogram = [\"sh\", \"-c\", \"cat >>told\"]\n";
const IS_DEAF: &str = "\n[[alert]]\nkind = \"command\"\nname = \"deaf\"\nprogram = [\"sh\", \"-c\", \"exit 3\"]\n";

#[test]
fn a_test_says_what_arrived() {
    let sandbox = Sandbox::with_notes();
    let nobody = sandbox.run(&["alerts", "--test"]).expect(0);
    assert!(nobody.stderr.contains("no [[alert]]"), "{}", nobody.stderr);
    sandbox.configure(LISTENS);
    assert_eq!(sandbox.run(&["alerts", "--test"]).expect(0).stdout, "command: arrived\n");
    sandbox.configure(IS_DEAF);
    let tried = sandbox.run(&["alerts", "--test", "--json"]).expect(1).json();
    assert!(tried[0]["error"].is_null() && tried[1]["error"].as_str().unwrap().contains("exit_code: 3"), "{tried:?}");
    assert_eq!(sandbox.run(&["alerts", "--json"]).expect(0).stdout, "");
}

#[cfg(unix)]
#[test]
fn what_is_wrong_is_told_and_listed_with_what_to_do() {
    let sandbox = Sandbox::with_notes();
    sandbox.configure(LISTENS);
    std::fs::remove_dir_all(sandbox.path("account")).unwrap();
    sandbox.run(&["backup", "notes"]).expect(1);
    let listed = sandbox.run(&["alerts", "--tell"]).expect(0).stdout;
    assert!(listed.contains("lasts") && listed.contains("notes: the last run failed"), "{listed}");
    assert!(listed.contains("notes/failed: Run `saas-backup check notes`"), "{listed}");
    sandbox.account(&[("1", "one")]);
    sandbox.run(&["backup", "notes"]);
    let alerts = sandbox.run(&["alerts", "--tell", "--json"]).expect(0).json();
    assert!(alerts[0]["resolved"].is_string(), "{alerts:?}");
    assert_eq!(alerts[0]["deliveries"][0]["action"], "resolve");
}
