//! Against real WordPress sites: `SAAS_BACKUP_TEST_WORDPRESS_*` is one with content of every kind,
//! `SAAS_BACKUP_TEST_WORDPRESS2_*` an empty one. `testing/servers up wordpress wordpress2` starts both.

mod restore;

use std::collections::BTreeMap;

use axum::http::{Method, header};
use saas_backup_connectors::http::{Addresses, Authorization, Body, Client, ClientOptions, Request};
use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{Digest, Key, Record, RecordState, RunStatus, TransferOptions, Transferred, testkit, transfer};
use serde_json::{Value, json};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `testing/servers up wordpress wordpress2`"))
}

/// A site, and a client to change it with. Tests that share a site take turns, in whatever process they run.
struct Site {
    connector: WordPress,
    admin: Client,
    _turn: std::fs::File,
}

impl Site {
    fn new(name: &str) -> Self {
        Self::with_user(name, &format!("{name}_USER"), &format!("{name}_PASSWORD"))
    }

    fn with_user(site: &str, user: &str, password: &str) -> Self {
        let [url, user, password] =
            [&format!("{site}_URL"), user, password].map(|name| variable(&format!("SAAS_BACKUP_TEST_{name}")));
        let config = WordPressConfig::new(url.as_str(), user.as_str(), password.as_str())
            .with_private_addresses(true)
            .with_requests_per_second(1000.0);
        let options = ClientOptions::default()
            .with_requests_per_second(1000.0)
            .with_addresses(Addresses::new().with_private(true));
        let authorization = Authorization::basic(&user, &password.into()).unwrap();
        let turn = std::fs::File::create(std::env::temp_dir().join(format!("saas-backup-test-{site}.lock"))).unwrap();
        turn.lock().unwrap();
        Self {
            _turn: turn,
            connector: WordPress::new(&config).unwrap(),
            admin: Client::new(url.parse().unwrap(), authorization, options).unwrap(),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let url = self.admin.address(&format!("wp-json/wp/v2/{path}")).unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = url;
        url.set_path(&format!("/wp-json/wp/v2/{path}"));
        url.set_query(Some(query));
        let request = Request::new(method, url).json(&body).unwrap();
        self.admin.send(request).await.unwrap().json().unwrap()
    }

    /// Host and port.
    fn host(&self) -> &str {
        self.admin.base().as_str().trim_start_matches("http://").trim_end_matches('/')
    }

    async fn create(&self, path: &str, body: Value) -> u64 {
        self.call(Method::POST, path, body).await["id"].as_u64().unwrap()
    }

    async fn upload(&self, name: &str, bytes: &'static [u8]) -> u64 {
        let request = Request::post(self.admin.address("wp-json/wp/v2/media").unwrap())
            .header(header::CONTENT_TYPE, "image/gif".parse().unwrap())
            .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"").parse().unwrap())
            .body(Body::Bytes(bytes.into()));
        self.admin.send(request).await.unwrap().json::<Value>().unwrap()["id"].as_u64().unwrap()
    }

    async fn delete_for_good(&self, path: &str) {
        self.call(Method::DELETE, &format!("{path}?force=true"), json!({})).await;
    }
}

async fn back_up(site: &Site, store: &MemoryStore) -> Transferred {
    transfer(&site.connector, &MemoryConnector::new(store.clone()), TransferOptions::backup()).await.unwrap()
}

fn record(store: &MemoryStore, collection: &str, id: u64) -> Option<Record> {
    store.live().remove(&Key::parse(collection, id.to_string()).unwrap())
}

/// The smallest pictures, in two colours.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const OTHER_GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

#[tokio::test]
#[ignore = "needs a WordPress: ./test runs it"]
async fn it_keeps_the_rules_for_connectors() {
    testkit::connector(&Site::new("WORDPRESS").connector).await.assert_passed();
}

#[tokio::test]
#[ignore = "needs a WordPress: ./test runs it"]
async fn a_site_is_copied_whole_and_then_by_its_changes() {
    let (site, store) = (Site::new("WORDPRESS"), MemoryStore::new());
    let [edited, trashed, deleted] = [
        site.create("posts", json!({"title": "To edit", "content": "before", "status": "publish"})).await,
        site.create("posts", json!({"title": "To trash", "status": "draft"})).await,
        site.create("posts", json!({"title": "To delete", "status": "private"})).await,
    ];
    let picture = site.upload("replaced.gif", GIF).await;

    let done = back_up(&site, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    assert_seeded_content(&store);
    assert_eq!(record(&store, "posts", edited).unwrap().data.member("content.raw").unwrap(), Some("before".to_owned()));

    site.call(Method::POST, &format!("posts/{edited}"), json!({"content": "after"})).await;
    site.call(Method::DELETE, &format!("posts/{trashed}"), json!({})).await;
    site.delete_for_good(&format!("posts/{deleted}")).await;
    let added =
        site.create("posts", json!({"title": "Old news", "status": "publish", "date": "2003-01-01T00:00:00"})).await;
    site.delete_for_good(&format!("media/{picture}")).await;
    let replacement = site.upload("replaced.gif", OTHER_GIF).await;

    let done = back_up(&site, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    let posts = done.report.collections["posts"];
    assert_eq!((posts.written, posts.deleted), (3, 1), "edited, trashed, added; deleted");
    let media = done.report.collections["media"];
    assert_eq!((media.written, media.deleted, media.blobs), (1, 1, 1));
    assert!(posts.read < 30, "{posts:?}: the increment is not a full read");
    assert_eq!(record(&store, "posts", edited).unwrap().data.member("content.raw").unwrap(), Some("after".to_owned()));
    assert_eq!(record(&store, "posts", trashed).unwrap().state, RecordState::Trashed);
    assert_eq!(record(&store, "posts", deleted), None);
    assert!(record(&store, "posts", added).is_some(), "new, although its date of change is old");
    assert_eq!(record(&store, "media", picture), None);
    let blob = record(&store, "media", replacement).unwrap().blobs.remove(0);
    assert_eq!(blob.digest, Some(Digest::of(OTHER_GIF)));
    let history = store.history(&Key::parse("posts", edited.to_string()).unwrap());
    assert_eq!(history.len(), 2, "the old text is kept");

    for post in [edited, trashed, added] {
        site.delete_for_good(&format!("posts/{post}")).await;
    }
    site.delete_for_good(&format!("media/{replacement}")).await;
}

/// What the site was seeded with is there: every state of posts, every comment, every file.
fn assert_seeded_content(store: &MemoryStore) {
    let seeded: Value =
        serde_json::from_slice(&std::fs::read(variable("SAAS_BACKUP_TEST_WORDPRESS_SEEDED")).unwrap()).unwrap();
    let live = store.live();
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (key, record) in &live {
        if let Some(status) = record.data.member::<String>("status").ok().flatten() {
            *counted.entry((key.collection.to_string(), status)).or_default() += 1;
        }
    }
    for (of_type, collection) in [("post", "posts"), ("page", "pages"), ("attachment", "media"), ("wp_block", "blocks")]
    {
        for (status, count) in seeded["posts"][of_type].as_object().unwrap() {
            if status != "auto-draft" {
                let found = counted.get(&(collection.to_owned(), status.clone())).copied().unwrap_or(0);
                assert!(found >= count.as_u64().unwrap(), "{found} {status} {collection}, {count} were seeded");
            }
        }
    }
    for (status, count) in seeded["comments"].as_object().unwrap() {
        let found = counted.get(&("comments".to_owned(), status.clone())).copied();
        assert_eq!(found, count.as_u64(), "{status} comments");
    }
    for (id, digest) in seeded["media_sha256"].as_object().unwrap() {
        let media = &live[&Key::parse("media", id).unwrap()];
        assert_eq!(media.blobs[0].digest.unwrap().to_string(), digest.as_str().unwrap());
    }
    let rich = record(store, "posts", seeded["ids"]["rich"].as_u64().unwrap()).unwrap();
    assert_eq!(rich.refs["embeds"].iter().count(), 5, "four files and a shared block");
    let protected = record(store, "posts", seeded["ids"]["protected"].as_u64().unwrap()).unwrap();
    assert_eq!(protected.data.member::<String>("password").unwrap().as_deref(), Some("sesame"));
}

#[tokio::test]
#[ignore = "needs a WordPress: ./test runs it"]
async fn a_user_with_few_rights_gets_what_they_may_see_and_is_told_so() {
    let author = Site::with_user("WORDPRESS", "WORDPRESS_AUTHOR_USER", "WORDPRESS_AUTHOR_PASSWORD");
    let store = MemoryStore::new();
    let done = back_up(&author, &store).await;
    let seen = &done.report.completeness.collections;
    let visible = |name: &str| format!("{:?}", seen[name].visible);
    assert_eq!(visible("posts"), "Partial");
    assert_eq!(visible("pages"), "Partial");
    assert_eq!(visible("settings"), "None");
    assert_eq!(visible("templates"), "None");
    assert!(done.report.gaps.is_empty(), "{:?}", done.report.gaps);
    assert!(store.live().keys().any(|key| key.collection.as_str() == "pages"), "public pages are copied");
}
