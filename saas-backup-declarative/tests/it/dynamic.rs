use std::collections::BTreeSet;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use saas_backup_core::memory::MemoryStore;
use saas_backup_core::{Connector as _, RunStatus, SnapshotOptions, testkit};
use saas_backup_declarative::Manifest;
use serde_json::{Value, json};

use crate::fake::{Fake, back_up, json as answer, keys};

const MANIFEST: &str = include_str!("dynamic.yaml");

/// Two bases with the tables that a test names, each with a record.
async fn bases(one: Value, two: Value) -> Fake {
    Fake::start(move |asked| {
        if asked.authorization != "Bearer canary-token" {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        match asked.line.as_str() {
            "GET /tables?base=one" => answer(json!({ "data": one })),
            "GET /tables?base=two" => answer(json!({ "data": two })),
            line if line.starts_with("GET /records/") => answer(json!({ "data": [{ "id": 1, "of": line }] })),
            line if line.starts_with("GET /schema/") => answer(json!({ "data": [{ "fields": [
                { "name": "Done", "type": "checkbox" },
                { "name": "Sizes", "type": "list", "items": "number" },
                { "name": "Odd", "type": "hologram" },
                { "name": "secret", "type": "string" },
            ] }] })),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    })
    .await
}

#[tokio::test]
async fn collections_are_those_that_the_provider_lists() {
    let fake = bases(
        json!([{ "id": "t1", "name": "People" }]),
        json!([{ "id": "t2", "name": "People" }, { "id": "t3", "name": "Pets" }]),
    )
    .await;
    let account = fake.connector(MANIFEST, &[]);
    let store = MemoryStore::new();
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    assert_eq!(keys(&store), ["one/People/1", "two/People/1", "two/Pets/1"]);
    assert_eq!(fake.count("GET /records/t3"), 1);
    let catalog = account.snapshot(SnapshotOptions::default()).await.unwrap().catalog().await.unwrap();
    let schema: Value = serde_json::from_str(catalog.collections[0].schema.as_ref().unwrap().as_str()).unwrap();
    let expected = json!({
        "done": { "type": ["null", "boolean"] },
        "sizes": { "type": ["null", "array"], "items": { "type": ["null", "number"] } },
        "odd": {},
    });
    assert_eq!(schema["properties"], expected);
    testkit::connector(&account).await.assert_passed();
}

#[tokio::test]
async fn collections_that_cannot_be_listed_do_not_seem_to_be_gone() {
    let fake = bases(json!([{ "id": "t1", "name": "People" }]), json!(null)).await;
    let account = fake.connector(MANIFEST, &[]);
    assert!(account.snapshot(SnapshotOptions::default()).await.is_ok(), "a list of none is a list");
    let text = MANIFEST.replace("field_path: [data]", "field_path: [gone]");
    let error = fake.connector(&text, &[]).snapshot(SnapshotOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("nothing where the manifest looks"), "{error}");
    assert!(error.to_string().contains("tables"), "{error}");
}

#[tokio::test]
async fn two_collections_of_one_name_are_an_error_of_theirs_alone() {
    let twice =
        json!([{ "id": "t1", "name": "People" }, { "id": "t2", "name": "People" }, { "id": "t3", "name": "Pets" }]);
    let fake = bases(twice, json!([])).await;
    let account = fake.connector(MANIFEST, &[]);
    let store = MemoryStore::new();
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Incomplete);
    assert_eq!(keys(&store), ["one/Pets/1"]);
    let coverage = account.snapshot(SnapshotOptions::default()).await.unwrap().coverage().await.unwrap();
    let reason = coverage.collections["one/People"].reason.clone().unwrap();
    assert!(reason.contains("several collections have this name"), "{reason}");
}

#[tokio::test]
async fn what_a_provider_writes_is_no_template_and_names_no_host() {
    let elsewhere = Fake::start(|_| answer(json!({ "data": [{ "id": 1 }] }))).await;
    let home = elsewhere.address.replace("127.0.0.1", "localhost");
    let tables = json!([{ "id": "t1", "name": "{{ config['token'] }}" }, { "id": "t2", "name": "a {% b" }]);
    let fake = bases(tables, json!([])).await;
    let account = fake.connector(MANIFEST, &[]);
    let store = MemoryStore::new();
    back_up(&account, &store).await;
    assert_eq!(keys(&store), ["one/a {% b/1", "one/{{ config['token'] }}/1"]);

    let fake = bases(json!([{ "id": "t1", "name": "People", "host": home }]), json!([])).await;
    let account = fake.connector(MANIFEST, &[]);
    let error = account.snapshot(SnapshotOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("a host that the manifest does not name"), "{error}");
    assert!(elsewhere.asked().is_empty(), "nobody else gets the account's credentials");
}

#[tokio::test]
async fn the_check_reads_as_many_collections_as_the_manifest_wants() {
    let tables: Vec<Value> = (1..=4).map(|id| json!({ "id": format!("t{id}"), "name": format!("{id}") })).collect();
    let fake = bases(tables.into(), json!([])).await;
    fake.connector(MANIFEST, &[]).check().await.unwrap();
    assert_eq!(fake.asked().iter().filter(|line| line.starts_with("GET /records/")).count(), 2);
    let listed = MANIFEST.replace("stream_count: 2", "stream_count: 2, use_check_availability: false");
    let fake = bases(json!([{ "id": "t1", "name": "People" }]), json!([])).await;
    fake.connector(&listed, &[]).check().await.unwrap();
    assert_eq!(fake.asked(), ["GET /tables?base=one", "GET /tables?base=two"]);
    let none = bases(json!([]), json!([])).await;
    let error = none.connector(MANIFEST, &[]).check().await.unwrap_err();
    assert!(error.to_string().contains("no collections"), "{error}");
}

const REPORTS: &str = r#"
dynamic_streams:
  - type: DynamicDeclarativeStream
    stream_template:
      name: ""
      primary_key: id
      retriever:
        requester:
          type: HttpRequester
          url_base: "{{ config['url'] }}"
          path: ""
          request_parameters: { fixed: usual }
        record_selector: { extractor: { field_path: [data] } }
    components_resolver: RESOLVER
check: { type: CheckDynamicStream, stream_count: 1 }
"#;

const SETTINGS: &str = r#"
      type: ConfigComponentsResolver
      stream_config:
        - { configs_pointer: [reports], default_values: [{ name: usual, fields: "[a]" }] }
        - { configs_pointer: [regions] }
      components_mapping:
        - { field_path: [name], value: "{{ components_values['name'] }} {{ components_values['source_config_1'][1] }}" }
        - { field_path: [retriever, requester, path], value: "report" }
        - { field_path: [retriever, requester, request_parameters, fields], value: "{{ components_values['fields'] }}", create_or_update: true }
        - { field_path: [retriever, requester, request_parameters, fixed], value: never, condition: "{{ components_values['name'] == 'own' }}" }
"#;

#[tokio::test]
async fn collections_are_each_combination_of_what_the_settings_list() {
    let fake = Fake::start(|_| answer(json!({ "data": [{ "id": 7 }] }))).await;
    let settings = [("reports", json!([{ "name": "own", "fields": "[b, c]" }])), ("regions", json!(["eu", "us"]))];
    let account = fake.connector(&REPORTS.replace("RESOLVER", SETTINGS), &settings);
    let store = MemoryStore::new();
    back_up(&account, &store).await;
    assert_eq!(keys(&store), ["own eu/7", "own us/7", "usual eu/7", "usual us/7"]);
    let asked: BTreeSet<String> = fake.asked().into_iter().collect();
    let expected = ["GET /report?fields=a&fixed=usual", "GET /report?fields=b&fields=c&fixed=never"];
    assert_eq!(asked, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn collections_are_those_that_the_manifest_lists_and_lint_knows_them() {
    let resolver = r#"
      type: ParametrizedComponentsResolver
      stream_parameters: { list_of_parameters_for_stream: [{ name: cats, size: 3 }, { name: dogs, size: 4 }] }
      components_mapping:
        - { type: ComponentMappingDefinition, field_path: [name], value: "{{ components_values['name'] }}" }
        - { type: ComponentMappingDefinition, field_path: [retriever, requester, path], value: "{{ components_values['name'] }}/{{ components_values['size'] }}" }
"#;
    let fake = Fake::start(|_| answer(json!({ "data": [{ "id": 7 }] }))).await;
    let manifest = REPORTS.replace("RESOLVER", resolver);
    let store = MemoryStore::new();
    back_up(&fake.connector(&manifest, &[]), &store).await;
    assert_eq!(keys(&store), ["cats/7", "dogs/7"]);
    assert_eq!(fake.count("GET /dogs/4?fixed=usual"), 1);
    let names = |manifest: &str| -> Vec<(String, Option<String>)> {
        let lint = Manifest::parse(manifest).unwrap().lint().unwrap();
        lint.collections.into_iter().map(|collection| (collection.name, collection.problem)).collect()
    };
    assert_eq!(names(&manifest), [("cats".to_owned(), None), ("dogs".to_owned(), None)]);
    assert_eq!(names(MANIFEST), [("tables".to_owned(), None)], "nobody is asked");
    let (name, problem) = names(&MANIFEST.replace("type: KeysToLower", "type: Hologram")).remove(0);
    assert_eq!(name, "tables");
    assert!(problem.unwrap().contains("Hologram"));
    let (name, problem) = names(&REPORTS.replace("RESOLVER", "{ type: Hologram }")).remove(0);
    assert_eq!(name, "dynamic_stream_0");
    assert!(problem.unwrap().contains("Hologram"));
}
