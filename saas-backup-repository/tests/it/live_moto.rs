//! Buckets that keep versions, lock objects, and deny their deletion: what upkeep does with them.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, BlobId, BlobRef, Clock as _, ErrorKind, ManualClock, SystemClock};
use saas_backup_repository::{
    CollectOptions, CompactOptions, Identity, Keys, LockOptions, Repository, RepositoryOptions, RewrapOptions, Source,
    VerifyOptions,
};
use serde_json::Value;

use crate::storage::{prefix, variable};
use crate::support::{back_up, live, note};

/// A repository in a bucket, and the view of the bucket that another program has, which the server believes unseen.
struct Scene {
    bucket: String,
    prefix: String,
    options: RepositoryOptions,
    clock: ManualClock,
    account: MemoryStore,
}

impl Scene {
    /// With two points, the older of which holds an attachment that the newer does not, beside one that both hold.
    async fn new(bucket: &str) -> Self {
        let (bucket, prefix, clock) = (variable(bucket), prefix(), ManualClock::new(SystemClock.now()));
        let mut options = RepositoryOptions::parse(&format!("s3://{bucket}/{prefix}"))
            .unwrap()
            .with_environment(false)
            .with_versioned(true)
            .with_clock(Arc::new(clock.clone()))
            .with_keys(Keys::owner(Identity::generate()));
        for (name, value) in [
            ("aws_endpoint", variable("SAAS_BACKUP_TEST_MOTO_URL")),
            ("aws_allow_http", "true".to_owned()),
            ("aws_region", variable("SAAS_BACKUP_TEST_MOTO_REGION")),
            ("aws_access_key_id", variable("SAAS_BACKUP_TEST_MOTO_ACCESS_KEY_ID")),
            ("aws_secret_access_key", variable("SAAS_BACKUP_TEST_MOTO_SECRET_ACCESS_KEY")),
        ] {
            options = options.with_option(name, value);
        }
        Repository::init(options.clone()).await.unwrap();
        let scene = Self { bucket, prefix, options, clock, account: MemoryStore::new() };
        for (seed, id) in ["with", "always with"].into_iter().enumerate() {
            let blob = BlobId::parse(id).unwrap();
            scene.account.put_blob(blob.clone(), vec![seed as u8; 1_100_000]);
            scene.account.put(note(id, "").with_blob(BlobRef::new(blob, "attachment")));
        }
        scene.back_up().await;
        scene.account.put(note("with", "has none any more"));
        scene.back_up().await;
        scene
    }

    async fn open(&self) -> Repository {
        Repository::open(self.options.clone()).await.unwrap()
    }

    async fn blog(&self) -> Source {
        self.open().await.source("blog").unwrap()
    }

    async fn back_up(&self) {
        back_up(&MemoryConnector::new(self.account.clone()), &self.blog().await, &self.clock).await.unwrap();
        self.clock.advance(Duration::from_hours(1));
    }

    /// Gives up the first point, and the attachment with it.
    async fn forget(&self) {
        let blog = self.blog().await;
        blog.forget(&[blog.points().await.unwrap()[0].sequence].into()).await.unwrap();
        let merged = blog.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
        assert_eq!(merged.attachments_released, 1, "{merged:?}");
    }

    /// The versions that the server holds below a folder: name, id, whether it is the object, and whether it is a mark of
    /// deletion.
    fn versions(&self, folder: &str) -> Vec<(String, String, bool, bool)> {
        let script = r#"
import json, sys, urllib.request, xml.etree.ElementTree as tree
url, bucket, prefix = sys.argv[1:]
answer = urllib.request.urlopen(f"{url}/{bucket}?versions&prefix={prefix}&max-keys=10000").read()
space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
print(json.dumps([
    [one.find(space + "Key").text, one.find(space + "VersionId").text, one.find(space + "IsLatest").text == "true",
     one.tag == space + "DeleteMarker"]
    for one in tree.fromstring(answer) if one.tag in (space + "Version", space + "DeleteMarker")
]))"#;
        let prefix = format!("{}/{folder}", self.prefix);
        let url = variable("SAAS_BACKUP_TEST_MOTO_URL");
        let done = Command::new("python3").args(["-c", script, &url, &self.bucket, &prefix]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let found: Vec<(String, String, bool, bool)> = serde_json::from_slice(&done.stdout).unwrap();
        let relative = |name: String| name.strip_prefix(&format!("{}/", self.prefix)).unwrap().to_owned();
        found.into_iter().map(|(name, id, latest, mark)| (relative(name), id, latest, mark)).collect()
    }

    /// Until when the server says that an object is locked, and in which mode.
    fn lock(&self, name: &str) -> Option<(DateTime<Utc>, String)> {
        let script = r#"
import json, sys, urllib.request
signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, Signature=any"}
head = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=signed, method="HEAD")).headers
print(json.dumps([head["x-amz-object-lock-retain-until-date"], head["x-amz-object-lock-mode"]]))"#;
        let address = format!("{}/{}/{}/{name}", variable("SAAS_BACKUP_TEST_MOTO_URL"), self.bucket, self.prefix);
        let done = Command::new("python3").args(["-c", script, &address]).output().unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        let found: [Value; 2] = serde_json::from_slice(&done.stdout).unwrap();
        Some((found[0].as_str()?.parse().unwrap(), found[1].as_str()?.to_owned()))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.versions(folder).into_iter().filter(|(.., mark)| !mark).map(|(name, ..)| name).collect()
    }
}

#[tokio::test]
#[ignore = "needs moto: ./test runs it"]
async fn what_upkeep_removes_is_gone_in_all_its_versions() {
    let scene = Scene::new("SAAS_BACKUP_TEST_MOTO_LOCKED_BUCKET").await;
    let reader = Identity::generate();
    scene.open().await.add_recipient(reader.recipient()).await.unwrap();
    let done = scene.open().await.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap();
    assert!(done.rewritten > 3 && done.kept == 0, "{done:?}");
    // Nothing is left that only the first recipient opens, nor of the secrets that were kept meanwhile.
    let keys = scene.versions("source/blog/keys/");
    assert!(keys.iter().all(|(name, _, latest, mark)| *latest && !mark && !name.contains("rewriting")), "{keys:?}");

    assert_eq!(scene.names("source/blog/blob/").len(), 2);
    scene.forget().await;
    scene.clock.advance(Duration::from_hours(8 * 24));
    let collected = scene.blog().await.collect(&CollectOptions::default()).await.unwrap();
    assert!(collected.objects > 2 && collected.denied == 0, "{collected:?}");
    let left = scene.versions("");
    assert!(left.iter().all(|(_, _, latest, mark)| *latest && !mark), "{left:?}");
    assert_eq!((scene.versions("source/blog/blob/").len(), scene.versions("probe/").len()), (1, 0));
    assert!(scene.open().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap().is_good());
}

#[tokio::test]
#[ignore = "needs moto: ./test runs it"]
async fn data_is_locked_for_long_and_keys_roll() {
    let scene = Scene::new("SAAS_BACKUP_TEST_MOTO_LOCKED_BUCKET").await;
    let options = LockOptions::default();
    let dry = scene.open().await.lock(&options.clone().with_dry_run(true)).await.unwrap();
    assert!(scene.names("").iter().all(|name| scene.lock(name).is_none()));
    let locked = scene.open().await.lock(&options).await.unwrap();
    assert_eq!((dry, locked.extended, locked.denied), (locked, locked.objects, 0));
    let names = scene.names("");
    assert_eq!(names.len() as u64, locked.objects);
    let now = scene.clock.now();
    for name in &names {
        let is_data = ["/data/", "/state/", "/blob/", "/pack/"].iter().any(|folder| name.contains(folder));
        let (until, mode) = scene.lock(name).unwrap();
        let time = until - now;
        let wanted = TimeDelta::days(if is_data { 90 } else { 14 });
        assert!(wanted - time <= TimeDelta::seconds(1) && time <= wanted && mode == "GOVERNANCE", "{name}: {time}");
    }
    assert_eq!(scene.open().await.lock(&options).await.unwrap().extended, 0);

    // What is locked cannot be removed: that is counted, and nothing is lost or half gone.
    scene.forget().await;
    let before = scene.versions("");
    scene.clock.advance(Duration::from_hours(8 * 24));
    let collected = scene.blog().await.collect(&CollectOptions::default()).await.unwrap();
    assert_eq!(collected.denied, 2, "the attachment and its key: {collected:?}");
    let after = scene.versions("");
    assert!(after.iter().all(|(_, _, latest, mark)| *latest && !mark), "{after:?}");
    assert!(before.iter().all(|one| after.contains(one) || !one.0.contains("/blob/")), "{after:?}");

    // Keys that are needed are locked anew after half of their time; those that were given up are not, nor is data.
    let locks = || scene.names("source/blog/blob/").iter().map(|name| scene.lock(name).unwrap()).collect::<Vec<_>>();
    let before = locks();
    let again = scene.open().await.lock(&options).await.unwrap();
    assert!(again.extended > 3 && again.extended < again.objects, "{again:?}");
    assert_eq!((locks(), before.len()), (before, 2));
    let fresh = scene.clock.now() + TimeDelta::days(13);
    let keys = scene.names("source/blog/keys/");
    let rolled = keys.iter().filter(|name| scene.lock(name).unwrap().0 > fresh).count();
    assert!(rolled > 1 && rolled < keys.len(), "{rolled} of {}", keys.len());
    assert!(scene.lock("repo.json").unwrap().0 > fresh);
    assert_eq!(live(&scene.blog().await, At::Now).await.unwrap().len(), 2);
}

#[tokio::test]
#[ignore = "needs moto: ./test runs it"]
async fn a_bucket_that_locks_by_default_takes_all_objects_and_lets_go_of_none() {
    let scene = Scene::new("SAAS_BACKUP_TEST_MOTO_DEFAULT_BUCKET").await;
    let names = scene.names("");
    assert!(names.iter().any(|name| name.contains("/blob/")) && names.iter().any(|name| name.contains("/commit/")));
    for name in &names {
        let (until, mode) = scene.lock(name).unwrap_or_else(|| panic!("{name} is not locked"));
        assert!(until > SystemClock.now() + TimeDelta::hours(20) && mode == "GOVERNANCE", "{name}: {until} {mode}");
    }
    scene.forget().await;
    scene.clock.advance(Duration::from_hours(8 * 24));
    let collected = scene.blog().await.collect(&CollectOptions::default()).await.unwrap();
    assert!(collected.denied > 2 && collected.objects == 0, "{collected:?}");
    let left = scene.versions("source/");
    assert!(left.iter().all(|(_, _, latest, mark)| *latest && !mark), "{left:?}");
    let locked = scene.open().await.lock(&LockOptions::default()).await.unwrap();
    assert!(locked.extended == locked.objects && locked.denied == 0, "{locked:?}");
    assert!(scene.open().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap().is_good());
}

#[tokio::test]
#[ignore = "needs moto: ./test runs it"]
async fn a_locked_key_is_rewritten_and_what_it_was_is_told() {
    let scene = Scene::new("SAAS_BACKUP_TEST_MOTO_LOCKED_BUCKET").await;
    scene.open().await.lock(&LockOptions::default()).await.unwrap();
    let reader = Identity::generate();
    scene.open().await.add_recipient(reader.recipient()).await.unwrap();
    let done = scene.open().await.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap();
    assert!(done.rewritten > 3 && done.kept == done.rewritten && done.denied == 0, "{done:?}");
    let again = scene.open().await.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap();
    assert_eq!((again.rewritten, again.kept), (0, done.kept));
    let keys = Keys::owner(reader);
    let reading = Repository::open(scene.options.clone().with_keys(keys)).await.unwrap();
    assert!(reading.check_keys(&mut |_| {}).await.unwrap().is_good());
}

#[tokio::test]
#[ignore = "needs moto: ./test runs it"]
async fn a_policy_that_denies_deletion_is_counted_and_harms_nothing() {
    let scene = Scene::new("SAAS_BACKUP_TEST_MOTO_DENIED_BUCKET").await;
    scene.forget().await;
    scene.clock.advance(Duration::from_hours(8 * 24));
    let before = scene.versions("");
    let collected = scene.blog().await.collect(&CollectOptions::default()).await.unwrap();
    assert!(collected.denied > 2 && (collected.objects, collected.commits) == (0, 0), "{collected:?}");
    assert_eq!(scene.versions(""), before);
    assert!(scene.open().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap().is_good());
    // Versions, but no locks.
    let refused = scene.open().await.lock(&LockOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let plain = scene.options.clone().with_versioned(false);
    let refused = Repository::open(plain).await.unwrap().lock(&LockOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
