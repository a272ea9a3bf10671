//! What a check of the keys finds.

use super::*;
use saas_backup_repository::{Escrow, KeyProblemKind};

#[tokio::test]
async fn a_check_finds_what_is_lost_and_whose_key_it_was() {
    let scene = Scene::new().await;
    let whole = scene.check().await;
    assert!(whole.is_good() && whole.opened == scene.keys().len() as u64 && whole.unnamed == 0, "{whole:?}");
    let denied = scene.open(Keys::writer(scene.agent.clone())).await.unwrap().check_keys(&mut |_| {}).await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::PermissionDenied);

    let months: Vec<String> = scene.header(1)["domains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|domain| format!("source/blog/keys/{}.age", domain["id"].as_str().unwrap()))
        .collect();
    let naming = "source/blog/keys/naming.age".to_owned();
    for name in scene.keys() {
        let disk = scene.disk.restarted();
        disk.remove(&name);
        let gone = found(&scene, &disk).await;
        assert_eq!(gone, [(name.clone(), KeyProblemKind::Lost)]);
        let disk = scene.disk.restarted();
        disk.replace(&name, scene.disk.object(&name).slice(..80));
        assert_eq!(found(&scene, &disk).await, [(name.clone(), KeyProblemKind::Lost)]);
    }
    // Each opens, and none is what it should be.
    for (one, other) in [(&months[0], &months[1]), (&months[0], &naming)] {
        let disk = scene.disk.restarted();
        disk.replace(one, scene.disk.object(other));
        disk.replace(other, scene.disk.object(one));
        let lost: Vec<String> = found(&scene, &disk)
            .await
            .into_iter()
            .filter(|(_, kind)| *kind == KeyProblemKind::Lost)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(lost.len(), 2, "{lost:?}");
    }
    let disk = scene.disk.restarted();
    disk.replace(&naming, {
        let other = Scene::new().await;
        let text = age::decrypt(&secret(&other.owner.to_file()), &other.disk.object(&naming)).unwrap();
        age::encrypt(&secret(&scene.owner.to_file()).to_public(), &text).unwrap()
    });
    assert_eq!(found(&scene, &disk).await, [(naming, KeyProblemKind::Lost)]);
}

async fn found(scene: &Scene, disk: &FaultyStore) -> Vec<(String, KeyProblemKind)> {
    let options = scene.options(Keys::owner(scene.owner.clone()));
    let repository = Repository::open_on(Arc::new(disk.clone()), options).await.unwrap();
    let report = repository.check_keys(&mut |_| {}).await.unwrap();
    report.problems.into_iter().map(|problem| (problem.object, problem.kind)).collect()
}

#[tokio::test]
async fn a_check_finds_an_agent_that_may_not_write_and_a_key_for_others() {
    let scene = Scene::new().await;
    let stranger = Keys::owner(scene.owner.clone()).with_agent(AgentKey::generate());
    let report = scene.open(stranger).await.unwrap().check_keys(&mut |_| {}).await.unwrap();
    assert!(report.problems.len() == 1 && report.problems[0].kind == KeyProblemKind::Role, "{report:?}");
    // As a tool of the format encrypts it: it opens, and says nothing of whom else it is for.
    let name = scene.keys().remove(0);
    let key = secret(&scene.owner.to_file());
    let text = age::decrypt(&key, &scene.disk.object(&name)).unwrap();
    scene.disk.replace(&name, age::encrypt(&key.to_public(), &text).unwrap());
    assert_eq!(found(&scene, &scene.disk).await, [(name, KeyProblemKind::Outdated)]);
    assert_eq!(scene.rewrap().await.rewritten, 1);
    assert!(scene.check().await.is_good());
}

#[tokio::test]
async fn an_escrow_opens_the_repository_for_those_whom_it_is_for() {
    let scene = Scene::new().await;
    let (notary, friend, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
    let file = scene.owners().await.escrow(&[notary.recipient().clone(), friend.recipient().clone()]).unwrap();
    for holder in [&notary, &friend] {
        let opened = Escrow::open(file.clone(), holder).unwrap();
        assert_eq!((opened.repository.as_str(), opened.root), (scene.owners().await.id(), scene.owner.root_key()));
        let keys = Keys::owner(opened.identity).with_root(opened.root);
        assert!(scene.open(keys).await.unwrap().check_keys(&mut |_| {}).await.unwrap().is_good());
    }
    assert_eq!(Escrow::open(file.clone(), &stranger).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(Escrow::open(file.slice(..file.len() - 1), &notary).unwrap_err().kind(), ErrorKind::Integrity);
    let other = age::encrypt(&secret(&notary.to_file()).to_public(), b"a letter").unwrap();
    assert_eq!(Escrow::open(other.into(), &notary).unwrap_err().kind(), ErrorKind::InvalidData);
    // With age alone: what is in it is a key file.
    let text = age::decrypt(&secret(&notary.to_file()), &file).unwrap();
    let text = SecretString::from(String::from_utf8(text).unwrap());
    assert_eq!(secret(&text).to_public().to_string(), scene.owner.recipient().as_str());
    assert!(
        !text.expose_secret().contains('{') || text.expose_secret().contains("identity = { file"),
        "a blank was left"
    );
    let nobody = scene.owners().await.escrow(&[]).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Configuration);
}
