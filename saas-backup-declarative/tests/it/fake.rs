//! A provider on loopback whose answers a test gives.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{TransferOptions, Transferred, transfer};
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use serde_json::Value;
use tempfile::TempDir;

/// A request as tests see it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /path?query`.
    pub(crate) line: String,
    pub(crate) body: String,
    pub(crate) authorization: String,
    /// The header `x-extra`.
    pub(crate) extra: String,
    pub(crate) host: String,
}

impl Asked {
    pub(crate) fn path(&self) -> String {
        self.address().path().to_owned()
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.address().query_pairs().find_map(|(known, value)| (known == name).then(|| value.into_owned()))
    }

    fn address(&self) -> url::Url {
        let (_, address) = self.line.split_once(' ').unwrap();
        format!("http://service{address}").parse().unwrap()
    }
}

pub(crate) struct Fake {
    pub(crate) address: String,
    /// Of the manifest.
    folder: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            let (authorization, extra, host) = (header("authorization"), header("x-extra"), header("host"));
            let body = String::from_utf8(body.to_vec()).unwrap();
            let one = Asked { line: format!("{method} {uri}"), body, authorization, extra, host };
            let answer = answer(&one);
            seen.lock().unwrap().push(one);
            async move { answer }
        };
        let router = Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, folder: tempfile::tempdir().unwrap(), asked }
    }

    /// What was asked so far, with bodies.
    pub(crate) fn asked(&self) -> Vec<String> {
        let line = |one: &Asked| format!("{} {}", one.line, one.body).trim_end().to_owned();
        self.asked.lock().unwrap().iter().map(line).collect()
    }

    /// What was asked since the last time that this was called.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|one| *one == line).count()
    }

    /// The configuration of a manifest, with the settings `url` and `token`.
    pub(crate) fn config(&self, manifest: &str) -> DeclarativeConfig {
        let path = self.folder.path().join("source-fake.yaml");
        std::fs::write(&path, manifest).unwrap();
        let options = Options::default().with_requests_per_second(10_000.0).with_private_addresses(true);
        DeclarativeConfig::new(path)
            .with_setting("url", self.address.as_str())
            .with_setting("token", "canary-token")
            .with_options(options)
    }

    /// A connector of a manifest, with what a test adds to the settings.
    pub(crate) fn connector(&self, manifest: &str, settings: &[(&str, Value)]) -> Declarative {
        let config = settings
            .iter()
            .fold(self.config(manifest), |config, (name, value)| config.with_setting(*name, value.clone()));
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
