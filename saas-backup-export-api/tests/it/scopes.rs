//! Tokens that read some collections: what they do not see is said, and what they see later arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use saas_backup_core::{Clock as _, Error, ErrorKind, ManualClock, Result, async_trait};
use saas_backup_export_api::{
    AccountId, Authenticator, CursorKey, ExportConfig, MemoryAccount, MemorySource, Principal, Scope, ServiceInfo,
    router,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::support::{Page, Server, USERS_TOKEN, key, name, note, schema, seed};

#[tokio::test]
async fn v03_a_collection_without_its_scope_is_named_with_the_scope_that_shows_it() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let coverage = server.get_as(Some(USERS_TOKEN), "/accounts/ws_1/coverage", &[]).await.json();
    let notes = json!({ "name": "notes", "visible": "none", "reason": "scope", "grant": "export.read:notes" });
    assert_eq!(coverage["collections"][0], json!({ "name": "users", "visible": "all", "count": 1 }));
    assert_eq!(coverage["collections"][1], notes);
    let page = server.get_as(Some(USERS_TOKEN), "/accounts/ws_1/snapshot", &[]).await.page();
    assert_eq!(page.data_lines(), ["put users/u_1"]);
    let refused = server.get_as(Some(USERS_TOKEN), "/accounts/ws_1/snapshot?collections=users,notes", &[]).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "insufficient-scope"));
    assert_eq!(refused.json()["scope"], "export.read:notes");
}

#[tokio::test]
async fn records_and_changes_of_other_collections_do_not_show() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let record = server.get_as(Some(USERS_TOKEN), "/accounts/ws_1/records/notes/n_0001", &[]).await;
    let unknown = server.get_as(Some(USERS_TOKEN), "/accounts/ws_1/records/notes/n_9999", &[]).await;
    assert_eq!((record.status, &record.body), (404, &unknown.body));
    let status = server.get_as(Some(USERS_TOKEN), "/accounts/ws_1/status", &[]).await.json();
    server.account.put(note("n_0001", "changed"));
    server.account.reset(vec![name("notes")]);
    server.account.delete(&key("users/u_1"));
    let since = status["cursor"].as_str().unwrap();
    let changes = server.get_as(Some(USERS_TOKEN), &format!("/accounts/ws_1/changes?since={since}"), &[]).await.page();
    assert_eq!(changes.data_lines(), ["del users/u_1"]);
    assert_eq!(changes.of_type("reset").count(), 0);
}

/// A token whose scopes change while its cursors live.
#[derive(Clone, Debug)]
struct Regranted(Arc<Mutex<BTreeMap<&'static str, Principal>>>);

#[async_trait]
impl Authenticator for Regranted {
    async fn authenticate(&self, token: &SecretString) -> Result<Principal> {
        let known = self.0.lock().unwrap().get(token.expose_secret()).cloned();
        known.ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "not known"))
    }
}

struct Service {
    account: MemoryAccount,
    tokens: Regranted,
    base: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Service {
    async fn start() -> Self {
        let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
        assert!(clock.now().timestamp() > 0);
        let source = MemorySource::new(ServiceInfo::new("notes", "Notes", "Example Ltd"), schema()).with_clock(clock);
        let account = source.account(&AccountId::parse("ws_1").unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let tokens = Regranted(Arc::default());
        let config = ExportConfig::new(base.parse().unwrap(), tokens.clone(), CursorKey::from_bytes([1; 32])).unwrap();
        let app = router(source, config);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let service = Self { account, tokens, base, serving };
        service.grant(&[Scope::Read]);
        service
    }

    fn grant(&self, scopes: &[Scope]) {
        let principal = Principal::new("backup").with_account(self.account.id().clone());
        let principal = principal.with_scopes(scopes.iter().cloned());
        self.tokens.0.lock().unwrap().insert("t", principal);
    }

    async fn page(&self, path: &str) -> Page {
        let request = reqwest::Client::new().get(format!("{}/accounts/ws_1/{path}", self.base)).bearer_auth("t");
        crate::support::Answer::of(request).await.page()
    }

    async fn resets(&self, since: &str) -> (Vec<serde_json::Value>, String) {
        let page = self.page(&format!("changes?since={since}")).await;
        let resets = page.of_type("reset").map(|line| line["collections"].clone()).collect();
        (resets, page.cursor().to_owned())
    }
}

#[tokio::test]
async fn what_a_token_reads_anew_or_no_longer_is_told_once_by_the_feed() {
    let service = Service::start().await;
    seed(&service.account, 2);
    let users = Scope::ReadCollection(name("users"));
    service.grant(std::slice::from_ref(&users));
    let page = service.page("snapshot").await;
    assert_eq!(page.data_lines(), ["put users/u_1"]);
    let start = page.start["changes_cursor"].as_str().unwrap();

    service.grant(&[users.clone(), Scope::ReadCollection(name("notes"))]);
    let (resets, cursor) = service.resets(start).await;
    assert_eq!(resets, [json!(["notes"])]);
    assert_eq!(service.resets(&cursor).await.0, [] as [serde_json::Value; 0]);

    service.grant(&[Scope::ReadCollection(name("notes"))]);
    let (resets, cursor) = service.resets(&cursor).await;
    assert_eq!(resets, [json!(["users"])]);
    assert_eq!(service.resets(&cursor).await.0, [] as [serde_json::Value; 0]);
}
