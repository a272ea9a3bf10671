//! A service on loopback that answers what a test says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use tempfile::TempDir;

/// What was asked: a path with its parameters, and the headers.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
}

/// The service and the folder of the manifest.
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Response + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request| {
            let (answer, seen) = (answer.clone(), Arc::clone(&seen));
            async move {
                let parsed: url::Url = format!("http://x{}", request.uri()).parse().unwrap();
                let one = Asked {
                    path: parsed.path().to_owned(),
                    query: parsed.query_pairs().into_owned().collect(),
                    headers: request.headers().clone(),
                };
                let answered = answer(&one);
                seen.lock().unwrap().push(one);
                answered
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, folder: tempfile::tempdir().unwrap(), asked }
    }

    /// A connector with a manifest; the setting `url` is the service's address.
    pub(crate) fn connector(&self, manifest: &str) -> saas_backup_core::Result<Declarative> {
        Declarative::new(self.config(manifest))
    }

    pub(crate) fn config(&self, manifest: &str) -> DeclarativeConfig {
        let file = self.folder.path().join("source-service.yaml");
        std::fs::write(&file, manifest).unwrap();
        let options = Options::default().with_requests_per_second(10_000.0).with_private_addresses(true);
        DeclarativeConfig::new(file).with_setting("url", self.url.clone()).with_options(options)
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}
