use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::request::{Answer, Outgoing, Transport};

/// A recording of one stream.
#[derive(Debug, Deserialize)]
pub(super) struct Recording {
    pub(super) stream: String,
    pub(super) now: DateTime<Utc>,
    pub(super) config: Value,
    interactions: Vec<Interaction>,
    pub(super) records: Vec<Value>,
    pub(super) states: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Interaction {
    stream: Option<String>,
    request: Asked,
    response: Given,
}

#[derive(Clone, Debug, Deserialize)]
struct Asked {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Given {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Recording {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The requests, as they are compared.
    pub(super) fn requests(&self) -> BTreeSet<String> {
        self.interactions.iter().map(|one| one.request.key()).collect()
    }

    /// The requests that another stream, or another manifest, made while this one was recorded.
    pub(super) fn foreign(&self, own: &BTreeSet<String>, hosts: &BTreeSet<String>) -> BTreeSet<String> {
        let foreign = self.interactions.iter().filter(|one| {
            let host = one.request.url.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
            let known = one.stream.as_ref().is_none_or(|stream| stream == "auth" || own.contains(stream));
            !known || host.is_none_or(|host| !hosts.contains(&host))
        });
        foreign.map(|one| one.request.key()).collect()
    }

    /// Answers as this recording does; what it does not hold, because the answers of parents were kept from one stream
    /// to the next, as its siblings do.
    pub(super) fn server(&self, siblings: &[Self]) -> Server {
        let mut answers: BTreeMap<String, Vec<Interaction>> = BTreeMap::new();
        for interaction in &self.interactions {
            answers.entry(interaction.request.key()).or_default().push(interaction.clone());
        }
        for sibling in siblings.iter().filter(|sibling| sibling.stream != self.stream) {
            for interaction in &sibling.interactions {
                answers.entry(interaction.request.key()).or_insert_with(|| vec![interaction.clone()]);
            }
        }
        let paths = answers.keys().map(|key| path_of(key)).collect();
        Server { answers, paths, own: self.requests(), seen: Mutex::default() }
    }

    /// Whether the same was asked more than once.
    pub(super) fn repeats(&self) -> bool {
        let mut asked = BTreeSet::new();
        self.interactions.iter().any(|one| !asked.insert(one.request.key()))
    }
}

/// What is asked, without parameters and body.
fn path_of(key: &str) -> String {
    key.split('?').next().unwrap_or_default().to_owned()
}

impl Asked {
    fn key(&self) -> String {
        let url: Result<Url, _> = self.url.parse();
        let url = url.map_or_else(|_| self.url.clone(), |url| address(&url));
        format!("{} {url} {}", self.method, self.body.as_deref().map(body).unwrap_or_default())
    }
}

/// An address whose parameters stand in order.
fn address(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    pairs.sort();
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let path = percent_decoded(url.path());
    format!("{}://{}{}?{query}", url.scheme(), url.host_str().unwrap_or_default(), path)
}

fn percent_decoded(path: &str) -> String {
    // A form reads `+` as a blank, a path does not.
    let text = path.replace('+', "%2B").replace(['&', '='], "\u{1}");
    let first = form_urlencoded::parse(text.as_bytes()).next();
    first.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// A body whose members stand in order, whether it is JSON or a form.
fn body(text: &str) -> String {
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        return json.to_string();
    }
    if text.contains('=') && !text.contains(['<', '{', '\n']) {
        let mut pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        pairs.sort();
        return form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    }
    text.to_owned()
}

/// Answers as the recording does, and notes what it was asked.
#[derive(Debug)]
pub(super) struct Server {
    answers: BTreeMap<String, Vec<Interaction>>,
    /// What any recording of the manifest holds an answer for.
    paths: BTreeSet<String>,
    own: BTreeSet<String>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: BTreeMap<String, usize>,
    /// Requests that the recording does not hold, and headers that are others.
    pub(super) strange: BTreeSet<String>,
    /// Whether a request went where no recording of the manifest has anything.
    pub(super) unrecorded: bool,
    /// Whether a request was answered as in a recording of another stream.
    pub(super) borrowed: bool,
    pub(super) hosts: BTreeSet<String>,
}

impl Server {
    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, request: &Outgoing) -> Result<Answer> {
        let sent = request.body.as_deref().map(String::from_utf8_lossy);
        let key =
            format!("{} {} {}", request.method, address(&request.url), sent.as_deref().map(body).unwrap_or_default());
        let mut seen = self.seen();
        seen.borrowed |= !self.own.contains(&key) && self.answers.contains_key(&key);
        seen.hosts.extend(request.url.host_str().map(str::to_owned));
        let times = seen.requests.entry(key.clone()).or_default();
        *times += 1;
        let nth = *times - 1;
        let Some(held) = self.answers.get(&key).and_then(|held| held.get(nth).or(held.last())) else {
            seen.unrecorded |= !self.paths.contains(&path_of(&key));
            seen.strange.insert(format!("asks for {key}"));
            return Err(Error::new(ErrorKind::NotFound, "the recording does not hold the request"));
        };
        for (name, value) in &held.request.headers {
            let ours = request.headers.get(name).and_then(|value| value.to_str().ok());
            let same_type =
                name.eq_ignore_ascii_case("content-type") && ours.is_none_or(|ours| value.starts_with(ours));
            if ours != Some(value) && !same_type {
                seen.strange.insert(format!("the header {name} is another"));
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &held.response.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let body = Bytes::from(serde_json::to_vec(&held.response.body)?);
        Ok(Answer { status: held.response.status, headers, body, permit: None })
    }

    async fn wait(&self, _: Duration, _: bool) {}
}
