use std::time::Duration;

use saas_backup::core::{At, ErrorKind, Json, Record};
use saas_backup::repository::RetentionPolicy;
use saas_backup::{ForgetOptions, MaintainOptions, Project, VerifyRead};

use crate::support::{key, world, world_of};

/// Keeps two points, however young the others are.
fn two_points() -> RetentionPolicy {
    RetentionPolicy::default().with_keep_last(2).with_min_age(Duration::ZERO)
}

#[tokio::test]
async fn what_is_not_kept_is_forgotten_and_its_space_is_free() {
    let world = world_of("forget", None, Some(two_points()));
    let project = &world.project;
    project.init().await.unwrap();
    for text in [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#] {
        world.write("1", text);
        world.backup().await;
    }
    let all: Vec<u64> = project.points("notes").await.unwrap().iter().map(|point| point.sequence).collect();
    let dry = project.forget("notes", &ForgetOptions::default().with_dry_run(true)).await.unwrap();
    assert_eq!((dry.forgotten.as_slice(), dry.plan.decisions.len()), (&all[..2], 4));
    assert_eq!(dry.plan.decisions[2].kept[0].to_string(), "last 2");
    assert_eq!(project.points("notes").await.unwrap().len(), 4);

    let forgot = project.forget("notes", &ForgetOptions::default()).await.unwrap();
    assert_eq!((forgot.forgotten.as_slice(), forgot.dry_run), (&all[..2], false));
    assert_eq!(project.points("notes").await.unwrap().len(), 2);
    assert_eq!(project.show("notes", &key("1"), At::Sequence(all[0])).await.unwrap_err().kind(), ErrorKind::NotFound);
    let again = project.forget("notes", &ForgetOptions::default()).await.unwrap();
    assert_eq!(again.forgotten, Vec::<u64>::new());

    let before = project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap();
    let now = MaintainOptions::default().with_all(true).with_grace(Duration::ZERO);
    let dry = project.maintain("notes", &now.clone().with_dry_run(true), &mut |_| {}).await.unwrap();
    assert!(dry.compacted.base && dry.compacted.lines_kept == 0, "{dry:?}");
    assert_eq!(project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap().objects, before.objects);

    let mut heard = 0;
    let maintained = project.maintain("notes", &now, &mut |_| heard += 1).await.unwrap();
    assert!(heard > 0 && maintained.compacted.points_compared == 2, "{maintained:?}");
    assert!(maintained.compacted.lines_dropped > 0 && maintained.collected.waiting == 0, "{maintained:?}");
    let after = project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap();
    assert!(after.good && after.anchored == 1, "{after:?}");
    for (point, text) in [(all[2], r#"{"n":3}"#), (all[3], r#"{"n":4}"#)] {
        assert_eq!(project.show("notes", &key("1"), At::Sequence(point)).await.unwrap().data.as_str(), text);
    }
}

/// Whatever else goes, the newest point of which everything was read and found good since it was made.
#[tokio::test]
async fn what_was_verified_is_kept() {
    let retention = two_points().with_keep_verified(1);
    let world = world_of("verified", None, Some(retention));
    let project = &world.project;
    project.init().await.unwrap();
    for (number, text) in
        [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#, r#"{"n":5}"#].into_iter().enumerate()
    {
        world.write("1", text);
        world.backup().await;
        world.clock.advance(Duration::from_hours(24));
        if number == 2 {
            let verified = project.verify(VerifyRead::Due("1d".parse().unwrap()), &mut |_, _| {}).await.unwrap();
            assert!(verified.good && verified.unread == 0 && verified.verified_points == 3, "{verified:?}");
        }
    }
    let all: Vec<u64> = project.points("notes").await.unwrap().iter().map(|point| point.sequence).collect();
    let forgot = project.forget("notes", &ForgetOptions::default()).await.unwrap();
    assert_eq!(forgot.plan.decisions[2].kept[0].to_string(), "newest verified 1");
    assert_eq!(forgot.forgotten, [all[0], all[1], all[3]]);
}

#[tokio::test]
async fn what_was_given_up_stays_for_its_grace() {
    let world = world_of("grace", None, Some(two_points()));
    let project = &world.project;
    project.init().await.unwrap();
    for number in 0..3 {
        // Too much for a commit's own body.
        let text = format!("{number}").repeat(100_000);
        world.notes.put(Record::new(key("1"), Json::parse(format!("{{\"n\":\"{text}\"}}")).unwrap()));
        world.backup().await;
    }
    project.forget("notes", &ForgetOptions::default()).await.unwrap();
    let options = MaintainOptions::default().with_all(true);
    let maintained = project.maintain("notes", &options, &mut |_| {}).await.unwrap();
    assert!(maintained.collected.waiting > 0 && maintained.collected.objects == 0, "{maintained:?}");
    world.clock.advance(Duration::from_hours(7 * 24 + 1));
    let dry = project.maintain("notes", &MaintainOptions::default().with_dry_run(true), &mut |_| {}).await.unwrap();
    let maintained = project.maintain("notes", &MaintainOptions::default(), &mut |_| {}).await.unwrap();
    assert!(!maintained.compacted.due && maintained.collected.objects > 0, "{maintained:?}");
    assert_eq!(dry.collected, maintained.collected);
    assert!(project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap().good);
}

#[tokio::test]
async fn a_source_may_have_a_retention_of_its_own() {
    let world = world("retention", None);
    let project = &world.project;
    project.init().await.unwrap();
    world.write("1", "{}");
    world.backup().await;
    let error = project.forget("notes", &ForgetOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("add a [retention]"), "{error}");

    let mut config = project.config().clone();
    config.retention = Some(RetentionPolicy::default().with_keep_daily(7));
    config.sources[0].retention = Some(two_points());
    let project = Project::with_registry(config, project.registry().clone()).unwrap();
    assert_eq!(project.retention("notes").unwrap(), &two_points());
    assert_eq!(project.retention("other").unwrap().keep_daily, 7);
    for wrong in [
        project.forget("nowhere", &ForgetOptions::default()).await.map(drop),
        project.maintain("nowhere", &MaintainOptions::default(), &mut |_| {}).await.map(drop),
    ] {
        assert!(wrong.unwrap_err().to_string().contains("configured: notes other"));
    }
}
