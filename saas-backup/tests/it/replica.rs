use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{ErrorKind, Reference, TransferOptions};
use saas_backup::repository::{EraseOptions, Subject};
use saas_backup::{
    Config, Encryption, MaintainOptions, Project, ReplicaBy, ReplicaConfig, Replicated, RepositoryConfig, VerifyRead,
    keygen,
};
use secrecy::ExposeSecret as _;

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
        project.replicate(None, false, &mut |name, objects, _| heard.push((name.to_owned(), objects))).await.unwrap();
    let failed = |report: &Replicated| report.failure.as_ref().map(|failure| failure.kind);
    let [first, second, third, last] = reports.try_into().unwrap();
    assert_eq!((failed(&first), first.complete), (Some(ErrorKind::Configuration), false));
    assert!(failed(&second).is_some() && !second.complete, "{second:?}");
    assert_eq!(failed(&third), Some(ErrorKind::Configuration));
    assert!(last.complete && failed(&last).is_none() && last.held == 0, "{last:?}");
    assert_eq!(heard.last(), Some(&("memory://copy".to_owned(), last.objects)));

    let [again] = project.replicate(Some("memory://copy"), false, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert!(again.complete && again.objects == 0 && again.held > 0, "{again:?}");
    let error = replicated(&world, &[]).replicate(None, false, &mut |_, _, _| {}).await.unwrap_err();
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
    project.replicate(Some("memory://whole"), false, &mut |_, _, _| {}).await.unwrap();
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
    project.replicate(None, false, &mut |_, _, _| {}).await.unwrap();
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
        let [keeps, follows] = project.replicate(None, false, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
        assert!(keeps.pruned.is_none() && keeps.complete && follows.complete, "{follows:?}");
        pruned.push(follows.pruned.unwrap().objects);
    }
    assert!(pruned[0] > 0, "{pruned:?}");
    let scanned = project.scan("notes", &["lovelace".to_owned()], &mut |_| {}).await.unwrap();
    assert!(scanned.found.is_empty() && scanned.objects > 0, "{scanned:?}");
}

/// A replica by records, and the project whose repository it is.
fn follower(world: &World, url: &str) -> (ReplicaConfig, Project) {
    let identity: String = keygen().unwrap().file.expose_secret().to_owned();
    let mut replica = ReplicaConfig::new(url);
    (replica.by, replica.identity) = (ReplicaBy::Records, Some(identity.clone().into()));
    let mut config = Config::new(RepositoryConfig::new(url), Vec::new());
    config.repository.identity = Some(identity.into());
    config.state = Some(world.folder.path().join("state of the follower"));
    (replica, Project::open(config).unwrap().with_clock(Arc::new(world.clock.clone())))
}

/// The same project with these replicas.
fn with_replicas(world: &World, replicas: Vec<ReplicaConfig>) -> Project {
    let mut config = replicated(world, &[]).config().clone();
    config.replicas = replicas;
    Project::with_registry(config, world.project.registry().clone()).unwrap().with_clock(Arc::new(world.clock.clone()))
}

#[tokio::test]
async fn a_replica_by_records_is_made_and_takes_over_each_point() {
    let world = world("followed", None);
    let (replica, own) = follower(&world, "memory://follower");
    let project = with_replicas(&world, vec![ReplicaConfig::new("memory://followed-copy"), replica]);
    project.init().await.unwrap();
    for text in [r#"{"n":1}"#, r#"{"n":2}"#] {
        world.write("1", text);
        world.clock.advance(Duration::from_hours(1));
        project.backup("notes", TransferOptions::backup()).await.unwrap();
    }

    let [planned] = project.replicate(None, true, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert_eq!((planned.replica.as_str(), planned.followed.unwrap()[0].points.len()), ("memory://follower", 2));
    assert!(own.points("notes").await.is_err(), "a dry run made the replica");

    let mut heard = Vec::new();
    let mut hear = |name: &str, records, _| heard.push((name.to_owned(), records));
    let [copy, done] = project.replicate(None, false, &mut hear).await.unwrap().try_into().unwrap();
    assert!(copy.complete && copy.followed.is_none() && done.failure.is_none() && done.complete, "{done:?}");
    let followed = done.followed.unwrap();
    assert_eq!((followed[0].source.as_str(), followed[0].points.len(), done.objects, done.held), ("notes", 2, 2, 0));
    assert!(heard.iter().any(|(name, records)| name == "memory://follower" && *records > 0), "{heard:?}");
    let (points, taken) = (project.points("notes").await.unwrap(), own.points("notes").await.unwrap());
    let times = |points: &[saas_backup::Point]| -> Vec<_> { points.iter().map(|point| point.finished).collect() };
    assert_eq!(times(&points), times(&taken));
    let key = key("1");
    let (here, there) = (project.history("notes", &key).await.unwrap(), own.history("notes", &key).await.unwrap());
    let data = |versions: &[saas_backup::Version]| -> Vec<_> {
        versions.iter().map(|version| version.record.clone().unwrap().data).collect()
    };
    assert!(data(&here) == data(&there) && here.len() == 2);
    assert!(own.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap().good);

    let [again] =
        project.replicate(Some("memory://follower"), false, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert!(again.complete && again.held == 2 && again.followed.unwrap()[0].points.is_empty());

    let request = EraseOptions::new("T-7");
    let erased = project.erase("notes", &Subject::record(key), &request, &mut |_| {}).await.unwrap();
    assert_eq!(erased.kept_by_replicas, ["memory://followed-copy"]);
    assert_eq!(erased.kept_by_followers, ["memory://follower"]);
    let [told] =
        project.replicate(Some("memory://follower"), false, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert_eq!(told.followed.unwrap()[0].erasures[0].request, "T-7");
}

#[tokio::test]
async fn a_replica_by_records_needs_keys_of_its_own_and_mends_nothing() {
    let world = world("refused", None);
    let (replica, _) = follower(&world, "memory://refused-follower");
    let mut keyless = ReplicaConfig::new("memory://keyless");
    keyless.by = ReplicaBy::Records;
    let (mut other, _) = follower(&world, "memory://refused-follower");
    other.encryption = Some(Encryption::None);
    other.identity = None;
    let project = with_replicas(&world, vec![replica, keyless]);
    project.init().await.unwrap();
    world.write("1", "{}");
    project.backup("notes", TransferOptions::backup()).await.unwrap();
    let [first, second] = project.replicate(None, false, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert!(first.complete, "{first:?}");
    let failure = second.failure.unwrap();
    assert!(failure.kind == ErrorKind::Configuration && failure.message.contains("keygen"), "{failure:?}");
    // One that is encrypted is no plain one.
    let [wrong] =
        with_replicas(&world, vec![other]).replicate(None, false, &mut |_, _, _| {}).await.unwrap().try_into().unwrap();
    assert!(wrong.failure.unwrap().message.contains("the repository is encrypted"));
    for from in [None, Some("memory://refused-follower")] {
        let error = project.repair(from, VerifyRead::Nothing, &mut |_| {}).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("restore from it"), "{error}");
    }
    let error = with_replicas(&world, vec![ReplicaConfig::new("memory://refused-copy")])
        .replicate(None, true, &mut |_, _, _| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("a dry run is for replicas by records"), "{error}");
}
