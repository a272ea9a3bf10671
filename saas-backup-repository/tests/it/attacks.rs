//! Somebody who has a writer's keys, or the storage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::Contents;
use saas_backup_core::{At, BlobId, BlobRef, Connector as _, Digest, ErrorKind, Key, Record, SnapshotOptions};
use saas_backup_repository::{AgentKey, Identity, Keys, Repository, RepositoryOptions, Source, VerifyOptions};
use secrecy::ExposeSecret as _;

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, live, note, options};

/// An owner, an agent of theirs, and the storage.
struct Scene {
    owner: RepositoryOptions,
    writer: RepositoryOptions,
    agent: AgentKey,
    disk: FaultyStore,
}

impl Scene {
    async fn new() -> Self {
        let (identity, agent, disk) = (Identity::generate(), AgentKey::generate(), FaultyStore::default());
        let owner = options(&clock()).with_keys(Keys::owner(identity.clone()).with_agent(agent.clone()));
        Repository::init_on(Arc::new(disk.clone()), owner.clone()).await.unwrap();
        let writer = options(&clock()).with_keys(Keys::writer(agent.clone()).with_root(identity.root_key()));
        Self { owner, writer, agent, disk }
    }

    fn on(&self, disk: &FaultyStore) -> Self {
        Self { owner: self.owner.clone(), writer: self.writer.clone(), agent: self.agent.clone(), disk: disk.clone() }
    }

    async fn open(&self, keys: &RepositoryOptions) -> Repository {
        Repository::open_on(Arc::new(self.disk.clone()), keys.clone()).await.unwrap()
    }

    /// Backs an account up with the writer's keys alone.
    async fn write(&self, source: &str, account: &MemoryStore) -> saas_backup_core::Result<()> {
        let source = self.open(&self.writer).await.source(source)?;
        back_up(&MemoryConnector::new(account.clone()), &source, &clock()).await.map(drop)
    }

    async fn blog(&self) -> Source {
        self.open(&self.owner).await.source("blog").unwrap()
    }
}

/// Adds records and attachments of each size: inline, in a pack, in an object of their own.
fn grow(account: &MemoryStore, round: u32) {
    for id in 0..20 {
        account.put(note(&format!("{id}"), &format!("text {round}")));
    }
    let noise: Vec<u8> = (0..1_100_000_u32).map(|at| ((at ^ round).wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (id, size) in [(format!("small {round}"), 900), (format!("large {round}"), noise.len())] {
        account.put_blob(BlobId::parse(&id).unwrap(), noise[..size].to_vec());
        account.put(note(&id, "").with_blob(BlobRef::new(BlobId::parse(&id).unwrap(), "attachment")));
    }
    for id in 0..(600 * (round % 2)) {
        let text: String = (0..20).map(|part: u32| Digest::of(&(id * 20 + part).to_le_bytes()).to_string()).collect();
        account.put(note(&format!("long {round} {id}"), &text));
    }
}

fn header(object: &Bytes) -> serde_json::Value {
    serde_json::from_slice(object.split(|byte| *byte == b'\n').next().unwrap()).unwrap()
}

/// The objects and inline parts that a source's commits name: their bytes, kind and domain.
fn sealed(disk: &FaultyStore) -> Vec<(Bytes, String, String)> {
    let (mut sealed, mut domains) = (Vec::new(), HashMap::new());
    for name in disk.names().into_iter().filter(|name| name.contains("/commit/")) {
        let object = disk.object(&name);
        let header = header(&object);
        let text = |value: &serde_json::Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
        for one in header["objects"].as_array().into_iter().flatten() {
            sealed.push((disk.object(&text(one, "name")), text(one, "kind"), text(one, "domain")));
        }
        for domain in header["domains"].as_array().into_iter().flatten() {
            domains.insert(text(domain, "kind"), text(domain, "id"));
        }
        let parts = header["parts"].as_array().unwrap();
        let length: u64 = parts.iter().map(|part| part[1].as_u64().unwrap()).sum();
        let mut at = object.len() - length as usize;
        for part in parts {
            let end = at + part[1].as_u64().unwrap() as usize;
            let kind = part[0].as_str().unwrap().to_owned();
            let known = &domains[if kind.starts_with("meta") { "meta" } else { "data" }];
            sealed.push((object.slice(at..end), kind, part[3].as_str().unwrap_or(known).to_owned()));
            at = end;
        }
    }
    sealed
}

/// Opens an age file as any program would.
fn age_opens(key: &age::x25519::Identity, file: &[u8]) -> Option<String> {
    let decryptor = age::Decryptor::new_buffered(file).unwrap();
    let mut plain = Vec::new();
    decryptor.decrypt(std::iter::once(key as _)).ok()?.read_to_end(&mut plain).unwrap();
    Some(String::from_utf8_lossy(&plain).into_owned())
}

/// Who steals a writer's key gets cursors and the like, and no record and no attachment: neither through this crate nor
/// with age and all keys that the writer's key opens.
#[tokio::test]
async fn a_writers_key_opens_no_record_and_no_attachment() {
    let scene = Scene::new().await;
    let account = MemoryStore::new();
    for round in 0..3 {
        grow(&account, round);
        account.delete(key(&round.to_string()));
        scene.write("blog", &account).await.unwrap();
    }
    let file = scene.agent.to_file();
    let secret = file.expose_secret().lines().find(|line| !line.starts_with('#')).unwrap().to_owned();
    let agent: age::x25519::Identity = secret.parse().unwrap();
    let mut opened: BTreeMap<String, age::x25519::Identity> = BTreeMap::new();
    for name in scene.disk.names().into_iter().filter(|name| name.contains("/keys/") && !name.contains("naming")) {
        if let Some(key) = age_opens(&agent, &scene.disk.object(&name)) {
            let id = name.rsplit('/').next().unwrap().trim_end_matches(".age").to_owned();
            opened.insert(id, key.trim().parse().unwrap());
        }
    }
    let (mut data, mut meta) = (BTreeSet::new(), 0);
    for (bytes, kind, domain) in sealed(&scene.disk) {
        if ["meta", "meta-index", "meta-segment"].contains(&kind.as_str()) {
            assert!(age_opens(&opened[&domain], &bytes).is_some(), "{kind}");
            meta += 1;
        } else {
            assert!(!opened.contains_key(&domain), "{kind}");
            for key in opened.values().chain([&agent]) {
                assert!(age_opens(key, &bytes).is_none(), "{kind}");
            }
            data.insert(kind);
        }
    }
    assert!(meta > 2);
    assert_eq!(data.iter().map(String::as_str).collect::<Vec<_>>(), ["blob", "delta", "index", "pack", "segment"]);

    let blog = scene.open(&scene.writer).await.source("blog").unwrap();
    let snapshot = blog.snapshot(SnapshotOptions::default()).await.unwrap();
    let small = BlobRef::new(BlobId::parse("small 0").unwrap(), "attachment");
    let attachment = match snapshot.open(&key("small 0"), &small, None).await {
        Ok(bytes) => bytes.try_collect::<Vec<_>>().await.map(drop),
        Err(error) => Err(error),
    };
    let denied = [
        attachment,
        blog.record(&key("5"), &At::Now).await.map(drop),
        blog.history(&key("5")).await.map(drop),
        live(&blog, At::Now).await.map(drop),
        match blog.changes_since(0).await {
            Ok(changes) => changes.try_collect::<Vec<_>>().await.map(drop),
            Err(error) => Err(error),
        },
    ];
    assert!(denied.into_iter().all(|one| one.unwrap_err().kind() == ErrorKind::PermissionDenied));
    let report = blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert!(report.is_good() && report.sealed > 0, "{report:?}");
}

/// Credentials that only create are enough for every kind of run.
#[tokio::test]
async fn a_writer_asks_the_storage_to_replace_and_delete_nothing() {
    let scene = Scene::new().await;
    scene.disk.deny_deletion();
    scene.disk.deny_replacement();
    let account = MemoryStore::new();
    let mut history: BTreeMap<String, Bytes> = BTreeMap::new();
    for round in 0..70 {
        if round % 20 == 0 {
            grow(&account, round);
            scene.write("wiki", &account).await.unwrap();
        }
        account.put(note(&(round % 7).to_string(), &format!("changed {round}")));
        account.delete(key(&(round % 5).to_string()));
        let source = scene.open(&scene.writer).await.source("blog").unwrap().with_flush_bytes(0);
        back_up(&MemoryConnector::new(account.clone()), &source, &clock()).await.unwrap();
        for (name, bytes) in &history {
            assert!(scene.disk.object(name) == *bytes, "{name}");
        }
        history = scene.disk.names().into_iter().map(|name| (name.clone(), scene.disk.object(&name))).collect();
    }
    assert!(history.keys().any(|name| name.contains("/layout/")));
    let texts = |records: BTreeMap<Key, Record>| -> BTreeMap<_, _> {
        records.into_iter().map(|(key, record)| (key, record.data)).collect()
    };
    assert_eq!(texts(live(&scene.blog().await, At::Now).await.unwrap()), texts(account.live()));
}

/// Who may create objects cannot use up the numbers of commits and statements unnoticed.
#[tokio::test]
async fn an_object_far_beyond_the_last_one_of_its_kind_is_named_and_nothing_is_written_behind_it() {
    let scene = Scene::new().await;
    let account = MemoryStore::new();
    grow(&account, 0);
    scene.write("blog", &account).await.unwrap();
    let before = live(&scene.blog().await, At::Now).await.unwrap();
    for (far, round) in [(u64::MAX, 1), (1_000_000_000_000, 2)] {
        let (commit, statement) = (format!("source/blog/commit/{far:020}"), format!("roles/{far:020}"));
        scene.disk.replace(&commit, "no commit");
        scene.disk.replace(&statement, "no statement");
        grow(&account, round);
        let refused = scene.write("blog", &account).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Integrity);
        assert!(refused.to_string().contains(&commit), "{refused}");
        let owner = scene.open(&scene.owner).await;
        let refused = owner.add_recipient(Identity::generate().recipient()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Integrity);
        assert!(refused.to_string().contains(&statement), "{refused}");
        scene.disk.remove(&commit);
        scene.disk.remove(&statement);
    }
    scene.write("blog", &account).await.unwrap();
    assert_ne!(live(&scene.blog().await, At::Now).await.unwrap(), before);
}

/// A writer vouches for nobody: neither through this crate nor with a signature of its own key.
#[tokio::test]
async fn a_writer_makes_no_writers() {
    let scene = Scene::new().await;
    let stranger = AgentKey::generate();
    let refused = scene.open(&scene.writer).await.add_writer(&stranger).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);

    // As docs/repository-format.md says how the keys of a writer are derived and what they sign.
    let signer = |agent: &AgentKey| {
        let file = agent.to_file();
        let text = file.expose_secret().lines().find(|line| !line.starts_with('#')).unwrap().to_owned();
        SigningKey::from_bytes(&blake3::derive_key(
            "saas-backup repository 1: the Ed25519 seed of a writer",
            text.as_bytes(),
        ))
    };
    let public = signer(&stranger).verifying_key();
    let id: String = Digest::of(public.as_bytes()).to_string().chars().take(16).collect();
    let header = serde_json::json!({
        "format": 1, "requires": [], "writer": id, "verification_key": STANDARD.encode(public.as_bytes()),
        "recipient": stranger.recipient().as_str(),
    })
    .to_string();
    let message = format!("saas-backup repository 1: writer\n{header}");
    let signature = STANDARD.encode(signer(&scene.agent).sign(message.as_bytes()).to_bytes());
    scene.disk.replace(&format!("writer/{id}.json"), format!("{header}\n{signature}\n"));
    let mut forged = scene.on(&scene.disk);
    forged.writer.keys.agent = Some(stranger);
    let account = MemoryStore::new();
    account.put(note("1", "text"));
    assert_eq!(forged.write("blog", &account).await.unwrap_err().kind(), ErrorKind::Integrity);
    assert!(scene.blog().await.points().await.unwrap().is_empty());
}

/// The kind of an object: objects of one kind are alike in everything but what they hold.
fn kind(name: &str) -> &str {
    name.strip_prefix("source/").map_or("repository", |rest| rest.split('/').nth(1).unwrap_or_default())
}

/// Whoever has the storage may put any object in the place of another one of its kind, also of another source: it is
/// seen, and nothing wrong is read.
#[tokio::test]
async fn objects_in_each_others_place_are_always_noticed() {
    let scene = Scene::new().await;
    for (source, first) in [("blog", 0), ("wiki", 1)] {
        let account = MemoryStore::new();
        for round in first..2 {
            grow(&account, round);
            scene.write(source, &account).await.unwrap();
        }
    }
    let names = scene.disk.names();
    let (mut swaps, mut right) = (0, BTreeMap::new());
    for source in ["blog", "wiki"] {
        let opened = scene.open(&scene.owner).await.source(source).unwrap();
        right.insert(source, live(&opened, At::Now).await.unwrap());
    }
    for (at, one) in names.iter().enumerate() {
        for two in names[at + 1..].iter().filter(|two| kind(two) == kind(one)) {
            let swapped = scene.on(&scene.disk.restarted());
            swapped.disk.replace(one, scene.disk.object(two));
            swapped.disk.replace(two, scene.disk.object(one));
            let opened = Repository::open_on(Arc::new(swapped.disk.clone()), scene.owner.clone()).await;
            if let Ok(repository) = opened {
                let report = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await;
                assert!(report.is_ok_and(|report| !report.is_good()), "{one} and {two}");
                for (source, right) in &right {
                    let source = repository.source(source).unwrap();
                    assert!(live(&source, At::Now).await.map_or(true, |read| read == *right), "{one} and {two}");
                }
            }
            swaps += 1;
        }
    }
    assert!(swaps > 40, "{swaps}");
}

/// A reader that kept the number and the hash of the last commit it saw notices whatever is done to the timeline up to
/// it: cut off, a commit dropped, another history in its place, however long and rightly signed.
#[tokio::test]
async fn who_kept_the_last_commit_notices_every_other_history() {
    let scene = Scene::new().await;
    let account = MemoryStore::new();
    let mut older = Vec::new();
    for round in 0..5 {
        older.push((scene.disk.restarted(), account.live().len()));
        account.put(note(&round.to_string(), "text"));
        scene.write("blog", &account).await.unwrap();
    }
    let anchor = scene.blog().await.anchor().await.unwrap().unwrap();
    assert_eq!(anchor.sequence, 5);
    let with_anchor = VerifyOptions::presence().with_anchor("blog", anchor);
    let is_noticed = async |disk: &FaultyStore| {
        let repository = scene.on(disk).open(&scene.owner).await;
        !repository.verify(&with_anchor, &mut |_| {}).await.unwrap().is_good()
    };
    assert!(!is_noticed(&scene.disk).await);
    for (rolled_back, _) in &older {
        assert!(is_noticed(rolled_back).await);
    }
    for sequence in 1..=5 {
        let dropped = scene.disk.restarted();
        dropped.remove(&format!("source/blog/commit/{sequence:020}"));
        assert!(is_noticed(&dropped).await, "{sequence} was dropped");
    }
    for (from, (rolled_back, known)) in older.iter().enumerate() {
        // A reader that is open has seen the old history, too.
        let (fork, reader) = (rolled_back.restarted(), scene.on(&scene.disk.restarted()));
        let open = reader.blog().await;
        assert_eq!(open.points().await.unwrap().len(), 5);
        let (forged, scene) = (MemoryStore::new(), scene.on(&fork));
        for round in 0..8 {
            forged.put(note(&format!("forged {known} {round}"), "text"));
            scene.write("blog", &forged).await.unwrap();
            assert!(is_noticed(&fork).await, "a history of {} commits from {from} on", from + round + 1);
        }
        for name in reader.disk.names() {
            reader.disk.remove(&name);
        }
        for name in fork.names() {
            reader.disk.replace(&name, fork.object(&name));
        }
        assert_eq!(open.check().await.unwrap_err().kind(), ErrorKind::Integrity, "from {from} on");
        assert_eq!(open.point(&At::Sequence(8)).await.unwrap_err().kind(), ErrorKind::Integrity, "from {from} on");
        let snapshot = open.snapshot(SnapshotOptions::default()).await;
        let read = match snapshot {
            Ok(snapshot) => Contents::of(&*snapshot).await.map(|contents| contents.records.len()),
            Err(error) => Err(error),
        };
        assert!(read.is_err(), "{read:?} from {from} on");
    }
}
