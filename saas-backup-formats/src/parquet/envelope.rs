//! The columns of the envelope.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use chrono::{DateTime, Utc};
use saas_backup_core::{Principal, Record, Reference, References, Result};

use super::column::{failed, field};
use super::leaf::Leaf;
use crate::dataset::Dataset;
use crate::form::Losses;
use crate::form::value::time_text;
use crate::table::{Identifiers, Surveyed, blob_file, column_name, extra, pointer, state, word};

/// Columns of the envelope, in their order.
#[derive(Debug)]
pub(super) struct Envelope {
    plain: Vec<(FieldRef, Source, Leaf)>,
    by: Option<Rows>,
    refs: Vec<(String, Rows)>,
    blobs: Option<Rows>,
    access: Option<Rows>,
}

/// What a plain column has of a record.
#[derive(Clone, Copy, Debug)]
enum Source {
    Id,
    Partition,
    Sequence,
    Version,
    Created,
    Modified,
    State,
    PurgeAt,
    Extra,
    Data,
}

/// A struct, or a list of structs, with plain members.
#[derive(Debug)]
struct Rows {
    field: FieldRef,
    members: Vec<Leaf>,
    fields: Fields,
    offsets: Vec<i32>,
    length: i32,
    valid: NullBufferBuilder,
    many: bool,
}

const REFERENCE: [&str; 3] = ["collection", "id", "account"];

impl Envelope {
    pub(super) fn new(surveyed: &Surveyed) -> Self {
        let used = surveyed.used;
        let plain = [
            (true, "_id", "/id", Source::Id, Leaf::text()),
            (used.partition, "_partition", "/partition", Source::Partition, Leaf::text()),
            (used.sequence, "_sequence", "/seq", Source::Sequence, Leaf::integer()),
            (true, "_version", "/version", Source::Version, Leaf::text()),
            (true, "_created", "/created", Source::Created, Leaf::instant()),
            (true, "_modified", "/modified", Source::Modified, Leaf::instant()),
            (true, "_state", "/state", Source::State, Leaf::text()),
            (used.purge_at, "_purge_at", "/purge_at", Source::PurgeAt, Leaf::instant()),
            (used.extra, "_extra_json", "", Source::Extra, Leaf::text()),
            (used.data, "_data_json", "/data", Source::Data, Leaf::text()),
        ];
        let plain = plain
            .into_iter()
            .filter(|(wanted, ..)| *wanted)
            .map(|(_, name, path, source, leaf)| (field(name, leaf.data_type(), path), source, leaf));
        let text = |name: &'static str| (name, Leaf::text());
        let reference = || REFERENCE.map(text).into_iter().collect::<Vec<_>>();
        let attachment = vec![
            text("blob"),
            text("role"),
            text("name"),
            text("media_type"),
            ("size", Leaf::integer()),
            text("sha256"),
            text("status"),
            text("place"),
            text("external_url"),
            ("created", Leaf::instant()),
            text("file"),
        ];
        let permission = vec![
            text("role"),
            text("named"),
            text("principal_collection"),
            text("principal_id"),
            text("principal_account"),
            text("inherited_collection"),
            text("inherited_id"),
            text("inherited_account"),
            ("expires", Leaf::instant()),
        ];
        let mut taken = Identifiers::default();
        let refs = surveyed.refs.iter().map(|(name, relation)| {
            let column = taken.give(&format!("_ref_{}", column_name(name)), name);
            (name.clone(), Rows::new(&column, &pointer("/refs", name), relation.many, reference()))
        });
        let refs: Vec<_> = refs.collect();
        Self {
            plain: plain.collect(),
            by: (!surveyed.by.targets.is_empty()).then(|| Rows::new("_by", "/by", false, reference())),
            refs,
            blobs: used.blobs.then(|| Rows::new("_blobs", "/blobs", true, attachment)),
            access: used.access.then(|| Rows::new("_access", "/access", true, permission)),
        }
    }

    pub(super) fn fields(&self) -> Vec<FieldRef> {
        let plain = self.plain.iter().map(|(field, ..)| field);
        let rows = self.by.iter().chain(self.refs.iter().map(|(_, rows)| rows)).chain(&self.blobs).chain(&self.access);
        plain.chain(rows.map(|rows| &rows.field)).cloned().collect()
    }

    pub(super) fn take(&mut self, record: &Record, dataset: &Dataset, losses: &mut Losses) -> Result<()> {
        let mut instant = |time: Option<DateTime<Utc>>, path: &str| -> Result<Option<String>> {
            if time.is_some_and(|time| time.timestamp_subsec_nanos() % 1000 != 0) {
                losses.part(&record.key, path, "a part of a microsecond")?;
            }
            Ok(time.map(time_text))
        };
        for (_, source, leaf) in &mut self.plain {
            match source {
                Source::Id => leaf.value(record.key.id.as_str()),
                Source::Partition => leaf.maybe(record.partition.as_ref().map(AsRef::as_ref)),
                Source::Sequence => leaf.maybe(record.sequence.map(|number| number.to_string()).as_deref()),
                Source::Version => leaf.maybe(record.version.as_deref()),
                Source::Created => leaf.maybe(instant(record.created, "/created")?.as_deref()),
                Source::Modified => leaf.maybe(instant(record.modified, "/modified")?.as_deref()),
                Source::State => leaf.value(&state(record.state)),
                Source::PurgeAt => leaf.maybe(instant(record.purge_at, "/purge_at")?.as_deref()),
                Source::Extra => leaf.maybe((!record.extra.is_empty()).then(|| extra(record)).as_deref()),
                Source::Data => leaf.maybe(Some(record.data.as_str()).filter(|data| !data.starts_with('{'))),
            }
        }
        if let Some(by) = &mut self.by {
            by.references(record.by.as_slice(), record.by.is_none());
        }
        for (name, rows) in &mut self.refs {
            let references = record.refs.get(name);
            let to: Vec<_> = references.into_iter().flat_map(References::iter).cloned().collect();
            rows.references(&to, references.is_none());
        }
        if let Some(rows) = &mut self.blobs {
            for (order, blob) in record.blobs.iter().enumerate() {
                let size = blob.size.filter(|size| i64::try_from(*size).is_ok());
                if size.is_none() && blob.size.is_some() {
                    losses.part(&record.key, &format!("/blobs/{order}/size"), "more bytes than 63 bits count")?;
                }
                let file = dataset.blob(blob).map(|(_, digest)| blob_file(&digest.to_string()));
                rows.row(&[
                    blob.id.as_ref().map(AsRef::as_ref),
                    Some(&blob.role),
                    blob.name.as_deref(),
                    blob.media_type.as_deref(),
                    size.map(|size| size.to_string()).as_deref(),
                    blob.digest.map(|digest| digest.to_string()).as_deref(),
                    Some(&word(&blob.status)),
                    blob.path.as_deref(),
                    blob.external_url.as_deref(),
                    blob.created.map(time_text).as_deref(),
                    file.as_deref(),
                ]);
            }
            rows.end(false);
        }
        if let Some(rows) = &mut self.access {
            for access in &record.access {
                let (named, principal) = match &access.principal {
                    Principal::Named(name) => (Some(name.as_str()), None),
                    Principal::Record(reference) => (None, Some(reference)),
                };
                let [collection, id, account] = parts(principal);
                let [from_collection, from_id, from_account] = parts(access.inherited_from.as_ref());
                let expires = access.expires.map(time_text);
                let cells = [
                    Some(&*access.role),
                    named,
                    collection,
                    id,
                    account,
                    from_collection,
                    from_id,
                    from_account,
                    expires.as_deref(),
                ];
                rows.row(&cells);
            }
            rows.end(false);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let mut arrays: Vec<ArrayRef> = self.plain.iter_mut().map(|(.., leaf)| leaf.finish()).collect();
        let refs = self.refs.iter_mut().map(|(_, rows)| rows);
        for rows in self.by.iter_mut().chain(refs).chain(&mut self.blobs).chain(&mut self.access) {
            arrays.push(rows.finish()?);
        }
        Ok(arrays)
    }
}

fn parts(reference: Option<&Reference>) -> [Option<&str>; 3] {
    let Some(Reference { collection, id, account, .. }) = reference else { return [None; 3] };
    [Some(collection.as_str()), Some(id.as_str()), account.as_deref()]
}

impl Rows {
    fn new(name: &str, path: &str, many: bool, members: Vec<(&'static str, Leaf)>) -> Self {
        let items = if many { format!("{path}/*") } else { path.to_owned() };
        let fields = members.iter().map(|(name, leaf)| field(name, leaf.data_type(), &format!("{items}/{name}")));
        let fields: Fields = fields.collect();
        let kind = DataType::Struct(fields.clone());
        let kind = if many { DataType::List(field("element", kind, &items)) } else { kind };
        Self {
            field: field(name, kind, path),
            members: members.into_iter().map(|(_, leaf)| leaf).collect(),
            fields,
            offsets: vec![0],
            length: 0,
            valid: NullBufferBuilder::new(0),
            many,
        }
    }

    fn references(&mut self, to: &[Reference], absent: bool) {
        if self.many {
            for reference in to {
                self.row(&parts(Some(reference)));
            }
            self.end(absent);
        } else {
            self.row(&parts(to.first()));
            self.valid.append(!to.is_empty());
        }
    }

    fn row(&mut self, cells: &[Option<&str>]) {
        for (member, cell) in self.members.iter_mut().zip(cells) {
            member.maybe(*cell);
        }
        self.length += 1;
    }

    /// Ends the list of a record.
    fn end(&mut self, absent: bool) {
        self.offsets.push(self.length);
        self.valid.append(!absent);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let arrays = self.members.iter_mut().map(Leaf::finish).collect();
        let valid = self.valid.finish();
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.length = 0;
        let DataType::List(element) = self.field.data_type() else {
            return Ok(Arc::new(StructArray::try_new(self.fields.clone(), arrays, valid).map_err(failed)?));
        };
        let items = StructArray::try_new(self.fields.clone(), arrays, None).map_err(failed)?;
        let offsets = OffsetBuffer::new(offsets.into());
        let list = ListArray::try_new(Arc::clone(element), offsets, Arc::new(items), valid).map_err(failed)?;
        Ok(Arc::new(list))
    }
}
