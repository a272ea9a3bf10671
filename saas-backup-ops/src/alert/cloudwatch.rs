use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, header};
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{RetryConfig, StaticCredentialProvider};
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_http::Body;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::service::{Service, ServiceOptions, json};
use super::{Action, Alert, Beat, Heartbeat, Route, Signal};

/// What requests are signed for.
const SIGNED_FOR: &str = "monitoring";
const TARGET: &str = "GraniteServiceVersion20100801.PutMetricData";
/// Longest value of a dimension, in characters.
const DIMENSION: usize = 1024;
/// How long credentials may be looked for.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// The keys of a user of AWS.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretString,
    /// The session's token, if the keys are of a session.
    pub session_token: Option<SecretString>,
}

/// Metrics in [Amazon CloudWatch](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html), for alarms
/// that are made there.
///
/// As a [`Heartbeat`] it puts `Healthy` at each beat, 1 or 0: an alarm on it that takes missing data for breaching is a dead
/// man's switch. As a [`Route`] it counts what begins (`ProblemsBegun`) and what is over (`ProblemsEnded`), for all and by
/// condition and source. It does not tell a signal that is sent twice from two.
#[derive(Clone)]
pub struct CloudWatch {
    name: String,
    service: Service,
    region: String,
    credentials: AwsCredentialProvider,
    namespace: String,
    /// Tells the metrics of this program from those of others.
    origin: String,
    options: ServiceOptions,
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CloudWatch")
            .field("name", &self.name)
            .field("region", &self.region)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutMetricData<'a> {
    namespace: &'a str,
    metric_data: Vec<Datum>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    metric_name: &'static str,
    dimensions: Vec<Dimension>,
    value: f64,
    unit: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: &'static str,
    value: String,
}

impl CloudWatch {
    /// Metrics of a region, under the namespace `SaasBackup`. `origin` names this program among others in the same account. Without
    /// keys, credentials are taken from where programs of AWS find them: `AWS_…` in the environment, the role of the machine,
    /// the container or the pod. `address` is for endpoints of one's own, and for tests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the region is none, or the environment names credentials that cannot be used; or if
    /// the address is not allowed.
    pub fn new(
        name: impl Into<String>,
        region: impl Into<String>,
        origin: impl Into<String>,
        keys: Option<AwsKeys>,
        address: Option<&SecretString>,
        options: ServiceOptions,
    ) -> Result<Self> {
        let region = region.into();
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(
                Error::new(ErrorKind::Configuration, "the region of AWS is none").with_context("region", region)
            );
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let standard = SecretString::from(format!("https://monitoring.{region}.{domain}/"));
        let service = Service::new(address.unwrap_or(&standard), &options)?;
        let credentials = keys.map_or_else(|| found(&region), |keys| Ok(given(keys)))?;
        let namespace = "SaasBackup".to_owned();
        Ok(Self { name: name.into(), service, region, credentials, namespace, origin: origin.into(), options })
    }

    /// Sets the namespace. Default: `SaasBackup`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    fn origin(&self) -> Dimension {
        Dimension { name: "Origin", value: written(&self.origin) }
    }

    /// No time is given: what arrives late counts when it arrives, for alarms look no further back.
    fn counted(&self, action: Action, alert: &Alert) -> Vec<Datum> {
        let metric_name = match action {
            Action::Trigger => "ProblemsBegun",
            Action::Resolve => "ProblemsEnded",
        };
        let condition = Dimension { name: "Condition", value: written(&alert.condition.to_string()) };
        let source = alert.source.as_deref().map(|source| Dimension { name: "Source", value: written(source) });
        let mut dimensions = vec![self.origin()];
        let mut data = Vec::new();
        for next in [Some(condition), source].into_iter().flatten() {
            data.push(Datum { metric_name, dimensions: dimensions.clone(), value: 1.0, unit: "Count" });
            dimensions.push(next);
        }
        data.push(Datum { metric_name, dimensions, value: 1.0, unit: "Count" });
        data
    }

    async fn put(&self, metric_data: Vec<Datum>) -> Result<()> {
        let body = json(&PutMetricData { namespace: &self.namespace, metric_data })?;
        let looked_for = tokio::time::timeout(CREDENTIALS, self.credentials.get_credential()).await;
        let credential = looked_for.map_err(|_| nobody())?.map_err(|_| nobody())?;
        let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_text(&credential.key_id) || !credential.token.as_deref().is_none_or(is_text) {
            return Err(nobody());
        }
        let unsigned = |_| Error::new(ErrorKind::Unexpected, "the request to AWS cannot be signed");
        let mut signed: HttpRequest = http::Request::post(self.service.url()?.as_str())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"))
            .header(HeaderName::from_static("x-amz-target"), HeaderValue::from_static(TARGET))
            .body(HttpRequestBody::from(body.clone()))
            .map_err(|_| Error::new(ErrorKind::Unexpected, "the request to AWS cannot be written"))?;
        AwsAuthorizer::new(&credential, SIGNED_FOR, &self.region).try_authorize(&mut signed, None).map_err(unsigned)?;
        // What is counted twice sets off no other alarm than what is counted once.
        let mut request = self.service.post()?.idempotent();
        // The client writes the host itself.
        for (name, value) in signed.headers().iter().filter(|(name, _)| *name != header::HOST) {
            request = request.header(name.clone(), value.clone());
        }
        self.service.send(request.body(Body::Bytes(body.into()))).await.map_err(explained).map(drop)
    }
}

#[async_trait]
impl Route for CloudWatch {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.options.takes(alert)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        self.put(self.counted(signal.action, &signal.alert)).await
    }
}

#[async_trait]
impl Heartbeat for CloudWatch {
    fn name(&self) -> &str {
        &self.name
    }

    async fn beat(&self, beat: Beat) -> Result<()> {
        let value = match beat {
            Beat::Well => 1.0,
            Beat::Unwell => 0.0,
        };
        self.put(vec![Datum { metric_name: "Healthy", dimensions: vec![self.origin()], value, unit: "None" }]).await
    }
}

fn given(keys: AwsKeys) -> AwsCredentialProvider {
    Arc::new(StaticCredentialProvider::new(AwsCredential {
        key_id: keys.access_key_id,
        secret_key: keys.secret_access_key.expose_secret().to_owned(),
        token: keys.session_token.map(|token| token.expose_secret().to_owned()),
    }))
}

/// What a client of S3 would sign with; none is made, and its bucket is never asked for.
fn found(region: &str) -> Result<AwsCredentialProvider> {
    let retry = RetryConfig { max_retries: 1, retry_timeout: CREDENTIALS, ..RetryConfig::default() };
    let client = AmazonS3Builder::from_env().with_region(region).with_bucket_name("none").with_retry(retry).build();
    Ok(Arc::clone(client.map_err(|_| nobody())?.credentials()))
}

fn nobody() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "no credentials of AWS were found: give keys, set them in the environment, or give the machine a role",
    )
}

fn explained(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => error.with_context("needs", "cloudwatch:PutMetricData"),
        _ => error,
    }
}

/// A dimension's value: ASCII without control characters, not empty, and not a colon first.
fn written(text: &str) -> String {
    let plain = |sign: char| if sign.is_ascii_graphic() || sign == ' ' { sign } else { '_' };
    let value: String = text.trim().trim_start_matches(':').chars().map(plain).take(DIMENSION).collect();
    if value.is_empty() { "_".to_owned() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_what_the_service_takes() {
        assert_eq!(written(" :blög/\u{7}x y"), "bl_g/_x y");
        assert_eq!((written("").as_str(), written(&"a".repeat(2000)).len()), ("_", DIMENSION));
    }
}
