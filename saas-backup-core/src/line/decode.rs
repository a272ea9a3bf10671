use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::limits::{check_count, check_length};
use super::rules::{self, broken};
use super::{End, ImportResult, Item, Line, LineCodec, LineCounts, LineKind, SnapshotHeader, Start, time};
use crate::scan::Scanner;
use crate::{
    Access, BlobId, BlobRef, BlobStatus, CollectionName, Cursor, Deletion, Digest, ErasureEnd, ErasureRequest,
    ErasureTarget, Error, ErrorKind, Gap, Json, Key, Loss, PartitionId, Principal, Problem, Record, RecordId,
    RecordState, Reference, References, Reset, Result, SchemaChange,
};

/// How deep an envelope nests around what it holds.
const ENVELOPE_DEPTH: usize = 8;
const MAX_TYPE_CHARS: usize = 32;

pub(super) fn line(codec: &LineCodec, bytes: &Bytes) -> Result<Line> {
    let text = checked_text(codec, bytes)?;
    let kind = kind_of(codec, text)?;
    if codec.is_wire() {
        let mut scanner = Scanner::interoperable(text);
        scanner.value(codec.depth() + ENVELOPE_DEPTH)?;
        scanner.end()?;
    }
    let mut decoder = Decoder { scanner: Scanner::new(text), codec, line: bytes };
    let line = match kind {
        LineKind::Start => Line::Start(Box::new(decoder.start()?)),
        LineKind::Put => Line::Put(Box::new(decoder.put()?)),
        LineKind::Delete => Line::Delete(decoder.deletion()?),
        LineKind::Gap => Line::Gap(decoder.gap()?),
        LineKind::Item => Line::Item(decoder.item()?),
        LineKind::Schema => Line::Schema(decoder.schema()?),
        LineKind::Reset => Line::Reset(decoder.reset()?),
        LineKind::Checkpoint => decoder.checkpoint()?,
        LineKind::Heartbeat => {
            decoder.envelope(|_, _| Ok(false))?;
            Line::Heartbeat
        }
        LineKind::Erase => Line::Erase(decoder.erasure()?),
        LineKind::Hold => Line::Hold(decoder.erasure()?),
        LineKind::EraseCancel => Line::EraseCancel(decoder.erasure_end()?),
        LineKind::HoldRelease => Line::HoldRelease(decoder.erasure_end()?),
        LineKind::Result => Line::Result(Box::new(decoder.result()?)),
        LineKind::End => Line::End(Box::new(decoder.end()?)),
        LineKind::Other => {
            decoder.scanner.value(codec.depth())?;
            Line::Other(Json::from_checked(bytes.clone()))
        }
    };
    decoder.scanner.end()?;
    rules::check(codec, &line)?;
    Ok(line)
}

/// The line as text: within the limit, UTF-8, an object with nothing around it.
fn checked_text<'a>(codec: &LineCodec, bytes: &'a [u8]) -> Result<&'a str> {
    check_length(bytes.len(), codec.limits.bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::new(ErrorKind::InvalidData, "the line is not UTF-8").with_context("byte", error.valid_up_to())
    })?;
    if memchr::memchr2(b'\n', b'\r', bytes).is_some() {
        return Err(broken("a line holds no line break"));
    }
    if !(text.starts_with('{') && text.ends_with('}')) {
        return Err(broken("a line is an object with nothing around it"));
    }
    Ok(text)
}

/// The type of a line, wherever its `type` stands.
pub(super) fn kind_of(codec: &LineCodec, text: &str) -> Result<LineKind> {
    let name = if let Some(rest) = text.strip_prefix("{\"type\":") {
        Scanner::new(rest).string()?
    } else {
        let place = Scanner::new(text).find("type", codec.depth() + ENVELOPE_DEPTH)?;
        let place = place.ok_or_else(|| broken("a line needs a type"))?;
        Scanner::new(text.get(place..).unwrap_or_default()).string()?
    };
    if name.is_empty() || name.chars().take(MAX_TYPE_CHARS + 1).count() > MAX_TYPE_CHARS {
        return Err(broken("a type has 1 to 32 characters"));
    }
    Ok(LineKind::parse(&name))
}

struct Decoder<'a> {
    scanner: Scanner<'a>,
    codec: &'a LineCodec,
    line: &'a Bytes,
}

impl<'a> Decoder<'a> {
    fn put(&mut self) -> Result<Record> {
        let (mut collection, mut id, mut partition, mut sequence) = (None, None, None, None);
        let (mut version, mut created, mut modified, mut state, mut purge_at) = (None, None, None, None, None);
        let (mut by, mut refs, mut blobs, mut access, mut data) = (None, None, None, None, None);
        let extra = self.envelope(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "partition" => set(&mut partition, PartitionId::parse(decoder.scanner.string()?)?),
                "seq" => set(&mut sequence, decoder.scanner.unsigned()?),
                "version" => set(&mut version, decoder.text()?),
                "created" => set(&mut created, decoder.time()?),
                "modified" => set(&mut modified, decoder.time()?),
                "state" => set(&mut state, decoder.word::<RecordState>("an unknown state")?),
                "purge_at" => set(&mut purge_at, decoder.time()?),
                "by" => set(&mut by, decoder.reference()?),
                "refs" => set(&mut refs, decoder.relationships()?),
                "blobs" => set(&mut blobs, decoder.list("blobs", decoder.codec.limits.blobs, Self::blob)?),
                "access" => set(&mut access, decoder.list("access", decoder.codec.limits.access, Self::access)?),
                "data" => set(&mut data, decoder.json()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let key = Key::new(required(collection, "collection")?, required(id, "id")?);
        Ok(Record {
            partition,
            sequence,
            version,
            created,
            modified,
            state: state.unwrap_or_default(),
            purge_at,
            by,
            refs: refs.unwrap_or_default(),
            blobs: blobs.unwrap_or_default(),
            access: access.unwrap_or_default(),
            extra,
            ..Record::new(key, required(data, "data")?)
        })
    }

    fn deletion(&mut self) -> Result<Deletion> {
        let (mut collection, mut id, mut partition, mut sequence) = (None, None, None, None);
        let (mut at, mut reason, mut by, mut into) = (None, None, None, None);
        self.envelope(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "partition" => set(&mut partition, PartitionId::parse(decoder.scanner.string()?)?),
                "seq" => set(&mut sequence, decoder.scanner.unsigned()?),
                "at" => set(&mut at, decoder.time()?),
                "reason" => set(&mut reason, decoder.word("an unknown reason of a deletion")?),
                "by" => set(&mut by, decoder.reference()?),
                "into" => set(&mut into, decoder.reference()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let key = Key::new(required(collection, "collection")?, required(id, "id")?);
        Ok(Deletion { partition, sequence, at, by, into, ..Deletion::new(key, required(reason, "reason")?) })
    }

    fn gap(&mut self) -> Result<Gap> {
        let (mut collection, mut id, mut partition) = (None, None, None);
        let (mut blob, mut problem, mut retry) = (None, None, None);
        self.envelope(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "partition" => set(&mut partition, PartitionId::parse(decoder.scanner.string()?)?),
                "blob" => set(&mut blob, BlobId::parse(decoder.scanner.string()?)?),
                "problem" => set(&mut problem, decoder.problem()?),
                "retry" => set(&mut retry, decoder.scanner.boolean()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(Gap {
            collection: required(collection, "collection")?,
            id,
            blob,
            partition,
            problem: required(problem, "problem")?,
            retry: required(retry, "retry")?,
        })
    }

    fn item(&mut self) -> Result<Item> {
        let (mut collection, mut id, mut version, mut blobs) = (None, None, None, None);
        let extra = self.envelope(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "version" => set(&mut version, decoder.text()?),
                "blobs" => set(&mut blobs, decoder.list("blobs", decoder.codec.limits.blobs, Self::blob)?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let key = Key::new(required(collection, "collection")?, required(id, "id")?);
        Ok(Item { key, version, blobs: blobs.unwrap_or_default(), extra })
    }

    fn schema(&mut self) -> Result<SchemaChange> {
        let (mut schema, mut url, mut document) = (None, None, None);
        self.envelope(|decoder, name| {
            match name {
                "schema" => set(&mut schema, decoder.schema_digest()?),
                "url" => set(&mut url, decoder.text()?),
                "document" => set(&mut document, decoder.json()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(SchemaChange { schema: required(schema, "schema")?, url, document })
    }

    fn reset(&mut self) -> Result<Reset> {
        let (mut collections, mut reason) = (None, None);
        self.envelope(|decoder, name| {
            match name {
                "collections" => {
                    set(&mut collections, decoder.list("collections", decoder.codec.limits.items, Self::collection)?)
                }
                "reason" => set(&mut reason, decoder.word("an unknown reason of a reset")?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let mut collections: Vec<CollectionName> = required(collections, "collections")?;
        if collections.is_empty() {
            return Err(broken("a reset needs a collection"));
        }
        if collections.iter().any(|name| name.as_str() == "*") {
            collections.clear();
        }
        Ok(Reset { collections, reason: required(reason, "reason")? })
    }

    fn checkpoint(&mut self) -> Result<Line> {
        let (mut cursor, mut lines) = (None, None);
        self.envelope(|decoder, name| {
            match name {
                "cursor" => set(&mut cursor, decoder.cursor()?),
                "lines" => set(&mut lines, decoder.scanner.unsigned()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(Line::Checkpoint { cursor: required(cursor, "cursor")?, lines })
    }

    fn erasure(&mut self) -> Result<ErasureRequest> {
        let (mut id, mut at, mut basis, mut apply_by) = (None, None, None, None);
        let (mut scope, mut before, mut targets) = (None, None, None);
        self.envelope(|decoder, name| {
            match name {
                "erasure" => set(&mut id, decoder.text()?),
                "at" => set(&mut at, decoder.time()?),
                "basis" => set(&mut basis, decoder.text()?),
                "apply_by" => set(&mut apply_by, decoder.time()?),
                "scope" => set(&mut scope, decoder.text()?),
                "before" => set(&mut before, decoder.time()?),
                "targets" => set(&mut targets, decoder.list("targets", decoder.codec.limits.items, Self::target)?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(ErasureRequest {
            id: required(id, "erasure")?,
            at: required(at, "at")?,
            basis: required(basis, "basis")?,
            apply_by: required(apply_by, "apply_by")?,
            scope,
            before,
            targets: required(targets, "targets")?,
        })
    }

    fn target(&mut self) -> Result<ErasureTarget> {
        let (mut collection, mut id, mut paths, mut blob, mut subject) = (None, None, None, None, None);
        self.nested(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "paths" => set(&mut paths, decoder.list("paths", decoder.codec.limits.items, Self::text)?),
                "blob" => set(&mut blob, BlobId::parse(decoder.scanner.string()?)?),
                "subject" => set(&mut subject, decoder.reference()?),
                // A narrower target that is read as a wider one would erase too much.
                _ => Err(broken("an erasure's target has an unknown member")),
            }?;
            Ok(true)
        })?;
        Ok(ErasureTarget { collection, id, paths: paths.unwrap_or_default(), blob, subject })
    }

    fn erasure_end(&mut self) -> Result<ErasureEnd> {
        let (mut id, mut at) = (None, None);
        self.envelope(|decoder, name| {
            match name {
                "erasure" => set(&mut id, decoder.text()?),
                "at" => set(&mut at, decoder.time()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(ErasureEnd { id: required(id, "erasure")?, at: required(at, "at")? })
    }

    fn result(&mut self) -> Result<ImportResult> {
        let (mut key, mut status, mut collection, mut id) = (None, None, None, None);
        let (mut target, mut lost, mut problem) = (None, None, None);
        let extra = self.envelope(|decoder, name| {
            match name {
                "key" => set(&mut key, decoder.text()?),
                "status" => set(&mut status, decoder.word("an unknown status of a result")?),
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "target" if decoder.scanner.null()? => set(&mut target, None),
                "target" => set(&mut target, Some(decoder.reference()?)),
                "lost" => set(&mut lost, decoder.list("lost", decoder.codec.limits.items, Self::loss)?),
                "problem" => set(&mut problem, decoder.problem()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(ImportResult {
            collection,
            id,
            target: target.flatten(),
            lost: lost.unwrap_or_default(),
            problem,
            extra,
            ..ImportResult::new(required::<String>(key, "key")?, required(status, "status")?)
        })
    }

    fn loss(&mut self) -> Result<Loss> {
        let (mut path, mut reason) = (None, None);
        self.nested(|decoder, name| {
            match name {
                "path" => set(&mut path, decoder.text()?),
                "reason" => set(&mut reason, decoder.text()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(Loss { path: required(path, "path")?, reason: required(reason, "reason")? })
    }

    fn start(&mut self) -> Result<Start> {
        let (mut open_export, mut kind, mut account, mut generation) = (None, None, None, None);
        let (mut schema, mut at, mut snapshot, mut changes_cursor) = (None, None, None, None);
        let extra = self.envelope(|decoder, name| {
            match name {
                "open_export" => set(&mut open_export, decoder.text()?),
                "kind" => set(&mut kind, decoder.word("an unknown kind of stream")?),
                "account" => set(&mut account, decoder.text()?),
                "generation" => set(&mut generation, decoder.text()?),
                "schema" => set(&mut schema, decoder.schema_digest()?),
                "at" => set(&mut at, decoder.time()?),
                "snapshot" => set(&mut snapshot, decoder.snapshot()?),
                "changes_cursor" => set(&mut changes_cursor, decoder.cursor()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(Start {
            open_export: required(open_export, "open_export")?,
            kind: required(kind, "kind")?,
            account: required(account, "account")?,
            generation: required(generation, "generation")?,
            schema: required(schema, "schema")?,
            at: required(at, "at")?,
            snapshot,
            changes_cursor,
            extra,
        })
    }

    fn snapshot(&mut self) -> Result<SnapshotHeader> {
        let (mut id, mut consistency, mut began, mut expires) = (None, None, None, None);
        self.nested(|decoder, name| {
            match name {
                "id" => set(&mut id, decoder.text()?),
                "consistency" => set(&mut consistency, decoder.word("an unknown consistency")?),
                "began" => set(&mut began, decoder.time()?),
                "expires" => set(&mut expires, decoder.time()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(SnapshotHeader {
            id: required(id, "id")?,
            consistency: required(consistency, "consistency")?,
            began: required(began, "began")?,
            expires,
        })
    }

    fn end(&mut self) -> Result<End> {
        let (mut cursor, mut more, mut lines, mut counts) = (None, None, None, None);
        let (mut digest, mut head_at) = (None, None);
        let extra = self.envelope(|decoder, name| {
            match name {
                "cursor" => set(&mut cursor, decoder.cursor()?),
                "more" => set(&mut more, decoder.scanner.boolean()?),
                "lines" => set(&mut lines, decoder.scanner.unsigned()?),
                "counts" => set(&mut counts, decoder.counts()?),
                "digest" => set(&mut digest, decoder.digest()?),
                "head_at" => set(&mut head_at, decoder.time()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let digest = required(digest, "digest")?.ok_or_else(|| broken("an end needs a digest by sha-256"))?;
        Ok(End {
            cursor,
            more: required(more, "more")?,
            counts: counts.unwrap_or_default(),
            head_at,
            extra,
            ..End::new(required(lines, "lines")?, digest)
        })
    }

    fn counts(&mut self) -> Result<BTreeMap<CollectionName, LineCounts>> {
        let mut counts = BTreeMap::new();
        self.nested(|decoder, name| {
            let count = decoder.line_counts()?;
            check_count("counts", counts.len() + 1, decoder.codec.limits.items)?;
            unique(counts.insert(CollectionName::parse(name)?, count).as_ref())?;
            Ok(true)
        })?;
        Ok(counts)
    }

    fn line_counts(&mut self) -> Result<LineCounts> {
        let (mut put, mut del, mut err, mut item) = (None, None, None, None);
        self.nested(|decoder, name| {
            let slot = match name {
                "put" => &mut put,
                "del" => &mut del,
                "err" => &mut err,
                "item" => &mut item,
                _ => return Ok(false),
            };
            set(slot, decoder.scanner.unsigned()?)?;
            Ok(true)
        })?;
        let [put, del, err, item] = [put, del, err, item].map(Option::unwrap_or_default);
        Ok(LineCounts { put, del, err, item })
    }

    fn relationships(&mut self) -> Result<BTreeMap<String, References>> {
        let (mut refs, mut count) = (BTreeMap::new(), 0);
        self.nested(|decoder, name| {
            let limit = decoder.codec.limits.references;
            let references = match decoder.scanner.peek() {
                Some(b'[') => References::Many(decoder.list("refs", limit.saturating_sub(count), Self::reference)?),
                Some(b'n') if decoder.scanner.null()? => References::None,
                _ => References::One(decoder.reference()?),
            };
            count += references.iter().count().max(1);
            check_count("refs", count, limit)?;
            unique(refs.insert(name.to_owned(), references).as_ref())?;
            Ok(true)
        })?;
        Ok(refs)
    }

    fn reference(&mut self) -> Result<Reference> {
        let (mut collection, mut id, mut account) = (None, None, None);
        self.nested(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "account" => set(&mut account, decoder.text()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        Ok(Reference { account, ..Reference::new(required(collection, "collection")?, required(id, "id")?) })
    }

    fn blob(&mut self) -> Result<BlobRef> {
        let (mut id, mut role, mut path, mut name, mut media_type) = (None, None, None, None, None);
        let (mut size, mut digest, mut status, mut external_url, mut created) = (None, None, None, None, None);
        self.nested(|decoder, member| {
            match member {
                "blob" if decoder.scanner.null()? => set(&mut id, None),
                "blob" => set(&mut id, Some(BlobId::parse(decoder.scanner.string()?)?)),
                "role" => set(&mut role, decoder.text()?),
                "path" => set(&mut path, decoder.text()?),
                "name" => set(&mut name, decoder.text()?),
                "media_type" => set(&mut media_type, decoder.text()?),
                "size" if decoder.scanner.null()? => set(&mut size, None),
                "size" => set(&mut size, Some(decoder.scanner.unsigned()?)),
                "digest" if decoder.scanner.null()? => set(&mut digest, None),
                "digest" => set(&mut digest, decoder.digest()?),
                "status" => set(&mut status, decoder.word("an unknown status of a blob")?),
                "external_url" => set(&mut external_url, decoder.text()?),
                "created" => set(&mut created, decoder.time()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let status = required(status, "status")?;
        if self.codec.is_wire() && status == BlobStatus::Available && size.is_none() {
            return Err(broken("an available blob needs a size"));
        }
        Ok(BlobRef {
            id: required(id, "blob")?,
            role: required(role, "role")?,
            path,
            name,
            media_type,
            size: size.flatten(),
            digest: digest.flatten(),
            status,
            external_url,
            created,
        })
    }

    fn access(&mut self) -> Result<Access> {
        let (mut principal, mut role, mut inherited_from, mut expires) = (None, None, None, None);
        self.nested(|decoder, name| {
            match name {
                "principal" if decoder.scanner.peek() == Some(b'"') => {
                    set(&mut principal, Principal::Named(decoder.text()?))
                }
                "principal" => set(&mut principal, Principal::Record(decoder.reference()?)),
                "role" => set(&mut role, decoder.text()?),
                "inherited_from" => set(&mut inherited_from, decoder.reference()?),
                "expires" => set(&mut expires, decoder.time()?),
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let access = Access::new(required(principal, "principal")?, required::<String>(role, "role")?);
        Ok(Access { inherited_from, expires, ..access })
    }

    fn problem(&mut self) -> Result<Problem> {
        let (mut kind, mut title, mut detail, mut status) = (None, None, None, None);
        self.nested(|decoder, name| {
            match name {
                "type" => set(&mut kind, decoder.text()?),
                "title" => set(&mut title, decoder.text()?),
                "detail" => set(&mut detail, decoder.text()?),
                "status" => {
                    let number = u16::try_from(decoder.scanner.unsigned()?);
                    set(&mut status, number.map_err(|_| broken("a status has at most five digits"))?)
                }
                _ => return Ok(false),
            }?;
            Ok(true)
        })?;
        let problem = Problem::new(required::<String>(kind, "type")?, required::<String>(title, "title")?);
        Ok(Problem { detail, status, ..problem })
    }

    /// Reads the members of the line: `member` says whether it knew the name; those that it did not know are kept.
    fn envelope(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<bool>) -> Result<BTreeMap<String, Json>> {
        let (mut extra, mut kind) = (BTreeMap::new(), None);
        self.object(|decoder, name| {
            if name == "type" {
                return set(&mut kind, decoder.scanner.string()?);
            }
            if member(decoder, &name)? {
                return Ok(());
            }
            check_count("unknown members", extra.len() + 1, decoder.codec.limits.extra)?;
            let value = decoder.json()?;
            unique(extra.insert(name.into_owned(), value).as_ref())
        })?;
        Ok(extra)
    }

    /// Reads the members of an object inside the envelope; those that `member` does not know are passed over.
    fn nested(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<bool>) -> Result<()> {
        self.object(|decoder, name| {
            if !member(decoder, &name)? {
                decoder.scanner.value(decoder.codec.depth())?;
            }
            Ok(())
        })
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>) -> Result<()> {
        self.scanner.open(b'{')?;
        let mut first = true;
        while self.scanner.next_entry(b'}', &mut first)? {
            let name = self.scanner.name()?;
            member(self, name)?;
        }
        Ok(())
    }

    fn list<T>(&mut self, what: &'static str, limit: usize, item: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.scanner.open(b'[')?;
        let mut first = true;
        while self.scanner.next_entry(b']', &mut first)? {
            check_count(what, items.len() + 1, limit)?;
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn json(&mut self) -> Result<Json> {
        let text = self.scanner.value(self.codec.depth())?;
        Ok(Json::from_checked(self.line.slice_ref(text.as_bytes())))
    }

    fn text(&mut self) -> Result<String> {
        self.scanner.string().map(Cow::into_owned)
    }

    fn collection(&mut self) -> Result<CollectionName> {
        CollectionName::parse(self.scanner.string()?)
    }

    fn time(&mut self) -> Result<DateTime<Utc>> {
        time::parse(&self.scanner.string()?)
    }

    fn word<T: DeserializeOwned>(&mut self, unknown: &'static str) -> Result<T> {
        serde_json::from_str(self.scanner.value(0)?).map_err(|_| broken(unknown))
    }

    fn digest(&mut self) -> Result<Option<Digest>> {
        let (mut digest, mut others) = (None, 0);
        self.nested(|decoder, name| {
            let text = decoder.scanner.string()?;
            if name == "sha-256" {
                set(&mut digest, Digest::from_base64(&text)?)?;
            } else {
                others += 1;
            }
            Ok(true)
        })?;
        if digest.is_none() && others == 0 {
            return Err(broken("an empty digest"));
        }
        Ok(digest)
    }

    fn schema_digest(&mut self) -> Result<Digest> {
        let text = self.scanner.string()?;
        let rule = "a schema is named sha256: and 64 hexadecimal digits";
        let hex = text.strip_prefix("sha256:").filter(|hex| !hex.bytes().any(|byte| byte.is_ascii_uppercase()));
        Digest::from_hex(hex.ok_or_else(|| broken(rule))?).map_err(|_| broken(rule))
    }

    fn cursor(&mut self) -> Result<Cursor> {
        if self.codec.is_wire() {
            // The escapes of another writer do not make another cursor.
            return Cursor::from_json(Json::from_value(&self.scanner.string()?)?);
        }
        Cursor::from_json(self.json()?)
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    unique(slot.replace(value).as_ref())
}

fn unique<T>(before: Option<&T>) -> Result<()> {
    if before.is_none() { Ok(()) } else { Err(broken("a name stands twice in one object")) }
}

fn required<T>(value: Option<T>, name: &'static str) -> Result<T> {
    value.ok_or_else(|| broken("a required member is missing").with_context("member", name))
}
