use base64::Engine as _;
use saas_backup_core::Digest;

use crate::support::{OTHER_TOKEN, Server, key, note, seed};

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
    let digest = base64::engine::general_purpose::STANDARD.encode(Digest::of(&answer.body).as_bytes());
    assert_eq!(blob["digest"]["sha-256"], digest);
    assert_eq!(answer.header("repr-digest"), format!("sha-256=:{digest}:"));
    assert_eq!(answer.header("content-length"), bytes.len().to_string());
    assert_eq!(answer.header("accept-ranges"), "none");
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
