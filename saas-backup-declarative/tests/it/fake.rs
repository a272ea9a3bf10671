//! A provider on loopback whose answers a test gives.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{TransferOptions, Transferred, transfer};
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use serde_json::Value;

/// A request as tests see it.
pub(crate) struct Asked {
    /// `GET /path?query`.
    pub(crate) line: String,
    pub(crate) body: String,
    pub(crate) authorization: String,
    /// The header `x-extra`.
    pub(crate) extra: String,
    pub(crate) host: String,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            let (authorization, extra, host) = (header("authorization"), header("x-extra"), header("host"));
            let body = String::from_utf8(body.to_vec()).unwrap();
            let one = Asked { line: format!("{method} {uri}"), body, authorization, extra, host };
            seen.lock().unwrap().push(format!("{} {}", one.line, one.body).trim_end().to_owned());
            let answer = answer(&one);
            async move { answer }
        };
        let router = Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// What was asked so far, with bodies.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|one| *one == line).count()
    }

    /// A connector of a manifest and an overlay, with the settings `url` and `token` and what a test adds.
    pub(crate) fn connector(&self, folder: &Path, manifest: &str, settings: &[(&str, Value)]) -> Declarative {
        let path = folder.join("source-fake.yaml");
        std::fs::write(&path, manifest).unwrap();
        let options = Options::default().with_requests_per_second(10_000.0).with_private_addresses(true);
        let mut config = DeclarativeConfig::new(path)
            .with_setting("url", self.address.as_str())
            .with_setting("token", "canary-token")
            .with_options(options);
        for (name, value) in settings {
            config = config.with_setting(*name, value.clone());
        }
        Declarative::new(config).unwrap()
    }
}

pub(crate) fn json(value: Value) -> Response {
    axum::Json(value).into_response()
}

pub(crate) async fn back_up(account: &Declarative, store: &MemoryStore) -> Transferred {
    transfer(account, &MemoryConnector::new(store.clone()), TransferOptions::backup()).await.unwrap()
}

/// What is live in a store: `collection/id`.
pub(crate) fn keys(store: &MemoryStore) -> Vec<String> {
    store.live().keys().map(|key| format!("{}/{}", key.collection, key.id)).collect()
}
