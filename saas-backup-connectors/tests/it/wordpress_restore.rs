use saas_backup_connectors::wordpress::WordPress;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Catalog, Collection, CollectionName, ErrorKind, IdMap, Json, Key, Kind, Record, Result, TransferOptions,
    Transferred, WriteMode, transfer,
};
use serde_json::{Value, json};

use crate::fake_wordpress::FakeWordPress;

const OLD: &str = "https://old.example/blog";

fn key(id: u64) -> Key {
    Key::parse("posts", id.to_string()).unwrap()
}

fn post(id: u64, content: &str) -> Value {
    json!({
        "id": id, "slug": format!("post-{id}"), "status": "publish", "type": "post",
        "date_gmt": "2024-05-01T00:00:00", "modified_gmt": "2024-06-01T12:00:00", "link": format!("{OLD}/post-{id}/"),
        "title": {"raw": format!("Old {id}")}, "content": {"raw": content}, "author": 0,
        "_links": {"self": [{"href": format!("{OLD}/wp-json/wp/v2/posts/{id}")}]},
    })
}

/// A copy of a site with these posts.
fn copy(posts: &[Value]) -> MemoryStore {
    let store = MemoryStore::new();
    let posts_are = Collection::new(CollectionName::from_static("posts"), Kind::Document).with_restore();
    store.set_catalog(Catalog::new(vec![posts_are]));
    for post in posts {
        store.put(Record::new(key(post["id"].as_u64().unwrap()), Json::from_value(post).unwrap()));
    }
    store
}

async fn restore(store: &MemoryStore, site: &WordPress, mode: WriteMode, ids: &IdMap) -> Result<Transferred> {
    transfer(&MemoryConnector::new(store.clone()), site, TransferOptions::new(mode).with_ids(ids.clone())).await
}

fn content(fake: &FakeWordPress, ids: &IdMap, id: u64) -> String {
    let new: u64 = ids.get(&key(id)).unwrap().id.as_str().parse().unwrap();
    fake.lock().posts[&new]["content"]["raw"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn texts_point_to_the_new_records_even_to_those_that_come_later() {
    let fake = FakeWordPress::with_posts([900]);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    let store = copy(&[
        post(1, &format!("<a href=\"{OLD}/?p=2\">later</a> <a href=\"{OLD}/post-2/#part\">x</a> {OLD}/about/.")),
        post(2, &format!("<a href=\"{OLD}/?p=1\">earlier</a> <a href=\"https://old.example/shop/\">not the blog</a>")),
    ]);
    let done = restore(&store, &site, WriteMode::Create, &ids).await.unwrap();
    assert_eq!(done.report.collections["posts"].rejected, 0, "{:?}", done.report.refused);
    let home = fake.lock().home.clone();
    assert_eq!((ids.get(&key(1)), ids.get(&key(2))), (Some(key(901)), Some(key(902))));
    assert_eq!(
        content(&fake, &ids, 1),
        format!("<a href=\"{home}/?p=902\">later</a> <a href=\"{home}/post-2/#part\">x</a> {home}/about/.")
    );
    assert_eq!(
        content(&fake, &ids, 2),
        format!("<a href=\"{home}/?p=901\">earlier</a> <a href=\"https://old.example/shop/\">not the blog</a>")
    );
}

#[tokio::test]
async fn an_address_that_was_guessed_wrong_is_corrected() {
    let fake = FakeWordPress::with_posts([900]);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    // The old site put the year into its addresses; the new one does not.
    let mut dated = post(2, "");
    dated["link"] = json!(format!("{OLD}/2024/post-2/"));
    let store = copy(&[post(1, &format!("<a href=\"{OLD}/2024/post-2/\">x</a>")), dated]);
    restore(&store, &site, WriteMode::Create, &ids).await.unwrap();
    let home = fake.lock().home.clone();
    assert_eq!(content(&fake, &ids, 1), format!("<a href=\"{home}/post-2/\">x</a>"));
}

#[tokio::test]
async fn what_points_nowhere_is_a_loss_and_is_not_waited_for() {
    let fake = FakeWordPress::with_posts([900]);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    let store = copy(&[post(1, "<!-- wp:image {\"id\":77} --><img class=\"wp-image-77\"/><!-- /wp:image --> /?p=88")]);
    let done = restore(&store, &site, WriteMode::Create, &ids).await.unwrap();
    assert_eq!(done.report.collections["posts"].written, 1, "{:?}", done.report);
    let losses = &done.report.losses["posts"];
    assert!(losses.contains_key("/data/content: a reference to a record that is not in the copy"), "{losses:?}");
}

#[tokio::test]
async fn a_second_try_makes_nothing_twice_even_if_an_answer_was_lost() {
    let fake = FakeWordPress::with_posts([900]);
    fake.lock().loses_answer_to = Some(1);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    let store = copy(&[post(1, "one"), post(2, "two"), post(3, "three")]);
    let error = restore(&store, &site, WriteMode::Create, &ids).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(ids.len(), 1, "the second post is on the site, and nobody knows its id");
    for _ in 0..2 {
        restore(&store, &site, WriteMode::Create, &ids).await.unwrap();
        assert_eq!(fake.lock().posts.keys().copied().collect::<Vec<_>>(), [900, 901, 902, 903]);
        assert_eq!(ids.len(), 3);
    }
}

#[tokio::test]
async fn each_mode_does_with_what_is_there_what_it_says() {
    for (mode, posts, title) in
        [(WriteMode::Create, 2, "Post 1"), (WriteMode::Merge, 1, "Post 1"), (WriteMode::Overwrite, 1, "Old 1")]
    {
        // The same slug and date.
        let fake = FakeWordPress::with_posts([1]);
        let (site, ids) = (fake.start(100).await, IdMap::default());
        restore(&copy(&[post(1, "old text")]), &site, mode, &ids).await.unwrap();
        let there = fake.lock();
        assert_eq!((there.posts.len(), there.posts[&1]["title"]["raw"].as_str()), (posts, Some(title)), "{mode:?}");
    }
}

#[tokio::test]
async fn on_its_own_site_a_record_is_known_by_its_id() {
    let fake = FakeWordPress::with_posts([1]);
    OLD.clone_into(&mut fake.lock().home);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    fake.lock().posts.get_mut(&1).unwrap()["slug"] = json!("renamed-since");
    restore(&copy(&[post(1, "old text"), post(2, "deleted since")]), &site, WriteMode::Overwrite, &ids).await.unwrap();
    let there = fake.lock();
    assert_eq!(there.posts[&1]["slug"], "post-1");
    assert_eq!(there.posts.len(), 2);
}

#[tokio::test]
async fn the_trash_is_restored_as_trash() {
    let fake = FakeWordPress::with_posts([900]);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    let mut thrown_away = post(1, "");
    thrown_away["status"] = json!("trash");
    thrown_away["slug"] = json!("post-1__trashed");
    restore(&copy(&[thrown_away]), &site, WriteMode::Create, &ids).await.unwrap();
    let there = fake.lock();
    assert_eq!((&there.posts[&901]["status"], &there.posts[&901]["slug"]), (&json!("trash"), &json!("post-1")));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let fake = FakeWordPress::with_posts([1]);
    let (site, ids) = (fake.start(100).await, IdMap::default());
    let store = copy(&[post(1, "old text"), post(2, "?p=77")]);
    for mode in [WriteMode::Create, WriteMode::Merge, WriteMode::Overwrite] {
        let options = TransferOptions::new(mode).with_ids(ids.clone()).with_dry_run(true);
        let done = transfer(&MemoryConnector::new(store.clone()), &site, options).await.unwrap();
        assert!(!done.report.losses["posts"].is_empty(), "{mode:?}");
    }
    assert!(ids.is_empty() && fake.lock().writes.is_empty());
}

#[tokio::test]
async fn a_mirror_is_refused() {
    let fake = FakeWordPress::with_posts([1]);
    let site = fake.start(100).await;
    let error = restore(&copy(&[]), &site, WriteMode::Mirror, &IdMap::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
