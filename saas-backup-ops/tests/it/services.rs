//! What services hear that alerts go to: payloads as their documentation has them, and services that misbehave.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{ErrorKind, ManualClock};
use saas_backup_ops::alert::{
    Alert, Alerts, Beat, Condition, Heartbeat as _, HeartbeatUrl, Opsgenie, PagerDuty, Responder, Route,
    ServiceOptions, Severity, Slack, Webhook, WebhookKey,
};
use secrecy::SecretString;
use serde_json::{Value, json};

const SECRET: &str = "very-secret-path";

/// What a service heard.
#[derive(Clone, Debug)]
struct Heard {
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A service that gives these answers in turn, and the last one for ever.
struct Service {
    address: SecretString,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Service {
    async fn new(answers: Vec<Response>) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answers, noted) =
            (Arc::new(Mutex::new(answers.into_iter().map(Some).collect::<Vec<_>>())), Arc::clone(&heard));
        let router = Router::new().fallback(move |request: Request| {
            let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let mut noted = noted.lock().unwrap();
                let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
                noted.push(Heard { path, query, headers: parts.headers, body });
                let taken = answers.lock().unwrap().get_mut(noted.len() - 1).and_then(Option::take);
                taken.unwrap_or_else(|| (StatusCode::OK, "ok").into_response())
            }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}/{SECRET}", listener.local_addr().unwrap()).into();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn now() -> DateTime<Utc> {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn options() -> ServiceOptions {
    let clock = Arc::new(ManualClock::new(now() + TimeDelta::minutes(7)));
    ServiceOptions::default().with_private_addresses(true).with_first_delay(Duration::from_millis(1)).with_clock(clock)
}

fn late() -> Alert {
    Alert::new("blog/late", Condition::Late, "blog: the newest <complete> copy is 3h old", now())
        .with_source("blog")
        .with_advice("Run `saas-backup backup blog`.")
        .with_detail("objective", "1h")
}

/// Tells that something began and that it is over; gives why the first did not arrive.
async fn tell(route: Box<dyn Route>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![route]).unwrap();
    let told = alerts.tell(vec![late()], now()).await.unwrap();
    alerts.tell(Vec::new(), now() + TimeDelta::hours(1)).await.unwrap();
    told.into_iter().next().and_then(|delivery| delivery.error)
}

fn pagerduty(service: &Service) -> Box<dyn Route> {
    let key = "R0123456789012345678901234567890".into();
    Box::new(PagerDuty::new("pager", key, "host-7", Some(&service.address), options()).unwrap())
}

#[tokio::test]
async fn pagerduty_gets_events_of_its_second_version() {
    let taken = || (StatusCode::ACCEPTED, r#"{"status":"success"}"#).into_response();
    let service = Service::new(vec![taken(), taken()]).await;
    assert_eq!(tell(pagerduty(&service)).await, None);
    let heard: Vec<Value> = service.heard().iter().map(Heard::json).collect();
    // https://developer.pagerduty.com/docs/send-alert-event
    let expected = json!({
        "routing_key": "R0123456789012345678901234567890", "event_action": "trigger",
        "dedup_key": "saas-backup/host-7/blog/late", "client": "saas-backup",
        "payload": {
            "summary": "blog: the newest <complete> copy is 3h old", "source": "host-7", "severity": "critical",
            "timestamp": "2026-11-21T10:00:00.000Z", "component": "blog", "class": "late",
            "custom_details": { "objective": "1h", "advice": "Run `saas-backup backup blog`." },
        },
    });
    assert_eq!(heard[0], expected);
    let resolved = json!({
        "routing_key": "R0123456789012345678901234567890", "event_action": "resolve",
        "dedup_key": "saas-backup/host-7/blog/late", "client": "saas-backup",
    });
    assert_eq!(heard[1..], [resolved]);
}

#[tokio::test]
async fn opsgenie_opens_and_closes_an_alert_by_its_alias() {
    let taken = || (StatusCode::ACCEPTED, r#"{"result":"Request will be processed"}"#).into_response();
    let service = Service::new(vec![StatusCode::TOO_MANY_REQUESTS.into_response(), taken(), taken()]).await;
    let responders =
        vec![Responder::Team { name: "sre".to_owned() }, Responder::User { username: "a@example.com".to_owned() }];
    let route = Opsgenie::new("genie", &"key-of-genie".into(), "host/7", Some(&service.address), options()).unwrap();
    assert!(!format!("{route:?}").contains("key-of-genie"));
    let route = route.with_responders(responders).with_tags(vec!["backup".to_owned()]);
    assert_eq!(tell(Box::new(route)).await, None);
    let heard = service.heard();
    assert_eq!(heard.len(), 3, "once refused, taken, and that it is over");
    assert!(heard.iter().all(|heard| heard.headers["authorization"] == "GenieKey key-of-genie"));
    // https://docs.opsgenie.com/docs/alert-api
    let expected = json!({
        "message": "blog: the newest <complete> copy is 3h old", "alias": "saas-backup:host:7:blog:late",
        "description": "Run `saas-backup backup blog`.",
        "responders": [{ "type": "team", "name": "sre" }, { "type": "user", "username": "a@example.com" }],
        "tags": ["backup"], "entity": "blog", "source": "host/7", "priority": "P1",
        "details": { "objective": "1h", "condition": "late", "since": "2026-11-21T10:00:00+00:00" },
    });
    assert_eq!((heard[1].path.as_str(), &heard[1].json()), (format!("/{SECRET}").as_str(), &expected));
    assert_eq!(heard[2].path, format!("/{SECRET}/saas-backup:host:7:blog:late/close"));
    assert_eq!(heard[2].query.as_deref(), Some("identifierType=alias"));
    assert_eq!(heard[2].json(), json!({ "source": "host/7", "note": "It is over." }));
}

#[tokio::test]
async fn opsgenie_gets_no_more_than_it_takes_and_loses_no_summary() {
    let service = Service::new(Vec::new()).await;
    let route = Opsgenie::jsm("jsm", &"key".into(), "o".repeat(900), Some(&service.address), options()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![Box::new(route)]).unwrap();
    let summary = "ä".repeat(131);
    let long = Alert::new("blog/late", Condition::Incomplete, &summary, now()).with_advice("é".repeat(20_000));
    alerts.tell(vec![long], now()).await.unwrap();
    let body = service.heard()[0].json();
    let count = |member: &str| body[member].as_str().unwrap().chars().count();
    assert_eq!(
        ["message", "description", "alias", "source"].map(count),
        [130, 15_000, 512, 100],
        "the most that is taken, in characters"
    );
    assert!(body["description"].as_str().unwrap().starts_with(&format!("{summary}\n\né")));
    assert_eq!((body["priority"].as_str(), body.get("entity")), (Some("P3"), None));
}

#[tokio::test]
async fn slack_gets_blocks_in_which_nothing_is_markup_that_was_text() {
    let service = Service::new(Vec::new()).await;
    assert_eq!(tell(Box::new(Slack::new("slack", &service.address, options()).unwrap())).await, None);
    let heard = service.heard();
    let first = heard[0].json();
    // https://docs.slack.dev/reference/block-kit/blocks
    assert_eq!(first["text"], "blog: the newest &lt;complete&gt; copy is 3h old (critical)");
    let header = json!({ "type": "plain_text", "text": "blog: the newest <complete> copy is 3h old" });
    assert_eq!((first["blocks"][0]["type"].as_str(), &first["blocks"][0]["text"]), (Some("header"), &header));
    assert_eq!(first["blocks"][3]["fields"], json!([{ "type": "mrkdwn", "text": "*objective*\n1h" }]));
    assert!(heard[1].json()["text"].as_str().unwrap().ends_with("(resolved)"));

    let other = Service::new(vec![(StatusCode::OK, "<html>").into_response()]).await;
    let error = tell(Box::new(Slack::new("slack", &other.address, options()).unwrap())).await.unwrap();
    assert!(error.contains("did not answer as one of Slack"), "{error}");
}

#[tokio::test]
async fn a_webhook_is_signed_when_it_is_sent_and_keeps_its_id() {
    let service = Service::new(vec![StatusCode::BAD_GATEWAY.into_response()]).await;
    let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
    let keys = keys.map(|key| WebhookKey::parse(&key.into()).unwrap()).to_vec();
    assert_eq!(tell(Box::new(Webhook::new("hook", &service.address, keys, options()).unwrap())).await, None);
    let heard = service.heard();
    let header = |number: usize, name: &str| heard[number].headers[name].to_str().unwrap().to_owned();
    assert_eq!(heard.len(), 3, "once refused, taken, and that it is over");
    assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
    assert_ne!(header(1, "webhook-id"), header(2, "webhook-id"));
    assert_eq!(header(1, "webhook-timestamp"), (now() + TimeDelta::minutes(7)).timestamp().to_string());
    let signatures = header(1, "webhook-signature");
    assert_eq!(signatures.split(' ').filter(|signature| signature.starts_with("v1,")).count(), 2);
    let body = heard[1].json();
    assert_eq!(
        (body["type"].as_str(), body["timestamp"].as_str()),
        (Some("backup.late.triggered"), Some("2026-11-21T10:00:00Z"))
    );
    assert_eq!((&body["data"]["source"], &body["data"]["severity"]), (&json!("blog"), &json!("critical")));
    assert_eq!(heard[2].json()["type"], "backup.late.resolved");
}

#[tokio::test]
async fn a_heartbeat_says_whether_all_is_well() {
    let service = Service::new(Vec::new()).await;
    let heartbeat = HeartbeatUrl::new("beat", &service.address, &options()).unwrap();
    heartbeat.beat(Beat::Well).await.unwrap();
    heartbeat.beat(Beat::Unwell).await.unwrap();
    let paths: Vec<String> = service.heard().into_iter().map(|heard| heard.path).collect();
    assert_eq!(paths, [format!("/{SECRET}"), format!("/{SECRET}/fail")]);
}

#[tokio::test]
async fn services_in_trouble_are_asked_a_few_times_and_no_address_is_shown() {
    for (answers, tries, message) in [
        (
            vec![StatusCode::TOO_MANY_REQUESTS.into_response(), StatusCode::INTERNAL_SERVER_ERROR.into_response()],
            3,
            None,
        ),
        ((0..9).map(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).collect(), 3, Some("in trouble")),
        (vec![(StatusCode::BAD_REQUEST, SECRET).into_response()], 1, Some("refuses")),
        // What is posted is never sent elsewhere.
        (vec![Redirect::temporary("http://127.0.0.1:1/elsewhere").into_response()], 1, Some("redirects")),
    ] {
        let service = Service::new(answers).await;
        let folder = tempfile::tempdir().unwrap();
        let mut alerts = Alerts::open(folder.path(), vec![pagerduty(&service)]).unwrap();
        let told = alerts.tell(vec![late()], now()).await.unwrap();
        let error = told[0].error.as_deref();
        assert_eq!((service.heard().len(), error.is_some()), (tries, message.is_some()), "{error:?}");
        assert!(
            error.is_none_or(|error| error.contains(message.unwrap_or_default()) && !error.contains(SECRET)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn addresses_that_nobody_allowed_are_refused_before_anything_is_sent() {
    for address in ["http://alerts.example.com/x", "https://127.0.0.1/x", "ftp://alerts.example.com", "alerts"] {
        let refused = Slack::new("slack", &address.into(), ServiceOptions::default()).unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::Configuration | ErrorKind::PermissionDenied),
            "{address} {refused}"
        );
    }
}

#[tokio::test]
async fn what_is_less_bad_than_asked_for_does_not_go_there() {
    let service = Service::new(Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let slack = Slack::new("slack", &service.address, options().at_least(Severity::Error)).unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![Box::new(slack)]).unwrap();
    let incomplete = Alert::new("blog/incomplete", Condition::Incomplete, "two records are missing", now());
    assert!(alerts.tell(vec![incomplete.clone()], now()).await.unwrap().is_empty());
    let worse = incomplete.with_severity(Severity::Error);
    assert_eq!(alerts.tell(vec![worse], now()).await.unwrap().len(), 1, "once it is as bad");
}
