use std::sync::Arc;

use saas_backup_core::{BlobId, Key, Result, async_trait};
use saas_backup_export_api::{
    AccountId, Blob, ChangePage, ChangesRequest, Entry, ExportSource, Grant, Head, Limits, MemorySource, ScanPage,
    ScanRequest, Schema, ServiceInfo,
};
use tokio::sync::Semaphore;

use crate::support::{Server, TOKEN, note, seed};

#[tokio::test]
async fn f03_the_lines_are_the_same_with_gzip_and_identity() {
    let server = Server::start().await;
    seed(&server.account, 600);
    let since = server.head().await;
    server.account.put(note("n_0001", "edited"));
    let changes = format!("/accounts/ws_1/changes?since={since}");
    for path in ["/accounts/ws_1/snapshot", &changes, "/accounts/ws_1/records/notes/n_0002"] {
        let (plain, unpacked) = (server.get(path).await, server.get_packed(path).await);
        assert_eq!(plain.body, unpacked.body, "{path}");
        unpacked.page();
        let packed = server.get_as(Some(TOKEN), path, &[("accept-encoding", "gzip")]).await;
        assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"), "{path}");
        assert!(packed.body.starts_with(b"\x1f\x8b") && packed.body.len() < plain.body.len(), "{path}");
        assert_eq!(packed.header("content-type"), plain.header("content-type"));
        assert_eq!(packed.header("open-export-generation"), "g0");
    }
}

#[tokio::test]
async fn the_coding_is_the_one_that_the_reader_prefers() {
    let server = Server::start().await;
    seed(&server.account, 3);
    for path in ["/accounts/ws_1/snapshot", "/accounts/ws_1/schema", "/public-schema", "//.well-known/open-export"] {
        for (accepted, coding) in [
            (None, None),
            (Some(""), None),
            (Some("identity"), None),
            (Some("br"), None),
            (Some("zstd"), Some("zstd")),
            (Some("gzip;q=0.5, zstd;q=0.9"), Some("zstd")),
            (Some("gzip;q=0"), None),
            (Some("gzip;q=0.3, identity;q=0.7"), None),
            (Some("gzip"), Some("gzip")),
            (Some("x-gzip"), Some("gzip")),
            (Some("br, GZIP; q=0.8, identity;q=0.1"), Some("gzip")),
        ] {
            let headers: Vec<_> = accepted.map(|value| ("accept-encoding", value)).into_iter().collect();
            let answer = server.get_as(Some(TOKEN), path, &headers).await;
            let found = answer.headers.get("content-encoding").map(|value| value.to_str().unwrap());
            assert_eq!((answer.status, found), (200, coding), "{path} {accepted:?}");
            assert_eq!(answer.header("vary"), "accept-encoding", "{path} {accepted:?}");
        }
    }
    let discovery = server.get_as(None, "//.well-known/open-export", &[]).await.json();
    assert_eq!(discovery["content_codings"], serde_json::json!(["gzip", "zstd"]));
}

#[tokio::test]
async fn f08_what_is_packed_with_zstd_is_what_was_asked_for() {
    let server = Server::start().await;
    seed(&server.account, 600);
    let path = "/accounts/ws_1/snapshot";
    let (plain, packed) =
        (server.get(path).await, server.get_as(Some(TOKEN), path, &[("accept-encoding", "zstd")]).await);
    assert_eq!(zstd::decode_all(&packed.body[..]).unwrap(), plain.body);
    assert!(packed.body.len() < plain.body.len() / 4);
}

#[tokio::test]
async fn a_refusal_can_be_packed_too() {
    let server = Server::start().await;
    let path = "/accounts/ws_9/snapshot";
    let (plain, unpacked) = (server.get(path).await, server.get_packed(path).await);
    assert_eq!((plain.status, &plain.body), (404, &unpacked.body));
    assert_eq!((unpacked.status, unpacked.problem().as_str()), (404, "not-found"));
}

#[tokio::test]
async fn attachments_are_sent_as_they_are() {
    let server = Server::start().await;
    let text = "the same words again and again ".repeat(10_000);
    let blob = server.account.add_blob(text.clone(), "words.json", "application/json");
    server.account.put(note("n", "with words").with_blob(blob.clone()));
    let path = format!("/accounts/ws_1/blobs/{}", blob.id.unwrap());
    let plain = server.get(&path).await;
    let answer = server.get_as(Some(TOKEN), &path, &[("accept-encoding", "gzip, identity;q=0.1")]).await;
    assert_eq!((answer.status, &answer.body), (200, &text.clone().into()));
    assert!(answer.headers.get("content-encoding").is_none());
    assert_eq!(answer.header("content-length"), text.len().to_string());
    assert_eq!(answer.header("repr-digest"), plain.header("repr-digest"));
    assert_eq!(answer.header("etag"), plain.header("etag"));
}

/// A source that gives a page of records for each permit.
#[derive(Debug)]
struct Metered {
    inner: MemorySource,
    pages: Arc<Semaphore>,
}

#[async_trait]
impl ExportSource for Metered {
    fn service(&self) -> ServiceInfo {
        self.inner.service()
    }

    async fn schema(&self, account: Option<&AccountId>) -> Result<Schema> {
        self.inner.schema(account).await
    }

    async fn head(&self, grant: &Grant) -> Result<Head> {
        self.inner.head(grant).await
    }

    async fn scan(&self, grant: &Grant, request: &ScanRequest) -> Result<ScanPage> {
        self.pages.acquire().await.unwrap().forget();
        self.inner.scan(grant, request).await
    }

    async fn changes(&self, grant: &Grant, request: &ChangesRequest) -> Result<ChangePage> {
        self.inner.changes(grant, request).await
    }

    async fn records(&self, grant: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        self.inner.records(grant, keys).await
    }

    async fn blob(&self, grant: &Grant, blob: &BlobId) -> Result<Blob> {
        self.inner.blob(grant, blob).await
    }
}

#[tokio::test]
async fn a_packed_line_arrives_while_the_source_still_works_on_the_next() {
    let pages = Arc::new(Semaphore::new(1));
    let metered = Arc::clone(&pages);
    let server = Server::serving(Limits::default(), |inner| Metered { inner, pages: metered }).await;
    seed(&server.account, 600);
    // The users' page and three of notes: each ends with a checkpoint, but for the last one.
    let mut response = server.open_packed("/accounts/ws_1/snapshot?collections=users,notes").await;
    let mut body = Vec::new();
    for page in 1..=3 {
        while body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(br#"{"type":"ckpt""#)).count() < page {
            body.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
        assert!(body.ends_with(b"\n") && pages.available_permits() == 0);
        pages.add_permits(1);
    }
    while let Some(chunk) = response.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    assert!(lines[lines.len() - 2].starts_with(br#"{"type":"end""#));
}
