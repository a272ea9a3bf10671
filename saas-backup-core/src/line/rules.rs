use std::collections::BTreeMap;

use super::limits::check_count;
use super::{End, ImportResult, ImportStatus, Item, Line, LineCodec, Start, StreamKind};
use crate::scan::{MAX_SAFE_INTEGER, Scanner};
use crate::{
    Access, BlobRef, BlobStatus, CollectionName, Cursor, Deletion, DeletionReason, ErasureRequest, Error, ErrorKind,
    Gap, Json, Principal, Record, Reference, References, Reset, Result, SchemaChange,
};

const MAX_WIRE_ID_BYTES: usize = 256;
const MAX_WIRE_VERSION_CHARS: usize = 128;
const MAX_WIRE_CURSOR_BYTES: usize = 2048;
const BASES: [&str; 6] = ["data-subject-request", "retention", "contract-end", "court-order", "unlawful", "other"];

/// Checks what the types do not say, in both directions, so that what one side writes the other one reads.
pub(super) fn check(codec: &LineCodec, line: &Line) -> Result<()> {
    let wire = codec.is_wire();
    match line {
        Line::Start(start) => check_start(codec, start),
        Line::Put(record) => check_record(codec, record),
        Line::Delete(deletion) if wire => check_deletion(deletion),
        Line::Gap(gap) if wire => check_gap(gap),
        Line::Item(item) => check_item(codec, item),
        Line::Schema(change) if wire => check_schema(change),
        Line::Reset(reset) => check_reset(codec, reset),
        Line::Checkpoint { cursor, lines } if wire => {
            check_cursor(cursor)?;
            check_numbers(lines)
        }
        Line::Erase(request) | Line::Hold(request) => check_erasure(codec, request),
        Line::EraseCancel(end) | Line::HoldRelease(end) if wire => check_id(&end.id),
        Line::Result(result) => check_result(codec, result),
        Line::End(end) => check_end(codec, end),
        _ => Ok(()),
    }
}

pub(super) fn broken(rule: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, "the line breaks a rule of its profile").with_context("rule", rule)
}

fn demand(holds: bool, rule: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(broken(rule)) }
}

pub(super) fn check_record(codec: &LineCodec, record: &Record) -> Result<()> {
    let references = record.refs.values().map(|references| references.iter().count().max(1)).sum();
    check_count("refs", references, codec.limits.references)?;
    check_count("blobs", record.blobs.len(), codec.limits.blobs)?;
    check_count("access", record.access.len(), codec.limits.access)?;
    check_extra(codec, &record.extra)?;
    if !codec.is_wire() {
        return Ok(());
    }
    check_collection(&record.key.collection)?;
    check_id(record.key.id.as_str())?;
    demand(record.partition.is_none() && record.sequence.is_none(), "partition and seq do not go to the wire")?;
    let version = record.version.as_deref().ok_or_else(|| broken("a put needs a version"))?;
    check_version(version)?;
    if let Some(by) = &record.by {
        check_reference(by)?;
    }
    record.refs.values().flat_map(References::iter).try_for_each(check_reference)?;
    record.blobs.iter().try_for_each(check_blob)?;
    record.access.iter().try_for_each(check_access)?;
    demand(record.data.as_bytes().starts_with(b"{"), "data has to be an object")
}

/// Checks a value that goes to the wire as it came: the types hold any JSON.
pub(super) fn check_interoperable(codec: &LineCodec, json: &Json) -> Result<()> {
    if codec.is_wire() {
        Scanner::interoperable(json.as_str()).value(codec.depth())?;
    }
    Ok(())
}

fn check_start(codec: &LineCodec, start: &Start) -> Result<()> {
    let minor = start.open_export.strip_prefix("1.");
    if !minor.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Error::new(
            ErrorKind::UnsupportedVersion,
            "the stream is of another major version of the protocol",
        )
        .with_context("known", "1.x"));
    }
    let has_snapshot = start.kind != StreamKind::Snapshot || start.snapshot.is_some();
    demand(has_snapshot, "a snapshot's start needs a snapshot")?;
    check_extra(codec, &start.extra)?;
    if codec.is_wire() {
        check_id(&start.account)?;
        check_id(&start.generation)?;
        start.snapshot.as_ref().map_or(Ok(()), |snapshot| check_id(&snapshot.id))?;
        start.changes_cursor.as_ref().map_or(Ok(()), check_cursor)?;
    }
    Ok(())
}

fn check_deletion(deletion: &Deletion) -> Result<()> {
    check_collection(&deletion.key.collection)?;
    check_id(deletion.key.id.as_str())?;
    demand(deletion.partition.is_none() && deletion.sequence.is_none(), "partition and seq do not go to the wire")?;
    demand(deletion.reason != DeletionReason::Reconciled, "an inferred deletion does not go to the wire")?;
    let is_whole = deletion.reason != DeletionReason::Merged || deletion.into.is_some();
    demand(is_whole, "a merged record needs the one that it was merged into")?;
    deletion.by.iter().chain(&deletion.into).try_for_each(check_reference)
}

fn check_gap(gap: &Gap) -> Result<()> {
    check_collection(&gap.collection)?;
    gap.id.as_ref().map_or(Ok(()), |id| check_id(id.as_str()))?;
    demand(gap.partition.is_none(), "partition and seq do not go to the wire")
}

fn check_item(codec: &LineCodec, item: &Item) -> Result<()> {
    check_count("blobs", item.blobs.len(), codec.limits.blobs)?;
    check_extra(codec, &item.extra)?;
    if codec.is_wire() {
        check_collection(&item.key.collection)?;
        check_id(item.key.id.as_str())?;
        check_version(item.version.as_deref().ok_or_else(|| broken("an item needs a version"))?)?;
        item.blobs.iter().try_for_each(check_blob)?;
    }
    Ok(())
}

fn check_schema(change: &SchemaChange) -> Result<()> {
    demand(change.url.is_some(), "a schema needs its address")
}

fn check_reset(codec: &LineCodec, reset: &Reset) -> Result<()> {
    check_count("collections", reset.collections.len(), codec.limits.items)?;
    if codec.is_wire() {
        reset.collections.iter().try_for_each(check_collection)?;
    }
    demand(reset.collections.iter().all(|name| name.as_str() != "*"), "* means all collections and names none")
}

fn check_erasure(codec: &LineCodec, request: &ErasureRequest) -> Result<()> {
    check_count("targets", request.targets.len(), codec.limits.items)?;
    demand(!request.targets.is_empty(), "an erasure needs a target")?;
    for target in &request.targets {
        // All members that are present have to match: a target without any would match everything.
        let names_something = target.collection.is_some()
            || target.id.is_some()
            || target.blob.is_some()
            || target.subject.is_some()
            || !target.paths.is_empty();
        demand(names_something, "an erasure's target has to name something")?;
        check_count("paths", target.paths.len(), codec.limits.items)?;
        if codec.is_wire() {
            target.collection.as_ref().map_or(Ok(()), check_collection)?;
            target.id.as_ref().map_or(Ok(()), |id| check_id(id.as_str()))?;
            target.subject.as_ref().map_or(Ok(()), check_reference)?;
        }
    }
    if codec.is_wire() {
        check_id(&request.id)?;
        demand(BASES.contains(&request.basis.as_str()), "an unknown basis of an erasure")?;
        let scope = request.scope.as_deref().unwrap_or("all-versions");
        demand(["all-versions", "versions-before"].contains(&scope), "an unknown scope of an erasure")?;
    }
    Ok(())
}

fn check_result(codec: &LineCodec, result: &ImportResult) -> Result<()> {
    let explains = result.status != ImportStatus::Failed || result.problem.is_some();
    demand(explains, "a failed result needs a problem")?;
    check_count("lost", result.lost.len(), codec.limits.items)?;
    check_extra(codec, &result.extra)?;
    if codec.is_wire() {
        result.collection.as_ref().map_or(Ok(()), check_collection)?;
        result.id.as_ref().map_or(Ok(()), |id| check_id(id.as_str()))?;
        result.target.as_ref().map_or(Ok(()), check_reference)?;
    }
    Ok(())
}

fn check_end(codec: &LineCodec, end: &End) -> Result<()> {
    demand(!end.more || end.cursor.is_some(), "an end with more to come needs a cursor")?;
    check_count("counts", end.counts.len(), codec.limits.items)?;
    check_extra(codec, &end.extra)?;
    if codec.is_wire() {
        end.cursor.as_ref().map_or(Ok(()), check_cursor)?;
        end.counts.keys().try_for_each(check_collection)?;
        check_numbers([&end.lines])?;
        end.counts.values().try_for_each(|count| check_numbers([&count.put, &count.del, &count.err, &count.item]))?;
    }
    Ok(())
}

fn check_extra(codec: &LineCodec, extra: &BTreeMap<String, Json>) -> Result<()> {
    check_count("unknown members", extra.len(), codec.limits.extra)?;
    let stored_only = ["partition", "seq", "sole"].iter().any(|name| extra.contains_key(*name));
    demand(!codec.is_wire() || !stored_only, "partition, seq and sole do not go to the wire")
}

pub(super) fn check_sole(codec: &LineCodec) -> Result<()> {
    demand(!codec.is_wire(), "sole does not go to the wire")
}

fn check_collection(name: &CollectionName) -> Result<()> {
    let mut bytes = name.as_str().bytes();
    let holds = name.as_str().len() <= 63
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    demand(holds, "a collection's name has 1 to 63 characters a-z 0-9 _ and begins with a letter")
}

fn check_id(id: &str) -> Result<()> {
    let clean = !id.bytes().any(|byte| byte < 0x20 || byte == 0x7f);
    demand(
        !id.is_empty() && id.len() <= MAX_WIRE_ID_BYTES && clean,
        "an id has 1 to 256 bytes and no control characters",
    )
}

fn check_version(version: &str) -> Result<()> {
    let holds =
        !version.is_empty() && version.chars().take(MAX_WIRE_VERSION_CHARS + 1).count() <= MAX_WIRE_VERSION_CHARS;
    demand(holds, "a version has 1 to 128 characters")
}

fn check_cursor(cursor: &Cursor) -> Result<()> {
    let rule = "a cursor is a string of 1 to 2048 characters A-Z a-z 0-9 - . _ ~";
    let text = cursor.as_json().as_bytes();
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).ok_or_else(|| broken(rule))?;
    let unreserved = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
    demand((1..=MAX_WIRE_CURSOR_BYTES).contains(&text.len()) && unreserved, rule)
}

fn check_numbers<'a>(numbers: impl IntoIterator<Item = &'a u64>) -> Result<()> {
    let safe = numbers.into_iter().all(|number| *number <= MAX_SAFE_INTEGER);
    demand(safe, "a number above 2^53 - 1 does not go to the wire")
}

fn check_reference(reference: &Reference) -> Result<()> {
    check_collection(&reference.collection)?;
    check_id(reference.id.as_str())?;
    reference.account.as_deref().map_or(Ok(()), check_id)
}

fn check_blob(blob: &BlobRef) -> Result<()> {
    check_numbers(&blob.size)?;
    demand(blob.status != BlobStatus::Available || blob.id.is_some(), "an available blob needs an id")
}

fn check_access(access: &Access) -> Result<()> {
    if let Principal::Record(principal) = &access.principal {
        check_reference(principal)?;
    }
    access.inherited_from.as_ref().map_or(Ok(()), check_reference)
}
