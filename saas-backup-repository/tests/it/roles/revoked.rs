//! Writers that write no more.

use super::*;
use saas_backup_repository::VerifyOptions;

fn commit(sequence: u64) -> String {
    format!("source/blog/commit/{sequence:020}")
}

/// A scene with two agents, of which the first is revoked, and what it would go on to write.
async fn revoked() -> (Scene, AgentKey, FaultyStore) {
    let scene = Scene::new().await;
    let second = AgentKey::generate();
    scene.owners().await.add_writer(&second).await.unwrap();
    scene.rewrap().await;
    let thief = scene.disk.restarted();
    let id = scene.header(1)["writer"].as_str().unwrap().to_owned();
    scene.owners().await.revoke_writer(&id).await.unwrap();
    scene.rewrap().await;
    let account = Scene {
        account: MemoryStore::new(),
        disk: thief.clone(),
        owner: scene.owner.clone(),
        agent: scene.agent.clone(),
        clock: clock(),
    };
    for round in 10..13 {
        account.back_up(&thief, &scene.agent, round).await.unwrap();
    }
    (scene, second, thief)
}

#[tokio::test]
async fn what_a_revoked_writer_wrote_before_stays_and_what_it_writes_after_counts_for_nobody() {
    let (scene, second, thief) = revoked().await;
    let refused = scene.back_up(&scene.disk, &scene.agent, 3).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::PermissionDenied && refused.to_string().contains("revoked"), "{refused}");
    let before = live(&scene.blog().await, At::Now).await.unwrap();
    assert_eq!(before.len(), 9);
    // With the storage's credentials it puts its commits there all the same, and what they name.
    for name in thief.names().into_iter().filter(|name| !scene.disk.names().contains(name)) {
        scene.disk.replace(&name, thief.object(&name));
    }
    assert!(scene.disk.names().contains(&commit(6)));
    assert_eq!(live(&scene.blog().await, At::Now).await.unwrap(), before);
    scene.back_up(&scene.disk, &second, 3).await.unwrap();
    let points: Vec<u64> = scene.blog().await.points().await.unwrap().iter().map(|point| point.sequence).collect();
    assert_eq!(points, [1, 2, 3, 7]);
    scene.blog().await.check().await.unwrap();
    scene.blog().await.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
    assert_eq!(live(&scene.blog().await, At::Sequence(7)).await.unwrap().len(), 12);
    let report = scene.owners().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    let told: Vec<&str> = report.problems.iter().map(|problem| problem.object.as_str()).collect();
    assert_eq!(told, [commit(4), commit(5), commit(6)], "{report:?}");

    let writers = scene.owners().await.writers().await.unwrap();
    assert_eq!(writers.iter().filter(|writer| writer.revoked.is_some()).count(), 1);
    assert_eq!(scene.owners().await.add_writer(&scene.agent).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let owners = writers.iter().find(|writer| writer.maintains).unwrap();
    assert_eq!(scene.owners().await.revoke_writer(&owners.id).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(scene.owners().await.revoke_writer("0123456789abcdef").await.unwrap_err().kind(), ErrorKind::NotFound);
    // New metadata is closed to it, too.
    let key = secret(&scene.agent.to_file());
    let id = scene.header(7)["domains"][0]["id"].as_str().unwrap().to_owned();
    assert!(
        scene
            .keys()
            .iter()
            .filter(|name| name.contains("naming") || name.contains(&id))
            .all(|name| !opens(&key, &scene.disk.object(name)))
    );
    assert!(scene.check().await.is_good());
}

#[tokio::test]
async fn a_revoked_writer_cannot_write_the_past_anew() {
    let (scene, second, thief) = revoked().await;
    // A history of its own from the second commit on, and as long as the true one.
    let fork = thief.restarted();
    for name in fork.names().into_iter().filter(|name| name.contains("/layout/")).chain((2..7).map(commit)) {
        fork.remove(&name);
    }
    let forging = Scene {
        account: MemoryStore::new(),
        disk: fork.clone(),
        owner: scene.owner.clone(),
        agent: scene.agent.clone(),
        clock: clock(),
    };
    for round in 20.. {
        forging.back_up(&fork, &scene.agent, round).await.unwrap();
        if fork.names().contains(&commit(3)) {
            break;
        }
    }
    for reach in [2, 3] {
        let forged = Scene {
            disk: scene.disk.restarted(),
            account: MemoryStore::new(),
            owner: scene.owner.clone(),
            agent: scene.agent.clone(),
            clock: clock(),
        };
        forged.disk.remove(&commit(3));
        for name in fork.names() {
            if name != commit(3) || reach == 3 {
                forged.disk.replace(&name, fork.object(&name));
            }
        }
        let blog = forged.blog().await;
        let refused = blog.check().await.unwrap_err();
        let why = if reach == 2 { "was rolled back" } else { "is not the one that stood" };
        assert!(refused.kind() == ErrorKind::Integrity && refused.to_string().contains(why), "{refused}");
        assert!(!forged.check().await.is_good());
        assert!(forged.back_up(&forged.disk, &second, 3).await.is_err());
    }
}

#[tokio::test]
async fn a_layout_of_a_revoked_writer_is_not_believed() {
    let scene = Scene::new().await;
    for round in 3..7 {
        scene.back_up(&scene.disk, &scene.agent, round).await.unwrap();
    }
    let layout = scene.disk.names().into_iter().find(|name| name.contains("/layout/")).unwrap();
    scene.disk.forget_requests();
    scene.blog().await.points().await.unwrap();
    assert!(scene.disk.reads().iter().all(|(name, _)| *name != commit(1)));
    scene.owners().await.revoke_writer(scene.header(1)["writer"].as_str().unwrap()).await.unwrap();
    scene.disk.forget_requests();
    assert_eq!(scene.blog().await.points().await.unwrap().len(), 7);
    let reads = scene.disk.reads();
    assert!([layout, commit(1)].iter().all(|name| reads.iter().any(|(read, _)| read == name)), "{reads:?}");
}

/// Somebody builds on a commit of the writer while it is revoked: then that commit is an earlier one.
#[tokio::test]
async fn what_others_built_on_meanwhile_stays() {
    let (scene, second, _) = revoked().await;
    let third = AgentKey::generate();
    let id = scene.owners().await.add_writer(&third).await.unwrap();
    scene.rewrap().await;
    scene.back_up(&scene.disk, &third, 3).await.unwrap();
    let ahead = scene.disk.restarted();
    scene.back_up(&ahead, &third, 4).await.unwrap();
    scene.back_up(&ahead, &second, 5).await.unwrap();
    let late: BTreeMap<String, Bytes> = ahead
        .names()
        .into_iter()
        .filter(|name| !scene.disk.names().contains(name))
        .map(|name| (name.clone(), ahead.object(&name)))
        .collect();
    // They arrive between the owner's look at the timeline and the statement.
    scene.disk.on_create("roles/", late);
    scene.owners().await.revoke_writer(&id).await.unwrap();
    // By the commits themselves: a layout of the other writer would say it, too.
    assert_eq!(scene.blog().await.proven_points().await.unwrap().len(), 6);
    scene.blog().await.check().await.unwrap();
    assert!(scene.back_up(&scene.disk, &third, 6).await.is_err());
    scene.back_up(&scene.disk, &second, 6).await.unwrap();
}
