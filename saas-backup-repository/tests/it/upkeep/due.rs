//! When everything is written anew.

use saas_backup_core::Digest;
use saas_backup_repository::{CompactOptions, Compacted, Identity, Keys};

use super::Scene;
use crate::support::note;

async fn compact(scene: &Scene, options: CompactOptions) -> Compacted {
    scene.source().await.compact(&options, &mut |_| {}).await.unwrap()
}

/// Hourly points come and go every day, and cost next to nothing: what was merged once lies as it is.
#[tokio::test]
async fn forgetting_rewrites_everything_once_much_may_go_and_not_for_many_points() {
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let mut scene = Scene::new(keys).await;
        let change = |scene: &Scene, round: u32, ids: u32| {
            for id in 0..ids {
                scene
                    .account
                    .put(note(&format!("{id:04}"), &Digest::of(format!("{id} {round}").as_bytes()).to_string()));
            }
        };
        change(&scene, 0, 3000);
        scene.back_up().await;
        assert!(compact(&scene, CompactOptions::default().with_all(true)).await.base);
        for round in 1..=20 {
            change(&scene, round, 1);
            scene.back_up().await;
        }
        let small: Vec<u64> = scene.points.keys().copied().skip(1).take(15).collect();
        scene.forget(small).await;
        let done = compact(&scene, CompactOptions::default()).await;
        assert!(!done.due, "{done:?}");
        change(&scene, 21, 3000);
        scene.back_up().await;
        let large = *scene.points.keys().last().unwrap();
        change(&scene, 22, 3000);
        scene.back_up().await;
        scene.forget([large]).await;
        let done = compact(&scene, CompactOptions::default()).await;
        assert!(done.base && done.lines_dropped > 2000, "{done:?}");
        scene.check().await;
    }
}
