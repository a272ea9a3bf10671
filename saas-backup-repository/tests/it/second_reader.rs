//! A program that shares nothing with this crate but the specification reads what it wrote: `docs/reader`.

mod live_tools {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};
    use std::sync::Arc;
    use std::time::Duration;

    use futures::TryStreamExt as _;
    use proptest::prelude::*;
    use saas_backup_core::memory::MemoryStore;
    use saas_backup_core::{
        At, BlobId, BlobRef, Connector as _, LineCodec, ManualClock, PartitionId, Record, SnapshotOptions,
    };
    use saas_backup_repository::{
        AgentKey, CollectOptions, CompactOptions, EraseOptions, Identity, Keys, MendOptions, Repository,
        RepositoryOptions, RewrapOptions, Source, Subject, VerifyOptions,
    };
    use secrecy::ExposeSecret as _;
    use serde::Deserialize;
    use tempfile::TempDir;

    use crate::model::{Content, Form, Played, moves, play, play_moves, steps};
    use crate::support::{back_up_memory, clock, holds, key, lacks, live, note, tell};

    /// A folder with a repository, and with the key to it.
    struct Shelf {
        folder: TempDir,
        encrypted: bool,
    }

    impl Shelf {
        fn new(identity: Option<&Identity>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            if let Some(identity) = identity {
                std::fs::write(folder.path().join("me.key"), identity.to_file().expose_secret()).unwrap();
            }
            Self { folder, encrypted: identity.is_some() }
        }

        /// Puts what a store in memory holds into a folder.
        fn of(played: &Played) -> Self {
            let shelf = Self::new(played.identity.as_ref());
            for name in played.disk.names() {
                let path = shelf.repository().join(&name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, played.disk.object(&name)).unwrap();
            }
            shelf
        }

        fn repository(&self) -> PathBuf {
            self.folder.path().join("repository")
        }

        fn run(&self, arguments: &[&str]) -> Output {
            let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reader/read_repository.py");
            let mut command = Command::new("python3");
            command.arg(reader).arg(self.repository()).args(arguments);
            if self.encrypted {
                command.arg("--key").arg(self.folder.path().join("me.key"));
            }
            command.output().unwrap()
        }

        fn read(&self, arguments: &[&str]) -> Vec<u8> {
            let done = self.run(arguments);
            assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        }

        fn text(&self, arguments: &[&str]) -> String {
            String::from_utf8(self.read(arguments)).unwrap()
        }

        /// What the reader says of something that it does not read: one line.
        fn refusal(&self, arguments: &[&str]) -> String {
            let done = self.run(arguments);
            assert_eq!(done.status.code(), Some(1), "{arguments:?}");
            let said = String::from_utf8(done.stderr).unwrap();
            assert_eq!(said.lines().count(), 1, "{said}");
            said
        }

        fn points(&self, source: &str) -> Vec<u64> {
            #[derive(Deserialize)]
            struct Point {
                sequence: u64,
            }
            let said = self.text(&[source, "points"]);
            said.lines().map(|line| serde_json::from_str::<Point>(line).unwrap().sequence).collect()
        }

        fn assert_records(&self, source: &str, point: u64, expected: &Content) {
            // The reader gives lines as they are stored: that a log told a record is part of them.
            let found = self.text(&[source, "records", "--at", &point.to_string()]).replace(r#","sole":true"#, "");
            let expected: Vec<String> = expected.values().map(line).collect();
            assert_eq!(found.lines().collect::<Vec<_>>(), expected, "at {point}");
        }
    }

    fn line(record: &Record) -> String {
        let mut line = Vec::new();
        LineCodec::stored().encode_put(record, &mut line).unwrap();
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Everything that the two readers tell of every point is the same.
    async fn assert_agreement(shelf: &Shelf, source: &Source) {
        let name = source.name();
        let points: Vec<u64> = source.points().await.unwrap().iter().map(|point| point.sequence).collect();
        assert_eq!(shelf.points(name), points);
        let mut compared: BTreeSet<BlobId> = BTreeSet::new();
        for point in points {
            let at = At::Sequence(point);
            let expected = live(source, at.clone()).await.unwrap();
            shelf.assert_records(name, point, &expected);
            let snapshot = source.snapshot(SnapshotOptions::at(at)).await.unwrap();
            for record in expected.values() {
                for blob in record.blobs.iter().filter(|blob| compared.insert(blob.id.clone().unwrap())) {
                    let bytes: Vec<_> =
                        snapshot.open(&record.key, blob, None).await.unwrap().try_collect().await.unwrap();
                    let id = blob.id.as_ref().unwrap().as_str();
                    assert!(shelf.read(&[name, "blob", id, "--at", &point.to_string()]) == bytes.concat(), "{id}");
                }
            }
        }
        shelf.read(&[name, "check"]);
    }

    struct Account {
        records: MemoryStore,
        clock: ManualClock,
        step: u32,
    }

    impl Account {
        fn new() -> Self {
            Self { records: MemoryStore::new(), clock: clock(), step: 0 }
        }

        /// Edits, deletes, attaches, and backs up, several times, an hour apart.
        async fn go_on(&mut self, source: &Source, times: u32) {
            for _ in 0..times {
                let step = self.step;
                self.step += 1;
                for id in 0..6 {
                    let id = (step * 5 + id * 7) % 40;
                    self.records
                        .put(note(&format!("{id} \"ü\""), &format!("text {id} of {step} {}", "lorem ".repeat(90))));
                }
                self.records.delete(key(&format!("{} \"ü\"", step * 3 % 40)));
                if step.is_multiple_of(3) {
                    self.attach(
                        &format!("small {step}"),
                        format!("all work and no play {step} ").repeat(50).into_bytes(),
                    );
                }
                if step == 4 {
                    let noise = (0..9_500_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
                    self.attach("large", noise.collect());
                }
                back_up_memory(&self.records, source, &self.clock).await;
                self.clock.advance(Duration::from_hours(1));
            }
        }

        fn attach(&self, id: &str, bytes: Vec<u8>) {
            self.records.put_blob(BlobId::parse(id).unwrap(), bytes);
            self.records.put(note(id, "").with_blob(BlobRef::new(BlobId::parse(id).unwrap(), "attachment")));
        }
    }

    async fn compact(source: &Source) {
        let options = CompactOptions::default().with_all(true).with_segment_bytes(3000);
        source.compact(&options, &mut |_| {}).await.unwrap();
    }

    /// All sums that a merge of everything states are those that the reader adds up.
    async fn assert_sums(shelf: &Shelf, source: &Source) {
        let points = source.points().await.unwrap().len();
        let said = shelf.text(&[source.name(), "check"]);
        assert!(said.contains(&format!("{points} of {points} points have sums stated")), "{said}");
    }

    /// Lets a source live through backups by a writer, and compaction, forgotten points and collection by the owner.
    async fn live_long(identity: Option<Identity>) {
        let mut account = Account::new();
        let shelf = Shelf::new(identity.as_ref());
        let options = RepositoryOptions::parse(shelf.repository().to_str().unwrap())
            .unwrap()
            .with_clock(Arc::new(account.clock.clone()));
        let agent = AgentKey::generate();
        let (owner, writer) = match identity {
            None => (Keys::none(), Keys::none()),
            Some(identity) => {
                let writer = Keys::writer(agent.clone()).with_root(identity.root_key());
                (Keys::owner(identity).with_agent(agent), writer)
            }
        };
        let blog = Repository::init(options.clone().with_keys(owner)).await.unwrap().source("blog").unwrap();
        let writer = Repository::open(options.with_keys(writer)).await.unwrap().source("blog").unwrap();
        account.go_on(&writer, 6).await;
        // Each step of a run is a commit, and the writer makes a layout after it.
        let in_steps = writer.clone().with_flush_bytes(0);
        account.go_on(&in_steps, 1).await;
        assert_eq!(shelf.text(&["sources"]), "blog\n");
        assert_agreement(&shelf, &blog).await;

        compact(&blog).await;
        assert_sums(&shelf, &blog).await;
        account.go_on(&writer, 2).await;
        assert_agreement(&shelf, &blog).await;

        let points = blog.points().await.unwrap();
        let forgotten: BTreeSet<u64> = points.iter().rev().skip(1).step_by(2).map(|point| point.sequence).collect();
        blog.forget(&forgotten).await.unwrap();
        let gone = forgotten.first().unwrap().to_string();
        assert!(shelf.refusal(&["blog", "records", "--at", &gone]).contains("no such point in time"));
        compact(&blog).await;
        assert_agreement(&shelf, &blog).await;
        assert_sums(&shelf, &blog).await;

        let erased = key("small 3");
        blog.erase(&Subject::record(erased.clone()), &EraseOptions::new("a request"), &mut |_| {}).await.unwrap();
        account.records.delete(erased);
        assert_agreement(&shelf, &blog).await;
        assert!(shelf.refusal(&["blog", "blob", "small 3"]).contains("no attachment"));
        account.go_on(&writer, 1).await;
        assert_agreement(&shelf, &blog).await;
        compact(&blog).await;
        assert_agreement(&shelf, &blog).await;
        assert_sums(&shelf, &blog).await;

        let first = shelf.repository().join("source/blog/commit/00000000000000000001");
        let kept = std::fs::read(&first).unwrap();
        for _ in 0..2 {
            account.clock.advance(Duration::from_hours(8 * 24));
            account.go_on(&writer, 2).await;
            compact(&blog).await;
            blog.collect(&CollectOptions::default()).await.unwrap();
        }
        assert!(!first.exists());
        account.go_on(&in_steps, 1).await;
        account.go_on(&writer, 1).await;
        assert_agreement(&shelf, &blog).await;
        // A removal that was interrupted leaves any of the commits.
        std::fs::write(&first, kept).unwrap();
        assert_agreement(&shelf, &blog).await;
        assert_damage_is_told(&shelf);
    }

    /// Flips one bit of a segment.
    fn assert_damage_is_told(shelf: &Shelf) {
        let segments = std::fs::read_dir(shelf.repository().join("source/blog/data")).unwrap();
        let newest = segments.map(|entry| entry.unwrap().path()).max().unwrap();
        let mut bytes = std::fs::read(&newest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&newest, bytes).unwrap();
        for command in ["records", "check"] {
            assert!(shelf.refusal(&["blog", command]).contains("is damaged"));
        }
    }

    #[tokio::test]
    #[ignore = "needs python3 and zstd: ./test runs it"]
    async fn a_long_life_reads_the_same_at_every_point() {
        live_long(None).await;
    }

    #[tokio::test]
    #[ignore = "needs python3, age and zstd: ./test runs it"]
    async fn an_encrypted_long_life_reads_the_same_at_every_point() {
        live_long(Some(Identity::generate())).await;
    }

    #[tokio::test]
    #[ignore = "needs python3, age and zstd: ./test runs it"]
    async fn who_reads_since_later_reads_what_counts() {
        let (mut account, owner, reader) = (Account::new(), Identity::generate(), Identity::generate());
        let (agent, second) = (AgentKey::generate(), AgentKey::generate());
        let shelf = Shelf::new(Some(&reader));
        let options = RepositoryOptions::parse(shelf.repository().to_str().unwrap())
            .unwrap()
            .with_clock(Arc::new(account.clock.clone()));
        let open = |keys: Keys| Repository::open(options.clone().with_keys(keys));
        let keys = Keys::owner(owner.clone()).with_agent(agent.clone());
        let owners = Repository::init(options.clone().with_keys(keys)).await.unwrap();
        let writer = async |agent: &AgentKey| open(Keys::writer(agent.clone())).await.unwrap().source("blog").unwrap();
        account.go_on(&writer(&agent).await, 3).await;
        let denied = shelf.refusal(&["blog", "records"]);
        assert!(denied.contains("no identity matched"), "{denied}");

        owners.add_recipient(reader.recipient()).await.unwrap();
        owners.add_writer(&second).await.unwrap();
        owners.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap();
        account.go_on(&writer(&second).await, 3).await;
        let stolen = writer(&agent).await;
        let id =
            owners.writers().await.unwrap().into_iter().find(|one| one.recipient == *agent.recipient()).unwrap().id;
        let before = shelf.text(&["blog", "points"]).lines().count();
        // Its commit is there, as the owner's look at the timeline came before it.
        let statement = shelf.repository().join("roles/00000000000000000002");
        owners.revoke_writer(&id).await.unwrap();
        let stated = std::fs::read(&statement).unwrap();
        std::fs::remove_file(&statement).unwrap();
        account.go_on(&stolen, 1).await;
        assert_eq!(shelf.text(&["blog", "points"]).lines().count(), before + 1);
        std::fs::write(&statement, stated).unwrap();
        assert_eq!(shelf.text(&["blog", "points"]).lines().count(), before);

        account.go_on(&writer(&second).await, 2).await;
        let blog = open(Keys::owner(reader)).await.unwrap().source("blog").unwrap();
        assert_eq!(blog.points().await.unwrap().len(), before + 2);
        assert_agreement(&shelf, &blog).await;
    }

    #[tokio::test]
    #[ignore = "needs python3 and zstd: ./test runs it"]
    async fn what_was_before_a_missing_commit_still_reads() {
        let mut account = Account::new();
        let shelf = Shelf::new(None);
        let options = RepositoryOptions::parse(shelf.repository().to_str().unwrap()).unwrap();
        let blog = Repository::init(options).await.unwrap().source("blog").unwrap();
        account.go_on(&blog, 3).await;
        let first = live(&blog, At::Sequence(1)).await.unwrap();
        std::fs::remove_file(shelf.repository().join("source/blog/commit/00000000000000000002")).unwrap();
        shelf.assert_records("blog", 1, &first);
        for command in [&["points"][..], &["records"], &["records", "--at", "3"], &["check"]] {
            assert!(shelf.refusal(&[&["blog"], command].concat()).contains("the timeline breaks off"));
        }
    }

    #[tokio::test]
    #[ignore = "needs python3 and zstd: ./test runs it"]
    async fn late_news_of_partitions_reads_the_same() {
        let mut account = Account::new();
        let shelf = Shelf::new(None);
        let options = RepositoryOptions::parse(shelf.repository().to_str().unwrap()).unwrap();
        let source = Repository::init(options).await.unwrap().source("blog").unwrap();
        account.records.put(note("placed", "somewhere"));
        account.go_on(&source, 1).await;
        let late = vec![holds("q", "late", "in q"), holds("p", "late", "in p"), holds("p", "left", "in p")];
        tell(false, &source, late).await;
        tell(false, &source, vec![lacks("p", "late"), lacks("p", "left"), lacks("q", "unknown")]).await;
        tell(false, &source, vec![holds("p", "left", "again"), holds("q", "left", "moved"), lacks("p", "left")]).await;
        tell(false, &source, vec![holds("p", "placed", "in p"), holds("p", "moved", "in p")]).await;
        // Told by who knows all partitions: no other one holds it any more.
        account.records.put(note("moved", "in q").with_partition(PartitionId::from_static("q")));
        account.go_on(&source, 1).await;
        assert_agreement(&shelf, &source).await;
        tell(false, &source, vec![lacks("q", "left"), lacks("p", "late"), holds("p", "late", "back")]).await;
        tell(false, &source, vec![lacks("p", "placed"), lacks("q", "moved")]).await;
        assert_agreement(&shelf, &source).await;
        let now = live(&source, At::Now).await.unwrap();
        assert_eq!(now[&key("late")].data, note("late", "back").data);
        assert!(["left", "placed", "moved"].iter().all(|id| !now.contains_key(&key(id))));
        compact(&source).await;
        assert_agreement(&shelf, &source).await;
    }

    /// The objects below a folder of the source, the oldest first.
    fn objects(shelf: &Shelf, folder: &str) -> Vec<PathBuf> {
        let found = std::fs::read_dir(shelf.repository().join("source/blog").join(folder)).unwrap();
        let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// Damages objects, and mends them: without a copy, from one, and by giving up what nobody has any more.
    async fn mend_it(identity: Option<Identity>) {
        let mut account = Account::new();
        let shelf = Shelf::new(identity.as_ref());
        let options = |place: &Path| {
            let options = RepositoryOptions::parse(place.to_str().unwrap()).unwrap();
            let keys = identity.clone().map_or_else(Keys::none, Keys::owner);
            options.with_clock(Arc::new(account.clock.clone())).with_keys(keys)
        };
        let (here, copy) = (options(&shelf.repository()), options(&shelf.folder.path().join("copy")));
        let repository = Repository::init(here.clone()).await.unwrap();
        let blog = repository.source("blog").unwrap();
        account.go_on(&blog, 6).await;
        compact(&blog).await;
        account.go_on(&blog, 4).await;
        repository.replicate(&copy, &mut |_| {}).await.unwrap();
        let flip = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            let at = if path.parent().unwrap().ends_with("commit") { bytes.len() - 1 } else { bytes.len() / 2 };
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        };
        let all = VerifyOptions::read_all();
        let open = async || Repository::open(here.clone()).await.unwrap();

        // Lines that layouts copied, and layouts.
        let mend = MendOptions::new(all.clone());
        flip(objects(&shelf, "commit").first().unwrap());
        std::fs::write(objects(&shelf, "layout").last().unwrap(), "cut").unwrap();
        let done = open().await.mend(&mend, &mut |_| {}).await.unwrap();
        assert!(done.problems.is_empty() && !done.restored.is_empty(), "{done:?}");
        assert_agreement(&shelf, &open().await.source("blog").unwrap()).await;

        for folder in ["data", "state", "commit", "pack"] {
            objects(&shelf, folder).iter().step_by(2).for_each(|path| flip(path));
            std::fs::remove_file(objects(&shelf, folder).first().unwrap()).unwrap();
        }
        let theirs = Repository::open(copy).await.unwrap();
        let done = open().await.repair_from(&theirs, &all, &mut |_| {}).await.unwrap();
        assert!(done.is_good() && done.objects.len() > 5, "{done:?}");
        assert_agreement(&shelf, &open().await.source("blog").unwrap()).await;

        let is_naming = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("naming");
        let first = |folder: &str| objects(&shelf, folder).first().unwrap().clone();
        let (data, pack) = (first("data"), first("pack"));
        let naming = objects(&shelf, "keys").iter().find(is_naming).unwrap().clone();
        flip(&data);
        flip(&naming);
        std::fs::remove_file(&pack).unwrap();
        let done = open().await.mend(&mend.with_drop(true), &mut |_| {}).await.unwrap();
        assert!(done.problems.is_empty(), "{done:?}");
        // A byte of a frame may be one that its lines do not depend on: then they are written anew, and nothing is lost.
        let told: Vec<&String> = done.dropped["blog"].objects.iter().chain(&done.restored).collect();
        for path in [&data, &pack, &naming] {
            let name = path.strip_prefix(shelf.repository()).unwrap().to_str().unwrap();
            assert!(told.iter().any(|told| *told == name), "{name}: {done:?}");
        }
        let blog = open().await.source("blog").unwrap();
        // Some of the attachments that records refer to are lost at the points before.
        for point in blog.points().await.unwrap() {
            let expected = live(&blog, At::Sequence(point.sequence)).await.unwrap();
            shelf.assert_records("blog", point.sequence, &expected);
        }
        assert_sums(&shelf, &blog).await;
        account.go_on(&blog, 1).await;
        let now = blog.point(&At::Now).await.unwrap().sequence;
        let expected = live(&blog, At::Now).await.unwrap();
        assert_eq!(expected.len(), account.records.live().len());
        shelf.assert_records("blog", now, &expected);
        shelf.read(&["blog", "check"]);
    }

    #[tokio::test]
    #[ignore = "needs python3 and zstd: ./test runs it"]
    async fn what_was_mended_reads_the_same_at_every_point() {
        Box::pin(mend_it(None)).await;
    }

    #[tokio::test]
    #[ignore = "needs python3, age and zstd: ./test runs it"]
    async fn what_was_encrypted_and_mended_reads_the_same_at_every_point() {
        Box::pin(mend_it(Some(Identity::generate()))).await;
    }

    /// The reader says of all points what the model does; records of at most four, for each call takes a while.
    fn assert_as_played(played: &Played) {
        if played.points.is_empty() {
            return;
        }
        let shelf = Shelf::of(played);
        let points = shelf.points("model");
        assert_eq!(points.len(), played.points.len());
        for (point, expected) in points.iter().zip(&played.points).step_by(points.len().div_ceil(4)) {
            shelf.assert_records("model", *point, expected);
        }
        let (Some(now), Some(point)) = (played.points.last(), points.last()) else { return };
        for blob in now.values().flat_map(|record| &record.blobs).take(3) {
            let id = blob.id.as_ref().unwrap();
            let found = shelf.read(&["model", "blob", id.as_str(), "--at", &point.to_string()]);
            assert!(found == played.blobs[id], "{id}");
        }
        shelf.read(&["model", "check"]);
    }

    fn on_a_thread<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
        #[test]
        #[ignore = "needs python3, age and zstd: ./test runs it"]
        fn any_history_reads_as_a_map_says(steps in steps(), encrypted in any::<bool>()) {
            assert_as_played(&on_a_thread(play(steps, encrypted)));
        }

        #[test]
        #[ignore = "needs python3, age and zstd: ./test runs it"]
        fn any_moves_between_partitions_read_as_a_map_says(
            steps in moves(),
            log in any::<bool>(),
            reports_deletions in any::<bool>(),
            encrypted in any::<bool>(),
        ) {
            let form = Form { log, reports_deletions };
            assert_as_played(&on_a_thread(play_moves(steps, form, encrypted)));
        }
    }
}
