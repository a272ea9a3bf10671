//! Formats in which a page leads to an attachment.

use std::fs::{self, File};

use saas_backup_core::Kind;
use saas_backup_formats::html::{self, HtmlConfig, HtmlConnector};
use saas_backup_formats::markdown::{self, MarkdownConfig, MarkdownConnector};
use saas_backup_formats::wxr::{self, WxrConfig, WxrConnector};
use serde_json::json;

use crate::large::{arrives, attachment, digest_of};
use crate::support::{browse, build_with_hugo, python};

#[tokio::test]
#[ignore = "needs 2 GiB of room and chromium"]
async fn a_gibibyte_is_saved_from_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site");
    let digest =
        arrives(&HtmlConnector::new(HtmlConfig::new(&path)), &path, Kind::Document, attachment(), html::check).await;
    let saved = folder.path().join("saved.bin");
    let link = "main a[href$='large.bin']";
    let told = browse(&path, &json!([["open", "things/Large.html"], ["save", link, saved.to_str().unwrap()]]));
    assert_eq!(digest_of(File::open(&saved).unwrap()), digest);
    assert_eq!((&told["requests"], &told["console"]), (&json!([]), &json!([])));
}

#[tokio::test]
#[ignore = "needs 2 GiB of room and hugo"]
async fn a_gibibyte_is_in_the_site_that_hugo_makes_of_a_vault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    let connector = MarkdownConnector::new(MarkdownConfig::new(&path));
    let digest = arrives(&connector, &path, Kind::Document, attachment(), markdown::check).await;
    let site = build_with_hugo(&path);
    let page = fs::read_to_string(site.join("things/large/index.html")).unwrap();
    assert!(page.contains("href=\"_attachments/large.bin\""), "{page}");
    assert_eq!(digest_of(File::open(site.join("things/_attachments/large.bin")).unwrap()), digest);
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_lies_where_a_feed_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blog");
    let connector = WxrConnector::new(WxrConfig::new(&path).with_media_url("https://files.example"));
    let digest = arrives(&connector, &path, Kind::Document, attachment(), wxr::check).await;
    let told: serde_json::Value = serde_json::from_str(&python("wxr.py", &path.join("wordpress-001.xml"))).unwrap();
    let items = told["items"].as_object().unwrap().values();
    let addresses: Vec<&str> = items.filter_map(|item| item["attachment"].as_str()).collect();
    let [address] = addresses[..] else { panic!("{addresses:?}") };
    let file = address.strip_prefix("https://files.example/").unwrap();
    assert_eq!(digest_of(File::open(path.join(file)).unwrap()), digest);
}
