use crate::support::Sandbox;

fn scene() -> Sandbox {
    let sandbox = Sandbox::with_notes();
    sandbox.reconfigure(
        "connector = \"jsonl\"",
        "connector = \"jsonl\"\nowner = \"Ada\"\nprovider = \"rds\"\nrpo = \"1d\"\nrto = \"1h\"",
    );
    sandbox.configure(
        "\n[[store]]\nname = \"wiki\"\nkind = \"notion\"\nowner = \"Grace\"\ncontains = \"how we work\"\n\
         \n[[store]]\nname = \"shoe box\"\nkind = \"paper\"\nnote = \"Ada said so\"\n",
    );
    sandbox
}

#[test]
fn what_people_read_of_the_inventory_keeps_its_form() {
    let sandbox = scene();
    let before = sandbox.run(&["inventory"]).expect(3).stdout;
    assert!(before.contains("notes: there is no complete copy"), "{before}");
    sandbox.run(&["backup"]).expect(0);
    sandbox.run(&["drill"]).expect(0);
    let text = sandbox.run(&["inventory"]).expect(3).stdout;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]");
    settings.add_filter(r"[0-9.]+ (B|KiB)\b", "[bytes]");
    settings.add_filter(r"\d+s / 1([dh])", "[measured] / 1$1");
    settings.bind(|| insta::assert_snapshot!(text));
}

#[test]
fn everything_that_is_protected_is_no_failure() {
    let sandbox = Sandbox::with_notes();
    sandbox.run(&["inventory"]).expect(3);
    sandbox.run(&["backup"]).expect(0);
    let [item] = sandbox.run(&["inventory", "--json"]).expect(0).json().try_into().unwrap();
    assert_eq!((&item["protected"], &item["copies"]["points"]), (&true.into(), &1.into()));
    assert_eq!((&item["own_backup"], &item["copies"]["encrypted"]), (&serde_json::Value::Null, &true.into()));
}

#[test]
fn a_store_is_declared_once_and_in_two_brackets() {
    for (text, message) in [
        ("[[store]]\nname = \"notes\"\nkind = \"x\"", "the name of another, or of a source"),
        ("[[store]]\nname = \"x\"", "`kind` is missing"),
        ("[[store]]\nname = \"x\"\nkind = \"x\"\nsize = 1", "unknown key `size`"),
        ("[store]\nname = \"x\"", "two brackets"),
    ] {
        let sandbox = Sandbox::with_notes();
        sandbox.configure(&format!("\n{text}\n"));
        let ran = sandbox.run(&["inventory"]).expect(2);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}
