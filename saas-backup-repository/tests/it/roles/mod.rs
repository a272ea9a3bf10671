//! Who reads and who writes, as the owner states it later.

mod check;
mod revoked;
mod rewrap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use age::x25519;
use bytes::Bytes;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, BlobId, BlobRef, Connector as _, ErrorKind, ManualClock, Result};
use saas_backup_repository::{
    AgentKey, CompactOptions, Identity, KeyReport, Keys, Repository, RepositoryOptions, RewrapOptions, Rewrapped,
    Source,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::faults::FaultyStore;
use crate::forged::signed_as;
use crate::support::{back_up, clock, live, mirror, note, options};

/// An owner, an agent that writes, and what they have written.
struct Scene {
    owner: Identity,
    agent: AgentKey,
    clock: ManualClock,
    disk: FaultyStore,
    account: MemoryStore,
}

impl Scene {
    async fn new() -> Self {
        let (owner, agent, clock, disk) = (Identity::generate(), AgentKey::generate(), clock(), FaultyStore::default());
        let scene = Self { owner, agent, clock, disk, account: MemoryStore::new() };
        let keys = Keys::owner(scene.owner.clone()).with_agent(scene.agent.clone());
        Repository::init_on(Arc::new(scene.disk.clone()), scene.options(keys)).await.unwrap();
        for round in 0..3 {
            scene.back_up(&scene.disk, &scene.agent, round).await.unwrap();
        }
        scene
    }

    fn options(&self, keys: Keys) -> RepositoryOptions {
        options(&self.clock).with_keys(keys)
    }

    async fn open(&self, keys: Keys) -> Result<Repository> {
        Repository::open_on(Arc::new(self.disk.clone()), self.options(keys)).await
    }

    async fn owners(&self) -> Repository {
        self.open(Keys::owner(self.owner.clone())).await.unwrap()
    }

    async fn blog(&self) -> Source {
        self.owners().await.source("blog").unwrap()
    }

    /// A run with a record, an attachment in a pack and one with a key of its own.
    async fn back_up(&self, disk: &FaultyStore, agent: &AgentKey, round: u32) -> Result<()> {
        self.account.put(note(&round.to_string(), &format!("text {round}")));
        for (id, size) in [(format!("small {round}"), 900), (format!("large {round}"), 1_100_000)] {
            let blob = BlobId::parse(&id).unwrap();
            self.account.put_blob(blob.clone(), vec![round as u8; size]);
            self.account.put(note(&id, "").with_blob(BlobRef::new(blob, "attachment")));
        }
        let keys = self.options(Keys::writer(agent.clone()).with_root(self.owner.root_key()));
        let source = Repository::open_on(Arc::new(disk.clone()), keys).await?.source("blog")?;
        back_up(&MemoryConnector::new(self.account.clone()), &source, &self.clock).await?;
        self.clock.advance(Duration::from_hours(1));
        Ok(())
    }

    async fn rewrap(&self) -> Rewrapped {
        self.owners().await.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap()
    }

    async fn check(&self) -> KeyReport {
        self.owners().await.check_keys(&mut |_| {}).await.unwrap()
    }

    fn keys(&self) -> Vec<String> {
        self.disk.names().into_iter().filter(|name| name.contains("/keys/")).collect()
    }

    /// All objects that hold no key and state no role.
    fn others(&self) -> BTreeMap<String, Bytes> {
        let names = self.disk.names().into_iter();
        let others = names.filter(|name| !name.contains("/keys/") && !name.starts_with("roles/"));
        others.map(|name| (name.clone(), self.disk.object(&name))).collect()
    }

    fn header(&self, sequence: u64) -> Value {
        let object = self.disk.object(&format!("source/blog/commit/{sequence:020}"));
        serde_json::from_slice(object.split(|byte| *byte == b'\n').next().unwrap()).unwrap()
    }
}

fn secret(file: &SecretString) -> x25519::Identity {
    file.expose_secret().lines().find(|line| !line.starts_with('#')).unwrap().parse().unwrap()
}

fn opens(key: &x25519::Identity, object: &Bytes) -> bool {
    age::decrypt(key, object).is_ok()
}

#[tokio::test]
async fn who_is_added_reads_everything_and_signs_nothing_that_counts() {
    let scene = Scene::new().await;
    let reader = Identity::generate();
    scene.owners().await.add_recipient(reader.recipient()).await.unwrap();
    let before = scene.others();
    let opened = scene.open(Keys::owner(reader.clone())).await.unwrap();
    assert_eq!(opened.recipients().unwrap(), [scene.owner.recipient().clone(), reader.recipient().clone()]);
    let denied = live(&opened.source("blog").unwrap(), At::Now).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);

    let dry = scene.owners().await.rewrap(&RewrapOptions::default().with_dry_run(true), &mut |_| {}).await.unwrap();
    let done = scene.rewrap().await;
    assert_eq!((dry, done.rewritten), (done.clone(), scene.keys().len() as u64));
    assert!(done.objects >= 6 && done.problems.is_empty(), "{done:?}");
    assert_eq!(scene.rewrap().await.rewritten, 0);
    assert!(scene.others() == before, "something beside the keys was touched");

    scene.back_up(&scene.disk, &scene.agent, 3).await.unwrap();
    let reading = scene.open(Keys::owner(reader.clone())).await.unwrap();
    let blog = reading.source("blog").unwrap();
    for point in scene.blog().await.points().await.unwrap() {
        let at = || At::Sequence(point.sequence);
        assert_eq!(live(&blog, at()).await.unwrap(), live(&scene.blog().await, at()).await.unwrap());
    }
    assert!(reading.check_keys(&mut |_| {}).await.unwrap().is_good());

    let denied = [
        blog.sink(mirror(true)).await.map(drop),
        blog.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.map(drop),
        reading.add_recipient(Identity::generate().recipient()).await,
        reading.remove_recipient(scene.owner.recipient()).await,
        reading.add_writer(&AgentKey::generate()).await.map(drop),
        reading.revoke_writer(scene.header(1)["writer"].as_str().unwrap()).await,
    ];
    for refused in denied {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    // What it signs as an owner would states nothing.
    let stolen = json!({
        "format": 1, "requires": [], "repository": reading.id(), "number": 9, "at": "2026-11-21T10:00:00Z",
        "recipients": [reader.recipient().as_str()],
    });
    scene.disk.replace("roles/00000000000000000009", signed_as("an owner", "roles", &stolen, &reader.to_file()));
    assert_eq!(scene.owners().await.recipients().unwrap().len(), 2);
    assert_eq!(scene.check().await.problems.len(), 1);
    scene.disk.replace("roles/00000000000000000009", signed_as("an owner", "roles", &stolen, &scene.owner.to_file()));
    assert_eq!(scene.open(Keys::none()).await.unwrap().recipients().unwrap(), [reader.recipient().clone()]);
}

#[tokio::test]
async fn who_is_removed_opens_no_key_and_nothing_that_is_new() {
    let scene = Scene::new().await;
    let reader = Identity::generate();
    let owners = scene.owners().await;
    owners.add_recipient(reader.recipient()).await.unwrap();
    scene.rewrap().await;
    let key = secret(&reader.to_file());
    let kept: Vec<x25519::Identity> = scene
        .keys()
        .iter()
        .filter(|name| !name.contains("naming"))
        .map(|name| String::from_utf8(age::decrypt(&key, &scene.disk.object(name)).unwrap()).unwrap())
        .map(|text| text.trim().parse().unwrap())
        .collect();

    owners.remove_recipient(reader.recipient()).await.unwrap();
    assert_eq!(owners.remove_recipient(reader.recipient()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(owners.remove_recipient(scene.owner.recipient()).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    scene.rewrap().await;
    let refused = scene.open(Keys::owner(reader.clone())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    let before = scene.disk.names();
    scene.back_up(&scene.disk, &scene.agent, 3).await.unwrap();
    let new: Vec<String> = scene.disk.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(scene.keys().iter().all(|name| !opens(&key, &scene.disk.object(name))));

    // The month goes on, and still no key that was kept opens what is written now.
    let commit = scene.header(4);
    assert_eq!(commit["domains"].as_array().unwrap().len(), 2, "{commit}");
    let object = scene.disk.object("source/blog/commit/00000000000000000004");
    let parts = commit["parts"].as_array().unwrap();
    let mut at = object.len() - parts.iter().map(|part| part[1].as_u64().unwrap() as usize).sum::<usize>();
    for part in parts {
        let end = at + part[1].as_u64().unwrap() as usize;
        assert!(kept.iter().all(|key| !opens(key, &object.slice(at..end))), "{part}");
        at = end;
    }
    for name in new.iter().filter(|name| ["/pack/", "/blob/", "/data/"].iter().any(|kind| name.contains(kind))) {
        assert!(kept.iter().all(|key| !opens(key, &scene.disk.object(name))), "{name}");
    }
    assert!(scene.check().await.is_good());
    assert_eq!(live(&scene.blog().await, At::Now).await.unwrap().len(), scene.account.live().len());
}

#[tokio::test]
async fn what_nobody_stated_is_passed_over_and_what_is_newer_is_unsupported() {
    let scene = Scene::new().await;
    let reader = Identity::generate();
    let open = scene.owners().await;
    open.add_recipient(reader.recipient()).await.unwrap();
    let stated = scene.disk.object("roles/00000000000000000001");
    let mut damaged = stated.to_vec();
    damaged[10] ^= 1;
    for garbage in
        [Bytes::new(), Bytes::from_static(b"x"), stated.slice(..stated.len() / 2), damaged.into(), stated.clone()]
    {
        scene.disk.replace("roles/00000000000000000007", garbage);
        assert_eq!(scene.owners().await.recipients().unwrap().len(), 2);
        assert_eq!(scene.check().await.problems[0].object, "roles/00000000000000000007");
    }
    // The next statement goes after whatever is there.
    let other = Identity::generate();
    scene.owners().await.add_recipient(other.recipient()).await.unwrap();
    assert!(scene.disk.names().contains(&"roles/00000000000000000008".to_owned()));
    // Whoever has seen it believes nothing older.
    open.add_recipient(other.recipient()).await.unwrap();
    scene.disk.remove("roles/00000000000000000008");
    open.add_recipient(other.recipient()).await.unwrap();
    assert_eq!(open.recipients().unwrap().len(), 3);

    let newer = json!({ "format": 1, "requires": ["quorum"], "number": 9 });
    scene.disk.replace("roles/00000000000000000009", signed_as("an owner", "roles", &newer, &scene.owner.to_file()));
    let refused = scene.open(Keys::owner(scene.owner.clone())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnsupportedVersion);
}

#[tokio::test]
async fn a_copy_knows_who_reads() {
    let scene = Scene::new().await;
    let (reader, copy) = (Identity::generate(), FaultyStore::default());
    scene.owners().await.replicate_on(Arc::new(copy.clone()), &mut |_| {}).await.unwrap();
    scene.owners().await.add_recipient(reader.recipient()).await.unwrap();
    scene.rewrap().await;
    scene.back_up(&scene.disk, &scene.agent, 3).await.unwrap();
    let done = scene.owners().await.replicate_on(Arc::new(copy.clone()), &mut |_| {}).await.unwrap();
    assert_eq!(done.problems, []);
    // Nothing in a copy is replaced: its keys are rewritten there.
    let options = scene.options(Keys::owner(scene.owner.clone()));
    let there = Repository::open_on(Arc::new(copy.clone()), options).await.unwrap();
    assert!(there.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap().rewritten > 3);
    let there = Repository::open_on(Arc::new(copy), scene.options(Keys::owner(reader))).await.unwrap();
    assert!(there.check_keys(&mut |_| {}).await.unwrap().is_good());
    let (one, other) = (there.source("blog").unwrap(), scene.blog().await);
    assert_eq!(live(&one, At::Now).await.unwrap(), live(&other, At::Now).await.unwrap());
    scene.back_up(&scene.disk, &scene.agent, 4).await.unwrap();
}
