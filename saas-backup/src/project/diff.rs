use futures::stream::BoxStream;
use saas_backup_core::{At, FieldChange, Key, Record, Result};
use serde::Serialize;

use super::Project;

/// A record that is not the same at two points in time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The record.
    pub key: Key,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What is different in it, if it is there at both points.
    pub fields: Vec<FieldChange>,
}

/// What happened to a record between two points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was not there, and is.
    Added,
    /// It is different.
    Changed,
    /// It was there, and is not.
    Deleted,
}

impl Change {
    /// Compares a record at two points; `None` where it is the same, or at neither.
    pub(super) fn between(key: Key, before: Option<&Record>, after: Option<&Record>) -> Result<Option<Self>> {
        let (kind, fields) = match (before, after) {
            (None, None) => return Ok(None),
            (None, Some(_)) => (ChangeKind::Added, Vec::new()),
            (Some(_), None) => (ChangeKind::Deleted, Vec::new()),
            (Some(before), Some(after)) => {
                let fields = FieldChange::between(before, after)?;
                if fields.is_empty() {
                    return Ok(None);
                }
                (ChangeKind::Changed, fields)
            }
        };
        Ok(Some(Self { key, kind, fields }))
    }
}

impl Project {
    /// What changed between two points in time, per record and field, sorted by key. Dropping the stream loses nothing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is no such point;
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if `from` is the later one.
    pub async fn diff(&self, source: &str, from: At, to: At) -> Result<BoxStream<'static, Result<Change>>> {
        self.reader().await?.diff(source, from, to).await
    }
}
