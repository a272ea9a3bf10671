//! The client of the Open Export Protocol against the server kit, and against services that misbehave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures::TryStreamExt as _;
use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::{self, Random};
use saas_backup_core::{
    BlobRef, Catalog, Collection, CollectionName, Connector, Cursor, DeletionGuard, ErasureEvent, ErasureReceipt,
    ErasureRequest, ErasureState, ErasureTarget, Erasures, Error, ErrorKind, Event, Json, Key, Kind, Line, LineCodec,
    Record, RecordState, RefRule, Reference, Result, RunStatus, SnapshotOptions, Start, StreamKind, StreamWriter,
    TransferOptions, Transferred, Visibility, async_trait, transfer,
};
use saas_backup_export_api::{
    AccountId, Authenticator, CursorKey, ExportConfig, MemoryAccount, MemorySource, Principal, Schema, Scope,
    ServiceInfo, StaticTokens, router,
};
use secrecy::SecretString;
use tower_http::compression::CompressionLayer;
use url::Url;

use super::server::serve;

mod restore;

const TOKEN: &str = "tok_very_secret";

/// What stands between the service and its reader, if anything does.
type Tamper = Arc<Mutex<Option<Box<dyn FnMut(&str, Vec<u8>) -> Vec<u8> + Send>>>>;

/// A path that was asked for, and the coding of the answer.
type Asked = (String, Option<String>);

struct Service {
    account: MemoryAccount,
    other: MemoryAccount,
    url: String,
    requests: Arc<Mutex<Vec<Asked>>>,
    tamper: Tamper,
    tokens: Regranted,
}

/// Tokens whose scopes can be changed.
#[derive(Clone, Debug)]
struct Regranted {
    tokens: StaticTokens,
    scopes: Arc<Mutex<Option<Vec<Scope>>>>,
}

#[async_trait]
impl Authenticator for Regranted {
    async fn authenticate(&self, token: &SecretString) -> Result<Principal> {
        let principal = self.tokens.authenticate(token).await?;
        Ok(match &*self.scopes.lock().unwrap() {
            Some(scopes) => principal.with_scopes(scopes.iter().cloned()),
            None => principal,
        })
    }
}

fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).unwrap()
}

fn key(text: &str) -> Key {
    let (collection, id) = text.split_once('/').unwrap();
    Key::parse(collection, id).unwrap()
}

fn note(id: &str, title: &str) -> Record {
    let data = Json::from_value(&serde_json::json!({ "title": title })).unwrap();
    Record::new(Key::parse("notes", id).unwrap(), data).with_ref("author", Reference::from(&key("users/u_1")))
}

impl Service {
    async fn start() -> Self {
        let notes = Collection::new(name("notes"), Kind::Document).with_ref(RefRule::one("author", name("users")));
        let comments = Collection::new(name("comments"), Kind::Comment).with_restore();
        let users = Collection::new(name("users"), Kind::User);
        let schema = Schema::new(Catalog::new(vec![users, notes.with_blobs(), comments]));
        let source = MemorySource::new(ServiceInfo::new("notes", "Notes", "Example"), schema);
        let (one, two) = (AccountId::parse("ws 1/a").unwrap(), AccountId::parse("ws_2").unwrap());
        let every = [Scope::Read, Scope::Blobs, Scope::Erasures];
        let tokens = StaticTokens::default()
            .with(&TOKEN.into(), Principal::new("one").with_account(one.clone()).with_scopes(every))
            .with(&"both".into(), Principal::new("both").with_account(one.clone()).with_account(two.clone()))
            .with(&"none".into(), Principal::new("none"));
        let tokens = Regranted { tokens, scopes: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let base = format!("{url}/export/v1").parse().unwrap();
        let config = ExportConfig::new(base, tokens.clone(), CursorKey::from_bytes([5; 32])).unwrap();
        let config = config.with_authorization_server(Url::parse("https://login.example.com").unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let tamper = Tamper::default();
        let state = (Arc::clone(&requests), Arc::clone(&tamper));
        let app = router(source.clone(), config).layer(middleware::from_fn_with_state(state, between));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { account: source.account(&one), other: source.account(&two), url, requests, tamper, tokens }
    }

    /// A service with a user, `count` notes and a comment on each.
    async fn seeded(count: usize) -> Self {
        let service = Self::start().await;
        service.account.put(Record::new(key("users/u_1"), Json::parse(r#"{"name":"Zoë"}"#).unwrap()));
        for number in 0..count {
            service.account.put(note(&format!("n_{number:03}"), &format!("Note {number}")));
            let comment =
                Record::new(key(&format!("comments/c_{number:03}")), Json::parse(r#"{"text":"+1"}"#).unwrap());
            service.account.put(comment);
        }
        service
    }

    fn config(&self) -> OpenExportConfig {
        let config = OpenExportConfig::new(&self.url, TOKEN).with_private_addresses(true);
        config.with_requests_per_second(10_000.0).with_page_lines(10)
    }

    fn connector(&self) -> OpenExportConnector {
        OpenExportConnector::new(self.config()).unwrap()
    }

    fn tamper(&self, with: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static) {
        *self.tamper.lock().unwrap() = Some(Box::new(with));
    }

    /// The paths that were asked for since the last call.
    fn take_requests(&self) -> Vec<String> {
        self.take_asked().into_iter().map(|(path, _)| path).collect()
    }

    fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn grant(&self, scopes: &[Scope]) {
        *self.tokens.scopes.lock().unwrap() = Some(scopes.to_vec());
    }

    fn oracle(&self) -> BTreeMap<Key, String> {
        self.account.visible()
    }
}

async fn between(
    State((requests, tamper)): State<(Arc<Mutex<Vec<Asked>>>, Tamper)>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().to_string();
    if tamper.lock().unwrap().is_some() {
        // What tampers looks for lines.
        request.headers_mut().remove("accept-encoding");
    }
    let (mut parts, body) = next.run(request).await.into_parts();
    let coding = parts.headers.get("content-encoding").map(|coding| coding.to_str().unwrap().to_owned());
    requests.lock().unwrap().push((path.clone(), coding));
    let mut body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    if let Some(tamper) = &mut *tamper.lock().unwrap() {
        body = tamper(&path, body);
    }
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(body))
}

/// A copy that is kept in memory.
struct Copy(MemoryStore);

impl Copy {
    fn new() -> Self {
        Self(MemoryStore::new())
    }

    async fn run(&self, source: &dyn Connector) -> Result<Transferred> {
        let options = TransferOptions::backup().with_guard(DeletionGuard::new(1_000, 1.0));
        transfer(source, &MemoryConnector::new(self.0.clone()), options).await
    }

    fn versions(&self) -> BTreeMap<Key, String> {
        self.0.live().into_iter().map(|(key, record)| (key, record.version.unwrap_or_default())).collect()
    }
}

#[tokio::test]
async fn the_client_passes_the_conformance_checks() {
    let service = Service::seeded(35).await;
    let bytes: Vec<u8> = (0..50_000_u32).map(|number| (number % 251) as u8).collect();
    let blob = service.account.add_blob(bytes, "data.bin", "application/octet-stream");
    service.account.put(note("n_blob", "with a blob").with_blob(blob));
    service.account.put(note("n_empty", "with nothing").with_blob(service.account.add_blob("", "empty", "text/plain")));
    testkit::connector(&service.connector()).await.assert_passed();
}

#[tokio::test]
async fn answers_travel_packed_and_attachments_as_they_are() {
    let service = Service::seeded(30).await;
    let blob = service.account.add_blob("the same words ".repeat(1_000), "words.txt", "text/plain");
    service.account.put(note("n_a", "with words").with_blob(blob));
    let copy = Copy::new();
    assert_eq!(copy.run(&service.connector()).await.unwrap().report.status, RunStatus::Complete);
    assert_eq!(copy.versions(), service.oracle());
    let asked = service.take_asked();
    assert!(asked.iter().any(|(path, _)| path.contains("/blobs/")));
    for (path, coding) in asked {
        assert_eq!(coding.is_none(), path.contains("/blobs/"), "{path}");
    }
}

#[tokio::test]
async fn an_increment_reads_only_what_changed() {
    let service = Service::seeded(35).await;
    let (connector, copy) = (service.connector(), Copy::new());
    let first = copy.run(&connector).await.unwrap();
    assert_eq!((first.report.status, first.report.totals().written), (RunStatus::Complete, 71));
    assert_eq!(copy.versions(), service.oracle());

    service.account.put(note("n_003", "edited"));
    service.account.delete(&key("notes/n_004"));
    service.account.trash(&key("notes/n_005"));
    service.account.merge(&key("notes/n_006"), &key("notes/n_007"));
    service.take_requests();
    let second = copy.run(&connector).await.unwrap();
    assert_eq!((second.report.totals().read, second.report.totals().deleted), (2, 2));
    assert_eq!(copy.versions(), service.oracle());
    assert_eq!(copy.0.live()[&key("notes/n_005")].state, RecordState::Trashed);
    let asked = service.take_requests();
    assert_eq!(asked.iter().filter(|path| path.contains("/changes")).count(), 1, "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("/snapshot")), "{asked:?}");

    let third = copy.run(&connector).await.unwrap();
    assert_eq!((third.report.totals().read, third.receipt.unwrap().written), (0, false));
}

#[tokio::test]
async fn what_changes_during_the_first_read_is_not_lost() {
    let service = Service::seeded(30).await;
    let account = service.account.clone();
    let mut page = 0;
    service.tamper(move |path, body| {
        if path.contains("/snapshot?limit=10") {
            page += 1;
            account.put(note(&format!("n_{page:03}"), "edited behind the reader"));
            account.delete(&key(&format!("notes/n_{:03}", 29 - page)));
            account.put(note(&format!("n_{page:03}_new"), "created behind the reader"));
        }
        body
    });
    let copy = Copy::new();
    copy.run(&service.connector()).await.unwrap();
    assert_eq!(copy.versions(), service.oracle());
}

#[tokio::test]
async fn an_expired_cursor_rereads_the_account_and_finds_what_is_gone() {
    let service = Service::seeded(30).await;
    let (connector, copy) = (service.connector(), Copy::new());
    copy.run(&connector).await.unwrap();
    service.account.delete(&key("notes/n_001"));
    service.account.delete(&key("comments/c_002"));
    service.account.expire_cursors();
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.totals().deleted), (RunStatus::Complete, 2));
    assert_eq!(copy.versions(), service.oracle());
    assert_eq!(copy.run(&connector).await.unwrap().report.totals().read, 0);
}

#[tokio::test]
async fn a_new_generation_rereads_the_account() {
    let service = Service::seeded(30).await;
    let (connector, copy) = (service.connector(), Copy::new());
    copy.run(&connector).await.unwrap();
    service.account.bump_generation();
    service.account.delete(&key("notes/n_001"));
    copy.run(&connector).await.unwrap();
    assert_eq!(copy.versions(), service.oracle());
}

#[tokio::test]
async fn a_generation_that_changes_in_the_middle_of_a_walk_starts_it_again() {
    let service = Service::seeded(30).await;
    let account = service.account.clone();
    let mut pages = 0;
    service.tamper(move |path, body| {
        if path.contains("cursor=") {
            pages += 1;
            if pages == 2 {
                account.bump_generation();
                account.delete(&key("notes/n_000"));
            }
        }
        body
    });
    let (connector, copy) = (service.connector(), Copy::new());
    copy.run(&connector).await.unwrap();
    assert_eq!(copy.versions(), service.oracle());
}

#[tokio::test]
async fn a_reset_rereads_its_collection_and_no_other() {
    let service = Service::seeded(30).await;
    let (connector, copy) = (service.connector(), Copy::new());
    copy.run(&connector).await.unwrap();
    service.account.reset(vec![name("comments")]);
    service.account.put(note("n_001", "edited"));
    service.take_requests();
    copy.run(&connector).await.unwrap();
    assert_eq!(copy.versions(), service.oracle());
    let asked = service.take_requests();
    assert!(asked.iter().any(|path| path.contains("collections=comments")), "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("collections=notes")), "{asked:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_exported_is_a_gap_until_it_can() {
    let service = Service::seeded(12).await;
    service.account.fail_record(&key("notes/n_004"), true);
    let (connector, copy) = (service.connector(), Copy::new());
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.gaps.len()), (RunStatus::Incomplete, 1));
    assert_eq!(run.report.gaps[0].gap.problem.kind, "urn:open-export:problem:record-unavailable");
    service.account.fail_record(&key("notes/n_004"), false);
    service.take_requests();
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.gaps.len()), (RunStatus::Complete, 0));
    assert!(service.take_requests().iter().any(|path| path.ends_with("/records")));
    assert_eq!(copy.versions(), service.oracle());
}

/// Cuts the lines of an answer after the first checkpoint that follows some records, and loses a part of what comes then.
fn cut_in_the_middle(body: &[u8]) -> Vec<u8> {
    let at = body.windows(15).position(|text| text == br#"{"type":"ckpt","#);
    let Some(at) = at else { return body.to_vec() };
    body[..body.len().min(at + 600)].to_vec()
}

#[tokio::test]
async fn cut_answers_are_gone_on_with_at_their_last_checkpoint() {
    let service = Service::seeded(700).await;
    let cuts = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&cuts);
    service.tamper(move |path, body| {
        let cut = cut_in_the_middle(&body);
        let shortened = path.contains("limit=1000") && cut.len() < body.len();
        *counted.lock().unwrap() += usize::from(shortened);
        if shortened { cut } else { body }
    });
    let connector = OpenExportConnector::new(service.config().with_page_lines(1_000)).unwrap();
    let copy = Copy::new();
    let run = copy.run(&connector).await.unwrap();
    assert_eq!(run.report.status, RunStatus::Complete);
    assert_eq!(copy.versions(), service.oracle());
    for number in 0..600 {
        service.account.put(note(&format!("n_{number:03}"), "edited"));
    }
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.totals().written), (RunStatus::Complete, 600));
    assert_eq!(copy.versions(), service.oracle());
    assert!(*cuts.lock().unwrap() >= 6, "{cuts:?}");
}

#[tokio::test]
async fn a_damaged_answer_is_read_again() {
    let service = Service::seeded(30).await;
    let mut damaged = false;
    service.tamper(move |path, mut body| {
        if !damaged && path.contains("cursor=") {
            damaged = true;
            let title = body.windows(5).position(|text| text == b"Note ").unwrap();
            body[title] = b'X';
        }
        body
    });
    let (connector, copy) = (service.connector(), Copy::new());
    let run = copy.run(&connector).await.unwrap();
    assert_eq!(run.report.status, RunStatus::Complete);
    assert!(copy.0.live().values().all(|record| !record.data.as_str().contains("Xote")));
    assert_eq!(copy.versions(), service.oracle());
}

#[tokio::test]
async fn attachments_are_fetched_once_and_whole() {
    let service = Service::seeded(3).await;
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = service.account.add_blob(bytes.clone(), "../../plan.pdf", "application/pdf");
    service.account.put(note("n_a", "one").with_blob(blob.clone()));
    service.account.put(note("n_b", "two").with_blob(blob.clone()));
    let (connector, copy) = (service.connector(), Copy::new());
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.totals().blobs), (RunStatus::Complete, 1));
    assert_eq!(copy.0.blob(blob.id.as_ref().unwrap()).unwrap(), bytes);

    let broken = service.account.add_blob("gone", "gone.txt", "text/plain");
    service.account.put(note("n_c", "three").with_blob(broken.clone()));
    service.tamper(|path, body| if path.contains("/blobs/") { b"other bytes".to_vec() } else { body });
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.gaps.len()), (RunStatus::Incomplete, 1));
    service.tamper(|_, body| body);
    assert_eq!(copy.run(&connector).await.unwrap().report.status, RunStatus::Complete);
    assert_eq!(copy.0.blob(broken.id.as_ref().unwrap()).unwrap(), "gone");
}

#[tokio::test]
async fn a_part_of_an_attachment_is_asked_for_as_a_part() {
    let service = Service::seeded(1).await;
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = service.account.add_blob(bytes.clone(), "numbers.bin", "application/octet-stream");
    service.account.put(note("n_a", "one").with_blob(blob.clone()));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let lengths = Arc::clone(&sent);
    service.tamper(move |path, body| {
        if path.contains("/blobs/") {
            lengths.lock().unwrap().push(body.len());
        }
        body
    });
    let snapshot = service.connector().snapshot(SnapshotOptions::default()).await.unwrap();
    let part = snapshot.open(&key("notes/n_a"), &blob, Some(100_000..100_100)).await.unwrap();
    let part: Vec<Bytes> = part.try_collect().await.unwrap();
    assert_eq!(part.concat(), bytes[100_000..100_100]);
    assert_eq!(*sent.lock().unwrap(), [100]);
}

#[tokio::test]
async fn a_token_that_reads_more_or_less_than_before_loses_nothing_from_the_copy() {
    let service = Service::seeded(30).await;
    service.grant(&[Scope::ReadCollection(name("users")), Scope::Blobs]);
    let (connector, copy) = (service.connector(), Copy::new());
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, run.report.totals().written), (RunStatus::Complete, 1));
    assert_eq!(run.report.completeness.collections[&name("notes")].visible, Visibility::None);

    service.grant(&[Scope::Read, Scope::Blobs]);
    let run = copy.run(&connector).await.unwrap();
    assert_eq!(run.report.status, RunStatus::Complete);
    assert_eq!(copy.versions(), service.oracle());

    service.grant(&[Scope::ReadCollection(name("users")), Scope::Blobs]);
    service.account.put(note("n_000", "unseen"));
    let run = copy.run(&connector).await.unwrap();
    assert_eq!((run.report.status, copy.versions().len()), (RunStatus::NeedsReview, 61));

    service.grant(&[Scope::Read, Scope::Blobs]);
    let run = copy.run(&connector).await.unwrap();
    assert_eq!(run.report.status, RunStatus::Complete, "{:?}", run.report);
    assert_eq!(copy.versions(), service.oracle());
}

async fn requests(feed: &Arc<dyn Erasures>, from: Option<Cursor>) -> (Vec<ErasureEvent>, Option<Cursor>) {
    let events: Vec<ErasureEvent> = feed.requests(from).try_collect().await.unwrap();
    let (cursors, events): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| matches!(event, ErasureEvent::Checkpoint(_)));
    let last = cursors.into_iter().next_back();
    let cursor = last.map(|event| if let ErasureEvent::Checkpoint(cursor) = event { cursor } else { unreachable!() });
    (events, cursor)
}

fn erasure(id: &str, record: &str) -> ErasureRequest {
    let time = |text: &str| text.parse().unwrap();
    let targets = vec![ErasureTarget::record(key(record))];
    ErasureRequest::new(id, time("2026-03-01T09:00:00Z"), "data-subject-request", time("2026-03-31T09:00:00Z"), targets)
}

#[tokio::test]
async fn what_copies_must_erase_is_read_once_and_answered() {
    let service = Service::seeded(3).await;
    let feed = service.connector().erasures().unwrap();
    let (none, start) = requests(&feed, None).await;
    assert_eq!(none, []);
    let asked: Vec<ErasureRequest> = (0..25).map(|number| erasure(&format!("er {number}/x"), "notes/n_001")).collect();
    for request in &asked {
        service.account.erase(request.clone());
    }
    service.account.cancel_erasure("er 0/x");
    for from in [None, start] {
        let (events, end) = requests(&feed, from).await;
        assert_eq!(events.len(), 26);
        assert_eq!(events[24], ErasureEvent::Erase(asked[24].clone()));
        assert!(matches!(&events[25], ErasureEvent::Cancel(end) if end.id == "er 0/x"));
        assert_eq!(requests(&feed, end).await.0, []);
    }
    let receipt = ErasureReceipt::new("er 3/x", ErasureState::Applied, "2026-03-02T00:00:00Z".parse().unwrap());
    feed.receipt(&receipt).await.unwrap();
    feed.receipt(&receipt).await.unwrap();
    assert_eq!(service.account.receipts("er 3/x").iter().map(|filed| &filed.receipt).collect::<Vec<_>>(), [&receipt]);
    let unknown = ErasureReceipt::new("er_99", ErasureState::Applied, receipt.at);
    assert_eq!(feed.receipt(&unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_service_that_asks_for_no_erasures_gives_none() {
    let service = Service::seeded(1).await;
    service.tamper(|path, body| {
        if !path.contains("well-known") {
            return body;
        }
        String::from_utf8(body).unwrap().replace(r#","erasure""#, "").into_bytes()
    });
    let feed = service.connector().erasures().unwrap();
    assert_eq!(requests(&feed, None).await, (vec![], None));
    let receipt = ErasureReceipt::new("er_1", ErasureState::Applied, "2026-03-02T00:00:00Z".parse().unwrap());
    assert_eq!(feed.receipt(&receipt).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(!service.take_requests().iter().any(|path| path.contains("erasures")));
}

#[tokio::test]
async fn a_wrong_setting_is_explained_and_the_token_never_shown() {
    let service = Service::seeded(1).await;
    let check = async |config: OpenExportConfig| {
        let error = OpenExportConnector::new(config).unwrap().check().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(TOKEN));
        error.kind()
    };
    let with_token = |token: &str| OpenExportConfig::new(&service.url, token).with_private_addresses(true);
    assert_eq!(check(with_token("wrong")).await, ErrorKind::Unauthenticated);
    assert_eq!(check(with_token("both")).await, ErrorKind::Configuration);
    assert_eq!(check(with_token("none")).await, ErrorKind::PermissionDenied);
    assert_eq!(check(service.config().with_account("ws_2")).await, ErrorKind::NotFound);
    assert_eq!(check(service.config().with_private_addresses(false)).await, ErrorKind::Configuration);
    let elsewhere = serve(Router::new()).await;
    assert_eq!(
        check(OpenExportConfig::new(elsewhere, TOKEN).with_private_addresses(true)).await,
        ErrorKind::Configuration
    );
    let account = OpenExportConnector::new(with_token("both").with_account("ws_2")).unwrap().check().await.unwrap();
    assert_eq!(account.id, "ws_2");
    assert!(!format!("{:?}", service.connector()).contains(TOKEN));
}

/// A service of one collection whose streams are made up by hand.
fn hostile(stream: impl Fn(&str) -> Vec<u8> + Clone + Send + Sync + 'static) -> Router {
    let answer = move |request: Request| {
        let stream = stream.clone();
        async move {
            let path = request.uri().to_string();
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let body: Vec<u8> = if path.contains("well-known") {
                let limits = serde_json::json!({ "max_concurrent_requests": 1_000_000, "max_page_bytes": u64::MAX });
                serde_json::json!({ "open_export_versions": ["1.0"], "service": { "id": "evil", "name": "Evil" },
                    "api_base": format!("http://{host}/v1"), "limits": limits })
                .to_string()
                .into()
            } else if path.ends_with("/schema") {
                br#"{"collections":[{"name":"notes","kind":"document"}]}"#.to_vec()
            } else if path.ends_with("/coverage") {
                return axum::http::StatusCode::NOT_FOUND.into_response();
            } else {
                stream(&path)
            };
            Bytes::from(body).into_response()
        }
    };
    Router::new().fallback(answer)
}

async fn connector_of(app: Router) -> OpenExportConnector {
    let config = OpenExportConfig::new(serve(app).await, TOKEN).with_account("a").with_private_addresses(true);
    OpenExportConnector::new(config.with_requests_per_second(10_000.0)).unwrap()
}

fn wire(kind: StreamKind, account: &str, records: &[&str], more: Option<&str>) -> Vec<u8> {
    wire_of("g0", kind, account, records, more)
}

fn wire_of(generation: &str, kind: StreamKind, account: &str, records: &[&str], more: Option<&str>) -> Vec<u8> {
    let cursor = |text: &str| saas_backup_core::Cursor::from_json(Json::from_value(&text).unwrap()).unwrap();
    let (digest, at) = (saas_backup_core::Digest::of(b"schema"), chrono::DateTime::UNIX_EPOCH);
    let mut start = Start::new(kind, account, generation, digest, at).with_changes_cursor(cursor("c0"));
    if kind == StreamKind::Snapshot {
        let header = saas_backup_core::SnapshotHeader::new("sn", saas_backup_core::Consistency::Fuzzy, at);
        start = start.with_snapshot(header);
    }
    let mut out = Vec::new();
    let mut writer = StreamWriter::start(LineCodec::wire(), start, &mut out).unwrap();
    for record in records {
        let record = Record::new(key(record), Json::parse("{}").unwrap()).with_version("1");
        writer.write(&Line::Put(Box::new(record)), &mut out).unwrap();
    }
    writer.end(more.map(cursor), more.is_some(), None, &mut out).unwrap();
    out
}

async fn read_notes(connector: &OpenExportConnector) -> Result<Vec<Event>> {
    let snapshot = connector.snapshot(SnapshotOptions::default()).await?;
    let feeds: Vec<_> = snapshot.feeds().try_collect().await?;
    snapshot.read(saas_backup_core::ReadRequest::new(feeds[1].clone())).try_collect().await
}

#[tokio::test]
async fn a_service_that_misbehaves_gets_a_clear_error() {
    let kind = async |stream: fn(&str) -> Vec<u8>| {
        let error: Error = read_notes(&connector_of(hostile(stream)).await).await.unwrap_err();
        assert!(!format!("{error:?}").contains(TOKEN));
        error.kind()
    };
    let in_circles = kind(|_| wire(StreamKind::Snapshot, "a", &["notes/1"], Some("again"))).await;
    assert_eq!(in_circles, ErrorKind::InvalidData);
    let another_generation = kind(|path| {
        let (generation, more) = if path.contains("cursor=") { ("g1", None) } else { ("g0", Some("next")) };
        wire_of(generation, StreamKind::Snapshot, "a", &["notes/1"], more)
    });
    assert_eq!(another_generation.await, ErrorKind::CursorExpired);
    let other_account = kind(|_| wire(StreamKind::Snapshot, "b", &["notes/1"], None)).await;
    assert_eq!(other_account, ErrorKind::InvalidData);
    let other_collection = kind(|_| wire(StreamKind::Snapshot, "a", &["users/1"], None)).await;
    assert_eq!(other_collection, ErrorKind::InvalidData);
    let other_stream = kind(|_| wire(StreamKind::Changes, "a", &["notes/1"], None)).await;
    assert_eq!(other_stream, ErrorKind::InvalidData);
    assert_eq!(kind(|_| Vec::new()).await, ErrorKind::Unavailable);
    assert_eq!(kind(|_| b"<html>".to_vec()).await, ErrorKind::Unavailable);
    assert_eq!(kind(|_| b"<html>\n".to_vec()).await, ErrorKind::InvalidData);
    assert_eq!(kind(|_| vec![b' '; 5 * 1024 * 1024]).await, ErrorKind::LimitExceeded);
    assert_eq!(kind(|_| vec![b'\n'; 80 * 1024 * 1024]).await, ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn a_page_that_grows_beyond_its_limit_when_it_is_unpacked_is_refused() {
    let app = hostile(|_| vec![b'\n'; 80 * 1024 * 1024]).layer(CompressionLayer::new());
    let error = read_notes(&connector_of(app).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn a_service_without_coverage_shows_everything() {
    let connector = connector_of(hostile(|_| wire(StreamKind::Snapshot, "a", &["notes/1"], None))).await;
    assert_eq!(read_notes(&connector).await.unwrap().len(), 3);
    let snapshot = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    let coverage = snapshot.coverage().await.unwrap();
    assert_eq!(coverage.collections[&name("notes")].visible, saas_backup_core::Visibility::All);
}

#[tokio::test]
async fn hidden_records_are_in_the_coverage() {
    let service = Service::seeded(3).await;
    service.account.hide(&key("notes/n_001"));
    let connector = service.connector();
    let snapshot = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    let coverage = snapshot.coverage().await.unwrap();
    let notes = &coverage.collections[&name("notes")];
    assert_eq!((notes.visible, notes.hidden, notes.count), (saas_backup_core::Visibility::Partial, Some(1), Some(2)));
}

#[tokio::test]
async fn blobs_without_an_address_are_refused() {
    let service = Service::seeded(1).await;
    let connector = service.connector();
    let snapshot = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    for id in ["..", ".", "nope", "../../accounts"] {
        let blob = BlobRef::new(saas_backup_core::BlobId::parse(id).unwrap(), "attachment");
        let opened = snapshot.open(&key("notes/n_000"), &blob, None).await;
        assert_eq!(opened.err().unwrap().kind(), ErrorKind::NotFound, "{id}");
    }
    assert!(service.other.visible().is_empty());
}

#[tokio::test]
async fn a_copy_follows_a_world_that_never_stands_still() {
    for seed in 0..8 {
        let service = Service::start().await;
        let account = service.account.clone();
        let world = Arc::new(Mutex::new(World { random: Random::new(seed), account, open: Vec::new(), quiet: false }));
        let moving = Arc::clone(&world);
        service.tamper(move |_, body| {
            moving.lock().unwrap().steps(4);
            body
        });
        let connector = OpenExportConnector::new(service.config().with_page_lines(3)).unwrap();
        let copy = Copy::new();
        // What is hidden while the account is read in full waits for somebody's word: this test gives it.
        let options = || TransferOptions::backup().with_accepted_deletions(true);
        let target = MemoryConnector::new(copy.0.clone());
        for _ in 0..8 {
            world.lock().unwrap().steps(12);
            transfer(&connector, &target, options()).await.unwrap();
        }
        world.lock().unwrap().end();
        let last = transfer(&connector, &target, options()).await.unwrap();
        assert_eq!(last.report.status, RunStatus::Complete, "seed {seed}: {:?}", last.report);
        assert_eq!(copy.versions(), service.oracle(), "seed {seed}");
    }
}

/// What people and operators do to an account.
struct World {
    random: Random,
    account: MemoryAccount,
    open: Vec<saas_backup_export_api::Transaction>,
    quiet: bool,
}

impl World {
    fn step(&mut self) {
        let id = format!("n_{:02}", self.random.below(12));
        let place = key(&format!("notes/{id}"));
        match self.random.below(100) {
            0..35 => self.account.put(note(&id, "edited")),
            35..50 => drop(self.account.delete(&place)),
            50..60 => {
                let mut transaction = self.account.begin();
                transaction.put(note(&id, "committed late"));
                self.open.push(transaction);
            }
            60..75 if !self.open.is_empty() => {
                let which = self.random.below(self.open.len());
                self.open.swap_remove(which).commit();
            }
            75..80 => drop(self.account.hide(&place)),
            80..86 => drop(self.account.unhide(&place)),
            86..88 => self.account.expire_cursors(),
            88..89 => self.account.bump_generation(),
            89..91 => self.account.reset(vec![name("notes")]),
            91..95 => self.account.put(Record::new(key("users/u_1"), Json::parse("{}").unwrap())),
            _ => {}
        }
    }

    fn steps(&mut self, most: usize) {
        if !self.quiet {
            (0..self.random.below(most)).for_each(|_| self.step());
        }
    }

    fn end(&mut self) {
        self.quiet = true;
        self.open.drain(..).for_each(saas_backup_export_api::Transaction::commit);
    }
}
