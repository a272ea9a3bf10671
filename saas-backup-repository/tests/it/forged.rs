//! What somebody says who may say something else.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, Connector as _, Digest, ErrorKind};
use saas_backup_repository::{AgentKey, CompactOptions, Identity, Keys, Repository, Source, VerifyOptions};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, live, note, options};

/// Signs as docs/repository-format.md says a writer does, with the key in a key file.
fn signed(purpose: &str, header: &Value, file: &SecretString) -> Vec<u8> {
    signed_as("a writer", purpose, header, file)
}

/// Signs as docs/repository-format.md says, with the key in a key file.
pub(crate) fn signed_as(who: &str, purpose: &str, header: &Value, file: &SecretString) -> Vec<u8> {
    let secret = file.expose_secret().lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let seed = blake3::derive_key(&format!("saas-backup repository 1: the Ed25519 seed of {who}"), secret.as_bytes());
    let line = serde_json::to_vec(header).unwrap();
    let message = [format!("saas-backup repository 1: {purpose}\n").as_bytes(), &line].concat();
    let signature = STANDARD.encode(SigningKey::from_bytes(&seed).sign(&message).to_bytes());
    [line.as_slice(), b"\n", signature.as_bytes(), b"\n"].concat()
}

/// What the signature of a commit of the source is about.
fn commits(disk: &FaultyStore) -> String {
    let object = disk.object("repo.json");
    let owner: Value = serde_json::from_slice(object.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    format!("commit {} blog", owner["id"].as_str().unwrap())
}

fn header(disk: &FaultyStore, sequence: u64) -> (Value, Digest) {
    let object = disk.object(&format!("source/blog/commit/{sequence:020}"));
    let line = object.split(|byte| *byte == b'\n').next().unwrap();
    (serde_json::from_slice(line).unwrap(), Digest::of(line))
}

/// The commit after the last one, which says something of those before it.
fn next(disk: &FaultyStore, sequence: u64, maintenance: &Value) -> Value {
    let (mut header, sha256) = header(disk, sequence);
    header["parent"] = json!({ "sequence": sequence, "sha256": sha256 });
    header["sequence"] = json!(sequence + 1);
    header["nonce"] = json!("01M81PPTWMVD2XG4Q6AFM0SAV1");
    header["maintenance"] = maintenance.clone();
    header["parts"] = json!([]);
    for member in ["point", "feeds", "objects", "domains"] {
        header.as_object_mut().unwrap().remove(member);
    }
    header
}

async fn blog(disk: &FaultyStore, keys: Keys) -> Source {
    let keys = options(&clock()).with_keys(keys);
    Repository::open_on(Arc::new(disk.clone()), keys).await.unwrap().source("blog").unwrap()
}

#[tokio::test]
async fn only_a_maintainer_says_what_became_of_earlier_commits() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let keys = Keys::owner(identity.clone()).with_agent(agent.clone());
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), options(&clock()).with_keys(keys.clone())).await.unwrap();
    let account = MemoryStore::new();
    for round in 0..3 {
        account.put(note(&format!("{round}"), "text"));
        back_up(&MemoryConnector::new(account.clone()), &blog(&disk, keys.clone()).await, &clock()).await.unwrap();
    }
    for maintenance in [
        json!({ "forgets": [1, 2] }),
        json!({ "merges": [{ "family": "data", "after": 0, "through": 3 }] }),
        json!({ "swept": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" }),
        json!({}),
    ] {
        let forged = disk.restarted();
        let commit = next(&forged, 3, &maintenance);
        forged.replace("source/blog/commit/00000000000000000004", signed(&commits(&disk), &commit, &agent.to_file()));
        let source = blog(&forged, keys.clone()).await;
        assert_eq!(source.points().await.unwrap().len(), 3, "{maintenance}");
        let error = source.check().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Integrity && error.to_string().contains("not maintain"), "{error}");
        assert_eq!(source.point(&At::Now).await.unwrap_err().kind(), ErrorKind::Integrity);
        assert!(source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.is_err());
    }
    // A writer's own segment whose lines claim to be older than its commit.
    let mut commit = next(&disk, 3, &json!({}));
    commit.as_object_mut().unwrap().remove("maintenance");
    commit["objects"] = json!([{
        "name": "source/blog/data/01M81PPTWMVD2XG4Q6AFM0SAV2.jsonl.zst.age", "kind": "segment", "size": 1,
        "sha256": Digest::of(b""), "covers": { "oldest": 1, "newest": 1 },
    }]);
    let forged = disk.restarted();
    forged.replace("source/blog/commit/00000000000000000004", signed(&commits(&disk), &commit, &agent.to_file()));
    let error = blog(&forged, keys.clone()).await.check().await.unwrap_err();
    assert!(error.to_string().contains("brings their lines"), "{error}");
    // The same, said by who may: so it is the right that is missing, and nothing else.
    let mut commit = next(&disk, 3, &json!({ "forgets": [1, 2] }));
    let owners = disk.restarted();
    blog(&owners, keys.clone()).await.forget(&BTreeSet::from([1])).await.unwrap();
    commit["writer"] = header(&owners, 4).0["writer"].clone();
    disk.replace("source/blog/commit/00000000000000000004", signed(&commits(&disk), &commit, &identity.to_file()));
    let source = blog(&disk, keys).await;
    source.check().await.unwrap();
    assert_eq!(source.points().await.unwrap().len(), 1);
}

/// The header of a signed commit does not say where it belongs: its signature does.
#[tokio::test]
async fn a_commit_of_another_source_counts_nowhere_else() {
    let keys = Keys::owner(Identity::generate());
    let disk = FaultyStore::default();
    let repository =
        Repository::init_on(Arc::new(disk.clone()), options(&clock()).with_keys(keys.clone())).await.unwrap();
    let account = MemoryStore::new();
    account.put(note("1", "text"));
    for name in ["blog", "shop"] {
        back_up(&MemoryConnector::new(account.clone()), &repository.source(name).unwrap(), &clock()).await.unwrap();
    }
    blog(&disk, keys.clone()).await.check().await.unwrap();
    let commit = disk.object("source/shop/commit/00000000000000000001");
    disk.replace("source/blog/commit/00000000000000000001", commit.to_vec());
    let error = blog(&disk, keys).await.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
}

/// A thief of a writer's key hides nothing, and states no digests.
#[tokio::test]
async fn what_a_writer_calls_erased_stays() {
    let agent = AgentKey::generate();
    let keys = Keys::owner(Identity::generate()).with_agent(agent.clone());
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), options(&clock()).with_keys(keys.clone())).await.unwrap();
    let account = MemoryStore::new();
    account.put(note("1", "text"));
    back_up(&MemoryConnector::new(account.clone()), &blog(&disk, keys.clone()).await, &clock()).await.unwrap();
    let (mut commit, body) = (next(&disk, 1, &json!({})), b"whatever is in it");
    commit.as_object_mut().unwrap().remove("maintenance");
    let domain = header(&disk, 1).0["domains"][0]["id"].clone();
    assert!(domain.is_string());
    let part = |kind: &str| json!([kind, body.len(), Digest::of(body), domain]);
    commit["parts"] = json!([part("erased"), part("digests")]);
    let forged = [signed(&commits(&disk), &commit, &agent.to_file()), body.to_vec(), body.to_vec()].concat();
    disk.replace("source/blog/commit/00000000000000000002", forged);
    let source = blog(&disk, keys).await;
    source.check().await.unwrap();
    assert_eq!(live(&source, At::Now).await.unwrap(), account.live());
    source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
    assert_eq!(live(&source, At::Now).await.unwrap(), account.live());
}

/// Anybody who writes may write layouts. What one says of points decides about none.
#[tokio::test]
async fn what_a_writers_layout_says_of_points_decides_about_none() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let keys = Keys::owner(identity).with_agent(agent.clone());
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), options(&clock()).with_keys(keys.clone())).await.unwrap();
    let account = MemoryStore::new();
    for round in 0..6 {
        account.put(note(&format!("{round}"), "text"));
        back_up(&MemoryConnector::new(account.clone()), &blog(&disk, keys.clone()).await, &clock()).await.unwrap();
    }
    let name = "source/blog/layout/00000000000000000006";
    let object = disk.object(name);
    let mut pieces = object.splitn(3, |byte| *byte == b'\n');
    let mut header: Value = serde_json::from_slice(pieces.next().unwrap()).unwrap();
    let text = zstd::decode_all(pieces.nth(1).unwrap()).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let forged: Vec<Vec<u8>> = lines
        .map(|line| {
            let mut entry: Value = serde_json::from_slice(line).unwrap();
            if entry["type"] == "point" {
                entry["point"]["labels"] = json!(["a lie"]);
            }
            serde_json::to_vec(&entry).unwrap()
        })
        .collect();
    let part = zstd::encode_all(forged.join(&b'\n').as_slice(), 3).unwrap();
    header["sha256"] = json!(Digest::of(&part));
    disk.replace(name, [signed("layout", &header, &agent.to_file()), part].concat());

    let source = blog(&disk, keys).await;
    assert!(source.points().await.unwrap().iter().all(|point| point.labels == ["a lie"]));
    let proven = source.proven_points().await.unwrap();
    assert!(proven.len() == 6 && proven.iter().all(|point| point.labels.is_empty()), "{proven:?}");
    let report = source.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert_eq!(report.problems.iter().map(|problem| problem.object.as_str()).collect::<Vec<_>>(), [name]);
    // Upkeep goes by what is proven, and writes a layout that is.
    source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
    assert!(source.points().await.unwrap().iter().all(|point| point.labels.is_empty()));
}

/// Where nobody signs, anybody may state what points hold: a merge that finds them otherwise changes nothing.
#[tokio::test]
async fn a_merge_that_does_not_find_what_was_stated_changes_nothing() {
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), options(&clock())).await.unwrap();
    let account = MemoryStore::new();
    for round in 0..3 {
        account.put(note(&format!("{round}"), "text"));
        back_up(&MemoryConnector::new(account.clone()), &blog(&disk, Keys::none()).await, &clock()).await.unwrap();
    }
    let all = CompactOptions::default().with_all(true);
    blog(&disk, Keys::none()).await.compact(&all, &mut |_| {}).await.unwrap();
    let (merge, _) = header(&disk, 4);
    let parts = merge["parts"].as_array().unwrap();
    let digests = parts.iter().position(|part| part[0] == "digests").unwrap();
    let before: u64 = parts[..digests].iter().map(|part| part[1].as_u64().unwrap()).sum();
    let object = disk.object("source/blog/commit/00000000000000000004");
    let body = object.splitn(3, |byte| *byte == b'\n').nth(2).unwrap();
    let mut stated: Value = serde_json::from_slice(&zstd::decode_all(&body[before as usize..]).unwrap()).unwrap();
    for is_forged in [false, true] {
        if is_forged {
            stated["points"]["2"]["notes"]["sum"] = json!("0".repeat(64));
        }
        let part = zstd::encode_all(serde_json::to_vec(&stated).unwrap().as_slice(), 3).unwrap();
        let forged = disk.restarted();
        let mut commit = next(&forged, 4, &json!({}));
        commit["parts"] = json!([["digests", part.len(), Digest::of(&part)]]);
        let line = serde_json::to_vec(&commit).unwrap();
        let signature = format!("\nsha256:{}\n", Digest::of(&line));
        forged.replace("source/blog/commit/00000000000000000005", [line, signature.into_bytes(), part].concat());
        let done = blog(&forged, Keys::none()).await.compact(&all, &mut |_| {}).await;
        let points = blog(&forged, Keys::none()).await.points().await.unwrap();
        assert_eq!(points.len(), 3);
        match done {
            Ok(done) => assert!(!is_forged && done.points_compared == 3),
            Err(error) => assert!(is_forged && error.kind() == ErrorKind::Integrity, "{error}"),
        }
        let commits = forged.names().iter().filter(|name| name.contains("/commit/")).count();
        assert_eq!(commits, if is_forged { 5 } else { 6 });
    }
}
