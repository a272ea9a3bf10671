//! Conversations in a vault: a page for each day.

use std::fs;

use saas_backup_core::{
    Body, Catalog, Collection, FieldMapping, Json, Key, Kind, Markup, Record, RefRule, Reference, WriteMode,
};
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector, check};

use crate::support::{assert_same_in_any_order, files, name, puts, start, write};

fn catalog() -> Catalog {
    let mut channels = FieldMapping::default();
    channels.title = Some("name".to_owned());
    let mut messages = FieldMapping::default();
    messages.body = Some(Body::new("text", Markup::Markdown));
    messages.time = Some("at".to_owned());
    messages.author = Some("user".to_owned());
    let mut pages = FieldMapping::default();
    pages.title = Some("name".to_owned());
    pages.url = Some("url".to_owned());
    Catalog::new(vec![
        Collection::new(name("channels"), Kind::Conversation).with_title("Channels").with_fields(channels),
        Collection::new(name("messages"), Kind::Message)
            .with_title("Messages")
            .with_fields(messages)
            .with_ref(RefRule::one("channel", name("channels")).required())
            .with_ref(RefRule::one("user", name("users"))),
        Collection::new(name("pages"), Kind::Document).with_title("Pages").with_fields(pages),
        Collection::new(name("users"), Kind::User).with_title("People").with_fields(FieldMapping::default()),
    ])
}

fn record(collection: &str, id: &str, data: &serde_json::Value) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::from_value(data).unwrap())
}

fn message(id: &str, channel: &str, at: &str, text: &str) -> Record {
    let to = |collection, id| Reference::from(&Key::parse(collection, id).unwrap());
    record("messages", id, &serde_json::json!({ "text": text, "at": at }))
        .with_ref("channel", to("channels", channel))
        .with_ref("user", to("users", "ann"))
}

fn records() -> Vec<Record> {
    vec![
        record("channels", "c1", &serde_json::json!({ "name": "General" })),
        record("channels", "c2", &serde_json::json!({ "name": "Silent" })),
        record("pages", "p", &serde_json::json!({ "name": "Plan", "url": "https://team.example/plan" })),
        record("users", "ann", &serde_json::json!({ "name": "Ann" })),
        message("m1", "c1", "2026-03-01T09:00:00Z", "first, see <https://team.example/plan>"),
        // In UTC it is the day before.
        message("m2", "c1", "2026-03-02T00:30:00+01:00", "second"),
        message("m3", "c1", "2026-03-02T10:00:00Z", "third, again [the plan](https://team.example/plan)"),
        message("m4", "c1", "some day", "fourth"),
        message("m5", "gone", "2026-03-02T10:00:00Z", "to nobody"),
    ]
}

#[tokio::test]
async fn what_was_said_in_a_conversation_stands_on_a_page_for_each_day() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    let vault = MarkdownConnector::new(MarkdownConfig::new(&path));
    write(&vault, WriteMode::Create, &start(catalog(), 0), puts(&records()), &[]).await.unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let page = |file: &str| fs::read_to_string(path.join(file)).unwrap();

    let channel = page("channels/General.md");
    let (_, days) = channel.split_once("\n## Days\n").unwrap();
    assert_eq!(
        days,
        "\n- [2026-03-01](General/2026-03-01.md) (2)\n- [2026-03-02](General/2026-03-02.md) (1)\n\
         - [undated](General/undated.md) (1)\n"
    );
    assert_eq!(
        page("channels/General/2026-03-01.md"),
        "---\ntitle: \"General, 2026-03-01\"\ncollection: \"channels\"\ntime: \"2026-03-01\"\nparent: \"General\"\n\
         ---\n\n# General, 2026-03-01\n\n[General](../General.md)\n\n\
         ### ann · 2026-03-01T09:00:00Z\n\nfirst, see [https://team.example/plan](../../pages/Plan.md)\n\n\
         ### ann · 2026-03-02T00:30:00+01:00\n\nsecond\n"
    );
    assert!(page("channels/General/undated.md").contains("fourth"));
    assert!(!page("channels/Silent.md").contains("## Days"));
    assert!(page("messages/index.md").contains("to nobody"), "who said it to nobody is in the list");
    let plan = page("pages/Plan.md");
    assert!(plan.contains("(../channels/General/2026-03-01.md)") && plan.contains("/2026-03-02.md)"), "{plan}");
    let names = page("names.json");
    assert!(names.contains(r#""id":"c1","day":"2026-03-01""#), "{names}");
}

#[tokio::test]
async fn conversations_give_the_same_bytes_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let vault = |name: &str| MarkdownConnector::new(MarkdownConfig::new(folder.path().join(name)));
    write(&vault("a"), WriteMode::Create, &start(catalog(), 0), puts(&records()), &[]).await.unwrap();
    let first = files(&folder.path().join("a"));
    let again = (start(catalog(), 0), puts(&records()), Vec::new());
    assert_same_in_any_order(&vault("b"), &folder.path().join("b"), &first, again).await;
}
