//! Manifests and answers that mean harm.

use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use saas_backup_core::{CollectionName, Connector as _, Error, ErrorKind, Event, Feed, ReadRequest, SnapshotOptions};
use saas_backup_declarative::{Declarative, Manifest};
use serde_json::json;

use crate::fake::{Asked, Fake, json as answered};

/// A manifest with one collection; what is named is put into its places.
fn manifest(path: &str, filter: &str, paginator: &str) -> String {
    include_str!("hostile.yaml").replace("PATH", path).replace("FILTER", filter).replace("PAGINATOR", paginator)
}

const NO_PAGES: &str = "{ type: NoPagination }";

/// Reads the collection; the records that came, and what ended it or is missing.
async fn read(account: &Declarative) -> (usize, Option<String>) {
    let snapshot = account.snapshot(SnapshotOptions::default()).await.unwrap();
    let mut events = snapshot.read(ReadRequest::new(Feed::slice(CollectionName::from_static("items"))));
    let (mut records, mut problem) = (0, None);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Put(_)) => records += 1,
            Ok(Event::Gap(gap)) => problem = Some(format!("{}: {}", gap.problem.kind, gap.problem.title)),
            Ok(_) => {}
            Err(error) => problem = Some(format!("{}: {error}", error.kind().as_str())),
        }
    }
    (records, problem)
}

fn items(_: &Asked) -> Response {
    answered(json!({ "items": [{ "id": 1 }] }))
}

fn refused(text: &str) -> Error {
    Manifest::parse(text).unwrap_err()
}

#[test]
fn references_that_never_end_or_grow_without_bounds_are_refused() {
    let cycle = "a: { $ref: '#/b' }\nb: { c: { $ref: '#/a' } }";
    assert_eq!(refused(cycle).kind(), ErrorKind::Configuration);
    let grown = |first: &str, next: &dyn Fn(usize) -> (String, String)| {
        (1..12).fold(format!("{first} [x, x, x, x, x, x, x, x, x, x]\n"), |text, level| {
            let (name, below) = next(level);
            format!("{text}{name} [{}]\n", [below.as_str(); 10].join(", "))
        })
    };
    let laughs = grown("l0:", &|level| (format!("l{level}:"), format!("{{ $ref: '#/l{}' }}", level - 1)));
    assert_eq!(refused(&laughs).kind(), ErrorKind::LimitExceeded);
    let anchors = grown("l0: &l0", &|level| (format!("l{level}: &l{level}"), format!("*l{}", level - 1)));
    assert!(matches!(refused(&anchors).kind(), ErrorKind::LimitExceeded | ErrorKind::Configuration));
    let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(refused(&deep).kind(), ErrorKind::LimitExceeded | ErrorKind::Configuration));
}

#[tokio::test]
async fn templates_that_loop_or_grow_end_in_an_error_of_their_collection() {
    let service = Fake::start(items).await;
    for template in [
        "{{ 'x' * 1000000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for a in 'xxxxxxxxxxxxxxxxxxxx' %}{% for b in 'xxxxxxxxxxxxxxxxxxxx' %}{% for c in 'xxxxxxxxxxxxxxxxxxxx' %}{% for d in 'xxxxxxxxxxxxxxxxxxxx' %}{% for e in 'xxxxxxxxxxxxxxxxxxxx' %}{% for f in 'xxxxxxxxxxxxxxxxxxxx' %}{{ a }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ ''.__class__.__mro__ and false }}",
        "{{ ('a' * 5000) | regex_search('(a+)+b') }}",
    ] {
        let account = service.connector(&manifest("items", template, NO_PAGES), &[]);
        let (records, problem) = read(&account).await;
        assert!(records <= 1, "{template}");
        let harmless = template.contains("regex") || template.contains("__class__");
        assert!(harmless || problem.is_some(), "{template}: {records} records and no word");
    }
}

#[tokio::test]
async fn a_manifest_reads_no_file_of_this_machine() {
    let service = Fake::start(items).await;
    let text = manifest("items", "{{ true }}", NO_PAGES).replace(
        "{ type: InlineSchemaLoader, schema: {} }",
        "{ type: JsonFileSchemaLoader, file_path: ../../../../etc/passwd }",
    );
    let account = service.connector(&text, &[]);
    let snapshot = account.snapshot(SnapshotOptions::default()).await.unwrap();
    let catalog = snapshot.catalog().await.unwrap();
    assert!(catalog.collections.iter().all(|collection| collection.schema.is_none()));
    assert_eq!(read(&account).await.0, 1);
}

#[tokio::test]
async fn addresses_of_this_machine_and_of_clouds_are_refused() {
    let service = Fake::start(items).await;
    for path in [
        "items",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:80/",
        "http://localhost:80/",
        "http://2130706433/",
        "file:///etc/passwd",
    ] {
        let config = service.config(&manifest(path, "{{ true }}", NO_PAGES));
        let options = config.options().with_private_addresses(false);
        let account = Declarative::new(config.with_options(options)).unwrap();
        let (records, problem) = read(&account).await;
        assert!(records == 0 && problem.is_some(), "{path}");
    }
    assert!(service.take().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_link_to_somebody_elses_host_gets_no_credentials() {
    let thief = Fake::start(items).await;
    let lure = thief.address.replace("127.0.0.1", "localhost") + "/items";
    let next = lure.clone();
    let service = Fake::start(move |_: &Asked| answered(json!({ "items": [{ "id": 1 }], "next": next.clone() }))).await;
    let by_link = "{ type: DefaultPaginator, page_token_option: { type: RequestPath }, pagination_strategy: { type: CursorPagination, cursor_value: \"{{ response['next'] }}\" } }";
    let (_, problem) = read(&service.connector(&manifest("items", "{{ true }}", by_link), &[])).await;
    assert!(problem.unwrap().contains("does not name"), "the run says where it did not go");
    assert!(thief.take().is_empty());

    let service =
        Fake::start(move |_: &Asked| (axum::http::StatusCode::FOUND, [("location", lure.clone())]).into_response())
            .await;
    read(&service.connector(&manifest("items", "{{ true }}", NO_PAGES), &[])).await;
    let asked = thief.take();
    assert!(asked.iter().all(|asked| asked.authorization.is_empty()), "{asked:?}");
}

#[tokio::test]
async fn pages_without_end_and_answers_without_bottom_end() {
    let service = Fake::start(|_: &Asked| answered(json!({ "items": [{ "id": 1 }], "next": "a" }))).await;
    let by_token = "{ type: DefaultPaginator, page_token_option: { type: RequestOption, inject_into: request_parameter, field_name: after }, pagination_strategy: { type: CursorPagination, cursor_value: \"{{ response['next'] }}\" } }";
    let (records, problem) = read(&service.connector(&manifest("items", "{{ true }}", by_token), &[])).await;
    assert!(records <= 3 && problem.is_some(), "{records} records, {problem:?}");

    let deep = format!("{{\"items\": [{{\"a\": {}{}}}]}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let service = Fake::start(move |_: &Asked| deep.clone().into_response()).await;
    let (records, problem) = read(&service.connector(&manifest("items", "{{ true }}", NO_PAGES), &[])).await;
    assert!(records == 0 && problem.is_some(), "{problem:?}");
}
