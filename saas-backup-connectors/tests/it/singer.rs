//! Taps as programs: one that keeps to the protocol, and many that do not.

use std::time::Duration;

use futures::StreamExt as _;
use saas_backup_connectors::singer::{Singer, SingerConfig};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    CollectionName, Connector as _, Error, ErrorKind, Event, Extent, Feed, ReadRequest, RunStatus, SnapshotOptions,
    TransferOptions, testkit, transfer,
};
use serde_json::{Value, json};

use super::program::{Alive, Program, cursor, ids, read};

const CATALOG: &str = include_str!("singer/orders.json");

/// Gives orders after the one in its state, as many as the file `total` says, with a state after every second; and all
/// rates.
const ORDERS: &str = r#"
[ "$what" = discover ] && exec cat "$here/catalog.json"
n=0
[ -n "$state" ] && n=$(sed 's/[^0-9]//g' "$state")
total=$(cat "$here/total")
dies=$(cat "$here/dies" 2>/dev/null)
echo 'a library greets everybody'
echo '{"type":"SCHEMA","stream":"orders","schema":{"type":"object"},"key_properties":["id"]}'
while [ "$n" -lt "$total" ]; do
    n=$((n + 1))
    echo "{\"type\": \"RECORD\", \"stream\": \"orders\", \"record\": {\"id\": $n, \"price\": 1.10, \"none\": null}}"
    [ "$n" = "$dies" ] && kill -9 $$
    [ $((n % 2)) = 0 ] && echo "{\"type\":\"STATE\",\"value\":{\"bookmarks\":{\"orders\":{\"n\":$n}}}}"
done
echo '{"type":"SCHEMA","stream":"rates","schema":{"type":"object"},"key_properties":[]}'
echo '{"type":"RECORD","stream":"rates","record":{"day":"2026-01-01","rate":1.5}}'
echo "{\"type\":\"STATE\",\"value\":{\"bookmarks\":{\"orders\":{\"n\":$n}}}}"
"#;

fn orders(total: u32) -> Program {
    Program::new(ORDERS).with("catalog.json", CATALOG).with("total", total.to_string())
}

/// A tap that says what is in a file when it reads.
fn saying(lines: &str) -> Program {
    let script = "[ \"$what\" = discover ] && exec cat \"$here/catalog.json\"\ncat \"$here/lines\"\n";
    Program::new(script).with("catalog.json", CATALOG).with("lines", lines)
}

fn config(program: &Program) -> SingerConfig {
    SingerConfig::new(program.command())
}

fn tap(program: &Program) -> Singer {
    Singer::new(config(program))
}

/// What a tap that says these lines is refused with.
async fn refusal(lines: &str) -> Error {
    read(&tap(&saying(lines)), "orders", None).await.1.unwrap()
}

const SCHEMA: &str = r#"{"type":"SCHEMA","stream":"orders","schema":{"type":"object"},"key_properties":["id"]}"#;
const RECORD: &str = r#"{"type":"RECORD","stream":"orders","record":{"id":1}}"#;

#[tokio::test]
async fn it_keeps_the_rules_for_connectors() {
    testkit::connector(&tap(&orders(5))).await.assert_passed();
}

#[tokio::test]
async fn records_keep_their_bytes_and_an_increment_is_asked_for_with_the_last_state() {
    let program = orders(5);
    let (events, error) = read(&tap(&program), "orders", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), ["1", "2", "3", "4", "5"]);
    let Some(Event::Put(first)) = events.first() else { panic!("{events:?}") };
    assert_eq!(first.data.as_str(), r#"{"id": 1, "price": 1.10, "none": null}"#);
    assert!(matches!(events.last(), Some(Event::Done(done)) if done.extent == Extent::Full));
    let given: Value = serde_json::from_str(&program.read("given.json")).unwrap();
    let selected = |at: usize| given["streams"][at]["metadata"][0]["metadata"]["selected"].clone();
    assert_eq!((selected(0), selected(1)), (json!(true), json!(false)));

    program.write("total", "7");
    let (events, error) = read(&tap(&program), "orders", cursor(&events)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), ["6", "7"]);
    assert!(matches!(events.last(), Some(Event::Done(done)) if done.extent == Extent::Changes));
    assert_eq!(program.read("state.json"), r#"{"bookmarks":{"orders":{"n":5}}}"#);
}

#[tokio::test]
async fn a_tap_that_is_killed_goes_on_from_its_last_state_and_nothing_is_lost() {
    let program = orders(9).with("dies", "5");
    let (first, error) = read(&tap(&program), "orders", None).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Unavailable);
    assert_eq!(ids(&first), ["1", "2", "3", "4", "5"]);
    program.write("dies", "");
    let (rest, error) = read(&tap(&program), "orders", cursor(&first)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&rest), ["5", "6", "7", "8", "9"], "the record after the state comes again");
    assert!(matches!(rest.last(), Some(Event::Done(done)) if done.extent == Extent::Full), "both are one full read");
}

#[tokio::test]
async fn what_a_stream_without_states_no_longer_holds_is_deleted_by_the_next_run() {
    let schema = r#"{"type":"SCHEMA","stream":"orders","schema":{},"key_properties":["id"]}"#;
    let lines = |ids: &[u32]| {
        let records = ids.iter().map(|id| format!(r#"{{"type":"RECORD","stream":"orders","record":{{"id":{id}}}}}"#));
        let end = [r#"{"type":"STATE","value":{"bookmarks":{"orders":{}}}}"#.to_owned()];
        [schema.to_owned()].into_iter().chain(records).chain(end).collect::<Vec<_>>().join("\n") + "\n"
    };
    let program = saying(&lines(&[1, 2, 3]));
    let store = MemoryStore::new();
    for (given, held) in [(&[1_u32, 2, 3][..], 3), (&[1, 3], 2)] {
        program.write("lines", lines(given));
        let mut options = TransferOptions::backup();
        options.collections = Some(vec![CollectionName::from_static("orders")]);
        let done = transfer(&tap(&program), &MemoryConnector::new(store.clone()), options).await.unwrap();
        assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report);
        assert_eq!(store.live().len(), held);
    }
}

#[tokio::test]
async fn a_new_version_of_a_stream_is_read_in_full() {
    let lines = |version: u32| {
        let version = format!(r#"{{"type":"ACTIVATE_VERSION","stream":"orders","version":{version}.0}}"#);
        [SCHEMA, &version, RECORD, r#"{"type":"STATE","value":{"n":1}}"#, ""].join("\n")
    };
    let program = saying(&lines(1));
    let (events, _) = read(&tap(&program), "orders", None).await;
    let from = cursor(&events);
    let (_, error) = read(&tap(&program), "orders", from.clone()).await;
    assert!(error.is_none(), "the version is the same: {error:?}");
    program.write("lines", lines(2));
    let (_, error) = read(&tap(&program), "orders", from).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::CursorExpired);
}

#[tokio::test]
async fn another_key_makes_other_records() {
    let state = r#"{"type":"STATE","value":{"n":1}}"#;
    let program = saying(&[SCHEMA, RECORD, state, ""].join("\n"));
    let (events, _) = read(&tap(&program), "orders", None).await;
    program.write("lines", [&SCHEMA.replace("[\"id\"]", "[\"sku\"]"), RECORD, state, ""].join("\n"));
    let (_, error) = read(&tap(&program), "orders", cursor(&events)).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::CursorExpired);
}

#[tokio::test]
async fn what_is_no_reading_of_the_stream_is_refused() {
    let cut = r#"{"type":"RECORD","stream":"orders","rec"#;
    let batch = r#"{"type":"BATCH","stream":"orders","manifest":["file:///tmp/1.gz"]}"#;
    for (lines, kind, says) in [
        (format!("{RECORD}\n"), ErrorKind::InvalidData, "before it says of what form"),
        (format!("{SCHEMA}\n{RECORD}\n{cut}"), ErrorKind::Unavailable, "within a line"),
        (format!("{SCHEMA}\n{cut}WARNING{RECORD}\n"), ErrorKind::InvalidData, "damaged"),
        (format!("{SCHEMA}\n{batch}\n"), ErrorKind::Unsupported, "files of records"),
        (String::new(), ErrorKind::InvalidData, "nothing of the stream"),
    ] {
        let error = refusal(&lines).await;
        assert_eq!((error.kind(), error.to_string().contains(says)), (kind, true), "{error}");
    }
}

#[tokio::test]
async fn noise_unknown_messages_and_a_last_line_without_end_do_not_hurt() {
    let other = r#"{"type":"RECORD","stream":"rates","record":{"day":"2026-01-01"}}"#;
    let future = r#"{"type":"PROGRESS","percent":50.5}"#;
    let lines = [SCHEMA, "starting …", "\u{0}", "{'python': True}", future, other, RECORD].join("\n");
    let (events, error) = read(&tap(&saying(&lines)), "orders", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), ["1"]);
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn records_of_a_stream_that_no_catalog_names_are_a_gap() {
    let other = r#"{"type":"RECORD","stream":"invoices","record":{"id":1}}"#;
    let (events, error) = read(&tap(&saying(&[SCHEMA, RECORD, other, ""].join("\n"))), "orders", None).await;
    assert!(error.is_none(), "{error:?}");
    let gap = events.iter().find_map(|event| if let Event::Gap(gap) = event { Some(gap) } else { None });
    assert!(gap.unwrap().problem.detail.as_ref().unwrap().contains("invoices"));
}

#[tokio::test]
async fn a_schema_that_changes_on_the_way_is_told() {
    let other = SCHEMA.replace("\"object\"", "[\"object\"]");
    let lines = [SCHEMA, SCHEMA, RECORD, &other, RECORD, ""].join("\n");
    let (events, _) = read(&tap(&saying(&lines)), "orders", None).await;
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Event::Put(_) => "put",
            Event::Schema(_) => "schema",
            _ => "else",
        })
        .collect();
    assert_eq!(kinds, ["put", "schema", "put", "else"]);
}

#[tokio::test]
async fn a_line_without_end_is_refused_and_its_tap_ends() {
    let script = r#"[ "$what" = discover ] && exec cat "$here/catalog.json"
exec 3>"$here/alive"
echo here >&3
yes '{"type":"RECORD","stream":"orders","record":{"id":"' | tr -d '\n'"#;
    let program = Program::new(script).with("catalog.json", CATALOG);
    let alive = Alive::in_folder(program.folder.path());
    let (_, error) = read(&tap(&program), "orders", None).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::LimitExceeded);
    alive.ended().await;
}

#[tokio::test]
async fn a_reading_that_is_dropped_leaves_no_process() {
    let script = r#"[ "$what" = discover ] && exec cat "$here/catalog.json"
exec 3>"$here/alive"
echo here >&3
cat "$here/lines"
sleep 1000 &
sleep 1000"#;
    let lines = [SCHEMA, RECORD, ""].join("\n");
    let program = Program::new(script).with("catalog.json", CATALOG).with("lines", lines);
    let alive = Alive::in_folder(program.folder.path());
    let snapshot = tap(&program).snapshot(SnapshotOptions::default()).await.unwrap();
    let mut reading = snapshot.read(ReadRequest::new(Feed::slice(CollectionName::from_static("orders"))));
    assert!(matches!(reading.next().await, Some(Ok(Event::Put(_)))));
    drop(reading);
    alive.ended().await;
}

#[tokio::test]
async fn what_a_tap_leaves_running_does_not_hold_the_reading() {
    let script = r#"[ "$what" = discover ] && exec cat "$here/catalog.json"
cat "$here/lines"
sleep 1000 &"#;
    let program = Program::new(script).with("catalog.json", CATALOG).with("lines", [SCHEMA, RECORD, ""].join("\n"));
    let (events, error) = read(&tap(&program), "orders", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_tap_that_says_nothing_is_ended_and_the_error_says_what_to_set() {
    let script = "[ \"$what\" = discover ] && exec cat \"$here/catalog.json\"\nsleep 1000\n";
    let program = Program::new(script).with("catalog.json", CATALOG);
    let mut config = config(&program);
    config.catalog = Some(program.path("catalog.json"));
    let begun = tokio::time::Instant::now();
    let (_, error) = read(&Singer::new(config), "orders", None).await;
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("silence_minutes"), "{error}");
    assert!(begun.elapsed() >= Duration::from_mins(10));
}

#[tokio::test]
async fn settings_do_not_stand_in_errors() {
    let script = r#"sed "s|.*|config: &|" "$config" >&2
echo >&2
echo 'error for url: https://api.example.com/?token=derived-of-it' >&2
exit 3"#;
    let program = Program::new(script);
    let config = config(&program).with_setting("api_key", "a-very-secret-key").with_variable("TOKEN", "another-secret");
    let error = Singer::new(config).check().await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("exit status: 3") && text.contains("error for url: (address)"), "{text}");
    assert!(!text.contains("secret-key") && !text.contains("derived") && !text.contains("another"), "{text}");
}

#[tokio::test]
async fn a_token_that_the_tap_replaces_is_kept_even_if_it_fails() {
    let script = r#"[ "$what" = discover ] && exec cat "$here/catalog.json"
echo '{"refresh_token":"new"}' > "$config"
exit 1"#;
    let program = Program::new(script).with("catalog.json", CATALOG);
    let config = config(&program).with_setting("refresh_token", "old").with_config_file(program.path("settings.json"));
    let (_, error) = read(&Singer::new(config), "orders", None).await;
    assert!(error.is_some());
    assert_eq!(program.read("settings.json"), r#"{"refresh_token":"new"}"#);
}

#[tokio::test]
async fn the_environment_is_the_taps_own() {
    let script = r#"env > "$here/environment"
exec cat "$here/catalog.json""#;
    let program = Program::new(script).with("catalog.json", CATALOG);
    Singer::new(config(&program).with_variable("GIVEN", "to the tap")).check().await.unwrap();
    let environment = program.read("environment");
    assert!(environment.contains("GIVEN=to the tap\n") && environment.contains("PATH="), "{environment}");
    assert!(!environment.contains("CARGO"), "{environment}");
}
