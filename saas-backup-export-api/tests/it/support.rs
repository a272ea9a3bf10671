use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::Range;

use bytes::Bytes;
use jsonschema::Validator;
use reqwest::header::HeaderMap;
use saas_backup_core::{
    BlobId, ByteStream, Catalog, Collection, CollectionName, Json, Key, Kind, Line, LineCodec, ManualClock, Record,
    RefRule, Reference, Result, StreamCheck, async_trait,
};
use saas_backup_export_api::{
    AccountId, Blob, ChangePage, ChangesRequest, CursorKey, Entry, ErasureLog, ExportConfig, ExportSource, Grant, Head,
    Limits, MemoryAccount, MemorySource, Principal, ScanPage, ScanRequest, Schema, Scope, ServiceInfo, StaticTokens,
    Watermark, router,
};
use serde_json::Value;

/// A service on loopback with two accounts, one token for each and one for both.
pub(crate) struct Server {
    pub(crate) source: MemorySource,
    pub(crate) account: MemoryAccount,
    pub(crate) other: MemoryAccount,
    pub(crate) clock: ManualClock,
    pub(crate) address: SocketAddr,
    /// Shows answers as they are on the wire.
    http: reqwest::Client,
    /// Asks for gzip and shows what was packed.
    unpacking: reqwest::Client,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) const TOKEN: &str = "tok_one";
pub(crate) const SECOND_TOKEN: &str = "tok_one_again";
/// One that reads users alone.
pub(crate) const USERS_TOKEN: &str = "tok_users";
/// One that writes back and reads nothing.
pub(crate) const IMPORT_TOKEN: &str = "tok_import";
pub(crate) const OTHER_TOKEN: &str = "tok_two";

pub(crate) fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).unwrap()
}

pub(crate) fn schema() -> Schema {
    let text = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["title"],"properties":{"title":{"type":"string"}}}"#;
    let notes = Collection::new(name("notes"), Kind::Document)
        .with_schema(Json::parse(text).unwrap())
        .with_ref(RefRule::one("author", name("users")))
        .with_blobs();
    let comments =
        Collection::new(name("comments"), Kind::Comment).with_ref(RefRule::one("note", name("notes")).required());
    Schema::new(Catalog::new(vec![Collection::new(name("users"), Kind::User), notes, comments]))
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::serving(limits, |source| source).await
    }

    /// Serves what a wrapper makes of the source in memory.
    pub(crate) async fn serving<S: ExportSource>(limits: Limits, wrap: impl FnOnce(MemorySource) -> S) -> Self {
        let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
        let service = ServiceInfo::new("notes", "Notes", "Example Ltd").with_excluded("search index", "derived");
        let source = MemorySource::new(service, schema()).with_clock(clock.clone());
        let (one, two) = (AccountId::parse("ws_1").unwrap(), AccountId::parse("ws 2/b").unwrap());
        let every = [Scope::Read, Scope::Blobs, Scope::Erasures, Scope::Import];
        let users = [Scope::ReadCollection(name("users"))];
        let tokens = StaticTokens::default()
            .with(&TOKEN.into(), Principal::new("one").with_account(one.clone()).with_scopes(every))
            .with(&SECOND_TOKEN.into(), Principal::new("again").with_account(one.clone()))
            .with(
                &IMPORT_TOKEN.into(),
                Principal::new("imports").with_account(one.clone()).with_scopes([Scope::Import]),
            )
            .with(&OTHER_TOKEN.into(), Principal::new("two").with_account(two.clone()))
            .with(&USERS_TOKEN.into(), Principal::new("users").with_account(one.clone()).with_scopes(users));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}/export/v1").parse().unwrap();
        let config = ExportConfig::new(base, tokens, CursorKey::from_bytes([3; 32])).unwrap();
        let config = config.with_limits(limits).with_clock(clock.clone());
        let config = config.with_authorization_server("https://login.example.com".parse().unwrap());
        let app = router(wrap(source.clone()), config);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let (account, other) = (source.account(&one), source.account(&two));
        let http = reqwest::Client::builder().gzip(false).build().unwrap();
        let unpacking = reqwest::Client::builder().gzip(true).build().unwrap();
        Self { source, account, other, clock, address, http, unpacking, serving }
    }

    /// A path below the API, asked for with the first token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(Some(TOKEN), path, &[]).await
    }

    pub(crate) async fn get_as(&self, token: Option<&str>, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = match path.strip_prefix("//") {
            Some(rest) => format!("http://{}/{rest}", self.address),
            None => format!("http://{}/export/v1{path}", self.address),
        };
        let mut request = self.http.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let url = format!("http://{}/export/v1{path}", self.address);
        Answer::of(self.http.post(url).bearer_auth(TOKEN).body(body)).await
    }

    pub(crate) async fn post_as(&self, token: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let url = format!("http://{}/export/v1{path}", self.address);
        Answer::of(self.http.post(url).bearer_auth(token).body(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let url = format!("http://{}/export/v1{path}", self.address);
        Answer::of(self.http.put(url).bearer_auth(TOKEN).body(body)).await
    }

    pub(crate) async fn get_without_redirects(&self, path: &str) -> Answer {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Answer::of(http.get(format!("http://{}/export/v1{path}", self.address)).bearer_auth(TOKEN)).await
    }

    pub(crate) async fn head_of(&self, path: &str) -> Answer {
        let url = format!("http://{}/export/v1{path}", self.address);
        Answer::of(self.http.head(url).bearer_auth(TOKEN)).await
    }

    /// The same answer as [`get`](Self::get), packed on its way.
    pub(crate) async fn get_packed(&self, path: &str) -> Answer {
        Answer::of(self.packed(path)).await
    }

    /// An answer that is read while it is sent; it is packed on its way.
    pub(crate) async fn open_packed(&self, path: &str) -> reqwest::Response {
        self.packed(path).send().await.unwrap()
    }

    fn packed(&self, path: &str) -> reqwest::RequestBuilder {
        self.unpacking.get(format!("http://{}/export/v1{path}", self.address)).bearer_auth(TOKEN)
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        let url = format!("http://{}/export/v1{path}", self.address);
        Answer::of(self.http.delete(url).bearer_auth(TOKEN)).await
    }

    pub(crate) async fn snapshot(&self, query: &str) -> Page {
        self.get(&format!("/accounts/ws_1/snapshot?{query}")).await.page()
    }

    pub(crate) async fn changes(&self, since: &str, query: &str) -> Page {
        self.get(&format!("/accounts/ws_1/changes?since={since}&{query}")).await.page()
    }

    /// The schemas of the records by their collections, as JSON Schema 2020-12.
    pub(crate) async fn shapes(&self) -> BTreeMap<String, Validator> {
        let schema = self.get("/accounts/ws_1/schema").await.json();
        let shape = |collection: &Value| {
            let record = &collection["record"];
            jsonschema::draft202012::meta::validate(record).unwrap();
            (collection["name"].as_str().unwrap().to_owned(), jsonschema::draft202012::new(record).unwrap())
        };
        schema["collections"].as_array().unwrap().iter().map(shape).collect()
    }

    /// A cursor at the log's head.
    pub(crate) async fn head(&self) -> String {
        self.snapshot("limit=1").await.start["changes_cursor"].as_str().unwrap().to_owned()
    }

    /// Walks the whole snapshot in pages; `between` acts after each page.
    pub(crate) async fn walk(&self, query: &str, mut between: impl FnMut(usize)) -> Walk {
        let mut walk = Walk::default();
        let mut page = self.snapshot(query).await;
        loop {
            walk.pages += 1;
            walk.take(&page);
            between(walk.pages);
            let Some(cursor) = page.more() else { return walk };
            page = self.snapshot(&format!("{query}&cursor={cursor}")).await;
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) records: BTreeMap<String, String>,
    pub(crate) pages: usize,
}

impl Walk {
    fn take(&mut self, page: &Page) {
        for line in page.of_type("put") {
            self.records.insert(key_of(line), line["version"].as_str().unwrap().to_owned());
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The last part of the problem's type.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()));
        json["type"].as_str().unwrap().trim_start_matches("urn:open-export:problem:").to_owned()
    }

    /// A whole stream, checked by the codec of the wire.
    pub(crate) fn page(&self) -> Page {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let mut check = StreamCheck::new(LineCodec::wire());
        let lines: Vec<&[u8]> = self.body.split(|byte| *byte == b'\n').collect();
        let (last, lines) = lines.split_last().unwrap();
        assert!(last.is_empty(), "the last line ends with a line feed");
        let typed = lines.iter().map(|line| check.decode(&Bytes::copy_from_slice(line)).unwrap()).collect();
        check.finish().unwrap();
        let mut values: Vec<Value> = lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        let end = values.pop().unwrap();
        let start = values.remove(0);
        Page { start, lines: values, end, typed, body: self.body.clone() }
    }
}

/// A stream: its first line, its last one, and those between.
pub(crate) struct Page {
    pub(crate) start: Value,
    pub(crate) lines: Vec<Value>,
    pub(crate) end: Value,
    pub(crate) typed: Vec<Line>,
    pub(crate) body: Bytes,
}

impl Page {
    pub(crate) fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }

    /// `put notes/n_1`, `del notes/n_2`, … in their order.
    pub(crate) fn data_lines(&self) -> Vec<String> {
        let data = self.lines.iter().filter(|line| line["collection"].is_string());
        data.map(|line| format!("{} {}", line["type"].as_str().unwrap(), key_of(line))).collect()
    }

    /// The cursor of the next page.
    pub(crate) fn more(&self) -> Option<&str> {
        self.end["more"].as_bool().unwrap().then(|| self.end["cursor"].as_str().unwrap())
    }

    pub(crate) fn cursor(&self) -> &str {
        self.end["cursor"].as_str().unwrap()
    }
}

pub(crate) fn key_of(line: &Value) -> String {
    format!("{}/{}", line["collection"].as_str().unwrap(), line["id"].as_str().unwrap())
}

pub(crate) fn key(text: &str) -> Key {
    let (collection, id) = text.split_once('/').unwrap();
    Key::parse(collection, id).unwrap()
}

pub(crate) fn note(id: &str, title: &str) -> Record {
    let data = Json::from_value(&serde_json::json!({ "title": title })).unwrap();
    let author = Reference::from(&key("users/u_1"));
    Record::new(Key::parse("notes", id).unwrap(), data).with_ref("author", author)
}

/// One user, `count` notes and a comment on each.
pub(crate) fn seed(account: &MemoryAccount, count: usize) {
    account.put(Record::new(key("users/u_1"), Json::parse(r#"{"name":"Zoë"}"#).unwrap()));
    for number in 0..count {
        account.put(note(&format!("n_{number:04}"), &format!("Note {number}")));
        let comment = Record::new(key(&format!("comments/c_{number:04}")), Json::parse(r#"{"text":"+1"}"#).unwrap());
        account.put(comment.with_ref("note", Reference::from(&key(&format!("notes/n_{number:04}")))));
    }
}

/// What the account should look like to a reader in the end.
pub(crate) fn oracle(account: &MemoryAccount) -> BTreeMap<String, String> {
    account.visible().into_iter().map(|(key, version)| (key.to_string(), version)).collect()
}

/// What a test does in the source's place, or besides it.
#[async_trait]
pub(crate) trait Hooks: Debug + Send + Sync + 'static {
    async fn blob(&self, source: &MemorySource, grant: &Grant, blob: &BlobId) -> Result<Blob> {
        source.blob(grant, blob).await
    }
    async fn blob_range(&self, _range: Range<u64>) -> Result<Option<ByteStream>> {
        Ok(None)
    }
    /// A page was read.
    fn scanned(&self) {}
    /// A reader begins to wait.
    fn waits(&self) {}
}

/// The source in memory with hooks.
#[derive(Debug)]
pub(crate) struct Hooked<H>(pub(crate) MemorySource, pub(crate) H);

#[async_trait]
impl<H: Hooks> ExportSource for Hooked<H> {
    fn service(&self) -> ServiceInfo {
        self.0.service()
    }
    async fn schema(&self, account: Option<&AccountId>) -> Result<Schema> {
        self.0.schema(account).await
    }
    async fn head(&self, grant: &Grant) -> Result<Head> {
        self.0.head(grant).await
    }
    async fn scan(&self, grant: &Grant, request: &ScanRequest) -> Result<ScanPage> {
        let page = self.0.scan(grant, request).await?;
        self.1.scanned();
        Ok(page)
    }
    async fn changes(&self, grant: &Grant, request: &ChangesRequest) -> Result<ChangePage> {
        self.0.changes(grant, request).await
    }
    fn erasures(&self) -> Option<&dyn ErasureLog> {
        self.0.erasures()
    }
    async fn changed(&self, grant: &Grant, since: &Watermark) -> Result<()> {
        self.1.waits();
        self.0.changed(grant, since).await
    }
    async fn records(&self, grant: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        self.0.records(grant, keys).await
    }
    async fn blob(&self, grant: &Grant, blob: &BlobId) -> Result<Blob> {
        self.1.blob(&self.0, grant, blob).await
    }
    async fn blob_range(&self, _: &Grant, _: &BlobId, range: Range<u64>) -> Result<Option<ByteStream>> {
        self.1.blob_range(range).await
    }
}

/// A deterministic stream of numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
