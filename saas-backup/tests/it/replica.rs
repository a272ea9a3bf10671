use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{ErrorKind, Reference, TransferOptions};
use saas_backup::repository::{EraseOptions, Subject};
use saas_backup::{
    Config, Encryption, MaintainOptions, Project, ReplicaConfig, Replicated, RepositoryConfig, VerifyRead,
};

use crate::support::{World, key, world};

/// The same project with its repository in a folder and these replicas.
fn replicated(world: &World, replicas: &[&str]) -> Project {
    let mut config = world.project.config().clone();
    config.repository.url = world.folder.path().join("repository").display().to_string().into();
    config.replicas = replicas.iter().map(|url| ReplicaConfig::new(*url)).collect();
    Project::with_registry(config, world.project.registry().clone()).unwrap().with_clock(Arc::new(world.clock.clone()))
}

#[tokio::test]
async fn a_replica_that_fails_does_not_keep_the_others_from_theirs() {
    let world = world("replicas", None);
    let mut config = Config::new(RepositoryConfig::new("memory://stranger"), Vec::new());
    config.repository.encryption = Encryption::None;
    config.state = Some(world.folder.path().join("stranger"));
    Project::open(config).unwrap().init().await.unwrap();
    let own = world.folder.path().join("repository").display().to_string();
    let project = replicated(&world, &["no-such://place", "memory://stranger", &own, "memory://copy"]);
    project.init().await.unwrap();
    world.write("1", "{}");
    project.backup("notes", TransferOptions::backup()).await.unwrap();

    let mut heard = Vec::new();
    let reports =
        project.replicate(None, &mut |name, objects, _| heard.push((name.to_owned(), objects))).await.unwrap();
    let failed = |report: &Replicated| report.failure.as_ref().map(|failure| failure.kind);
    let [first, second, third, last] = reports.try_into().unwrap();
    assert_eq!((failed(&first), first.complete), (Some(ErrorKind::Configuration), false));
    assert!(failed(&second).is_some() && !second.complete, "{second:?}");
    assert_eq!(failed(&third), Some(ErrorKind::Configuration));
    assert!(last.complete && failed(&last).is_none() && last.held == 0, "{last:?}");
    assert_eq!(heard.last(), Some(&("memory://copy".to_owned(), last.objects)));

    let [again] = project.replicate(Some("memory://copy"), &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert!(again.complete && again.objects == 0 && again.held > 0, "{again:?}");
    let error = replicated(&world, &[]).replicate(None, &mut |_, _, _| {}).await.unwrap_err();
    assert!(error.to_string().contains("no [[replica]]"), "{error}");
}

#[tokio::test]
async fn what_is_lost_comes_back_from_the_first_copy_that_opens() {
    let world = world("repair", None);
    let project = replicated(&world, &["memory://nothing-here", "memory://whole"]);
    project.init().await.unwrap();
    for text in [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#] {
        world.write("1", text);
        world.clock.advance(Duration::from_mins(1));
        project.backup("notes", TransferOptions::backup()).await.unwrap();
    }
    project.replicate(Some("memory://whole"), &mut |_, _, _| {}).await.unwrap();
    let points = project.points("notes").await.unwrap();
    let commits = world.folder.path().join("repository/source/notes/commit");
    let mut files: Vec<_> = std::fs::read_dir(&commits).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    std::fs::remove_file(files.pop().unwrap()).unwrap();
    std::fs::write(files.pop().unwrap(), "damaged").unwrap();

    // As another run would find it.
    let project = replicated(&world, &["memory://nothing-here", "memory://whole"]);
    assert!(!project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap().good);
    let mut heard = 0;
    let repaired = project.repair(None, VerifyRead::ALL, &mut |objects| heard = objects).await.unwrap();
    assert_eq!((repaired.replica.as_str(), repaired.good, repaired.objects.len()), ("memory://whole", true, 2));
    assert!(heard > 0);
    let project = replicated(&world, &[]);
    assert!(project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap().good);
    assert_eq!(project.points("notes").await.unwrap(), points);
    let error = project.repair(Some("memory://nothing-here"), VerifyRead::Nothing, &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("replica: memory://nothing-here"), "{error}");
}

/// What is erased goes from replicas that follow, once their grace is over; of the others the caller hears.
#[tokio::test]
async fn an_erasure_reaches_the_replicas_that_are_pruned() {
    let world = world("erasure", None);
    let project = replicated(&world, &["memory://keeps-all", "memory://is-pruned"]);
    let mut config = project.config().clone();
    config.replicas[1].prune = true;
    let project = Project::with_registry(config, world.project.registry().clone()).unwrap();
    let project = project.with_clock(Arc::new(world.clock.clone()));
    project.init().await.unwrap();
    for text in [r#"{"n":"lovelace"}"#, r#"{"n":"lovelace again"}"#] {
        world.write("1", text);
        world.write("2", r#"{"n":"somebody else"}"#);
        world.clock.advance(Duration::from_mins(1));
        project.backup("notes", TransferOptions::backup()).await.unwrap();
    }
    project.replicate(None, &mut |_, _, _| {}).await.unwrap();
    let subject = Subject::person(Reference::from(&key("1")));
    let request = EraseOptions::new("T-1");
    let erased = project.erase("notes", &subject, &request, &mut |_| {}).await.unwrap();
    assert_eq!((erased.concerned.records.len(), erased.erasures.len()), (1, 1));
    assert_eq!(erased.kept_by_replicas, ["memory://keeps-all"]);
    let statement = project.state_erasures("notes").await.unwrap();
    assert_eq!(project.read_statement(statement).await.unwrap().erasures, erased.erasures);

    let mut pruned = Vec::new();
    for _ in 0..2 {
        world.clock.advance(Duration::from_hours(8 * 24));
        world.write("2", r#"{"n":"more"}"#);
        project.backup("notes", TransferOptions::backup()).await.unwrap();
        project.maintain("notes", &MaintainOptions::default(), &mut |_| {}).await.unwrap();
        let [keeps, follows] = project.replicate(None, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
        assert!(keeps.pruned.is_none() && keeps.complete && follows.complete, "{follows:?}");
        pruned.push(follows.pruned.unwrap().objects);
    }
    assert!(pruned[0] > 0, "{pruned:?}");
    let scanned = project.scan("notes", &["lovelace".to_owned()], &mut |_| {}).await.unwrap();
    assert!(scanned.found.is_empty() && scanned.objects > 0, "{scanned:?}");
}
