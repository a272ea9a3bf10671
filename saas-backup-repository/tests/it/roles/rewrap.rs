//! Keys that are encrypted to others, whatever happens meanwhile.

use super::*;
use crate::faults::Fault;
use saas_backup_repository::{CollectOptions, KeyProblemKind, VerifyOptions};

#[tokio::test]
async fn a_rewriting_that_is_cut_at_any_write_loses_no_key_and_is_resumed() {
    let scene = Scene::new().await;
    let (reader, clock) = (Identity::generate(), scene.clock.clone());
    scene.owners().await.add_recipient(reader.recipient()).await.unwrap();
    let (mut cases, mut torn) = (0, 0);
    for fault in [Fault::Before, Fault::After, Fault::Torn] {
        for write in 0.. {
            let disk = scene.disk.restarted();
            let on =
                |disk: &FaultyStore, keys| Repository::open_on(Arc::new(disk.clone()), options(&clock).with_keys(keys));
            let owners = on(&disk, Keys::owner(scene.owner.clone())).await.unwrap();
            disk.fail_at(write, fault);
            let cut = owners.rewrap(&RewrapOptions::default(), &mut |_| {}).await.is_err();
            torn += u32::from(disk.torn().is_some_and(|name| !name.contains("rewriting")));
            let disk = disk.restarted();
            let owners = on(&disk, Keys::owner(scene.owner.clone())).await.unwrap();
            let done = owners.rewrap(&RewrapOptions::default(), &mut |_| {}).await.unwrap();
            assert_eq!(done.problems, [], "{fault:?} at {write}");
            let reading = on(&disk, Keys::owner(reader.clone())).await.unwrap();
            assert_eq!(reading.check_keys(&mut |_| {}).await.unwrap().problems, [], "{fault:?} at {write}");
            assert!(disk.names().iter().all(|name| !name.contains("rewriting")), "{fault:?} at {write}");
            let report = reading.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
            assert!(report.is_good() && report.orphans == 0, "{fault:?} at {write}: {report:?}");
            cases += 1;
            if !cut {
                break;
            }
        }
    }
    assert!(cases > 20 && torn > 5, "{cases} {torn}");
}

/// Secrets that lie beside their objects would outlive keys that are destroyed.
#[tokio::test]
async fn a_collection_ends_what_an_interrupted_rewriting_left() {
    let scene = Scene::new().await;
    scene.owners().await.add_recipient(Identity::generate().recipient()).await.unwrap();
    // The first write is that of the secrets, the third that of a key.
    scene.disk.fail_at(2, Fault::Torn);
    assert!(scene.owners().await.rewrap(&RewrapOptions::default(), &mut |_| {}).await.is_err());
    let after = Scene { disk: scene.disk.restarted(), ..scene };
    assert!(after.disk.names().iter().any(|name| name.contains("rewriting")));
    assert!(after.check().await.problems.iter().any(|problem| problem.kind == KeyProblemKind::Lost));
    after.blog().await.collect(&CollectOptions::default().with_dry_run(true)).await.unwrap();
    assert!(after.disk.names().iter().any(|name| name.contains("rewriting")));
    after.blog().await.collect(&CollectOptions::default()).await.unwrap();
    assert!(after.disk.names().iter().all(|name| !name.contains("rewriting")));
    assert!(after.check().await.problems.iter().all(|problem| problem.kind == KeyProblemKind::Outdated));
}

/// The objects that a run adds which goes by what was stated before.
#[tokio::test]
async fn what_a_writer_wrapped_that_did_not_know_yet_is_found_and_mended() {
    let scene = Scene::new().await;
    let reader = Identity::generate();
    let stale = scene.disk.restarted();
    scene.owners().await.add_recipient(reader.recipient()).await.unwrap();
    scene.rewrap().await;
    scene.clock.advance(Duration::from_hours(24 * 31));
    scene.back_up(&stale, &scene.agent, 3).await.unwrap();
    let late: Vec<String> = stale.names().into_iter().filter(|name| !scene.disk.names().contains(name)).collect();
    for name in &late {
        scene.disk.replace(name, stale.object(name));
    }
    let late: Vec<&String> = late.iter().filter(|name| name.contains("/keys/")).collect();
    let found = scene.check().await.problems;
    assert_eq!(
        found.iter().map(|problem| &problem.object).collect::<std::collections::BTreeSet<_>>(),
        late.iter().copied().collect()
    );
    assert!(found.iter().all(|problem| problem.kind == KeyProblemKind::Outdated));
    assert!(late.len() > 2, "{late:?}");
    // Such as replace nothing change nothing, and say so.
    scene.disk.deny_replacement();
    assert_eq!((scene.rewrap().await.denied, scene.rewrap().await.rewritten), (late.len() as u64, 0));
    let allowed = Scene { disk: scene.disk.restarted(), ..scene };
    assert_eq!(allowed.rewrap().await.rewritten, late.len() as u64);
    assert!(allowed.check().await.is_good());
}

#[tokio::test]
async fn a_writer_that_is_added_goes_on_where_others_stopped() {
    let scene = Scene::new().await;
    let second = AgentKey::generate();
    let refused = scene.back_up(&scene.disk, &second, 3).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    let id = scene.owners().await.add_writer(&second).await.unwrap();
    assert_eq!(scene.owners().await.add_writer(&second).await.unwrap(), id);
    assert_eq!(scene.back_up(&scene.disk, &second, 3).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    // The keys of records are not for writers.
    let done = scene.rewrap().await;
    let data = scene.keys().len() as u64 - done.rewritten;
    assert!(data >= 4 && done.rewritten == 2, "{data} {done:?}");
    scene.back_up(&scene.disk, &second, 3).await.unwrap();
    scene.back_up(&scene.disk, &scene.agent, 4).await.unwrap();
    assert_eq!(scene.blog().await.points().await.unwrap().len(), 5);
    assert!(scene.check().await.is_good());

    let writers = scene.open(Keys::none()).await.unwrap().writers().await.unwrap();
    let maintains: Vec<bool> = writers.iter().map(|writer| writer.maintains).collect();
    assert!(writers.len() == 3 && maintains.iter().filter(|one| **one).count() == 1, "{writers:?}");
    // The owner's own key may maintain, whatever else it is said to do.
    let file = scene.owner.to_file();
    scene.owners().await.add_writer(&AgentKey::parse(file.expose_secret()).unwrap()).await.unwrap();
    scene.blog().await.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
}
