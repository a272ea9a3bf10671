//! The manifest of WordPress against a real one, as an administrator sees it: `testing/servers up wordpress` starts it, with
//! content of every kind.

use std::collections::BTreeMap;

use http::Method;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{Key, Record, RecordState, RunStatus, TransferOptions, Transferred, transfer};
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use saas_backup_http::{Addresses, Authorization, Client, ClientOptions, Request};
use serde_json::{Value, json};

fn variable(name: &str) -> String {
    let name = format!("SAAS_BACKUP_TEST_WORDPRESS_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: `testing/servers up wordpress`"))
}

/// The site, and a client to change it with. All tests that use it take turns, those of other crates too.
struct Site {
    connector: Declarative,
    admin: Client,
    _turn: std::fs::File,
}

impl Site {
    fn new() -> Self {
        let [url, user, password] = ["URL", "USER", "PASSWORD"].map(variable);
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/wordpress/manifest.yaml");
        let mut config = DeclarativeConfig::new(manifest)
            .with_setting("url", url.as_str())
            .with_setting("access", "password")
            .with_setting("username", user.as_str())
            .with_setting("application_password", password.as_str())
            .with_options(Options::default().with_requests_per_second(1000.0).with_private_addresses(true));
        config.overlay = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/wordpress/overlay.yaml").into());
        let options = ClientOptions::default()
            .with_requests_per_second(1000.0)
            .with_addresses(Addresses::new().with_private(true));
        let authorization = Authorization::basic(&user, &password.into()).unwrap();
        let turn = std::fs::File::create(std::env::temp_dir().join("saas-backup-test-WORDPRESS.lock")).unwrap();
        turn.lock().unwrap();
        Self {
            connector: Declarative::new(config).unwrap(),
            admin: Client::new(url.parse().unwrap(), authorization, options).unwrap(),
            _turn: turn,
        }
    }

    async fn call(&self, method: Method, path: &str, query: &str, body: &Value) -> Value {
        let mut url = self.admin.address(&format!("wp-json/wp/v2/{path}")).unwrap();
        url.set_query(Some(query));
        self.admin.send(Request::new(method, url).json(body).unwrap()).await.unwrap().json().unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> u64 {
        self.call(Method::POST, path, "", &body).await["id"].as_u64().unwrap()
    }

    async fn back_up(&self, store: &MemoryStore) -> Transferred {
        let copy = MemoryConnector::new(store.clone());
        transfer(&self.connector, &copy, TransferOptions::backup()).await.unwrap()
    }
}

fn post(store: &MemoryStore, id: u64) -> Option<Record> {
    store.live().remove(&Key::parse("posts", id.to_string()).unwrap())
}

#[tokio::test]
#[ignore = "needs a WordPress: ./test runs it"]
async fn a_site_is_copied_whole_and_then_by_its_changes() {
    let (site, store) = (Site::new(), MemoryStore::new());
    let [edited, trashed] = [
        site.post("posts", json!({ "title": "To edit", "content": "before", "status": "publish" })).await,
        site.post("posts", json!({ "title": "To trash", "status": "draft" })).await,
    ];
    let done = site.back_up(&store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    assert_seeded_content(&store);
    let text = |store: &MemoryStore| post(store, edited).unwrap().data.member::<String>("content.raw").unwrap();
    assert_eq!(text(&store).as_deref(), Some("before"));

    site.post(&format!("posts/{edited}"), json!({ "content": "after" })).await;
    site.call(Method::DELETE, &format!("posts/{trashed}"), "", &json!({})).await;
    let added = site.post("posts", json!({ "title": "Added", "status": "publish" })).await;
    let done = site.back_up(&store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    let posts = done.report.collections.get("posts").unwrap_or_else(|| panic!("{:?}", done.report));
    assert_eq!((posts.written, posts.deleted), (3, 0), "edited, trashed, added");
    assert_eq!(text(&store).as_deref(), Some("after"));
    assert_eq!(post(&store, trashed).unwrap().state, RecordState::Trashed);
    assert!(post(&store, added).is_some());
    for id in [edited, trashed, added] {
        site.call(Method::DELETE, &format!("posts/{id}"), "force=true", &json!({})).await;
    }
}

/// What the site was seeded with is there: every state of posts, and every file.
fn assert_seeded_content(store: &MemoryStore) {
    let seeded: Value = serde_json::from_slice(&std::fs::read(variable("SEEDED")).unwrap()).unwrap();
    let live = store.live();
    let mut counted: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for (key, record) in &live {
        if let Ok(Some(status)) = record.data.member::<String>("status") {
            *counted.entry((key.collection.as_str(), status)).or_default() += 1;
        }
    }
    for (of_type, collection) in [("post", "posts"), ("page", "pages"), ("attachment", "media"), ("wp_block", "blocks")]
    {
        for (status, count) in seeded["posts"][of_type].as_object().unwrap() {
            if status != "auto-draft" {
                let found = counted.get(&(collection, status.clone())).copied().unwrap_or(0);
                assert!(found >= count.as_u64().unwrap(), "{found} {status} {collection}, {count} were seeded");
            }
        }
    }
    for (id, digest) in seeded["media_sha256"].as_object().unwrap() {
        let media = &live[&Key::parse("media", id).unwrap()];
        assert_eq!(media.blobs[0].digest.unwrap().to_string(), digest.as_str().unwrap());
    }
}
