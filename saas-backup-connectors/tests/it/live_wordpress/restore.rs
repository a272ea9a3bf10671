//! Restores a real site into an empty one, and measures what arrived.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    CollectionName, IdMap, Key, Record, RunStatus, TransferOptions, Transferred, WriteMode, transfer,
};
use serde_json::{Value, json};

use super::{Site, back_up};

const STATES: &str = "publish,future,draft,pending,private,trash";

impl Site {
    /// Deletes everything that a restore may have left behind.
    async fn empty(&self) {
        let lists = [
            ("comments", "status=any"),
            ("menu-items", &format!("status={STATES}")),
            ("posts", &format!("status={STATES}")),
            ("pages", &format!("status={STATES}")),
            ("blocks", &format!("status={STATES}")),
            ("navigation", &format!("status={STATES}")),
            ("media", "status=inherit,trash"),
            ("menus", ""),
            ("categories", "exclude=1"),
            ("tags", ""),
            ("users", "exclude=1"),
        ];
        for (path, query) in lists {
            loop {
                let list = format!("{path}?context=edit&per_page=100&_fields=id&{query}");
                let items = self.call(Method::GET, &list, json!({})).await;
                let ids: Vec<u64> = items.as_array().unwrap().iter().filter_map(|item| item["id"].as_u64()).collect();
                if ids.is_empty() {
                    break;
                }
                for id in ids {
                    self.call(Method::DELETE, &format!("{path}/{id}?force=true&reassign=1"), json!({})).await;
                }
            }
        }
        for path in ["templates", "template-parts"] {
            for template in self.call(Method::GET, &format!("{path}?context=edit"), json!({})).await.as_array().unwrap()
            {
                if template["source"] == "custom" {
                    let id = template["id"].as_str().unwrap();
                    self.call(Method::DELETE, &format!("{path}/{id}?force=true"), json!({})).await;
                }
            }
        }
    }
}

async fn restore(store: &MemoryStore, site: &Site, mode: WriteMode, ids: &IdMap) -> Transferred {
    let options = TransferOptions::new(mode).with_ids(ids.clone());
    transfer(&MemoryConnector::new(store.clone()), &site.connector, options).await.unwrap()
}

fn value(record: &Record) -> Value {
    record.data.decode().unwrap()
}

/// How a member of the old record must read on the new site.
fn translated(ids: &BTreeMap<Key, Key>, collection: &str, id: &Value) -> Value {
    match id.as_u64() {
        Some(id) if id > 0 => {
            let new = &ids[&Key::parse(collection, id.to_string()).unwrap()];
            new.id.as_str().parse::<u64>().unwrap().into()
        }
        _ => id.clone(),
    }
}

#[tokio::test]
#[ignore = "needs two WordPress sites: ./test runs it"]
async fn a_site_is_restored_into_an_empty_one() {
    let (old_site, new_site) = (Site::new("WORDPRESS"), Site::new("WORDPRESS2"));
    new_site.empty().await;
    let (store, ids) = (MemoryStore::new(), IdMap::default());
    assert_eq!(back_up(&old_site, &store).await.report.status, RunStatus::Complete);

    let done = restore(&store, &new_site, WriteMode::Create, &ids).await;
    let losses = &done.report.losses[&CollectionName::from_static("users")];
    assert!(losses.keys().any(|reason| reason.starts_with("/data/password")), "{losses:?}");
    let rejected: Vec<_> = done.report.refused.iter().filter(|refusal| refusal.rejected).collect();
    assert!(rejected.is_empty(), "{rejected:?}");

    let restored = MemoryStore::new();
    back_up(&new_site, &restored).await;
    let mut map: BTreeMap<Key, Key> = ids.pairs().into_iter().collect();
    for (old, new) in [("users/1", "users/1"), ("categories/1", "categories/1")] {
        let key = |text: &str| text.split_once('/').map(|(name, id)| Key::parse(name, id).unwrap()).unwrap();
        map.entry(key(old)).or_insert(key(new));
    }
    let (old, new) = (store.live(), restored.live());
    for collection in [
        "posts",
        "pages",
        "media",
        "comments",
        "categories",
        "tags",
        "users",
        "menus",
        "menu-items",
        "navigation",
        "blocks",
    ] {
        let mut compared = 0;
        for (key, record) in old.iter().filter(|(key, _)| key.collection.as_str() == collection) {
            let there = map.get(key).and_then(|new_key| new.get(new_key));
            let Some(there) = there else { panic!("{key} did not arrive") };
            assert_same(&map, &old_site, &new_site, record, there);
            compared += 1;
        }
        assert!(compared > 0);
    }

    let before: BTreeSet<Key> = new.keys().cloned().collect();
    let again = restore(&store, &new_site, WriteMode::Create, &ids).await;
    assert!(again.report.refused.iter().all(|refusal| !refusal.rejected), "{:?}", again.report.refused);
    back_up(&new_site, &restored).await;
    let revisions = |key: &&Key| key.collection.as_str() == "revisions";
    let after: BTreeSet<Key> = restored.live().keys().filter(|key| !revisions(key)).cloned().collect();
    assert_eq!(after, before.into_iter().filter(|key| !revisions(&key)).collect(), "a second try makes nothing twice");

    new_site.empty().await;
    let emptied = back_up(&new_site, &restored).await;
    assert_eq!(emptied.report.status, RunStatus::NeedsReview);
    assert!(restored.live().len() >= 100, "an emptied site empties no copy");
}

fn assert_same(ids: &BTreeMap<Key, Key>, old_site: &Site, new_site: &Site, old: &Record, new: &Record) {
    let key = &old.key;
    assert_eq!(old.state, new.state, "{key}");
    let (was, is) = (value(old), value(new));
    let members: &[&str] = match key.collection.as_str() {
        "comments" => &["date_gmt", "author_name", "author_email", "status"],
        "categories" | "tags" | "menus" => &["name", "slug", "description"],
        "users" if key.id.as_str() == "1" => &["username"],
        "users" => &["username", "name", "email", "roles", "description"],
        "menu-items" => &["title", "type", "object", "menu_order", "status"],
        "media" => &["slug", "date_gmt", "title", "alt_text", "mime_type"],
        _ => &[
            "slug",
            "date_gmt",
            "status",
            "comment_status",
            "ping_status",
            "password",
            "format",
            "sticky",
            "menu_order",
            "template",
        ],
    };
    for member in members {
        let raw = |value: &Value| value[member].get("raw").unwrap_or(&value[member]).clone();
        // The trash renames what it takes, and a menu counts from one.
        let is_renamed = *member == "slug" && was["status"] == "trash";
        if !(is_renamed || *member == "menu_order" && was[member] == 0) {
            assert_eq!(raw(&was), raw(&is), "{key} {member}");
        }
    }
    for (member, collection) in [("author", "users"), ("featured_media", "media"), ("menus", "menus")] {
        assert_eq!(translated(ids, collection, &was[member]), is[member], "{key} {member}");
    }
    if matches!(key.collection.as_str(), "pages" | "categories" | "comments" | "menu-items") {
        assert_eq!(translated(ids, key.collection.as_str(), &was["parent"]), is["parent"], "{key} parent");
    }
    for member in ["categories", "tags"] {
        let of: BTreeSet<String> =
            was[member].as_array().into_iter().flatten().map(|id| translated(ids, member, id).to_string()).collect();
        assert_eq!(of, is[member].as_array().into_iter().flatten().map(Value::to_string).collect(), "{key} {member}");
    }
    if key.collection.as_str() == "media" {
        assert_eq!(old.blobs[0].digest, new.blobs[0].digest, "{key}: the same bytes");
        assert_eq!(old.blobs.len(), new.blobs.len(), "{key}: the same sizes");
    }
    let (was, is) = (text(&was), text(&is));
    assert!(!is.contains(old_site.host()), "{key} still points to the old site: {is}");
    assert_eq!(skeleton(&was, old_site), skeleton(&is, new_site), "{key}");
}

/// The site marks links in comments as it stores them.
fn text(data: &Value) -> String {
    data["content"]["raw"].as_str().unwrap_or_default().replace(" rel=\"nofollow ugc\"", "")
}

/// A text without what must differ: the site, folders of uploads, and the ids.
fn skeleton(text: &str, site: &Site) -> String {
    let text = text.replace(site.host(), "SITE");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("/uploads/") {
        out.push_str(before);
        out.push_str("/uploads/");
        rest = after.get(8..).unwrap_or_default();
    }
    out.push_str(rest);
    for marker in ["\"id\":", "wp-image-", "\"ref\":", "?p=", "ids=\"", ","] {
        let parts: Vec<&str> = out.split(marker).collect();
        let trimmed = parts.iter().enumerate().map(|(number, part)| {
            if number == 0 { part } else { part.trim_start_matches(|c: char| c.is_ascii_digit()) }
        });
        out = trimmed.collect::<Vec<_>>().join(marker);
    }
    out
}
