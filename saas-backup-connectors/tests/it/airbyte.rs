//! Sources as programs: one that keeps to the protocol, and many that do not.

use saas_backup_connectors::airbyte::{Airbyte, AirbyteConfig};
use saas_backup_core::{Connector as _, Error, ErrorKind, Event, Extent, testkit};
use serde_json::{Value, json};

use super::program::{Program, cursor, ids, read};

const CATALOG: &str = r#"{"type":"CATALOG","catalog":{"streams":[
{"name":"users","json_schema":{"type":"object"},"supported_sync_modes":["full_refresh","incremental"],
"source_defined_cursor":true,"default_cursor_field":["n"],"source_defined_primary_key":[["id"]],"is_resumable":true},
{"name":"plans","namespace":"billing","json_schema":{"type":"object"},"supported_sync_modes":["full_refresh"]}]}}"#;

/// Gives users after the one in its state, as many as the file `total` says, with a state after every second; or plans.
const USERS: &str = r#"
case $what in
discover) exec cat "$here/catalog.json" ;;
check) echo '{"type":"CONNECTION_STATUS","connectionStatus":{"status":"SUCCEEDED"}}'; exit ;;
esac
echo '{"type":"LOG","log":{"level":"INFO","message":"starting"}}'
if grep -q '"name":"plans"' "$here/given.json"; then
    status() { echo "{\"type\":\"TRACE\",\"trace\":{\"type\":\"STREAM_STATUS\",\"emitted_at\":1.5,\"stream_status\":{\"stream_descriptor\":{\"name\":\"plans\",\"namespace\":\"billing\"},\"status\":\"$1\"}}}"; }
    status STARTED
    echo '{"type":"RECORD","record":{"stream":"plans","namespace":"billing","data":{"price":1.10},"emitted_at":1}}'
    echo '{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"plans","namespace":"billing"},"stream_state":{"__ab_no_cursor_state_message":true}},"sourceStats":{"recordCount":1.0}}}'
    status COMPLETE
    exit
fi
status() { echo "{\"type\":\"TRACE\",\"trace\":{\"type\":\"STREAM_STATUS\",\"emitted_at\":1.5,\"stream_status\":{\"stream_descriptor\":{\"name\":\"users\"},\"status\":\"$1\"}}}"; }
n=0
[ -n "$state" ] && n=$(sed 's/.*"n":\([0-9]*\).*/\1/' "$state")
total=$(cat "$here/total")
dies=$(cat "$here/dies" 2>/dev/null)
status STARTED
count=0
told() {
    echo "{\"type\":\"STATE\",\"state\":{\"type\":\"STREAM\",\"stream\":{\"stream_descriptor\":{\"name\":\"users\"},\"stream_state\":{\"n\":$n}},\"sourceStats\":{\"recordCount\":$count.0}}}"
    count=0
}
while [ "$n" -lt "$total" ]; do
    n=$((n + 1))
    count=$((count + 1))
    echo "{\"type\":\"RECORD\",\"record\":{\"stream\":\"users\",\"data\":{\"id\":$n, \"none\":null},\"emitted_at\":1795286007418.616}}"
    [ "$n" = "$dies" ] && kill -9 $$
    [ $((n % 2)) = 0 ] && told
done
told
status COMPLETE
"#;

fn users(total: u32) -> Program {
    Program::new(USERS).with("catalog.json", CATALOG.replace('\n', "") + "\n").with("total", total.to_string())
}

/// A source that says what is in a file when it reads.
fn saying(lines: &[&str]) -> Program {
    let script = "[ \"$what\" = discover ] && exec cat \"$here/catalog.json\"\ncat \"$here/lines\"\n";
    let lines = lines.join("\n") + "\n";
    Program::new(script).with("catalog.json", CATALOG.replace('\n', "") + "\n").with("lines", lines)
}

fn source(program: &Program) -> Airbyte {
    Airbyte::new(AirbyteConfig::new(program.command()))
}

/// What a source that says these lines is refused with.
async fn refusal(lines: &[&str]) -> Error {
    read(&source(&saying(lines)), "users", None).await.1.unwrap()
}

const RECORD: &str = r#"{"type":"RECORD","record":{"stream":"users","data":{"id":1},"emitted_at":1}}"#;
const STARTED: &str = r#"{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"users"},"status":"STARTED"}}}"#;

#[tokio::test]
async fn it_keeps_the_rules_for_connectors() {
    testkit::connector(&source(&users(5))).await.assert_passed();
}

#[tokio::test]
async fn records_keep_their_bytes_and_a_state_goes_back_whole() {
    let program = users(5);
    let (events, error) = read(&source(&program), "users", None).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), ["1", "2", "3", "4", "5"]);
    let Some(Event::Put(first)) = events.first() else { panic!("{events:?}") };
    assert_eq!(first.data.as_str(), r#"{"id":1, "none":null}"#);
    assert!(matches!(events.last(), Some(Event::Done(done)) if done.extent == Extent::Full));
    let given: Value = serde_json::from_str(&program.read("given.json")).unwrap();
    assert_eq!(given["streams"].as_array().unwrap().len(), 1);
    assert_eq!(given["streams"][0]["sync_mode"], "incremental");

    program.write("total", "7");
    let (events, error) = read(&source(&program), "users", cursor(&events)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&events), ["6", "7"]);
    let state: Value = serde_json::from_str(&program.read("state.json")).unwrap();
    assert_eq!(state[0]["stream"]["stream_state"], json!({ "n": 5 }));
    assert_eq!((&state[0]["type"], &state[0]["sourceStats"]["recordCount"]), (&json!("STREAM"), &json!(1.0)));
}

#[tokio::test]
async fn a_source_that_is_killed_goes_on_from_its_last_state_and_nothing_is_lost() {
    let program = users(9).with("dies", "5");
    let (first, error) = read(&source(&program), "users", None).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Unavailable);
    program.write("dies", "");
    let (rest, error) = read(&source(&program), "users", cursor(&first)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((ids(&first), ids(&rest)), (vec!["1", "2", "3", "4", "5"], vec!["5", "6", "7", "8", "9"]));
    assert!(matches!(rest.last(), Some(Event::Done(done)) if done.extent == Extent::Full), "both are one full read");
}

#[tokio::test]
async fn a_state_of_all_streams_is_kept_for_each() {
    let global = r#"{"type":"GLOBAL","global":{"shared_state":{"lsn":7},"stream_states":[{"stream_descriptor":{"name":"users"},"stream_state":{"n":1}}]},"sourceStats":{"recordCount":1}}"#;
    let line = format!(r#"{{"type":"STATE","state":{global}}}"#);
    let program = saying(&[RECORD, &line]);
    let (events, error) = read(&source(&program), "users", None).await;
    assert!(error.is_none(), "{error:?}");
    let (_, error) = read(&source(&program), "users", cursor(&events)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(program.read("state.json"), format!("[{global}]"));
}

#[tokio::test]
async fn what_is_no_reading_of_the_stream_is_refused() {
    let counted = r#"{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"users"},"stream_state":{}},"sourceStats":{"recordCount":2.0}}}"#;
    let failed = |kind: &str, name: &str| {
        format!(
            r#"{{"type":"TRACE","trace":{{"type":"ERROR","error":{{"message":"no: see https://x.example/?token=abc","failure_type":"{kind}","stream_descriptor":{{"name":"{name}"}}}}}}}}"#
        )
    };
    let given_up = STARTED.replace("STARTED", "INCOMPLETE");
    for (lines, kind, says) in [
        (vec![RECORD, counted], ErrorKind::InvalidData, "counts other records"),
        (vec![STARTED, RECORD], ErrorKind::Unavailable, "without saying that the stream is complete"),
        (vec![STARTED, RECORD, &given_up], ErrorKind::Unavailable, "gives up"),
        (vec![&failed("config_error", "users")], ErrorKind::Configuration, "no: see (address)"),
        (vec![&failed("transient_error", "users")], ErrorKind::Unavailable, "the source failed"),
        (vec![&failed("system_error", "users")], ErrorKind::Unexpected, "the source failed"),
        (vec![r#"{"type":"RECORD","record":{"stream":"users"}}"#], ErrorKind::InvalidData, "lacks"),
    ] {
        let error = refusal(&lines).await;
        assert_eq!((error.kind(), error.to_string().contains(says)), (kind, true), "{error}");
    }
    let (_, error) = read(&source(&saying(&[RECORD, &failed("system_error", "plans")])), "users", None).await;
    assert!(error.is_none(), "another stream's failure is its own: {error:?}");
}

#[tokio::test]
async fn what_the_source_left_out_of_a_record_is_a_gap() {
    let cut = r#"{"type":"RECORD","record":{"stream":"users","data":{"id":1},"meta":{"changes":[{"field":"text","change":"TRUNCATED","reason":"SOURCE_FIELD_SIZE_LIMITATION"}]}}}"#;
    let file = r#"{"type":"RECORD","record":{"stream":"users","data":{"id":2},"file_reference":{"staging_file_url":"/tmp/x","file_size_bytes":7}}}"#;
    let (events, error) = read(&source(&saying(&[cut, file])), "users", None).await;
    assert!(error.is_none(), "{error:?}");
    let gaps: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Gap(gap) => Some((gap.id.as_ref().unwrap().as_str(), gap.problem.kind.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [("1", "invalid-data"), ("2", "unsupported")]);
    let Some(Event::Put(first)) = events.first() else { panic!("{events:?}") };
    assert!(first.extra["x-changes"].as_str().contains("TRUNCATED"));
}

#[tokio::test]
async fn settings_that_the_source_replaces_are_kept_at_once() {
    let control = r#"{"type":"CONTROL","control":{"type":"CONNECTOR_CONFIG","emitted_at":1.5,"connectorConfig":{"config":{"refresh_token":"new"}}}}"#;
    let broken = r#"{"type":"RECORD","record":{}}"#;
    let program = saying(&[control, broken]);
    let config = AirbyteConfig::new(program.command()).with_setting("refresh_token", "old");
    let (_, error) = read(&Airbyte::new(config.clone()), "users", None).await;
    assert!(error.unwrap().to_string().contains("config_file"), "it would be lost");
    let config = config.with_config_file(program.path("settings.json"));
    let (_, error) = read(&Airbyte::new(config), "users", None).await;
    assert!(error.unwrap().to_string().contains("lacks"));
    assert_eq!(program.read("settings.json"), r#"{"refresh_token":"new"}"#);
}

#[tokio::test]
async fn a_check_says_what_the_source_says_of_its_settings() {
    let status = r#"{"type":"CONNECTION_STATUS","connectionStatus":{"status":"FAILED","message":"the key a-very-secret-key is wrong"}}"#;
    let program = Program::new("cat \"$here/lines\"").with("lines", format!("{status}\n"));
    let config = AirbyteConfig::new(program.command()).with_setting("key", "a-very-secret-key");
    let error = Airbyte::new(config).check().await.unwrap_err();
    assert!(error.to_string().contains("the key (hidden) is wrong"), "{error}");
}

#[tokio::test]
async fn an_error_before_the_answer_is_told() {
    let failed = r#"{"type":"TRACE","trace":{"type":"ERROR","error":{"message":"the token has expired","failure_type":"config_error"}}}"#;
    let program = Program::new("cat \"$here/lines\"\nexit 1\n").with("lines", format!("{failed}\n"));
    let error = source(&program).check().await.unwrap_err();
    assert!(error.to_string().contains("the token has expired"), "{error}");
    let nothing = Airbyte::new(AirbyteConfig::new(["no-such-program-here"])).check().await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Configuration);
}
