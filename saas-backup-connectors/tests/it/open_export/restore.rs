//! Restores through the imports of a service.

use saas_backup_core::{IdMap, RunReport, WriteMode};

use super::*;

/// A copy of a service's account.
async fn copy(service: &Service) -> MemoryStore {
    let store = MemoryStore::new();
    let target = MemoryConnector::new(store.clone());
    let run = transfer(&service.connector(), &target, TransferOptions::backup()).await.unwrap();
    assert_eq!(run.report.status, RunStatus::Complete);
    store
}

async fn restore(store: &MemoryStore, service: &Service, options: TransferOptions) -> Result<RunReport> {
    let done = transfer(&MemoryConnector::new(store.clone()), &service.connector(), options).await?;
    Ok(done.report)
}

fn counts(report: &RunReport) -> (u64, u64, u64) {
    report.collections.values().fold((0, 0, 0), |(written, skipped, rejected), counts| {
        (written + counts.written, skipped + counts.skipped, rejected + counts.rejected)
    })
}

/// What points where, by title or name; ids are the service's own.
fn shape(service: &Service) -> Vec<(String, String, Vec<String>)> {
    let records: Vec<Record> = service.account.visible().keys().map(|key| service.account.get(key).unwrap()).collect();
    let text =
        |key: &Key| records.iter().find(|record| &record.key == key).map(|record| record.data.as_str().to_owned());
    let mut shape: Vec<_> = records
        .iter()
        .map(|record| {
            let to = record.references().map(|to| text(&to.key()).unwrap_or_default()).collect();
            (record.key.collection.to_string(), record.data.as_str().to_owned(), to)
        })
        .collect();
    shape.sort();
    shape
}

fn grant_imports(service: &Service) {
    *service.tokens.scopes.lock().unwrap() = Some(vec![Scope::Read, Scope::Blobs, Scope::Import]);
}

#[tokio::test]
async fn an_account_is_restored_into_an_empty_one_with_its_relationships_and_attachments() {
    let old = Service::seeded(30).await;
    let blob = old.account.add_blob("the bytes", "notes.txt", "text/plain");
    old.account.put(note("n_blob", "With a file").with_blob(blob));
    let store = copy(&old).await;

    let snapshot = old.connector().snapshot(SnapshotOptions::default()).await.unwrap();
    assert!(snapshot.catalog().await.unwrap().get(&name("comments")).unwrap().restorable);

    let new = Service::start().await;
    grant_imports(&new);
    let ids = IdMap::default();
    let options = TransferOptions::new(WriteMode::Create).with_ids(ids.clone());
    let report = restore(&store, &new, options).await.unwrap();
    assert_eq!((report.status, counts(&report)), (RunStatus::Complete, (62, 0, 0)), "{report:?}");
    assert_eq!(shape(&new), shape(&old));
    let restored = new.account.get(&ids.get(&key("notes/n_blob")).unwrap()).unwrap();
    let again = copy(&new).await;
    let held = again.blob(restored.blobs[0].id.as_ref().unwrap());
    assert_eq!(held.as_deref(), Some(b"the bytes".as_slice()));
}

#[tokio::test]
async fn a_dry_run_counts_what_would_be_written_and_leaves_no_import_behind() {
    let old = Service::seeded(5).await;
    let store = copy(&old).await;
    let new = Service::start().await;
    grant_imports(&new);
    // More often than imports may be open.
    for _ in 0..20 {
        let options = TransferOptions::new(WriteMode::Create).with_dry_run(true);
        assert_eq!(counts(&restore(&store, &new, options).await.unwrap()), (11, 0, 0));
    }
    assert!(new.account.visible().is_empty());
}

#[tokio::test]
async fn what_is_still_there_is_left_or_replaced_as_the_mode_says() {
    let service = Service::seeded(3).await;
    grant_imports(&service);
    let store = copy(&service).await;
    service.account.delete(&key("notes/n_001"));
    service.account.update(&key("notes/n_002"), |note| note.data = Json::parse(r#"{"title":"changed"}"#).unwrap());

    let report = restore(&store, &service, TransferOptions::new(WriteMode::Merge)).await.unwrap();
    assert_eq!(counts(&report), (1, 6, 0));
    let titles = |service: &Service| {
        let notes = shape(service).into_iter().filter(|(collection, ..)| collection == "notes");
        notes.map(|(_, data, to)| (data, to.len())).collect::<Vec<_>>()
    };
    let title = |text: &str| (format!(r#"{{"title":"{text}"}}"#), 1);
    assert_eq!(titles(&service), [title("Note 0"), title("Note 1"), title("changed")]);

    let report = restore(&store, &service, TransferOptions::new(WriteMode::Overwrite)).await.unwrap();
    assert_eq!(counts(&report), (7, 0, 0));
    assert_eq!(titles(&service), [title("Note 0"), title("Note 1"), title("Note 2")]);
}

#[tokio::test]
async fn an_interrupted_restore_goes_on_and_writes_nothing_twice() {
    let old = Service::seeded(40).await;
    let store = copy(&old).await;
    let new = Service::start().await;
    grant_imports(&new);
    let ids = IdMap::default();
    let posts = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&posts);
    new.tamper(move |path, body| {
        if path.ends_with("/records") {
            *counted.lock().unwrap() += 1;
        }
        // The service has written, and its answer is lost, from the second request on.
        if path.ends_with("/records") && *counted.lock().unwrap() > 1 { body[..body.len() / 2].to_vec() } else { body }
    });
    let options = TransferOptions::new(WriteMode::Create).with_ids(ids.clone());
    let broken = restore(&store, &new, options.clone()).await;
    assert!(broken.is_err() || broken.unwrap().status != RunStatus::Complete);
    assert!(*posts.lock().unwrap() > 1 && !new.account.visible().is_empty());
    *new.tamper.lock().unwrap() = None;

    let report = restore(&store, &new, options).await.unwrap();
    assert_eq!(report.status, RunStatus::Complete, "{report:?}");
    assert_eq!((ids.len(), new.account.visible().len()), (81, 81));
    assert_eq!(shape(&new), shape(&old));
}

#[tokio::test]
async fn more_records_than_a_request_takes_go_in_several() {
    let old = Service::seeded(700).await;
    let store = copy(&old).await;
    let new = Service::start().await;
    grant_imports(&new);
    let ids = IdMap::default();
    let options = TransferOptions::new(WriteMode::Create).with_ids(ids.clone());
    let report = restore(&store, &new, options).await.unwrap();
    assert_eq!((counts(&report), ids.len()), ((1_401, 0, 0), 1_401));
    let requests = new.take_requests();
    assert!(
        requests.iter().filter(|path| path.ends_with("/records")).count() >= 5,
        "two collections of 700, and one of 1"
    );
    let restored = new.account.get(&ids.get(&key("notes/n_650")).unwrap()).unwrap();
    assert_eq!(restored.data.as_str(), r#"{"title":"Note 650"}"#);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_asked_for_again() {
    let old = Service::seeded(40).await;
    let store = copy(&old).await;
    let new = Service::start().await;
    grant_imports(&new);
    let mut answers = 0;
    new.tamper(move |path, body| {
        if !path.ends_with("/records") {
            return body;
        }
        answers += 1;
        match answers {
            // Within the first line, and within the last one.
            1 => body[..20].to_vec(),
            3 => body[..body.len() - 20].to_vec(),
            _ => body,
        }
    });
    let report = restore(&store, &new, TransferOptions::new(WriteMode::Create)).await.unwrap();
    assert_eq!((report.status, new.account.visible().len()), (RunStatus::Complete, 81), "{report:?}");
}

#[tokio::test]
async fn an_attachment_whose_digest_nobody_noted_arrives() {
    let store = MemoryStore::new();
    let notes = Collection::new(name("notes"), Kind::Document).with_blobs();
    store.set_catalog(Catalog::new(vec![notes]));
    let id = saas_backup_core::BlobId::from_static("b_1");
    store.put_blob(id.clone(), "the bytes");
    let mut record = note("n_1", "With a file").with_blob(BlobRef::new(id, "attachment").with_size(9));
    record.refs.clear();
    store.put(record);
    let new = Service::start().await;
    grant_imports(&new);
    let ids = IdMap::default();
    let options = TransferOptions::new(WriteMode::Create).with_ids(ids.clone());
    restore(&store, &new, options).await.unwrap();
    let restored = new.account.get(&ids.get(&key("notes/n_1")).unwrap()).unwrap();
    assert_eq!(restored.blobs.len(), 1);
}

#[tokio::test]
async fn records_that_point_to_each_other_are_restored_and_what_is_missing_is_said() {
    let old = Service::start().await;
    old.account.put(
        Record::new(key("users/u_1"), Json::parse(r#"{"name":"Zoë"}"#).unwrap())
            .with_ref("home", Reference::from(&key("notes/n_1"))),
    );
    old.account.put(note("n_1", "one").with_ref("next", Reference::from(&key("notes/n_2"))));
    old.account.put(note("n_2", "two").with_ref("next", Reference::from(&key("notes/n_1"))));
    let store = copy(&old).await;
    let new = Service::start().await;
    grant_imports(&new);
    let report = restore(&store, &new, TransferOptions::new(WriteMode::Create)).await.unwrap();
    assert_eq!(counts(&report), (3, 0, 0));
    assert_eq!(shape(&new), shape(&old));

    old.account.put(note("n_2", "two").with_ref("next", Reference::from(&key("notes/n_none"))));
    let store = copy(&old).await;
    let new = Service::start().await;
    grant_imports(&new);
    let report = restore(&store, &new, TransferOptions::new(WriteMode::Create)).await.unwrap();
    assert_eq!(counts(&report), (3, 0, 0));
    assert_eq!(report.losses[&name("notes")]["/refs: not-here"], 1);
}

#[tokio::test]
async fn a_token_without_the_scope_and_a_service_without_the_profile_restore_nothing() {
    let old = Service::seeded(2).await;
    let store = copy(&old).await;
    let new = Service::start().await;
    let error = restore(&store, &new, TransferOptions::new(WriteMode::Create)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    new.tamper(|path, body| {
        if !path.ends_with("/.well-known/open-export") {
            return body;
        }
        String::from_utf8(body).unwrap().replace(r#","restore""#, "").into_bytes()
    });
    let error = restore(&store, &new, TransferOptions::new(WriteMode::Create)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(new.account.visible().is_empty());
}
