//! Earlier versions of records, as a repository or a provider tells them, in the formats that people read.

use std::fs;
use std::path::Path;

use saas_backup_core::{
    Body, Catalog, Collection, FieldMapping, Json, Key, Kind, Markup, Record, RefRule, Reference, WriteMode,
};
use saas_backup_formats::{html, markdown, wxr};

use crate::support::{name, puts, start, write};

/// Posts, and what they were: in the way in which `Source::with_history` describes it.
fn world() -> (Catalog, Vec<Record>) {
    let mut now = FieldMapping::default();
    now.title = Some("title".to_owned());
    now.body = Some(Body::new("text", Markup::Html));
    now.url = Some("link".to_owned());
    let mut then = FieldMapping::default();
    then.title = Some("data.title".to_owned());
    then.body = Some(Body::new("data.text", Markup::Html));
    then.url = Some("data.link".to_owned());
    then.time = Some("since".to_owned());
    then.version_of = Some("version_of".to_owned());
    for told in ["since", "until", "ended", "changed"] {
        then.properties.insert(told.to_owned(), told.to_owned());
    }
    let catalog = Catalog::new(vec![
        Collection::new(name("posts"), Kind::Document).with_title("Posts").with_fields(now),
        Collection::new(name("posts.history"), Kind::Document)
            .with_title("Posts: earlier versions")
            .with_fields(then)
            .with_ref(RefRule::one("version_of", name("posts"))),
    ]);
    let link = |id: &str| format!("https://blog.example/{id}");
    let post = |id: &str, title: &str, text: &str| {
        let data = serde_json::json!({ "title": title, "text": text, "link": link(id) });
        Record::new(Key::parse("posts", id).unwrap(), Json::from_value(&data).unwrap())
    };
    let version = |id: &str, sequence: u64, ended: &str, changed: &[&str], title: &str, text: &str| {
        let data = serde_json::json!({
            "id": id, "sequence": sequence, "ended": ended, "changed": changed,
            "since": format!("2026-01-0{sequence}T00:00:00Z"), "until": format!("2026-01-0{}T00:00:00Z", sequence + 1),
            "data": { "title": title, "text": text, "link": link(id) },
        });
        let key = Key::parse("posts.history", format!("{id}@{sequence}")).unwrap();
        let of = Reference::from(&Key::parse("posts", id).unwrap());
        Record::new(key, Json::from_value(&data).unwrap()).with_ref("version_of", of)
    };
    let leads = "<p>see <a href=\"https://blog.example/1\">the first</a></p>";
    let records = vec![
        post("1", "Now", "<p>new</p>"),
        post("2", "Other", leads),
        version("1", 1, "changed", &["/data/title", "/data/text"], "Once", "<p>old</p>"),
        version("1", 2, "changed", &["/data/text"], "Now", leads),
        version("3", 1, "deleted", &[], "Gone", "<p>it was here</p>"),
    ];
    (catalog, records)
}

async fn written<C: saas_backup_core::Connector>(connector: &C) {
    let (catalog, records) = world();
    write(connector, WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
}

fn page(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

#[tokio::test]
async fn a_site_shows_the_history_of_a_record_on_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site");
    written(&html::HtmlConnector::new(html::HtmlConfig::new(&path))).await;
    assert_eq!(html::check(&path).unwrap().findings, []);

    let now = page(&path, "posts/Now.html");
    let history = now.split("id=\"history\"").nth(1).unwrap().split("</section>").next().unwrap();
    let (newer, older) = history.split_once("Once.html").unwrap();
    assert!(
        newer.contains("../posts.history/Now.html") && newer.contains("2 Jan 2026") && newer.contains("text</code>")
    );
    assert!(older.contains("1 Jan 2026") && older.contains("<code dir=\"auto\">title</code>"), "{history}");
    let back = now.split("id=\"back\"").nth(1).unwrap();
    assert!(back.contains("Other.html") && !back.contains("posts.history"), "versions are no backlinks: {back}");

    let once = page(&path, "posts.history/Once.html");
    assert!(once.contains("An earlier version of <a href=\"../posts/Now.html\""), "{once}");
    assert!(once.contains("earlier version</span>") && once.contains("<p>old</p>"));
    let gone = page(&path, "posts.history/Gone.html");
    assert!(gone.contains("before it was deleted") && gone.contains("deleted</span>") && gone.contains("it was here"));
    // A link to the address of a record leads to what it is now.
    assert!(page(&path, "posts/Other.html").contains("href=\"Now.html\">the first"));
}

#[tokio::test]
async fn a_vault_lists_what_leads_to_a_page_and_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault");
    let vault = markdown::MarkdownConnector::new(markdown::MarkdownConfig::new(&path));
    written(&vault).await;
    assert_eq!(markdown::check(&path).unwrap().findings, []);

    let now = page(&path, "posts/Now.md");
    let (_, sections) = now.split_once("\n## ").unwrap();
    assert_eq!(
        sections,
        "History\n\n\
         - [Now](../posts.history/Now.md), 2026-01-02T00:00:00Z to 2026-01-03T00:00:00Z; then `text` changed\n\
         - [Once](../posts.history/Once.md), 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z; then `title`, `text` changed\n\
         \n## Linked from\n\n- [Other](../posts/Other.md)\n"
    );
    let gone = page(&path, "posts.history/Gone.md");
    assert!(gone.contains("\nstate: \"deleted\"\n") && gone.contains("\nuntil: \"2026-01-02T00:00:00Z\"\n"), "{gone}");
}

#[tokio::test]
async fn earlier_versions_are_no_posts_of_a_blog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blog");
    written(&wxr::WxrConnector::new(wxr::WxrConfig::new(&path))).await;
    assert_eq!(wxr::check(&path).unwrap().findings, []);
    let files: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect();
    let blog = files.iter().find(|file| file.extension().is_some_and(|extension| extension == "xml")).unwrap();
    let blog = fs::read_to_string(blog).unwrap();
    assert_eq!(blog.matches("<item>").count(), 2, "{blog}");
    let losses = page(&path, "losses.ndjson");
    assert_eq!(losses.matches("posts.history").count(), 3, "{losses}");
}
