//! What concerns a person goes from every point in time, and nothing else does.

use saas_backup_core::{ErasureRequest, ErasureTarget, Json, Reference};
use saas_backup_repository::{ErasureProgress, Reason, Scanned};

use super::*;
use crate::support::{holds, lacks, tell};

/// Stands in everything that concerns the person, and nowhere else.
const CANARY: &str = "lovelace-canary";

fn person() -> Reference {
    Reference::from(&key("person"))
}

fn request() -> EraseOptions {
    EraseOptions::new("ticket 4711")
}

fn written_by(id: &str, text: &str) -> Record {
    let mut record = note(id, &format!("{text} {CANARY}"));
    record.by = Some(person());
    record
}

/// Bytes that no two attachments share, with or without the canary.
fn bytes(name: &str, size: usize, canary: &str) -> Vec<u8> {
    let words = (0_u64..).map(|word| format!("{name}{word:x}{canary}"));
    words.flat_map(String::into_bytes).take(size).collect()
}

/// An account with a person in it, in several versions, beside others, and with attachments of all sizes.
async fn scene(keys: Keys) -> Scene {
    let mut scene = Scene::new(keys).await;
    let account = scene.account.clone();
    let blob = |id: &str, size: usize, canary: &str| {
        let blob = BlobId::parse(id).unwrap();
        account.put_blob(blob.clone(), bytes(id, size, canary));
        BlobRef::new(blob, "attachment")
    };
    account.put(note("person", &format!("they are {CANARY}")));
    account.put(written_by("small", "one").with_blob(blob(&format!("small-{CANARY}"), 900, CANARY)));
    account.put(written_by("large", "two").with_blob(blob(&format!("large-{CANARY}"), 2_500_000, CANARY)));
    account.put(written_by("shares", "three").with_blob(blob("shared", 1200, "")));
    account.put(note("other", "shares it").with_blob(blob("shared", 1200, "")));
    account.put(note("packed", "lies beside it").with_blob(blob("beside", 1100, "")));
    for run in 0..6 {
        for id in 0..6 {
            account.put(note(&format!("{}", (run * 5 + id) % 20), &format!("text {run} {id}")));
        }
        account.delete(key(&format!("{}", run % 20)));
        account.put(written_by(&format!("by {}", run % 3), &format!("version {run}")));
        if run == 3 {
            account.delete(key("large"));
            account.put(written_by("moved", "was theirs"));
        }
        if run == 4 {
            account.put(note("moved", "is somebody else's now"));
        }
        scene.back_up().await;
    }
    scene
}

async fn scenes() -> [Scene; 2] {
    [scene(Keys::none()).await, scene(Keys::owner(Identity::generate())).await]
}

/// What is erased: the person, what they wrote in any version, and thus `moved`.
fn is_erased(key: &Key) -> bool {
    let id = key.id.as_str();
    id == "person" || id.starts_with("by ") || ["small", "large", "shares", "moved"].contains(&id)
}

impl Scene {
    async fn erase(&mut self) {
        let found = self.source().await.erase(&Subject::person(person()), &request(), &mut |_| {}).await.unwrap();
        assert!(found.records.iter().all(|record| is_erased(&record.key)), "{found:?}");
        for content in self.points.values_mut() {
            content.retain(|key, _| !is_erased(key));
        }
        for id in ["person", "by 0", "by 1", "by 2", "small", "large", "shares", "moved"] {
            self.account.delete(key(id));
        }
    }

    async fn scan(&self) -> Scanned {
        self.source().await.scan(&[CANARY.to_owned()], &mut |_| {}).await.unwrap()
    }

    async fn progress(&self) -> ErasureProgress {
        self.source().await.erasures().await.unwrap().pop().unwrap().progress
    }

    /// Upkeep as it runs every day, until nothing is left to do.
    async fn days(&mut self, days: u64) {
        for _ in 0..days {
            self.clock.advance(Duration::from_hours(23));
            self.back_up().await;
            self.source().await.compact(&CompactOptions::default(), &mut |_| {}).await.unwrap();
            self.source().await.collect(&CollectOptions::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_preview_says_what_is_concerned_and_why_and_changes_nothing() {
    for scene in scenes().await {
        let before = scene.disk.names();
        let source = scene.source().await;
        let options = request().with_dry_run(true);
        let found = source.erase(&Subject::person(person()), &options, &mut |_| {}).await.unwrap();
        assert_eq!(scene.disk.names(), before);
        assert_eq!(source.concerned(&Subject::person(person()), &mut |_| {}).await.unwrap(), found);
        let of = |id: &str| found.records.iter().find(|record| record.key == key(id)).unwrap();
        assert_eq!((of("person").lines, of("person").live), (1, true));
        assert_eq!(of("person").reasons, BTreeSet::from([Reason::Person]));
        assert_eq!((of("by 0").lines, &of("by 0").reasons), (2, &BTreeSet::from([Reason::Author])));
        assert!(!of("large").live && of("moved").live, "any version of a record counts");
        assert_eq!(found.records.len(), 8);
        let blobs: Vec<(&str, Option<u64>)> =
            found.attachments.iter().map(|attachment| (attachment.blob.as_str(), attachment.size)).collect();
        assert_eq!(blobs, [("large-lovelace-canary", Some(2_500_000)), ("small-lovelace-canary", Some(900))]);
        assert_eq!(found.shared_attachments, 1);

        let field =
            Subject::default().with_field(key("person").collection, "/text", Json::parse(r#""shares it""#).unwrap());
        let by_field = source.concerned(&field, &mut |_| {}).await.unwrap();
        assert_eq!(by_field.records.iter().map(|record| &record.key).collect::<Vec<_>>(), [&key("other")]);
        let nothing = source.concerned(&Subject::default(), &mut |_| {}).await.unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::Configuration);
    }
}

#[tokio::test]
async fn what_concerns_a_person_is_hidden_at_once_and_gone_in_the_end_and_the_rest_stays() {
    for is_based in [false, true] {
        for mut scene in scenes().await {
            if is_based {
                scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
            }
            assert!(!scene.scan().await.found.is_empty());
            let read = VerifyOptions::read_all().with_record(true);
            scene.source().await.verify(&read, &mut |_| {}).await.unwrap();
            scene.erase().await;
            scene.check().await;
            assert_eq!(scene.progress().await, ErasureProgress::Hidden);
            let again = scene.source().await.concerned(&Subject::person(person()), &mut |_| {}).await.unwrap();
            assert!(again.is_empty(), "{again:?}");
            // Backups go on meanwhile, and say how many there are.
            scene.back_up().await;
            scene.check().await;

            let done = scene.source().await.compact(&CompactOptions::default(), &mut |_| {}).await.unwrap();
            assert!(done.base && done.lines_erased > 10, "{done:?}");
            scene.check().await;
            assert!(matches!(scene.progress().await, ErasureProgress::GivenUp { left, .. } if left > 0));
            assert!(!scene.scan().await.found.is_empty(), "it stays for the grace");

            scene.days(20).await;
            let scanned = scene.scan().await;
            assert_eq!(scanned.found, BTreeSet::new());
            assert!(scanned.objects > 5 && scanned.damaged == 0, "{scanned:?}");
            assert!(matches!(scene.progress().await, ErasureProgress::Gone { .. }), "{:?}", scene.progress().await);
            // What a writer left behind since then was never sealed to by what is erased.
            scene.disk.replace("source/blog/keys/7ZZZZZZZZZZZZZZZZZZZZZZZZZ.age", "a key");
            assert!(matches!(scene.progress().await, ErasureProgress::Gone { .. }), "{:?}", scene.progress().await);
            scene.check().await;
        }
    }
}

/// What is held counts what is erased no more.
#[tokio::test]
async fn what_is_erased_is_counted_no_more() {
    let held = async |source: &Source| {
        let state = source.sink(mirror(true)).await.unwrap().state().await.unwrap();
        state.held[&key("person").collection]
    };
    for mut scene in scenes().await {
        let before = held(&scene.source().await).await;
        scene.erase().await;
        let after = held(&scene.source().await).await;
        assert_eq!((before.blobs - after.blobs, before.blob_bytes - after.blob_bytes), (2, 2_500_900));
        // Where records are remembered, they are counted, too.
        let counted = Repository::init(options(&scene.clock)).await.unwrap().source("blog").unwrap();
        tell(true, &counted, vec![holds("p", "one", "text"), holds("p", "two", "text")]).await;
        assert_eq!(held(&counted).await.records, Some(2));
        counted.erase(&Subject::record(key("one")), &request(), &mut |_| {}).await.unwrap();
        assert_eq!(held(&counted).await.records, Some(1));
    }
}

/// A run that began before may have read what is erased: none of it comes back.
#[tokio::test]
async fn a_run_that_an_erasure_interrupts_is_refused_and_the_next_one_goes_on() {
    for mut scene in scenes().await {
        let source = scene.source().await;
        let sink = source.sink(mirror(true)).await.unwrap();
        let run = RunId::new(time());
        let catalog = Catalog::new(vec![Collection::new(key("person").collection, Kind::Record)]);
        sink.begin(&RunStart::new(run, time(), catalog, Coverage::default())).await.unwrap();
        let mut writer = sink.writer(&Feed::slice(key("person").collection)).await.unwrap();
        writer.write(vec![Event::Put(Box::new(written_by("late", "news")))]).await.unwrap();
        writer.flush(None).await.unwrap();
        scene.erase().await;
        let refused = sink.commit(&RunReport::new(run, time())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        drop(source);
        scene.back_up().await;
        scene.check().await;
        assert_eq!(scene.source().await.record(&key("late"), &At::Now).await.unwrap(), None);
    }
}

/// No change tells what was erased: who follows a source reads it anew.
#[tokio::test]
async fn who_follows_a_source_reads_it_anew_after_an_erasure() {
    let mut scene = scene(Keys::owner(Identity::generate())).await;
    let copy = Repository::init(options(&scene.clock)).await.unwrap().source("copy").unwrap();
    let contents = async |source: &Source| live(source, At::Now).await.unwrap().into_keys().collect::<BTreeSet<Key>>();
    back_up(&scene.source().await, &copy, &scene.clock).await.unwrap();
    assert!(contents(&copy).await.contains(&key("person")));
    let last = *scene.points.keys().last().unwrap();
    scene.erase().await;
    for _ in 0..2 {
        back_up(&scene.source().await, &copy, &scene.clock).await.unwrap();
        assert_eq!(contents(&copy).await, contents(&scene.source().await).await);
        scene.back_up().await;
    }
    let Err(error) = scene.source().await.changes_since(last).await else { panic!("it does not know them all") };
    assert_eq!(error.kind(), ErrorKind::CursorExpired);
}

/// Whatever an erasure and the upkeep after it are at work with when the machine is switched off: nothing else is
/// touched, and the same work goes on afterwards until the person is gone.
#[tokio::test]
async fn an_erasure_that_is_interrupted_goes_on() {
    let mut cases = 0;
    for mut scene in scenes().await {
        let all = scene.points.clone();
        let whole = scene.disk.restarted();
        scene.erase().await;
        let erased = scene.disk.restarted();
        for is_erased_before in [false, true] {
            for fault in [Fault::Before, Fault::After, Fault::Torn] {
                for write in 0.. {
                    let what = format!("erased {is_erased_before}, write {write} {fault:?}");
                    scene.disk = if is_erased_before { erased.restarted() } else { whole.restarted() };
                    scene.disk.fail_at(write, fault);
                    let source = scene.source().await;
                    let crashed = if is_erased_before {
                        source.compact(&compact_all(), &mut |_| {}).await.is_err()
                    } else {
                        source.erase(&Subject::person(person()), &request(), &mut |_| {}).await.is_err()
                    };
                    let (torn, disk) = (scene.disk.torn(), scene.disk.restarted());
                    if let Some(torn) = torn {
                        disk.remove(&torn);
                    }
                    scene.disk = disk;
                    let source = scene.source().await;
                    for (point, expected) in &scene.points {
                        let now = held(&source, *point).await;
                        assert!(&now == expected || now == all[point], "{what}: {point}");
                    }
                    source.erase(&Subject::person(person()), &request(), &mut |_| {}).await.unwrap();
                    source.compact(&compact_all(), &mut |_| {}).await.unwrap();
                    scene.check_on(&scene.disk, &what).await;
                    cases += 1;
                    if !crashed {
                        break;
                    }
                }
            }
        }
        scene.days(20).await;
        assert_eq!(scene.scan().await.found, BTreeSet::new());
        scene.check().await;
    }
    assert!(cases > 60, "{cases}");
}

#[tokio::test]
async fn what_a_maintainer_states_of_erasures_is_read_and_nothing_else_is() {
    for mut scene in scenes().await {
        scene.erase().await;
        let source = scene.source().await;
        let statement = source.state_erasures().await.unwrap();
        let repository = Repository::open_on(Arc::new(scene.disk.clone()), scene.keys.clone()).await.unwrap();
        let read = repository.read_statement(&statement).await.unwrap();
        assert_eq!(read.erasures, source.erasures().await.unwrap());
        assert_eq!((read.source.as_str(), read.erasures[0].records), ("blog", 8));
        let text = String::from_utf8(statement.to_vec()).unwrap();
        assert!(!text.contains(CANARY) && text.contains("ticket 4711"), "{text}");
        let forged = text.replacen("\"records\":8", "\"records\":0", 1);
        assert_ne!(forged, text);
        let error = repository.read_statement(&forged.into_bytes().into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
    }
}

#[tokio::test]
async fn a_source_s_own_request_is_taken_and_what_covers_parts_of_records_is_refused() {
    let scene = scene(Keys::none()).await;
    let targets = vec![ErasureTarget::record(key("other")), ErasureTarget::blob(BlobId::parse("beside").unwrap())];
    let mut asked = ErasureRequest::new("e-1", time(), "contract-end", time(), targets);
    let source = scene.source().await;
    let options = EraseOptions::new(&asked.id).with_basis(&asked.basis);
    let found = source.erase(&Subject::requested(&asked).unwrap(), &options, &mut |_| {}).await.unwrap();
    assert_eq!((found.records.len(), found.attachments.len(), found.shared_attachments), (1, 1, 1));
    assert_eq!(source.record(&key("other"), &At::Now).await.unwrap(), None);
    assert!(source.record(&key("packed"), &At::Now).await.unwrap().is_some());
    asked.scope = Some("versions-before".to_owned());
    assert_eq!(Subject::requested(&asked).unwrap_err().kind(), ErrorKind::Unsupported);
    let of = |request: &str| EraseOptions::new(request);
    for wrong in [of("e-2").with_basis("because"), of(""), of("two\nlines"), of(&"e".repeat(201))] {
        let error = source.erase(&Subject::record(key("packed")), &wrong, &mut |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{wrong:?}");
    }
    let longest = of(&"e".repeat(200)).with_dry_run(true);
    assert!(source.erase(&Subject::record(key("packed")), &longest, &mut |_| {}).await.is_ok());
}

/// What is told of a record that was erased, and deleted since then, hides no change after it.
#[tokio::test]
async fn a_deletion_of_what_was_erased_hides_no_other_change() {
    let clock = clock();
    let source = Repository::init(options(&clock)).await.unwrap().source("blog").unwrap();
    tell(false, &source, vec![holds("p", "gone", "once")]).await;
    source.erase(&Subject::record(key("gone")), &request(), &mut |_| {}).await.unwrap();
    tell(false, &source, vec![lacks("p", "gone"), holds("p", "new", "here")]).await;
    let changes = source.diff(&At::Sequence(1), &At::Now).await.unwrap();
    let changes: Vec<Key> = changes.map_ok(|change| change.key).try_collect().await.unwrap();
    assert_eq!(changes, [key("new")]);
}

/// A copy holds it until it is collected, too; that makes no commit, so that it goes on following.
#[tokio::test]
async fn copies_follow_an_erasure() {
    for mut scene in scenes().await {
        let copy = FaultyStore::default();
        let replicate = async |scene: &Scene| {
            let repository = Repository::open_on(Arc::new(scene.disk.clone()), scene.keys.clone()).await.unwrap();
            let done = repository.replicate_on(Arc::new(copy.clone()), &mut |_| {}).await.unwrap();
            assert!(done.is_complete(), "{done:?}");
        };
        replicate(&scene).await;
        scene.erase().await;
        replicate(&scene).await;
        scene.check_on(&copy, "the copy hides it, too").await;
        for _ in 0..25 {
            scene.days(1).await;
            replicate(&scene).await;
            let copy = scene.source_on(&copy).await;
            let collected = copy.collect(&CollectOptions::default().with_copy(true)).await.unwrap();
            assert_eq!(collected.denied, 0);
        }
        scene.check_on(&copy, "the copy").await;
        let source = scene.source_on(&copy).await;
        let scanned = source.scan(&[CANARY.to_owned()], &mut |_| {}).await.unwrap();
        assert_eq!(scanned.found, BTreeSet::new());
        assert!(matches!(source.erasures().await.unwrap()[0].progress, ErasureProgress::Gone { .. }));
    }
}

#[tokio::test]
async fn what_is_on_legal_hold_is_erased_only_if_somebody_says_so() {
    let scene = scene(Keys::none()).await;
    let labelled = scene.source().await.with_labels(vec!["legal-hold: case 7".to_owned()]);
    scene.account.put(note("more", "text"));
    back_up(&MemoryConnector::new(scene.account.clone()), &labelled, &scene.clock).await.unwrap();
    let source = scene.source().await;
    let (subject, before) = (Subject::person(person()), scene.disk.names());
    let error = source.erase(&subject, &request(), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(scene.disk.names(), before);
    source.erase(&subject, &request().with_despite_hold(true), &mut |_| {}).await.unwrap();
    assert_eq!(source.record(&key("person"), &At::Now).await.unwrap(), None);
}

/// What a backup writes while an erasure looks for records was not looked at.
#[tokio::test]
async fn an_erasure_that_a_backup_overtakes_is_refused_and_finds_all_when_it_is_repeated() {
    for scene in scenes().await {
        let (source, writer) = (scene.source().await, scene.source().await);
        let sink = writer.sink(mirror(true)).await.unwrap();
        let run = RunId::new(time());
        let catalog = Catalog::new(vec![Collection::new(key("person").collection, Kind::Record)]);
        sink.begin(&RunStart::new(run, time(), catalog, Coverage::default())).await.unwrap();
        let mut records = sink.writer(&Feed::slice(key("person").collection)).await.unwrap();
        records.write(vec![Event::Put(Box::new(written_by("late", "news")))]).await.unwrap();
        records.flush(None).await.unwrap();
        let mut sink = Some(sink);
        let mut overtake = |_| {
            if let Some(sink) = sink.take() {
                futures::executor::block_on(sink.commit(&RunReport::new(run, time()))).unwrap();
            }
        };
        let subject = Subject::person(person());
        let refused = source.erase(&subject, &request(), &mut overtake).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert_eq!(source.erasures().await.unwrap(), []);
        let found = scene.source().await.erase(&subject, &request(), &mut |_| {}).await.unwrap();
        assert!(found.records.iter().any(|record| record.key == key("late")), "{found:?}");
    }
}

/// What is lost keeps an erasure from being carried out: both are done at once, and neither undoes the other.
#[tokio::test]
async fn what_is_lost_is_given_up_although_an_erasure_waits() {
    for folder in ["/data/", "/pack/", "/blob/", "/keys/naming"] {
        for mut scene in scenes().await {
            scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
            scene.account.put(note("after", "the base"));
            scene.back_up().await;
            scene.erase().await;
            let name = scene.disk.names().into_iter().find(|name| name.contains(folder)).unwrap();
            scene.disk.remove(&name);
            let repository = Repository::open_on(Arc::new(scene.disk.clone()), scene.keys.clone()).await.unwrap();
            let options = MendOptions::new(VerifyOptions::read_all());
            let kept = repository.mend(&options, &mut |_| {}).await.unwrap();
            assert_eq!(kept.lost["blog"].objects, std::slice::from_ref(&name));
            assert_eq!(scene.progress().await, ErasureProgress::Hidden);
            let done = repository.mend(&options.with_drop(true), &mut |_| {}).await.unwrap();
            assert_eq!(done.problems, [], "{folder}");
            assert!(matches!(scene.progress().await, ErasureProgress::GivenUp { .. }));
            let source = scene.source().await;
            for point in source.points().await.unwrap() {
                let (found, expected) = (held(&source, point.sequence).await, &scene.points[&point.sequence]);
                assert!(found.iter().all(|(key, record)| expected.get(key) == Some(record)), "{folder}: {point:?}");
                assert!(point.lost > 0 || found == *expected, "{folder}: {point:?}");
            }
            scene.back_up().await;
            let now = scene.source().await.point(&At::Now).await.unwrap();
            assert_eq!(now.lost, 0);
            assert!(held(&scene.source().await, now.sequence).await == scene.points[&now.sequence]);
            scene.days(20).await;
            assert_eq!(scene.scan().await.found, BTreeSet::new(), "{folder}");
            assert!(matches!(scene.progress().await, ErasureProgress::Gone { .. }), "{folder}");
            let report = scene.source().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
            assert_eq!(report.problems, [], "{folder}");
        }
    }
}

/// Without the list nobody knows what must not come back.
#[tokio::test]
async fn nothing_is_given_up_while_the_list_of_what_is_erased_is_lost() {
    let mut scene = scene(Keys::owner(Identity::generate())).await;
    scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
    let before: BTreeSet<String> = scene.disk.names().into_iter().collect();
    scene.erase().await;
    let key = scene.disk.names().into_iter().find(|name| name.contains("/keys/") && !before.contains(name)).unwrap();
    let segment = scene.disk.names().into_iter().find(|name| name.contains("/data/")).unwrap();
    for name in [key, segment] {
        scene.disk.remove(&name);
    }
    let repository = Repository::open_on(Arc::new(scene.disk.clone()), scene.keys.clone()).await.unwrap();
    let options = MendOptions::new(VerifyOptions::read_all()).with_drop(true);
    let refused = repository.mend(&options, &mut |_| {}).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Unsupported && refused.to_string().contains("repair --from"), "{refused}");
}
