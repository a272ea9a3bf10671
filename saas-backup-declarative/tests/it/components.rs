//! Components that few manifests have.

use axum::response::{IntoResponse as _, Response};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{CollectionName, Connector as _, RunStatus, SnapshotOptions, TransferOptions, transfer};
use saas_backup_declarative::Declarative;
use serde_json::{Value, json};

use crate::fake::{Asked, Fake, back_up, json as answered, keys};

const MANIFEST: &str = include_str!("components.yaml");
/// Of nobody; made for this test.
const KEY: &str = include_str!("components.pem");
const PUBLIC_KEY: &str = include_str!("components.pub.pem");

fn answer(asked: &Asked) -> Response {
    let updated = |id: u32| json!({ "id": id, "updated": format!("2026-02-{id:02}T00:00:00Z") });
    match asked.path().as_str() {
        "/reports" => {
            "<reports><report id='1'><t>One</t></report><report id='2'><t>&amp;</t></report></reports>".into_response()
        }
        "/beta" => {
            let url = format!("http://{}/file", asked.host);
            answered(json!({ "items": [{ "id": 1, "files": [{ "url": url }] }] })).into_response()
        }
        "/many" => {
            let page: usize = asked.parameter("page").map_or(1, |page| page.parse().unwrap());
            if page > 2 {
                return axum::http::StatusCode::BAD_REQUEST.into_response();
            }
            let since = asked.parameter("since").unwrap();
            let all = (1..=11).map(updated).filter(|one| one["updated"].as_str().unwrap() >= since.as_str());
            answered(json!({ "items": all.skip((page - 1) * 2).take(2).collect::<Vec<_>>() }))
        }
        "/letters" => answered(json!({ "items": [
            { "id": 1, "title": "Dear all", "file": { "id": "f 1" } }, { "id": 2, "file": { "id": null } }, { "id": 3 },
        ] })),
        "/content/f%201" if asked.authorization.starts_with("Bearer ") => "a letter".into_response(),
        "/file" => "the bytes".into_response(),
        "/orders" => answered(json!({ "items": [updated(1), updated(2)] })),
        _ => answered(json!({ "items": [updated(3)] })).into_response(),
    }
}

async fn complete(account: &Declarative, store: &MemoryStore) {
    let names = ["reports", "orders", "beta"].map(CollectionName::from_static);
    let snapshot = account.snapshot(SnapshotOptions::default()).await.unwrap();
    let catalog = snapshot.catalog().await.unwrap();
    let mut options = TransferOptions::backup();
    options.collections = Some(names.into_iter().filter(|name| catalog.get(name).is_some()).collect());
    let done = transfer(account, &MemoryConnector::new(store.clone()), options).await.unwrap();
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report);
}

#[tokio::test]
async fn changes_are_read_in_their_own_way_and_documents_are_records() {
    let service = Fake::start(answer).await;
    let config =
        service.config(MANIFEST).with_setting("algorithm", "HS256").with_setting("key", "k").with_setting("kid", "1");
    let (account, store) = (Declarative::new(config).unwrap(), MemoryStore::new());
    complete(&account, &store).await;
    assert_eq!(keys(&store), ["orders/1", "orders/2", "reports/1", "reports/2"]);
    let texts: Vec<String> = store.live().values().map(|record| record.data.as_str().to_owned()).collect();
    assert_eq!(texts[3], r#"{"@id":"2","t":"&"}"#);
    assert!(service.take().iter().all(|asked| asked.path() != "/events" && asked.path() != "/beta"));
    complete(&account, &store).await;
    assert_eq!(keys(&store), ["orders/1", "orders/2", "orders/3", "reports/1", "reports/2"]);
    let asked = service.take();
    assert!(asked.iter().all(|asked| asked.path() != "/orders"), "everything is not read again");
    let events = asked.iter().find(|asked| asked.path() == "/events").unwrap();
    assert_eq!(events.parameter("since").as_deref(), Some("2026-02-01T23:50:00Z"), "with the overlap of ten minutes");
}

#[tokio::test]
async fn changes_that_the_provider_forgot_are_read_in_full() {
    let service = Fake::start(answer).await;
    let manifest = MANIFEST.replace("P30000D", "PT1H");
    let config =
        service.config(&manifest).with_setting("algorithm", "HS256").with_setting("key", "k").with_setting("kid", "1");
    let (account, store) = (Declarative::new(config).unwrap(), MemoryStore::new());
    complete(&account, &store).await;
    service.take();
    complete(&account, &store).await;
    let asked: Vec<String> = service.take().into_iter().map(|asked| asked.path()).collect();
    assert!(asked.contains(&"/orders".to_owned()) && !asked.contains(&"/events".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn a_condition_adds_its_collections() {
    let service = Fake::start(answer).await;
    let names = async |beta: bool| {
        let config = service.config(MANIFEST).with_setting("algorithm", "HS256").with_setting("beta", beta);
        let snapshot = Declarative::new(config).unwrap().snapshot(SnapshotOptions::default()).await.unwrap();
        let catalog = snapshot.catalog().await.unwrap();
        catalog.names().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(false).await, ["reports", "orders", "letters", "many"]);
    assert_eq!(names(true).await, ["reports", "orders", "letters", "many", "beta"]);
}

#[tokio::test]
async fn tokens_are_signed_as_the_manifest_says() {
    let secret = DecodingKey::from_secret(b"open sesame");
    let public = DecodingKey::from_ec_pem(PUBLIC_KEY.as_bytes()).unwrap();
    for (algorithm, named, key, check) in
        [(Algorithm::HS256, "HS256", "open sesame", secret), (Algorithm::ES256, "ES256", KEY, public)]
    {
        let service = Fake::start(answer).await;
        let config = service.config(MANIFEST);
        let config = config.with_setting("algorithm", named).with_setting("key", key).with_setting("kid", "key-1");
        Declarative::new(config).unwrap().check().await.unwrap();
        let asked = service.take();
        let header = &asked[0].authorization;
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["the-service"]);
        let token =
            jsonwebtoken::decode::<Value>(header.strip_prefix("Bearer ").unwrap(), &check, &validation).unwrap();
        assert_eq!((&token.claims["iss"], &token.claims["scope"]), (&json!("someone"), &json!("read")));
        assert_eq!(token.claims["exp"].as_i64().unwrap() - token.claims["iat"].as_i64().unwrap(), 60);
        assert_eq!((token.header.kid.as_deref(), token.header.typ.as_deref()), (Some("key-1"), Some("JWT")));
        assert_eq!(token.header.extras.get::<String>("region").unwrap().as_deref(), Some("eu"));
    }
    let service = Fake::start(answer).await;
    let config = service.config(MANIFEST).with_setting("algorithm", "ES256").with_setting("key", "a-canary-key");
    let error = Declarative::new(config).unwrap().check().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn what_is_likely_a_file_is_fetched_where_that_is_wanted_and_without_credentials() {
    let service = Fake::start(answer).await;
    for (wanted, files) in [(false, 0), (true, 1)] {
        let config = service.config(MANIFEST).with_setting("algorithm", "HS256").with_setting("key", "k");
        let options = config.options().with_guessed_attachments(wanted);
        let account =
            Declarative::new(config.with_setting("beta", true).with_setting("kid", "1").with_options(options));
        let store = MemoryStore::new();
        complete(&account.unwrap(), &store).await;
        let live = store.live();
        let blobs = &live.values().find(|record| record.key.collection.as_str() == "beta").unwrap().blobs;
        assert_eq!(blobs.len(), files);
        assert!(blobs.iter().all(|blob| blob.size == Some(9)), "{blobs:?}");
        let asked = service.take();
        let fetched: Vec<_> = asked.iter().filter(|asked| asked.path() == "/file").collect();
        assert_eq!(fetched.len(), files);
        assert!(fetched.iter().all(|asked| asked.authorization.is_empty()));
    }
    let manifest = MANIFEST.replace("default: false", "default: true").replace("{{ config['algorithm'] }}", "HS256");
    let lint = saas_backup_declarative::Manifest::parse(&manifest).unwrap().lint().unwrap();
    let beta = lint.collections.iter().find(|one| one.name == "beta").unwrap();
    assert_eq!(beta.likely_files, ["files.*.url"]);
}

#[tokio::test]
async fn the_file_of_each_record_is_an_attachment() {
    let service = Fake::start(answer).await;
    let config =
        service.config(MANIFEST).with_setting("algorithm", "HS256").with_setting("key", "k").with_setting("kid", "1");
    let store = MemoryStore::new();
    let done = back_up(&Declarative::new(config).unwrap(), &store).await;
    let live = store.live();
    let letters: Vec<_> = live.values().filter(|record| record.key.collection.as_str() == "letters").collect();
    assert_eq!(letters.len(), 3, "what lacks its file is held as well");
    let blob = &letters[0].blobs[0];
    assert_eq!((blob.name.as_deref(), blob.size), (Some("Dear all.txt"), Some(8)));
    assert!(letters[1].blobs.is_empty(), "it says that it has none");
    let gaps: Vec<String> = done.report.gaps.iter().map(|open| open.gap.id.as_ref().unwrap().to_string()).collect();
    assert_eq!(gaps, ["3"], "nothing is said of its file");
}

#[tokio::test]
async fn a_list_of_which_the_provider_gives_so_many_pages_is_read_in_parts() {
    let service = Fake::start(answer).await;
    let config =
        service.config(MANIFEST).with_setting("algorithm", "HS256").with_setting("key", "k").with_setting("kid", "1");
    let store = MemoryStore::new();
    let mut options = TransferOptions::backup();
    options.collections = Some(vec![CollectionName::from_static("many")]);
    let account = Declarative::new(config).unwrap();
    let done = transfer(&account, &MemoryConnector::new(store.clone()), options.clone()).await.unwrap();
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report);
    assert_eq!(keys(&store).len(), 11);
    service.take();
    transfer(&account, &MemoryConnector::new(store.clone()), options).await.unwrap();
    let since: Vec<String> = service.take().iter().filter_map(|asked| asked.parameter("since")).collect();
    assert_eq!(since, ["2026-02-10T23:50:00Z"], "an increment goes on from the end of the last part");
}
