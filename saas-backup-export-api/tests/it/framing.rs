use std::io::{Read as _, Write as _};

use base64::Engine as _;
use saas_backup_core::{Json, Record};
use saas_backup_export_api::Limits;
use sha2::{Digest as _, Sha256};

use crate::support::{Server, TOKEN, key, note, oracle, seed};

#[tokio::test]
async fn f01_f02_a_stream_is_lines_from_start_to_end() {
    let server = Server::start().await;
    seed(&server.account, 600);
    let answer = server.get("/accounts/ws_1/snapshot").await;
    assert_eq!(answer.header("content-type"), "application/vnd.open-export+ndjson; version=1");
    assert_eq!(answer.header("open-export-generation"), "g0");
    assert!(answer.body.ends_with(b"\n") && !answer.body.starts_with(b"\xef\xbb\xbf"));
    let text = std::str::from_utf8(&answer.body).unwrap();
    assert!(!text.contains('\r') && !text.contains("\n\n"));
    let page = answer.page();
    assert_eq!((&page.start["type"], &page.end["type"]), (&"start".into(), &"end".into()));
    assert_eq!((page.of_type("start").count(), page.of_type("end").count()), (0, 0));
}

#[tokio::test]
async fn f03_the_end_line_counts_and_digests_what_stands_before_it() {
    let server = Server::start().await;
    seed(&server.account, 300);
    server.account.fail_record(&key("notes/n_0007"), true);
    let page = server.snapshot("").await;
    let before = page.body.len() - page.body.split(|byte| *byte == b'\n').rev().nth(1).unwrap().len() - 1;
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&page.body[..before]));
    assert_eq!(page.end["digest"]["sha-256"], digest);
    assert_eq!(page.end["lines"], page.lines.len() + 1);
    let counts =
        serde_json::json!({ "comments": { "put": 300 }, "notes": { "put": 299, "err": 1 }, "users": { "put": 1 } });
    assert_eq!(page.end["counts"], counts);
}

#[tokio::test]
async fn f04_checkpoints_are_close_together() {
    let server = Server::start().await;
    seed(&server.account, 1_500);
    let text = Json::from_value(&serde_json::json!({ "title": "x".repeat(1_000_000) })).unwrap();
    for number in 0..20 {
        server.account.put(Record::new(key(&format!("notes/big_{number:02}")), text.clone()));
    }
    let page = server.snapshot("").await;
    let (mut lines, mut bytes) = (0, 0);
    for line in page.body.split(|byte| *byte == b'\n') {
        (lines, bytes) = (lines + 1, bytes + line.len() + 1);
        assert!(lines <= 1_000 && bytes <= 16 * 1024 * 1024, "{lines} lines, {bytes} bytes");
        if line.starts_with(br#"{"type":"ckpt""#) {
            (lines, bytes) = (0, 0);
        }
    }
}

#[tokio::test]
async fn f05_no_line_is_longer_than_the_limit() {
    let server = Server::with_limits(Limits::default().with_max_line_bytes(2_000)).await;
    server.account.put(note("fits", "small"));
    server.account.put(note("long", &"x".repeat(3_000)));
    let page = server.snapshot("").await;
    assert!(page.body.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() <= 2_000));
    let mut lines = page.data_lines();
    lines.sort();
    assert_eq!(lines, ["err notes/long", "put notes/fits"]);
}

/// Cuts the answer after so many bytes, as a connection does that breaks.
fn cut_after(server: &Server, path: &str, bytes: usize) -> Vec<u8> {
    let mut socket = std::net::TcpStream::connect(server.address).unwrap();
    let host = server.address;
    write!(socket, "GET /export/v1{path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").unwrap();
    let mut received = Vec::new();
    socket.take(bytes as u64).read_to_end(&mut received).unwrap();
    let body = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    received.split_off(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_a_cut_stream_goes_on_at_its_last_checkpoint() {
    let server = Server::start().await;
    seed(&server.account, 2_000);
    let whole = oracle(&server.account);
    for bytes in [60_000, 200_000, 250_001] {
        let body = cut_after(&server, "/accounts/ws_1/snapshot", bytes);
        let lines: Vec<serde_json::Value> =
            body.split_inclusive(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert!(lines.iter().all(|line| line["type"] != "end"), "the stream is cut in this test");
        let last = lines.iter().rposition(|line| line["type"] == "ckpt").unwrap();
        let mut copy: std::collections::BTreeMap<String, String> = lines[..last]
            .iter()
            .filter(|line| line["type"] == "put")
            .map(|line| (crate::support::key_of(line), line["version"].as_str().unwrap().to_owned()))
            .collect();
        let rest = server.walk(&format!("cursor={}", lines[last]["cursor"].as_str().unwrap()), |_| {}).await;
        copy.extend(rest.records);
        assert_eq!(copy, whole);
    }
}

#[tokio::test]
async fn f06_a_source_that_fails_ends_the_stream_without_end() {
    let server = Server::start().await;
    seed(&server.account, 1_000);
    server.account.interrupt_after(2);
    let answer = server.get("/accounts/ws_1/snapshot").await;
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8_lossy(&answer.body).contains(r#"{"type":"ckpt""#));
    assert!(!String::from_utf8_lossy(&answer.body).contains(r#"{"type":"end""#));
    assert!(!String::from_utf8_lossy(&answer.body).contains("database"));
    server.account.interrupt_after(0);
    let refused = server.get("/accounts/ws_1/snapshot").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "5");
}

#[tokio::test]
async fn f07_unknown_parameters_are_refused_unless_the_reader_is_lenient() {
    let server = Server::start().await;
    for path in ["/accounts", "/accounts/ws_1/snapshot", "/accounts/ws_1/schema", "//.well-known/open-export"] {
        let path = format!("{path}?_since=2026-01-01");
        let strict = server.get(&path).await;
        assert_eq!((strict.status, strict.problem().as_str()), (400, "unknown-parameter"), "{path}");
        let lenient = server.get_as(Some(TOKEN), &path, &[("prefer", "respond-async, handling=lenient")]).await;
        assert_eq!(lenient.status, 200, "{path}");
    }
}
