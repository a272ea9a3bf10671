//! Metrics of CloudWatch: the requests as its documentation has them. Beside it, `live_moto` asks a server whether they arrived.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Clock as _, ErrorKind, SystemClock};
use saas_backup_ops::alert::{Alert, Alerts, AwsKeys, Beat, CloudWatch, Condition, Heartbeat as _, ServiceOptions};
use secrecy::SecretString;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn options() -> ServiceOptions {
    ServiceOptions::default().with_private_addresses(true).with_first_delay(Duration::from_millis(1))
}

fn keys() -> AwsKeys {
    AwsKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret-of-the-key".into(),
        session_token: Some("token-of-the-session".into()),
    }
}

type Heard = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

async fn service(status: StatusCode) -> (SecretString, Heard) {
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    let router = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        noted.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
        async move { (status, r#"{"message":"User: secret-of-the-account"}"#) }
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap()).into();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, heard)
}

fn cloudwatch(address: &SecretString) -> CloudWatch {
    CloudWatch::new("aws", "eu-west-1", "host-7", Some(keys()), Some(address), options()).unwrap()
}

async fn tell(cloudwatch: CloudWatch) {
    let folder = tempfile::tempdir().unwrap();
    let mut alerts = Alerts::open(folder.path(), vec![Box::new(cloudwatch)]).unwrap();
    let late = Alert::new("blog/late", Condition::Late, "blog is late", now()).with_source("blog");
    let began = alerts.tell(vec![late], now()).await.unwrap();
    let over = alerts.tell(Vec::new(), now() + TimeDelta::hours(1)).await.unwrap();
    assert!(began.iter().chain(&over).all(|told| told.error.is_none()), "{began:?} {over:?}");
}

#[tokio::test]
async fn what_begins_and_ends_is_counted_for_all_by_condition_and_by_source() {
    let (address, heard) = service(StatusCode::OK).await;
    assert!(!format!("{:?}", cloudwatch(&address)).contains("of-the-"));
    tell(cloudwatch(&address)).await;
    let heard = heard.lock().unwrap();
    let (headers, body) = &heard[0];
    // https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
    assert_eq!(headers["content-type"], "application/x-amz-json-1.0");
    assert_eq!(headers["x-amz-target"], "GraniteServiceVersion20100801.PutMetricData");
    assert_eq!(headers["x-amz-security-token"], "token-of-the-session");
    let signed = headers["authorization"].to_str().unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signed}");
    assert!(signed.contains("/eu-west-1/monitoring/aws4_request, SignedHeaders=content-type;host;"), "{signed}");
    let (origin, condition) =
        (json!({ "Name": "Origin", "Value": "host-7" }), json!({ "Name": "Condition", "Value": "late" }));
    let source = json!({ "Name": "Source", "Value": "blog" });
    let datum = |dimensions: Value| json!({ "MetricName": "ProblemsBegun", "Dimensions": dimensions, "Value": 1.0, "Unit": "Count" });
    let data = [json!([origin]), json!([origin, condition]), json!([origin, condition, source])].map(datum);
    assert_eq!(*body, json!({ "Namespace": "SaasBackup", "MetricData": data }));
    assert_eq!(heard[1].1["MetricData"][2]["MetricName"], "ProblemsEnded");
}

#[tokio::test]
async fn a_beat_says_whether_all_is_well() {
    let (address, heard) = service(StatusCode::OK).await;
    let cloudwatch = cloudwatch(&address).with_namespace("Backups");
    cloudwatch.beat(Beat::Well).await.unwrap();
    cloudwatch.beat(Beat::Unwell).await.unwrap();
    let datum = |value: f64| {
        let dimensions = [json!({ "Name": "Origin", "Value": "host-7" })];
        let datum = json!({ "MetricName": "Healthy", "Dimensions": dimensions, "Value": value, "Unit": "None" });
        json!({ "Namespace": "Backups", "MetricData": [datum] })
    };
    let bodies: Vec<Value> = heard.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(bodies, [datum(1.0), datum(0.0)]);
}

#[tokio::test]
async fn a_refusal_names_the_permission_and_nothing_else() {
    let (address, _) = service(StatusCode::FORBIDDEN).await;
    let error = cloudwatch(&address).beat(Beat::Well).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let text = format!("{error} {error:?}");
    assert!(text.contains("cloudwatch:PutMetricData") && !text.contains("secret-of"), "{text}");
    let unusable = AwsKeys { session_token: Some("two\nlines".into()), ..keys() };
    let cloudwatch = CloudWatch::new("aws", "eu-west-1", "x", Some(unusable), Some(&address), options()).unwrap();
    assert_eq!(cloudwatch.beat(Beat::Well).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let region = CloudWatch::new("aws", "eu.evil.example/", "x", Some(keys()), None, options()).unwrap_err();
    assert_eq!(region.kind(), ErrorKind::Configuration);
}

mod live_moto {
    use super::*;

    fn variable(name: &str) -> String {
        std::env::var(format!("SAAS_BACKUP_TEST_MOTO_{name}")).unwrap()
    }

    async fn ask(action: &str, request: &Value) -> Value {
        let options = saas_backup_http::ClientOptions::default()
            .with_addresses(saas_backup_http::Addresses::new().with_private(true));
        let base = variable("URL").parse().unwrap();
        let client = saas_backup_http::Client::new(base, saas_backup_http::Authorization::none(), options).unwrap();
        let mut asked = saas_backup_http::Request::post(client.address("").unwrap());
        // Any signature is accepted.
        for (name, value) in [
            ("content-type", "application/x-amz-json-1.0".to_owned()),
            ("x-amz-target", format!("GraniteServiceVersion20100801.{action}")),
            ("authorization", "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/monitoring/aws4_request".to_owned()),
        ] {
            asked = asked.header(name.parse().unwrap(), value.parse().unwrap());
        }
        let body = saas_backup_http::Body::Bytes(request.to_string().into());
        client.send(asked.body(body)).await.unwrap().json().unwrap()
    }

    #[tokio::test]
    #[ignore = "needs moto: ./test runs it"]
    async fn metrics_arrive_with_their_values_and_dimensions() {
        let (namespace, address) = (format!("Backups{}", std::process::id()), variable("URL").into());
        let keys = AwsKeys {
            access_key_id: variable("ACCESS_KEY_ID"),
            secret_access_key: variable("SECRET_ACCESS_KEY").into(),
            session_token: None,
        };
        let made = CloudWatch::new("aws", variable("REGION"), "host-7", Some(keys), Some(&address), options());
        let cloudwatch = made.unwrap().with_namespace(&namespace);
        tell(cloudwatch.clone()).await;
        cloudwatch.beat(Beat::Unwell).await.unwrap();
        let listed = ask("ListMetrics", &json!({ "Namespace": namespace })).await.to_string();
        for expected in ["ProblemsBegun", "ProblemsEnded", "Healthy", "host-7", "late", "blog"] {
            assert!(listed.contains(&format!("\"{expected}\"")), "{expected}: {listed}");
        }
        let time = SystemClock.now().timestamp();
        let all = json!([
            { "Name": "Origin", "Value": "host-7" },
            { "Name": "Condition", "Value": "late" },
            { "Name": "Source", "Value": "blog" },
        ]);
        let origin = json!([all[0]]);
        for (metric, dimensions, sum) in [("ProblemsBegun", all, 1.0), ("Healthy", origin, 0.0)] {
            let asked = json!({
                "Namespace": namespace, "MetricName": metric, "StartTime": time - 3600, "EndTime": time + 3600, "Period": 7200,
                "Statistics": ["Sum", "SampleCount"], "Dimensions": dimensions,
            });
            let answer = ask("GetMetricStatistics", &asked).await;
            let point = &answer["Datapoints"][0];
            assert_eq!((&point["Sum"], &point["SampleCount"]), (&json!(sum), &json!(1.0)), "{metric}: {answer}");
        }
    }
}
