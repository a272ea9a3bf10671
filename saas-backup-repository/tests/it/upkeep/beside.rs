//! Upkeep beside writers, readers, other maintainers, and storage that denies.

use super::*;

/// Does some work at a certain call of what is told of progress.
fn at_call<T>(moment: usize, work: impl Future<Output = ()> + Send) -> impl FnMut(&T) + Send {
    let (mut calls, mut work) = (0, Some(work));
    move |_| {
        if calls == moment
            && let Some(work) = work.take()
        {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
        }
        calls += 1;
    }
}

/// A backup, a reader and another maintainer while everything is merged.
#[tokio::test(flavor = "multi_thread")]
async fn backups_go_on_beside_upkeep_and_of_two_maintainers_one_gives_up() {
    for mut scene in both().await {
        let (one, two, writer) = (scene.source().await, scene.source().await, scene.source().await);
        scene.account.put(note("beside", "written meanwhile"));
        let account = MemoryConnector::new(scene.account.clone());
        let mut beside = at_call(0, async {
            back_up(&account, &writer, &scene.clock).await.unwrap();
            two.compact(&compact_all(), &mut |_| {}).await.unwrap();
            assert!(live(&writer, At::Back(0)).await.unwrap().len() > 30);
        });
        let refused = one.compact(&compact_all(), &mut beside).await;
        drop(beside);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        let point = writer.point(&At::Now).await.unwrap().sequence;
        scene.points.insert(point, scene.account.live());
        scene.check().await;
    }
}

/// A session that has begun.
async fn begun(source: &Source) -> (Box<dyn Sink>, RunId) {
    let sink = source.sink(mirror(false)).await.unwrap();
    let run = RunId::new(time());
    let catalog = Catalog::new(vec![Collection::new(key("1").collection, Kind::Record)]);
    sink.begin(&RunStart::new(run, time(), catalog, Coverage::default())).await.unwrap();
    (sink, run)
}

/// An attachment of so many bytes that has arrived before the record that refers to it.
async fn fetched(sink: &dyn Sink, size: usize) -> BlobRef {
    let blob = BlobRef::new(BlobId::parse("early").unwrap(), "attachment");
    let BlobSlot::Want(mut writer) = sink.blob(&key("late"), &blob).await.unwrap() else { panic!("it is new") };
    let bytes = bytes::Bytes::from(vec![3; size]);
    writer.write(bytes.clone()).await.unwrap();
    writer.finish(StoredBlob { digest: Digest::of(&bytes), size: size as u64 }).await.unwrap();
    blob
}

#[tokio::test]
async fn a_run_that_slept_through_a_sweep_is_refused_and_the_next_one_works() {
    for scene in both().await {
        let sleeper = scene.source().await;
        let (sink, run) = begun(&sleeper).await;
        fetched(&*sink, 1_300_000).await;
        let uploaded = scene.count("/blob/");

        scene.clock.advance(Duration::from_hours(8 * 24));
        let done = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
        assert!(done.orphans >= 1 && scene.count("/blob/") < uploaded, "{done:?}");
        let error = sink.commit(&RunReport::new(run, time())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        drop(sleeper);
        scene.check().await;
    }
}

#[tokio::test]
async fn what_a_run_under_way_uploads_is_not_swept() {
    for scene in both().await {
        let writer = scene.source().await;
        let (sink, run) = begun(&writer).await;
        fetched(&*sink, 1_300_000).await;
        scene.clock.advance(Duration::from_hours(6 * 24));
        let done = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
        assert_eq!(done.orphans, 0, "{done:?}");
        sink.commit(&RunReport::new(run, time())).await.unwrap();
        let report = scene.source().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, []);
    }
}

#[tokio::test]
async fn a_run_that_was_told_that_a_released_attachment_is_held_is_refused() {
    for mut scene in both().await {
        let writer = scene.source().await;
        let (sink, run) = begun(&writer).await;
        let blob = BlobRef::new(BlobId::parse("large").unwrap(), "attachment");
        assert!(matches!(sink.blob(&key("again"), &blob).await.unwrap(), BlobSlot::Held(_)));
        let first_two: Vec<u64> = scene.points.keys().copied().take(2).collect();
        scene.forget(first_two).await;
        let done = scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
        assert_eq!(done.attachments_released, 1);
        let mut records = sink.writer(&Feed::slice(key("1").collection)).await.unwrap();
        records.write(vec![Event::Put(Box::new(note("again", "refers to it").with_blob(blob)))]).await.unwrap();
        records.flush(None).await.unwrap();
        records.close().await.unwrap();
        let error = sink.commit(&RunReport::new(run, time())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        drop(writer);
        attach(&scene.account, "large", 1_500_000);
        scene.back_up().await;
        scene.check().await;
        let snapshot = scene.source().await.snapshot(SnapshotOptions::default()).await.unwrap();
        let record = &scene.account.live()[&key("large")];
        assert!(snapshot.open(&record.key, &record.blobs[0], None).await.is_ok());
    }
}

/// A run commits while everything is merged, early or late: a record of it refers to an attachment that no point did any
/// more, and that it was told is held.
#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_a_run_beside_a_merge_refers_to_stays() {
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let mut refused = 0;
        for moment in 0..4 {
            let mut scene = Scene::with_history(keys.clone(), 8).await;
            let first_two: Vec<u64> = scene.points.keys().copied().take(2).collect();
            scene.forget(first_two).await;
            let writer = scene.source().await;
            let (sink, run) = begun(&writer).await;
            let blob = BlobRef::new(BlobId::parse("large").unwrap(), "attachment");
            assert!(matches!(sink.blob(&key("again"), &blob).await.unwrap(), BlobSlot::Held(_)));
            let mut records = sink.writer(&Feed::slice(key("1").collection)).await.unwrap();
            let record = Event::Put(Box::new(note("again", "refers to it").with_blob(blob.clone())));
            let mut beside = at_call(moment, async move {
                records.write(vec![record]).await.unwrap();
                records.flush(None).await.unwrap();
                records.close().await.unwrap();
                sink.commit(&RunReport::new(run, time())).await.unwrap();
            });
            let mut done = scene.source().await.compact(&compact_all(), &mut beside).await;
            if let Err(error) = &done {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                refused += 1;
                done = scene.source().await.compact(&compact_all(), &mut |_| {}).await;
            }
            assert_eq!(done.unwrap().attachments_released, 0);
            let snapshot = scene.source().await.snapshot(SnapshotOptions::default()).await.unwrap();
            assert!(snapshot.open(&key("again"), &blob, None).await.is_ok());
            let report = scene.source().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
            assert_eq!(report.problems, []);
        }
        assert_eq!(refused, 2, "while the rows of attachments are merged it is too late to keep one");
    }
}

#[tokio::test]
async fn who_knew_the_source_before_deletions_were_left_out_reads_it_anew() {
    for mut scene in both().await {
        let known = scene.source().await.point(&At::Now).await.unwrap().sequence;
        scene.account.delete(key("30"));
        scene.back_up().await;
        scene.back_up().await;
        scene.account.put(note("last", "text"));
        scene.back_up().await;
        let gone = *scene.points.keys().find(|point| **point > known).unwrap();
        let source = scene.source().await;
        let snapshot = source.snapshot(SnapshotOptions::at(At::Sequence(known))).await.unwrap();
        let read: Vec<Event> =
            snapshot.read(ReadRequest::new(Feed::slice(key("1").collection))).try_collect().await.unwrap();
        let cursor = read.into_iter().rev().find_map(|event| match event {
            Event::Checkpoint(cursor) => Some(cursor),
            _ => None,
        });
        let forgotten: Vec<u64> = scene.points.keys().copied().filter(|point| *point < gone).collect();
        scene.forget(forgotten).await;
        scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
        scene.check().await;
        let source = scene.source().await;
        let request = ReadRequest::new(Feed::slice(key("1").collection)).with_from(cursor);
        let news: Result<Vec<Event>> =
            source.snapshot(SnapshotOptions::default()).await.unwrap().read(request).try_collect().await;
        assert_eq!(news.unwrap_err().kind(), ErrorKind::CursorExpired);
        assert_eq!(source.changes_since(known).await.map(drop).unwrap_err().kind(), ErrorKind::CursorExpired);
        let since: Vec<Event> = source.changes_since(gone).await.unwrap().try_collect().await.unwrap();
        assert_eq!(since.len(), 1, "{since:?}");
    }
}

#[tokio::test]
async fn storage_that_denies_deletion_keeps_all_and_is_told_of() {
    let mut scene = Scene::with_history(Keys::owner(Identity::generate()), 4).await;
    let oldest = *scene.points.keys().next().unwrap();
    scene.forget([oldest]).await;
    scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
    scene.clock.advance(Duration::from_hours(8 * 24));
    let before = scene.disk.names();
    scene.disk.deny_deletion();
    let done = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
    assert!(done.denied > 0 && done.objects == 0, "{done:?}");
    assert!(before.iter().all(|name| scene.disk.names().contains(name)));
    scene.check().await;
}

/// A maintainer goes by no writer's layout, and what only that leans on looks like nobody's.
#[tokio::test]
async fn a_layout_that_stays_keeps_its_bundle_whoever_wrote_it() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let mut scene = Scene::new(Keys::owner(identity.clone()).with_agent(agent.clone())).await;
    let owner = scene.keys.clone();
    Repository::open_on(Arc::new(scene.disk.clone()), owner.clone()).await.unwrap().add_writer(&agent).await.unwrap();
    scene.keys = owner.clone().with_keys(Keys::writer(agent).with_root(identity.root_key()));
    while scene.count("/layout/") == 0 {
        scene.account.put(note("1", &format!("text {}", scene.points.len())));
        scene.back_up().await;
    }
    scene.keys = owner.with_keys(Keys::owner(identity));
    let bundles = scene.count("/bundle/");
    scene.clock.advance(Duration::from_hours(8 * 24));
    let done = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
    assert!(done.orphans == 0 && scene.count("/bundle/") >= bundles && scene.count("/layout/") > 0, "{done:?}");
    scene.check().await;
    // It goes with the layout.
    for _ in 0..16 {
        scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
    }
    scene.clock.advance(Duration::from_hours(8 * 24));
    for _ in 0..2 {
        scene.source().await.collect(&CollectOptions::default()).await.unwrap();
    }
    let report = scene.source().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert!(report.is_good() && report.orphans == 0, "{report:?}");
    scene.check().await;
}

#[tokio::test]
async fn upkeep_takes_the_owner_and_what_a_writer_says_of_others_commits_is_refused() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let scene = Scene::with_history(Keys::owner(identity.clone()).with_agent(agent.clone()), 3).await;
    let keys = scene.keys.clone().with_keys(Keys::writer(agent).with_root(identity.root_key()));
    let repository = Repository::open_on(Arc::new(scene.disk.clone()), keys).await.unwrap();
    let source = repository.source("blog").unwrap();
    let oldest = source.points().await.unwrap()[0].sequence;
    for denied in [
        source.forget(&BTreeSet::from([oldest])).await.map(drop),
        source.compact(&compact_all(), &mut |_| {}).await.map(drop),
        source.collect(&CollectOptions::default()).await.map(drop),
        source.erase(&Subject::record(key("1")), &EraseOptions::new("x"), &mut |_| {}).await.map(drop),
        source.scan(&["text".to_owned()], &mut |_| {}).await.map(drop),
        source.state_erasures().await.map(drop),
    ] {
        assert_eq!(denied.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    scene.check().await;
    let owner = scene.source().await;
    let newest = owner.point(&At::Now).await.unwrap().sequence;
    assert_eq!(owner.forget(&BTreeSet::from([newest])).await.unwrap_err().kind(), ErrorKind::Configuration);
    assert_eq!(owner.forget(&BTreeSet::from([999])).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Attachments arrive before the records that refer to them, and a commit may part the two.
#[tokio::test]
async fn what_a_run_that_did_not_end_has_fetched_is_not_given_up() {
    for scene in both().await {
        let writer = scene.source().await.with_flush_bytes(0);
        let (sink, run) = begun(&writer).await;
        let blob = fetched(&*sink, 25).await;
        let mut records = sink.writer(&Feed::slice(key("1").collection)).await.unwrap();
        records.write(vec![Event::Put(Box::new(note("other", "of the same run")))]).await.unwrap();
        records.flush(None).await.unwrap();
        let done = scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
        assert_eq!(done.attachments_released, 0);
        records.write(vec![Event::Put(Box::new(note("late", "refers to it").with_blob(blob.clone())))]).await.unwrap();
        records.flush(None).await.unwrap();
        records.close().await.unwrap();
        sink.commit(&RunReport::new(run, time())).await.unwrap();
        let snapshot = scene.source().await.snapshot(SnapshotOptions::default()).await.unwrap();
        assert!(snapshot.open(&key("late"), &blob, None).await.is_ok());
    }
}
