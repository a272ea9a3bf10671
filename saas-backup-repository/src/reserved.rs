//! The lines that are no records: cursors, gaps, catalog, attachments.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use saas_backup_core::{
    BlobId, CollectionName, CollectionName as Name, Cursor, Epoch, Error, ErrorKind, Feed, FeedState, Json, Key, Line,
    LineCodec, Record, RecordId, Result, RunReport,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::commit::drop_zeros;

/// The catalog, as one row.
pub(crate) const CATALOG: &str = "_catalog";
/// The coverage, as one row.
pub(crate) const COVERAGE: &str = "_coverage";
/// Where each feed stands.
pub(crate) const FEEDS: &str = "_feeds";
/// What is known to be missing.
pub(crate) const GAPS: &str = "_gaps";
/// What is held, as one row.
pub(crate) const HELD: &str = "_held";
/// The report of the last run, as one row.
pub(crate) const REPORT: &str = "_report";
/// What waits for somebody's decision.
pub(crate) const REVIEWS: &str = "_reviews";
/// Schema documents that feeds carried.
pub(crate) const SCHEMAS: &str = "_schemas";
/// Which objects hold an attachment.
pub(crate) const BLOBS: &str = "_blobs";

/// The id of a row that is alone in its collection.
pub(crate) const ONLY: &str = "1";

pub(crate) fn collection(name: &'static str) -> CollectionName {
    Name::from_static(name)
}

pub(crate) fn key(name: &'static str, id: impl AsRef<str>) -> Result<Key> {
    Ok(Key::new(collection(name), RecordId::parse(id)?))
}

/// A row of a reserved collection.
pub(crate) fn row(key: Key, value: &impl Serialize) -> Result<Record> {
    Ok(Record::new(key, Json::from_value(value)?))
}

/// The stored line of a row.
pub(crate) fn line(key: Key, value: &impl Serialize) -> Result<Bytes> {
    let mut text = Vec::new();
    LineCodec::stored().encode_put(&row(key, value)?, &mut text)?;
    Ok(Bytes::from(text))
}

/// Reads a stored line of a record, reserved or not.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if it does not have the form of one.
pub(crate) fn record(text: &Bytes) -> Result<Box<Record>> {
    match LineCodec::stored().decode(text) {
        Ok(Line::Put(record)) => Ok(record),
        Ok(_) => Err(Error::new(ErrorKind::Integrity, "a stored line is not the record that it should be")),
        Err(error) => {
            Err(Error::new(ErrorKind::Integrity, "a stored line does not have the form of one").with_source(error))
        }
    }
}

/// The attachments that a stored line of a record refers to.
pub(crate) fn blobs(text: &Bytes) -> Result<Vec<BlobId>> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"blobs\":"));
    // Most records have none: a look at the bytes is enough to know.
    if NAME.find(text).is_none() {
        return Ok(Vec::new());
    }
    Ok(record(text)?.blobs.into_iter().filter_map(|blob| blob.id).collect())
}

/// Reads what a row of a reserved collection holds.
pub(crate) fn value<T: DeserializeOwned>(text: &Bytes) -> Result<T> {
    let record = record(text)?;
    let read = serde_json::from_slice(record.data.as_bytes());
    read.map_err(|_| {
        Error::new(ErrorKind::Integrity, "a row of the store's own does not have the form of one")
            .with_context("collection", &record.key.collection)
    })
}

/// A report as a row: without what the point says, what the coverage says, what is 0 or nothing, and what is usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ReportRow(Map<String, Value>);

impl ReportRow {
    pub(crate) fn new(report: &RunReport) -> Result<Self> {
        let Value::Object(mut row) = serde_json::to_value(report)? else { return Ok(Self(Map::new())) };
        let started = row.get("started").cloned().unwrap_or_default();
        row.retain(|name, member| !OF_THE_POINT.contains(&name.as_str()) && !is_nothing(member));
        each(row.get_mut("collections")).for_each(drop_zeros);
        let counts = row.get("collections").cloned().unwrap_or_default();
        for (id, feed) in entries(row.get_mut("feeds")) {
            feed.get_mut("counts").into_iter().for_each(drop_zeros);
            drop_zeros(feed);
            leave_out(feed, &usual_feed(&counts, id));
        }
        let usual = usual_completeness(&started);
        for (_, collection) in entries(row.get_mut("completeness").and_then(|all| all.get_mut("collections"))) {
            if let Value::Object(members) = collection {
                // Of what may be unknown, 0 is news.
                let is_none = |name: &str, member: &Value| name.starts_with("missing") && member.as_u64() == Some(0);
                members
                    .retain(|name, member| usual.contains_key(name) || !is_nothing(member) && !is_none(name, member));
            }
            leave_out(collection, &usual);
        }
        Ok(Self(row))
    }

    /// The report; `point` says what the row does not.
    pub(crate) fn into_report(self, point: &RunReport) -> Result<RunReport> {
        let Value::Object(mut all) = serde_json::to_value(point)? else { return Ok(point.clone()) };
        let started = all.get("started").cloned().unwrap_or_default();
        all.extend(self.0);
        let counts = all.get("collections").cloned().unwrap_or_default();
        for (id, feed) in entries(all.get_mut("feeds")) {
            fill_in(feed, usual_feed(&counts, id));
        }
        for (_, collection) in entries(all.get_mut("completeness").and_then(|all| all.get_mut("collections"))) {
            fill_in(collection, usual_completeness(&started));
        }
        serde_json::from_value(Value::Object(all))
            .map_err(|_| Error::new(ErrorKind::Integrity, "the report of a point does not have the form of one"))
    }
}

/// What is said elsewhere.
const OF_THE_POINT: [&str; 5] = ["run", "started", "finished", "status", "coverage"];

fn is_nothing(member: &Value) -> bool {
    match member {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// What a feed's report says most often: it read changes, and counted what its collection did.
fn usual_feed(collections: &Value, id: &str) -> Map<String, Value> {
    let counts = collections.get(id).cloned().unwrap_or_default();
    Map::from_iter([("status".to_owned(), Value::from("changes")), ("counts".to_owned(), counts)])
}

/// What is true most often of a collection: all is there, and deletions are known up to the run.
fn usual_completeness(started: &Value) -> Map<String, Value> {
    Map::from_iter([
        ("visible".to_owned(), Value::from("all")),
        ("complete".to_owned(), Value::from(true)),
        ("deletions_as_of".to_owned(), started.clone()),
    ])
}

fn leave_out(members: &mut Value, usual: &Map<String, Value>) {
    if let Value::Object(members) = members {
        members.retain(|name, member| usual.get(name) != Some(member));
    }
}

fn fill_in(members: &mut Value, usual: Map<String, Value>) {
    if let Value::Object(members) = members {
        for (name, value) in usual {
            members.entry(name).or_insert(value);
        }
    }
}

fn each(members: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    entries(members).map(|(_, member)| member)
}

fn entries(members: Option<&mut Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    members.and_then(Value::as_object_mut).into_iter().flat_map(|members| members.iter_mut())
}

/// A feed's state as a row.
#[derive(Serialize, Deserialize)]
pub(crate) struct FeedRow {
    /// Absent where it is a whole collection, and the row's id its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    feed: Option<Feed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full_at: Option<chrono::DateTime<chrono::Utc>>,
    /// What the full read under way saw up to here: sorted 8-byte keyed digests of keys, in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) seen: String,
}

impl FeedRow {
    pub(crate) fn new(state: &FeedState, seen: String) -> Self {
        let is_plain = plain(state.feed.id.as_str()).is_ok_and(|plain| plain == state.feed);
        Self {
            feed: (!is_plain).then(|| state.feed.clone()),
            cursor: state.cursor.as_ref().map(|cursor| cursor.as_json().clone()),
            epoch: state.epoch,
            full_at: state.full_at,
            seen,
        }
    }

    /// The state of the feed that has this row.
    pub(crate) fn into_state(self, row: &RecordId) -> Result<FeedState> {
        let mut state = FeedState::new(self.feed.map_or_else(|| plain(row.as_str()), Ok)?);
        state.cursor = self.cursor.map(Cursor::from_json).transpose()?;
        state.epoch = self.epoch;
        state.full_at = self.full_at;
        Ok(state)
    }
}

/// The feed of a whole collection.
fn plain(collection: &str) -> Result<Feed> {
    Ok(Feed::slice(CollectionName::parse(collection)?))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use saas_backup_core::{CollectionCompleteness, Counts, RunId, RunStatus, Visibility};

    use super::*;

    #[test]
    fn a_report_reads_back_out_of_its_row_and_the_point() {
        let time = DateTime::UNIX_EPOCH;
        let mut report = RunReport::new(RunId::new(time), time);
        report.status = RunStatus::Incomplete;
        let name = CollectionName::from_static("notes");
        let mut counts = Counts::default();
        counts.written = 7;
        let point = report.clone();
        report.collections.insert(name.clone(), counts);
        report.collections.insert(CollectionName::from_static("empty"), Counts::default());
        let text = r#"{"visible":"all","exists":0,"hidden":null,"held":7,"blobs":null,"blob_bytes":0,"missing_records":0,
            "missing_blobs":2,"complete":false,"deletions_as_of":"1970-01-01T00:00:00Z","reasons":["two attachments"]}"#;
        let complete: CollectionCompleteness = serde_json::from_str(text).unwrap();
        assert_eq!((complete.exists, complete.visible), (Some(0), Visibility::All));
        let mut unknown = complete.clone();
        unknown.deletions_as_of = None;
        report.completeness.collections.insert(name, complete);
        report.completeness.collections.insert(CollectionName::from_static("unknown"), unknown);
        let row = ReportRow::new(&report).unwrap();
        let text = serde_json::to_string(&row).unwrap();
        assert!(
            text.matches("null").count() == 1
                && !text.contains("1970")
                && !text.contains("run")
                && !text.contains("missing_records"),
            "{text}"
        );
        assert_eq!(row.into_report(&point).unwrap(), report);
    }

    #[test]
    fn the_feed_of_a_whole_collection_is_named_by_its_row() {
        let name = CollectionName::from_static("notes");
        let partition = saas_backup_core::PartitionId::from_static("p");
        let part = Feed::partition(saas_backup_core::FeedId::from_static("notes"), name.clone(), partition);
        for (feed, is_said) in [(Feed::slice(name), false), (part, true)] {
            let state = FeedState::new(feed);
            let text = serde_json::to_string(&FeedRow::new(&state, String::new())).unwrap();
            assert_eq!(text.contains("feed"), is_said, "{text}");
            let row: FeedRow = serde_json::from_str(&text).unwrap();
            assert_eq!(row.into_state(&RecordId::parse("notes").unwrap()).unwrap(), state);
        }
    }
}
