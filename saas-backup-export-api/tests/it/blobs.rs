use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saas_backup_core::{BlobId, ByteStream, Digest, Error, ErrorKind, Result, async_trait};
use saas_backup_export_api::{Blob, Grant, Limits, MemorySource, ProblemDetails};

use crate::support::{Answer, Hooked, Hooks, OTHER_TOKEN, Server, TOKEN, USERS_TOKEN, key, note, seed};

#[tokio::test]
async fn b01_size_and_digest_are_those_of_the_descriptor() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = server.account.add_blob(bytes.clone(), "numbers.bin", "application/octet-stream");
    server.account.put(note("n", "with numbers").with_blob(blob));
    let page = server.snapshot("collections=notes").await;
    let blob = &page.lines[0]["blobs"][0];
    let answer = server.get(&format!("/accounts/ws_1/blobs/{}", blob["blob"].as_str().unwrap())).await;
    assert_eq!((answer.status, answer.body.len() as u64), (200, blob["size"].as_u64().unwrap()));
    let digest = STANDARD.encode(Digest::of(&answer.body).as_bytes());
    assert_eq!(blob["digest"]["sha-256"], digest);
    assert_eq!(answer.header("repr-digest"), format!("sha-256=:{digest}:"));
    assert_eq!(answer.header("content-length"), bytes.len().to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert!(answer.header("etag").starts_with('"'));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn b10_empty_and_tiny_blobs_and_hostile_names() {
    let server = Server::start().await;
    let long = "é".repeat(127) + "x";
    let names = ["../../etc/passwd", "..", "a/b\\c", "\u{0}nul", "\u{202e}gpj.exe", "new\r\nline", &long, ""];
    let contents = [&b""[..], b"x"];
    for (number, name) in names.iter().enumerate() {
        for bytes in contents {
            let blob = server.account.add_blob(bytes.to_vec(), *name, "text/html; charset=\"utf-8\"\r\nX-Evil: 1");
            server.account.put(note(&format!("n_{number}_{}", bytes.len()), "hostile").with_blob(blob));
        }
    }
    let page = server.snapshot("collections=notes").await;
    assert_eq!(page.of_type("put").count(), names.len() * contents.len());
    for line in page.of_type("put") {
        let blob = &line["blobs"][0];
        assert!(names.contains(&blob["name"].as_str().unwrap()));
        let answer = server.get(&format!("/accounts/ws_1/blobs/{}", blob["blob"].as_str().unwrap())).await;
        assert_eq!((answer.status, answer.body.len() as u64), (200, blob["size"].as_u64().unwrap()));
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert!(answer.headers.get("x-evil").is_none() && answer.headers.get("content-disposition").is_none());
    }
}

#[tokio::test]
async fn a_blob_is_seen_by_those_who_see_its_record() {
    let server = Server::start().await;
    seed(&server.other, 1);
    let blob = server.account.add_blob("secret", "s.txt", "text/plain");
    server.account.put(note("n", "x").with_blob(blob.clone()));
    let path = format!("/blobs/{}", blob.id.unwrap());
    assert_eq!(server.get(&format!("/accounts/ws_1{path}")).await.status, 200);
    let elsewhere = server.get_as(Some(OTHER_TOKEN), &format!("/accounts/ws%202%2Fb{path}"), &[]).await;
    assert_eq!((elsewhere.status, elsewhere.problem().as_str()), (404, "not-found"));
    server.account.hide(&key("notes/n"));
    assert_eq!(server.get(&format!("/accounts/ws_1{path}")).await.status, 404);
}

/// A service with a note that has an attachment of these bytes; gives the path of it.
async fn with_attachment(bytes: &[u8]) -> (Server, String) {
    let server = Server::start().await;
    let blob = server.account.add_blob(bytes.to_vec(), "numbers.bin", "application/octet-stream");
    server.account.put(note("n", "with numbers").with_blob(blob.clone()));
    (server, format!("/accounts/ws_1/blobs/{}", blob.id.unwrap()))
}

async fn part(server: &Server, path: &str, range: &str) -> Answer {
    server.get_as(Some(TOKEN), path, &[("range", range)]).await
}

fn digest_field(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Digest::of(bytes).as_bytes()))
}

#[tokio::test]
async fn b02_b04_parts_are_those_that_were_asked_for_and_say_so() {
    let bytes: Vec<u8> = (0..70_000_u32).flat_map(u32::to_le_bytes).collect();
    let (server, path) = with_attachment(&bytes).await;
    let size = bytes.len();
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=65530-131080", 65_530..131_081),
        ("bytes=-1", size - 1..size),
        ("bytes=279999-", size - 1..size),
        ("bytes=100-99999999", 100..size),
    ] {
        let answer = part(&server, &path, range).await;
        assert_eq!((answer.status, &answer.body[..]), (206, &bytes[expected.clone()]), "{range}");
        let place = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), place);
        assert_eq!(answer.header("content-length"), expected.len().to_string());
        assert_eq!(answer.header("repr-digest"), digest_field(&bytes));
        assert_eq!(answer.header("content-digest"), digest_field(&bytes[expected]));
    }
    for range in ["bytes=280000-", "bytes=-0"] {
        let answer = part(&server, &path, range).await;
        assert_eq!((answer.status, answer.problem().as_str()), (416, "range-not-satisfiable"));
        assert_eq!(answer.header("content-range"), "bytes */280000");
    }
    let several = part(&server, &path, "bytes=0-1,5-6").await;
    assert_eq!((several.status, several.body.len()), (200, size));
}

#[tokio::test]
async fn b03_a_part_of_other_bytes_than_begun_with_is_the_whole() {
    let (server, path) = with_attachment(b"0123456789").await;
    let tag = server.get(&path).await.header("etag").to_owned();
    let ask = async |tag: &str| server.get_as(Some(TOKEN), &path, &[("range", "bytes=4-"), ("if-range", tag)]).await;
    assert_eq!((ask(&tag).await.status, &ask(&tag).await.body[..]), (206, &b"456789"[..]));
    for other in ["\"other\"", "W/\"other\"", "Sun, 01 Mar 2026 10:00:00 GMT"] {
        let answer = ask(other).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"0123456789"[..]), "{other}");
    }
}

#[tokio::test]
async fn b06_a_head_is_an_answer_without_its_body() {
    let (server, path) = with_attachment(b"0123456789").await;
    let (whole, head) = (server.get(&path).await, server.head_of(&path).await);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "etag", "repr-digest", "accept-ranges", "content-type"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_bytes_of_attachments_need_their_scope() {
    let (server, path) = with_attachment(b"0123456789").await;
    let refused = server.get_as(Some(USERS_TOKEN), &path, &[]).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "insufficient-scope"));
    assert!(
        refused
            .header("www-authenticate")
            .starts_with("Bearer error=\"insufficient_scope\", scope=\"export.blobs\", r")
    );
}

/// Attachments as an object store would keep them: some elsewhere, some that begin anywhere, some not there yet.
#[derive(Debug)]
struct ObjectStore;

#[async_trait]
impl Hooks for ObjectStore {
    async fn blob(&self, _: &MemorySource, _: &Grant, blob: &BlobId) -> Result<Blob> {
        let never = || Box::pin(futures::stream::iter([Err(Error::new(ErrorKind::Unexpected, "read from its begin"))]));
        match blob.as_str() {
            "elsewhere" => Ok(Blob::elsewhere(3, "https://store.example.com/x?sig=1".parse().unwrap())),
            "anywhere" => Ok(Blob::new(1_000, never())),
            "pending" => Err(ProblemDetails::blob_pending(7).into()),
            _ => Err(ProblemDetails::blob_gone("purged").into()),
        }
    }

    async fn blob_range(&self, range: Range<u64>) -> Result<Option<ByteStream>> {
        let bytes = vec![b'x'; usize::try_from(range.end - range.start).unwrap()];
        Ok(Some(Box::pin(futures::stream::iter([Ok(bytes.into())]))))
    }
}

#[tokio::test]
async fn b08_attachments_may_lie_elsewhere_or_come_later_or_be_gone() {
    let server = Server::serving(Limits::default(), |source| Hooked(source, ObjectStore)).await;
    let path = |id: &str| format!("/accounts/ws_1/blobs/{id}");
    let elsewhere = server.get_without_redirects(&path("elsewhere")).await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (307, "https://store.example.com/x?sig=1"));
    let pending = server.get(&path("pending")).await;
    assert_eq!((pending.status, pending.problem().as_str()), (503, "blob-pending"));
    assert_eq!(pending.header("retry-after"), "7");
    let gone = server.get(&path("gone")).await;
    assert_eq!((gone.status, gone.problem().as_str(), &gone.json()["reason"]), (410, "blob-gone", &"purged".into()));
    let anywhere = part(&server, &path("anywhere"), "bytes=990-").await;
    assert_eq!((anywhere.status, &anywhere.body[..]), (206, &b"xxxxxxxxxx"[..]));
}
