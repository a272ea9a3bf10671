//! Vendors that were written in other languages from the specification alone. Each has one account: tests take turns, and
//! begin with nothing in it.

use std::collections::BTreeMap;

use axum::http::Method;
use saas_backup_connectors::http::{Addresses, Authorization, Body, Client, ClientOptions, Request};
use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{Key, Record, RunStatus, TransferOptions, transfer};
use url::Url;

pub(super) struct Vendor {
    pub(super) config: OpenExportConfig,
    pub(super) http: Client,
    _turn: std::fs::File,
}

impl Vendor {
    /// The one that `testing/servers up` started.
    pub(super) async fn running(server: &str) -> Self {
        let [url, token] = ["URL", "TOKEN"].map(|what| setting(server, what));
        let turn = std::fs::File::create(std::env::temp_dir().join(format!("saas-backup-test-{server}.lock"))).unwrap();
        turn.lock().unwrap();
        let options = ClientOptions::default()
            .with_requests_per_second(10_000.0)
            .with_addresses(Addresses::new().with_private(true));
        let authorization = Authorization::bearer(&token.as_str().into()).unwrap();
        let http = Client::new(url.parse().unwrap(), authorization, options).unwrap();
        let config = OpenExportConfig::new(url, token).with_private_addresses(true).with_requests_per_second(10_000.0);
        let vendor = Self { config, http, _turn: turn };
        for key in vendor.backed_up_into(&MemoryStore::new()).await.into_keys() {
            vendor.delete(&key.to_string()).await;
        }
        vendor
    }

    pub(super) fn connector(&self) -> OpenExportConnector {
        OpenExportConnector::new(self.config.clone()).unwrap()
    }

    pub(super) fn address(&self, path: &str) -> Url {
        self.http.address(path).unwrap()
    }

    /// Writes by the vendor's own interface.
    pub(super) async fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        let body = Body::Bytes(body.into().into());
        self.http.send(Request::new(Method::PUT, self.address(path)).body(body)).await.unwrap();
    }

    pub(super) async fn delete(&self, path: &str) {
        self.http.send(Request::new(Method::DELETE, self.address(path))).await.unwrap();
    }

    /// What the copy holds after another run.
    pub(super) async fn backed_up_into(&self, store: &MemoryStore) -> BTreeMap<Key, Record> {
        let target = MemoryConnector::new(store.clone());
        let run = transfer(&self.connector(), &target, TransferOptions::backup()).await.unwrap();
        assert_eq!(run.report.status, RunStatus::Complete, "{:?}", run.report);
        store.live()
    }
}

pub(super) fn setting(server: &str, what: &str) -> String {
    let name = format!("SAAS_BACKUP_TEST_{}_{what}", server.to_uppercase());
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: `testing/servers up {server}`"))
}
