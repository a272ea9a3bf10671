//! Against a vendor that was written in another language from the specification alone, profile `minimal`:
//! `SAAS_BACKUP_TEST_VENDOR_*`. `testing/servers up vendor` starts it.

use std::collections::BTreeMap;

use axum::http::Method;
use saas_backup_connectors::http::{Addresses, Authorization, Body, Client, ClientOptions, Request};
use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{ErrorKind, Record, RunStatus, TransferOptions, testkit, transfer};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `testing/servers up vendor`"))
}

/// The service has one account: tests take turns, and begin with nothing in it.
struct Vendor {
    config: OpenExportConfig,
    own: Client,
    _turn: std::fs::File,
}

impl Vendor {
    async fn new() -> Self {
        let [url, token] = ["URL", "TOKEN"].map(|name| variable(&format!("SAAS_BACKUP_TEST_VENDOR_{name}")));
        let turn = std::fs::File::create(std::env::temp_dir().join("saas-backup-test-vendor.lock")).unwrap();
        turn.lock().unwrap();
        let options = ClientOptions::default()
            .with_requests_per_second(10_000.0)
            .with_addresses(Addresses::new().with_private(true));
        let authorization = Authorization::bearer(&token.as_str().into()).unwrap();
        let own = Client::new(url.parse().unwrap(), authorization, options).unwrap();
        let config = OpenExportConfig::new(url, token).with_private_addresses(true).with_requests_per_second(10_000.0);
        let vendor = Self { config, own, _turn: turn };
        for id in vendor.backed_up_into(&MemoryStore::new()).await.into_keys() {
            vendor.delete(&id).await;
        }
        vendor
    }

    fn connector(&self) -> OpenExportConnector {
        OpenExportConnector::new(self.config.clone()).unwrap()
    }

    async fn put(&self, id: usize, text: &str) {
        self.call(Request::new(Method::PUT, self.address(&id.to_string())).body(Body::Bytes(text.to_owned().into())))
            .await;
    }

    async fn delete(&self, id: &str) {
        self.call(Request::new(Method::DELETE, self.address(id))).await;
    }

    fn address(&self, id: &str) -> url::Url {
        self.own.address(&format!("todos/{id}")).unwrap()
    }

    async fn call(&self, request: Request) {
        self.own.send(request).await.unwrap();
    }

    /// What the copy holds after another run: texts by id.
    async fn backed_up_into(&self, store: &MemoryStore) -> BTreeMap<String, String> {
        let target = MemoryConnector::new(store.clone());
        let run = transfer(&self.connector(), &target, TransferOptions::backup()).await.unwrap();
        assert_eq!(run.report.status, RunStatus::Complete, "{:?}", run.report);
        let text = |record: Record| record.data.member::<String>("text").unwrap().unwrap();
        store.live().into_iter().map(|(key, record)| (key.id.to_string(), text(record))).collect()
    }
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor"]
async fn a_copy_follows_a_vendor_that_was_written_in_another_language() {
    let vendor = Vendor::new().await;
    for id in 0..2_100 {
        vendor.put(id, &format!("To do {id}: naïve \u{2028} \"quoted\"")).await;
    }
    let store = MemoryStore::new();
    let first = vendor.backed_up_into(&store).await;
    assert_eq!(first.len(), 2_100);
    assert_eq!(first["17"], "To do 17: naïve \u{2028} \"quoted\"");

    vendor.put(17, "another text").await;
    vendor.delete("18").await;
    vendor.put(3_000, "new").await;
    let second = vendor.backed_up_into(&store).await;
    assert_eq!((second.len(), second["17"].as_str(), second.get("18")), (2_100, "another text", None));
    assert_eq!(second["3000"], "new");
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor"]
async fn it_keeps_the_rules_for_connectors() {
    let vendor = Vendor::new().await;
    for id in 0..50 {
        vendor.put(id, "something to do").await;
    }
    testkit::connector(&vendor.connector()).await.assert_passed();
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor"]
async fn a_stranger_is_refused() {
    let vendor = Vendor::new().await;
    let mut config = vendor.config.clone();
    config.token = "tok_bob".into();
    let error = saas_backup_core::Connector::check(&OpenExportConnector::new(config).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}
