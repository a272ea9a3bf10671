//! Rehearsed restores of configured sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{At, BlobId, BlobRef, ErrorKind, Json, Key, Period, Record, RunStatus};
use saas_backup::ops::alert::Condition;
use saas_backup::ops::drill::DrillScope;
use saas_backup::repository::{EraseOptions, Subject};
use saas_backup::{DrillPoint, DrillRequest, Project};

use crate::support::{World, key, world};

/// A copy in a folder, with attachments of both sizes and two points.
async fn backed_up(name: &str) -> (World, Project, PathBuf) {
    let world = world(name, None);
    let place = world.folder.path().join("repository");
    let mut config = world.project.config().clone();
    config.repository.url = format!("file://{}", place.display()).into();
    config.sources[0].rto = Some("1h".parse().unwrap());
    let project = Project::with_registry(config, world.project.registry().clone())
        .unwrap()
        .with_clock(Arc::new(world.clock.clone()));
    project.init().await.unwrap();
    for (id, size) in [("small", 3_000_u32), ("large", 1_300_000)] {
        let blob = BlobId::parse(id).unwrap();
        let mut state = size;
        let noise = (0..size).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let stored = world.notes.put_blob(blob.clone(), noise.collect::<Vec<u8>>());
        let attached = BlobRef::new(blob, "attachment").with_digest(stored.digest).with_size(stored.size);
        world.notes.put(Record::new(key(id), Json::parse("{}").unwrap()).with_blob(attached));
    }
    for number in 0..40 {
        let text = format!("{{\"n\":\"{}\"}}", format!("{number} ").repeat(3_000));
        world.notes.put(Record::new(key(&format!("page {number}")), Json::parse(text).unwrap()));
    }
    for text in [r#"{"text":"first"}"#, r#"{"text":"second"}"#] {
        world.write("changed", text);
        world.clock.advance(Duration::from_mins(1));
        let done = project.backup("notes", saas_backup::core::TransferOptions::backup()).await.unwrap();
        assert_eq!(done.report.status, RunStatus::Complete);
    }
    (world, project, place)
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn conditions(project: &Project) -> Vec<Condition> {
    project.problems().unwrap().into_iter().map(|alert| alert.condition).collect()
}

#[tokio::test]
async fn a_full_drill_measures_what_status_shows_and_leaves_nothing_behind() {
    let (world, project, _) = backed_up("drill-full").await;
    let drilled = project.drill(DrillRequest::new("notes")).await.unwrap();
    assert!(drilled.report.passed && drilled.kept && drilled.into == "jsonl", "{drilled:?}");
    assert_eq!((drilled.report.records, drilled.report.blobs, drilled.report.bytes), (43, 2, 1_303_000));
    assert!(drilled.rto_measured.is_some_and(|time| time >= Period(Duration::from_secs(1))));
    assert_eq!(files(&project.state_folder().join("scratch")), BTreeMap::new());

    let elsewhere = || {
        let mut config = project.config().clone();
        config.state = Some(world.folder.path().join("another machine"));
        let project = Project::with_registry(config, project.registry().clone()).unwrap();
        project.with_clock(Arc::new(world.clock.clone()))
    };
    for project in [&project, &elsewhere()] {
        let [status, _] = project.status().await.unwrap().try_into().unwrap();
        assert_eq!((status.rto_measured, status.rto_met), (drilled.rto_measured, Some(true)));
        assert!(status.drill.is_some_and(|drill| drill.passed && !drill.stale));
    }
    world.clock.advance(Duration::from_hours(93 * 24));
    let [status, _] = project.status().await.unwrap().try_into().unwrap();
    assert_eq!((status.rto_measured, status.rto_met), (drilled.rto_measured, Some(false)), "measured too long ago");
    assert!(status.drill.is_some_and(|drill| drill.stale) && conditions(&project).contains(&Condition::Drill));
}

#[tokio::test]
async fn a_sample_of_any_point_is_chosen_by_its_seed_and_measures_no_objective() {
    let (_world, project, _) = backed_up("drill-sample").await;
    let request = || DrillRequest::new("notes").with_point(DrillPoint::Random).with_sample(Some(5));
    let mut points = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let drilled = project.drill(request().with_seed(seed)).await.unwrap();
        assert!(drilled.report.passed && drilled.rto_measured.is_none() && drilled.report.records == 5, "{drilled:?}");
        assert_eq!(drilled.report.scope, DrillScope::Sample { records: 5, seed });
        points.insert(drilled.point);
        let again = project.drill(request().with_seed(seed)).await.unwrap();
        assert_eq!((again.point, again.report.collections), (drilled.point, drilled.report.collections));
    }
    assert_eq!(points.len(), 2, "every point has its turn");
    assert_eq!(project.status().await.unwrap()[0].rto_met, Some(false));
}

#[tokio::test]
async fn whatever_is_damaged_or_gone_of_the_data_fails_the_drill() {
    let (_world, project, place) = backed_up("drill-damage").await;
    let whole = files(&place);
    let of_data = |path: &&PathBuf| {
        ["/data/", "/blob/", "/pack/", "/commit/"].iter().any(|folder| path.to_str().unwrap().contains(folder))
    };
    let hurt: Vec<PathBuf> = whole.keys().filter(of_data).cloned().collect();
    assert!(hurt.len() >= 4, "{hurt:?}");
    for path in hurt {
        // Without its newest commit a timeline is an older one: `verify` compares with what was seen last.
        let is_newest = path.ends_with("00000000000000000002");
        for cut in [true, false].into_iter().filter(|cut| !(*cut && is_newest)) {
            if cut {
                std::fs::remove_file(&path).unwrap();
            } else {
                let mut bytes = whole[&path].clone();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
            // What was read before is not asked for again.
            let project = Project::with_registry(project.config().clone(), project.registry().clone()).unwrap();
            let what = format!("{} {cut}", path.display());
            match project.drill(DrillRequest::new("notes")).await {
                Ok(drilled) => assert!(!drilled.report.passed, "{what}: {drilled:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Integrity, "{what}: {error}"),
            }
            assert!(conditions(&project).contains(&Condition::Drill), "{what}");
            std::fs::write(&path, &whole[&path]).unwrap();
        }
    }
    let project = Project::with_registry(project.config().clone(), project.registry().clone()).unwrap();
    assert!(project.drill(DrillRequest::new("notes")).await.unwrap().report.passed);
    assert!(!conditions(&project).contains(&Condition::Drill), "it is over");
}

#[tokio::test]
async fn who_was_erased_does_not_come_back() {
    let (world, project, _) = backed_up("drill-erased").await;
    let subject = Subject::record(key("changed"));
    project.erase("notes", &subject, &EraseOptions::new("T-1"), &mut |_| {}).await.unwrap();
    let kept = world.folder.path().join("restored");
    for point in [1, 2] {
        let to = kept.join(point.to_string());
        std::fs::create_dir_all(&kept).unwrap();
        let request = DrillRequest::new("notes").with_point(DrillPoint::At(At::Sequence(point))).with_to(&to);
        let drilled = project.drill(request).await.unwrap();
        assert!(drilled.report.passed && drilled.report.records == 42, "{drilled:?}");
        let text = files(&to).into_values().flatten().collect::<Vec<u8>>();
        assert!(!String::from_utf8_lossy(&text).contains("\"changed\""));
    }
}

#[tokio::test]
async fn an_account_is_only_written_to_if_it_is_for_rehearsals() {
    let (world, project, _) = backed_up("drill-account").await;
    let into = || DrillRequest::new("notes").with_into("other");
    let error = project.drill(into()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("scratch = true"), "{error}");
    assert!(world.other.live().is_empty());

    let mut config = project.config().clone();
    config.sources[1].scratch = true;
    let project = Project::with_registry(config, project.registry().clone()).unwrap();
    let dry = project.drill(into().with_dry_run(true)).await.unwrap();
    assert!(!dry.kept && world.other.live().is_empty(), "{dry:?}");
    let drilled = project.drill(into()).await.unwrap();
    assert!(drilled.report.passed && drilled.report.fidelity_percent() == Some(100), "{drilled:?}");
    assert_eq!(world.other.live().len(), 43);
    assert!(!world.other.live().contains_key(&Key::parse("pages", "changed").unwrap()), "it gives ids of its own");
}

#[tokio::test]
async fn what_does_not_read_back_is_no_place_for_a_drill() {
    let (_world, project, _) = backed_up("drill-form").await;
    let error = project.drill(DrillRequest::new("notes").with_into("nothing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let error = project.drill(DrillRequest::new("notes").with_dry_run(true)).await.unwrap_err();
    assert!(error.to_string().contains("a dry run is for a drill into an account"), "{error}");
    let mut config = project.config().clone();
    config.repository.identity = None;
    config.repository.agent = None;
    let blind = Project::with_registry(config, project.registry().clone()).unwrap();
    let error = blind.drill(DrillRequest::new("notes")).await.unwrap_err();
    assert!(error.to_string().contains("identity"), "{error}");
}
