//! What a source asks to erase is erased, and the source is told.

use std::time::Duration;

use saas_backup::core::{ErasureEnd, ErasureEvent, ErasureRequest, ErasureState, ErasureTarget, ErrorKind};
use saas_backup::{ErasedRequests, MaintainOptions, RequestOptions};

use super::support::{World, key, world};

fn request(id: &str, targets: Vec<ErasureTarget>) -> ErasureRequest {
    let time = |text: &str| text.parse().unwrap();
    ErasureRequest::new(id, time("2026-03-01T09:00:00Z"), "retention", time("2026-03-31T09:00:00Z"), targets)
}

fn page(id: &str) -> Vec<ErasureTarget> {
    vec![ErasureTarget::record(key(id))]
}

async fn obey(world: &World) -> ErasedRequests {
    world.project.erase_requested("notes", &RequestOptions::default(), &mut |_| {}).await.unwrap()
}

/// Three pages in two points, all of which were held once.
async fn written(name: &str) -> World {
    let world = world(name, None);
    world.project.init().await.unwrap();
    for id in ["kept", "gone", "held"] {
        world.write(id, r#"{"title":"before"}"#);
    }
    world.backup().await;
    world.write("gone", r#"{"title":"after"}"#);
    world.backup().await;
    world
}

async fn history(world: &World, id: &str) -> usize {
    match world.project.history("notes", &key(id)).await {
        Ok(versions) => versions.len(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            0
        }
    }
}

#[tokio::test]
async fn what_a_source_asks_to_erase_goes_from_all_points_and_the_source_is_told_how_far_it_is() {
    let world = written("requests-erase").await;
    world.requests.add(ErasureEvent::Erase(request("er_1", page("gone"))));
    world.requests.add(ErasureEvent::Erase(request("er_2", page("never there"))));
    let dry = RequestOptions::default().with_dry_run(true);
    let planned = world.project.erase_requested("notes", &dry, &mut |_| {}).await.unwrap();
    assert_eq!((planned.requests.len(), planned.requests[0].records), (2, 1));
    assert_eq!((history(&world, "gone").await, world.requests.take_receipts().len()), (2, 0));

    let erased = obey(&world).await;
    let receipt = &erased.requests[0].receipt;
    assert_eq!((receipt.state, receipt.method.as_deref()), (ErasureState::BeyondUse, Some("crypto-shredded")));
    assert!(receipt.expires_by.unwrap() >= receipt.at + chrono::TimeDelta::days(7));
    assert_eq!((history(&world, "gone").await, history(&world, "kept").await), (0, 1));
    assert_eq!(world.requests.take_receipts(), ["er_1 BeyondUse", "er_2 Applied"]);
    assert_eq!(world.project.erasures("notes").await.unwrap()[0].basis, "retention");

    // Nothing new is done or said, until what held it is gone.
    assert!(obey(&world).await.requests.iter().all(|outcome| !outcome.told && outcome.records == 0));
    world.clock.advance(Duration::from_hours(9 * 24));
    world.project.maintain("notes", &MaintainOptions::default(), &mut |_| {}).await.unwrap();
    let erased = obey(&world).await;
    assert_eq!(world.requests.take_receipts(), ["er_1 Applied"]);
    assert_eq!(erased.requests[0].receipt.expires_by, None);
    assert_eq!(erased.open().count(), 0);
}

#[tokio::test]
async fn what_is_withdrawn_or_held_stays() {
    let world = written("requests-held").await;
    world.requests.add(ErasureEvent::Erase(request("er_1", page("gone"))));
    world.requests.add(ErasureEvent::Erase(request("er_2", page("held"))));
    world.requests.add(ErasureEvent::Cancel(ErasureEnd::new("er_1", "2026-03-01T09:30:00Z".parse().unwrap())));
    world.requests.add(ErasureEvent::Hold(request("h_1", page("held"))));
    let erased = obey(&world).await;
    assert_eq!(erased.open().map(|outcome| outcome.request.as_str()).collect::<Vec<_>>(), ["er_2"]);
    assert_eq!(world.requests.take_receipts(), ["er_2 Scheduled"]);
    assert_eq!((history(&world, "gone").await, history(&world, "held").await), (2, 1));

    world.requests.add(ErasureEvent::Release(ErasureEnd::new("h_1", "2026-03-01T09:40:00Z".parse().unwrap())));
    obey(&world).await;
    assert_eq!(world.requests.take_receipts(), ["er_2 BeyondUse"]);
    assert_eq!((history(&world, "gone").await, history(&world, "held").await), (2, 0));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let world = written("requests-refused").await;
    let mut part = ErasureTarget::record(key("gone"));
    part.paths = vec!["/data/title".to_owned()];
    world.requests.add(ErasureEvent::Erase(request("er_1", vec![part])));
    let erased = obey(&world).await;
    assert_eq!(world.requests.take_receipts(), ["er_1 Refused"]);
    assert!(erased.requests[0].receipt.reason.as_deref().unwrap().contains("whole"));
    assert_eq!(history(&world, "gone").await, 2);
    let of = world.project.erase_requested("other", &RequestOptions::default(), &mut |_| {}).await;
    assert_eq!(of.unwrap_err().kind(), ErrorKind::Unsupported);
}
