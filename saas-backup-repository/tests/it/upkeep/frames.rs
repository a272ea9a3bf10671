//! Frames whose lines all stay are taken over as they are stored.

use bytes::Bytes;

use super::*;

/// Enough text for several frames, that compresses to something.
fn account(scene: &Scene, records: u32) {
    for id in 0..records {
        let words: Vec<String> = (0..40_u32).map(|word| (id * 977 + word * 331).to_string()).collect();
        scene.account.put(note(&format!("{id:05}"), &words.join(" ")));
    }
}

/// The largest segment that is not among others.
fn segment(scene: &Scene, others: &[String]) -> Bytes {
    let names = scene.disk.names().into_iter().filter(|name| name.contains("/data/") && !others.contains(name));
    names.map(|name| scene.disk.object(&name)).max_by_key(Bytes::len).unwrap()
}

#[tokio::test]
async fn what_does_not_change_is_not_compressed_again() {
    let mut scene = Scene::new(Keys::none()).await;
    account(&scene, 8000);
    scene.back_up().await;
    let (all, first) = (CompactOptions::default().with_all(true), scene.disk.names());
    scene.source().await.compact(&all, &mut |_| {}).await.unwrap();
    let (base, before) = (segment(&scene, &first), scene.disk.names());
    scene.account.put(note("00001", "changed"));
    scene.account.delete(key("00002"));
    scene.back_up().await;
    let done = scene.source().await.compact(&all, &mut |_| {}).await.unwrap();
    assert!(done.lines_kept > 8000 && done.base, "{done:?}");
    scene.check().await;
    let middle = base.len() / 2;
    let kept = &base[middle..middle + 20_000];
    let now = segment(&scene, &before);
    assert!(memchr::memmem::find(&now, kept).is_some(), "{} bytes", now.len());
}

/// Whatever changes, in a few frames or in all, every point is what it was.
#[tokio::test]
async fn every_point_stays_whichever_frames_are_taken_over() {
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let mut scene = Scene::new(keys).await;
        account(&scene, 6000);
        for round in 0..6_u32 {
            for change in 0..8 {
                let id = if round % 2 == 0 { round * 900 + change } else { change * 743 + round };
                scene.account.put(note(&format!("{id:05}"), &format!("{round} {}", "longer ".repeat(round as usize))));
                scene.account.delete(key(&format!("{:05}", id + 100)));
            }
            scene.back_up().await;
            if round == 4 {
                let erased = key("03000");
                let source = scene.source().await;
                source.erase(&Subject::record(erased.clone()), &EraseOptions::new("x"), &mut |_| {}).await.unwrap();
                scene.account.delete(erased.clone());
                for content in scene.points.values_mut() {
                    content.remove(&erased);
                }
            }
            let all = CompactOptions::default().with_all(true).with_segment_bytes(150_000);
            scene.source().await.compact(&all, &mut |_| {}).await.unwrap();
            scene.check().await;
            if round == 3 {
                let oldest = *scene.points.keys().next().unwrap();
                scene.forget([oldest]).await;
            }
        }
    }
}
