//! A merge of everything that is interrupted is gone on with.

use super::*;

/// Each frame of half a MiB is a segment.
fn small_segments() -> CompactOptions {
    CompactOptions::default().with_all(true).with_segment_bytes(1)
}

/// Enough records for some forty frames, in two runs that each change what `step` says; an attachment that nothing refers
/// to any more at a point that stays.
async fn scene(keys: Keys, step: usize) -> Scene {
    let mut scene = Scene::new(keys).await;
    attach(&scene.account, "released", 1_500_000);
    for round in 0..3_usize {
        for id in (0..2400).step_by(if round == 0 { 1 } else { step }) {
            let text = format!("{round} {id} ").repeat(900);
            scene.account.put(note(&format!("{id:05}"), &text));
        }
        if round > 0 {
            scene.account.delete(key("released"));
            scene.account.delete(key(&format!("{:05}", round * 777)));
        }
        scene.back_up().await;
    }
    let oldest = *scene.points.keys().next().unwrap();
    scene.forget([oldest]).await;
    scene
}

impl Scene {
    /// Stops a merge at a write, and gives the storage as it is then.
    async fn stopped_at(&self, write: usize, fault: Fault) -> FaultyStore {
        self.stopped_and_written(write, fault).await.0
    }

    /// The same, and what the merge wrote, in order.
    async fn stopped_and_written(&self, write: usize, fault: Fault) -> (FaultyStore, Vec<String>) {
        let disk = self.disk.restarted();
        disk.fail_at(write, fault);
        self.source_on(&disk).await.compact(&small_segments(), &mut |_| {}).await.unwrap_err();
        (disk.restarted(), disk.written())
    }
}

fn count(disk: &FaultyStore, folder: &str) -> usize {
    disk.names().iter().filter(|name| name.contains(folder)).count()
}

/// Whatever share of the records has a past, and wherever it stops.
#[tokio::test]
async fn a_merge_goes_on_where_it_was_stopped_and_every_point_stays() {
    for (keys, step) in [(Keys::owner(Identity::generate()), 1), (Keys::none(), 900)] {
        let is_erasing = step == 1;
        let mut scene = scene(keys, step).await;
        if is_erasing {
            let person = Subject::record(key("02300"));
            scene.source().await.erase(&person, &EraseOptions::new("x"), &mut |_| {}).await.unwrap();
            scene.account.delete(key("02300"));
            for content in scene.points.values_mut() {
                content.remove(&key("02300"));
            }
        }
        let whole = scene.disk.restarted();
        let done = scene.source_on(&whole).await.compact(&small_segments(), &mut |_| {}).await.unwrap();
        assert!(!done.resumed && done.attachments_released == 1, "{done:?}");
        assert_eq!(done.lines_erased > 0, is_erasing);
        let all = count(&whole, "/data/") - count(&scene.disk, "/data/");
        assert_eq!(count(&whole, "/merging/"), 0, "what was kept is removed");
        for (write, fault) in [(all - 3, Fault::After), (all - 2, Fault::Torn)] {
            let what = format!("step {step}, write {write} of {all}, {fault:?}");
            let disk = scene.stopped_at(write, fault).await;
            assert!(count(&disk, "/merging/") > 0, "{what}");
            let before = count(&disk, "/data/");
            let again = scene.source_on(&disk).await.compact(&small_segments(), &mut |_| {}).await.unwrap();
            let made = count(&disk, "/data/") - before;
            assert!(again.resumed && made < all, "{what}: {made} {again:?}");
            assert_eq!(
                (again.lines_kept, again.lines_dropped, again.lines_erased, again.attachments_released),
                (done.lines_kept, done.lines_dropped, done.lines_erased, 1),
                "{what}"
            );
            assert_eq!(count(&disk, "/merging/"), 0, "{what}");
            scene.check_on(&disk, &what).await;
        }
        // The points go on, and what was backed up meanwhile is there, with an attachment that it refers to anew.
        scene.disk = scene.stopped_at(all - 1, Fault::Before).await;
        attach(&scene.account, "released", 1_500_000);
        attach(&scene.account, "new", 1_200_000);
        scene.account.put(note("00100", "changed meanwhile"));
        scene.back_up().await;
        let again = scene.source().await.compact(&small_segments(), &mut |_| {}).await.unwrap();
        assert!(again.resumed && again.attachments_released == 0, "{again:?}");
        scene.check().await;
        let snapshot = scene.source().await.snapshot(SnapshotOptions::default()).await.unwrap();
        for id in ["released", "new"] {
            let record = &scene.account.live()[&key(id)];
            let read: Vec<bytes::Bytes> =
                snapshot.open(&record.key, &record.blobs[0], None).await.unwrap().try_collect().await.unwrap();
            assert!(read.concat().len() > 1_000_000, "{id}");
        }
    }
}

/// What was maintained meanwhile, or is lost, is not built upon.
#[tokio::test]
async fn a_merge_begins_anew_where_what_it_left_does_not_hold_any_more() {
    let scene = scene(Keys::owner(Identity::generate()), 1).await;
    let all = {
        let whole = scene.disk.restarted();
        scene.source_on(&whole).await.compact(&small_segments(), &mut |_| {}).await.unwrap();
        count(&whole, "/data/") - count(&scene.disk, "/data/")
    };
    let (stopped, written) = scene.stopped_and_written(all - 1, Fault::Before).await;
    let steps: Vec<&String> = written.iter().filter(|name| name.contains("/merging/")).collect();
    let [first, other, ..] = steps[..] else { panic!("{written:?}") };

    // The first step names what was written before it; what the last one does not name may be lost.
    let segment = written.iter().take_while(|name| *name != first).find(|name| name.contains("/data/")).unwrap();
    let without_a_segment = stopped.restarted();
    without_a_segment.remove(segment);
    // Without the first step the others say nothing.
    let without_a_step = stopped.restarted();
    without_a_step.remove(first);
    let another = stopped.restarted();
    another.replace(first, stopped.object(other));
    let maintained = stopped.restarted();
    let source = scene.source_on(&maintained).await;
    let person = Subject::record(key("00003"));
    source.erase(&person, &EraseOptions::new("x"), &mut |_| {}).await.unwrap();

    for (disk, what) in
        [(&without_a_segment, "a segment"), (&without_a_step, "the first step"), (&another, "another step twice")]
    {
        let done = scene.source_on(disk).await.compact(&small_segments(), &mut |_| {}).await.unwrap();
        assert!(!done.resumed, "{what}: {done:?}");
        scene.check_on(disk, what).await;
    }
    let done = scene.source_on(&maintained).await.compact(&small_segments(), &mut |_| {}).await.unwrap();
    assert!(!done.resumed && done.lines_erased > 0, "{done:?}");
    assert!(!live(&scene.source_on(&maintained).await, At::Now).await.unwrap().contains_key(&key("00003")));
    // What nobody can go on with is swept as nobody's.
    scene.clock.advance(Duration::from_hours(8 * 24));
    scene.source_on(&maintained).await.collect(&CollectOptions::default()).await.unwrap();
    assert_eq!(count(&maintained, "/merging/"), 0);
}
