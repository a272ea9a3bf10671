#![expect(clippy::unnecessary_wraps, reason = "one signature for the writers of all kinds of values")]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::rules::{self, broken};
use super::{End, ImportResult, Item, Line, LineCodec, LineCounts, LineKind, SnapshotHeader, Start, time};
use crate::scan::{Scanner, plain_run};
use crate::{
    Access, BlobRef, CollectionName, Cursor, Deletion, Digest, ErasureEnd, ErasureRequest, ErasureTarget, Error,
    ErrorKind, Gap, Json, Key, PartitionId, Principal, Problem, Record, RecordState, Reference, References, Reset,
    Result, SchemaChange,
};

pub(super) fn line(codec: &LineCodec, line: &Line, out: &mut Vec<u8>) -> Result<()> {
    if let Line::Put(record) = line {
        return put(codec, record, false, out);
    }
    rules::check(codec, line)?;
    match line {
        Line::Start(start) => write_start(codec, start, out),
        Line::Put(record) => put(codec, record, false, out),
        Line::Delete(deletion) => write_deletion(deletion, out),
        Line::Gap(gap) => write_gap(gap, out),
        Line::Item(item) => write_item(codec, item, out),
        Line::Schema(change) => write_schema(codec, change, out),
        Line::Reset(reset) => write_reset(reset, out),
        Line::Checkpoint { cursor, lines } => {
            raw("{\"type\":\"ckpt\"", out);
            member("cursor", cursor, out, push_cursor)?;
            optional("lines", lines.as_ref(), out, |lines, out| number(*lines, out))?;
            raw("}", out);
            Ok(())
        }
        Line::Heartbeat => {
            raw("{\"type\":\"hb\"}", out);
            Ok(())
        }
        Line::Erase(request) => write_erasure("erase", request, out),
        Line::Hold(request) => write_erasure("hold", request, out),
        Line::EraseCancel(end) => write_erasure_end("erase_cancel", end, out),
        Line::HoldRelease(end) => write_erasure_end("hold_release", end, out),
        Line::Result(result) => write_result(codec, result, out),
        Line::End(end) => write_end(codec, end, out),
        Line::Other(json) => write_other(codec, json, out),
    }
}

pub(super) fn put(codec: &LineCodec, record: &Record, sole: bool, out: &mut Vec<u8>) -> Result<()> {
    rules::check_record(codec, record)?;
    out.reserve(record.data.as_bytes().len() + 256);
    raw("{\"type\":\"put\"", out);
    write_key(&record.key, record.partition.as_ref(), record.sequence, out)?;
    if sole {
        raw(",\"sole\":true", out);
    }
    optional("version", record.version.as_deref(), out, text)?;
    optional("created", record.created.as_ref(), out, instant)?;
    optional("modified", record.modified.as_ref(), out, instant)?;
    if record.state != RecordState::Live {
        member("state", &record.state, out, serialise)?;
    }
    optional("purge_at", record.purge_at.as_ref(), out, instant)?;
    optional("by", record.by.as_ref(), out, reference)?;
    if !record.refs.is_empty() {
        member("refs", &record.refs, out, relationships)?;
    }
    if !record.blobs.is_empty() {
        member("blobs", &record.blobs, out, |blobs, out| list(blobs, out, blob))?;
    }
    if !record.access.is_empty() {
        member("access", &record.access, out, |access, out| list(access, out, permission))?;
    }
    let known = [
        "collection",
        "id",
        "partition",
        "seq",
        "sole",
        "version",
        "created",
        "modified",
        "state",
        "purge_at",
        "by",
        "refs",
        "blobs",
        "access",
        "data",
    ];
    extra(codec, &record.extra, &known, out)?;
    rules::check_interoperable(codec, &record.data)?;
    raw(",\"data\":", out);
    out.extend_from_slice(record.data.as_bytes());
    raw("}", out);
    Ok(())
}

fn write_key(key: &Key, partition: Option<&PartitionId>, sequence: Option<u64>, out: &mut Vec<u8>) -> Result<()> {
    member("collection", key.collection.as_str(), out, text)?;
    member("id", key.id.as_str(), out, text)?;
    optional("partition", partition.map(PartitionId::as_str), out, text)?;
    optional("seq", sequence.as_ref(), out, |sequence, out| number(*sequence, out))
}

fn write_start(codec: &LineCodec, start: &Start, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"start\"", out);
    member("open_export", &*start.open_export, out, text)?;
    member("kind", &start.kind, out, serialise)?;
    member("account", &*start.account, out, text)?;
    member("generation", &*start.generation, out, text)?;
    member("schema", &start.schema, out, schema_digest)?;
    member("at", &start.at, out, instant)?;
    optional("snapshot", start.snapshot.as_ref(), out, snapshot)?;
    optional("changes_cursor", start.changes_cursor.as_ref(), out, push_cursor)?;
    let known = ["open_export", "kind", "account", "generation", "schema", "at", "snapshot", "changes_cursor"];
    extra(codec, &start.extra, &known, out)?;
    raw("}", out);
    Ok(())
}

fn snapshot(snapshot: &SnapshotHeader, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"id\":", out);
    text(&snapshot.id, out)?;
    member("consistency", &snapshot.consistency, out, serialise)?;
    member("began", &snapshot.began, out, instant)?;
    optional("expires", snapshot.expires.as_ref(), out, instant)?;
    raw("}", out);
    Ok(())
}

fn write_deletion(deletion: &Deletion, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"del\"", out);
    write_key(&deletion.key, deletion.partition.as_ref(), deletion.sequence, out)?;
    optional("at", deletion.at.as_ref(), out, instant)?;
    member("reason", &deletion.reason, out, serialise)?;
    optional("by", deletion.by.as_ref(), out, reference)?;
    optional("into", deletion.into.as_ref(), out, reference)?;
    raw("}", out);
    Ok(())
}

fn write_gap(gap: &Gap, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"err\"", out);
    member("collection", gap.collection.as_str(), out, text)?;
    optional("id", gap.id.as_ref().map(AsRef::as_ref), out, text)?;
    optional("partition", gap.partition.as_ref().map(AsRef::as_ref), out, text)?;
    optional("blob", gap.blob.as_ref().map(AsRef::as_ref), out, text)?;
    member("problem", &gap.problem, out, problem)?;
    member("retry", &gap.retry, out, serialise)?;
    raw("}", out);
    Ok(())
}

fn write_item(codec: &LineCodec, item: &Item, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"item\"", out);
    write_key(&item.key, None, None, out)?;
    optional("version", item.version.as_deref(), out, text)?;
    if !item.blobs.is_empty() {
        member("blobs", &item.blobs, out, |blobs, out| list(blobs, out, blob))?;
    }
    extra(codec, &item.extra, &["collection", "id", "version", "blobs"], out)?;
    raw("}", out);
    Ok(())
}

fn write_schema(codec: &LineCodec, change: &SchemaChange, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"schema\"", out);
    member("schema", &change.schema, out, schema_digest)?;
    optional("url", change.url.as_deref(), out, text)?;
    if let Some(document) = &change.document {
        rules::check_interoperable(codec, document)?;
        raw(",\"document\":", out);
        out.extend_from_slice(document.as_bytes());
    }
    raw("}", out);
    Ok(())
}

fn write_reset(reset: &Reset, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"reset\"", out);
    if reset.collections.is_empty() {
        raw(",\"collections\":[\"*\"]", out);
    } else {
        member("collections", &reset.collections, out, |names, out| {
            list(names, out, |name: &CollectionName, out| text(name.as_str(), out))
        })?;
    }
    member("reason", &reset.reason, out, serialise)?;
    raw("}", out);
    Ok(())
}

fn write_erasure(kind: &str, request: &ErasureRequest, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":", out);
    text(kind, out)?;
    member("erasure", &*request.id, out, text)?;
    member("at", &request.at, out, instant)?;
    member("basis", &*request.basis, out, text)?;
    member("apply_by", &request.apply_by, out, instant)?;
    optional("scope", request.scope.as_deref(), out, text)?;
    optional("before", request.before.as_ref(), out, instant)?;
    member("targets", &request.targets, out, |targets, out| list(targets, out, target))?;
    raw("}", out);
    Ok(())
}

fn target(target: &ErasureTarget, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    optional("collection", target.collection.as_ref().map(AsRef::as_ref), out, text)?;
    optional("id", target.id.as_ref().map(AsRef::as_ref), out, text)?;
    if !target.paths.is_empty() {
        member("paths", &target.paths, out, |paths, out| list(paths, out, |path: &String, out| text(path, out)))?;
    }
    optional("blob", target.blob.as_ref().map(AsRef::as_ref), out, text)?;
    optional("subject", target.subject.as_ref(), out, reference)?;
    // Each member brings its comma; that of the first one becomes the bracket.
    if let Some(comma) = out.get_mut(start) {
        *comma = b'{';
    }
    raw("}", out);
    Ok(())
}

fn write_erasure_end(kind: &str, end: &ErasureEnd, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":", out);
    text(kind, out)?;
    member("erasure", &*end.id, out, text)?;
    member("at", &end.at, out, instant)?;
    raw("}", out);
    Ok(())
}

fn write_result(codec: &LineCodec, result: &ImportResult, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"result\"", out);
    member("key", &*result.key, out, text)?;
    member("status", &result.status, out, serialise)?;
    optional("collection", result.collection.as_ref().map(AsRef::as_ref), out, text)?;
    optional("id", result.id.as_ref().map(AsRef::as_ref), out, text)?;
    match &result.target {
        Some(target) => member("target", target, out, reference)?,
        None => raw(",\"target\":null", out),
    }
    if !result.lost.is_empty() {
        member("lost", &result.lost, out, |lost, out| {
            list(lost, out, |loss, out| {
                raw("{\"path\":", out);
                text(&loss.path, out)?;
                member("reason", &*loss.reason, out, text)?;
                raw("}", out);
                Ok(())
            })
        })?;
    }
    optional("problem", result.problem.as_ref(), out, problem)?;
    extra(codec, &result.extra, &["key", "status", "collection", "id", "target", "lost", "problem"], out)?;
    raw("}", out);
    Ok(())
}

fn write_end(codec: &LineCodec, end: &End, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":\"end\"", out);
    optional("cursor", end.cursor.as_ref(), out, push_cursor)?;
    member("more", &end.more, out, serialise)?;
    member("lines", &end.lines, out, |lines, out| number(*lines, out))?;
    member("counts", &end.counts, out, counts)?;
    member("digest", &end.digest, out, digest)?;
    optional("head_at", end.head_at.as_ref(), out, instant)?;
    extra(codec, &end.extra, &["cursor", "more", "lines", "counts", "digest", "head_at"], out)?;
    raw("}", out);
    Ok(())
}

fn counts(counts: &BTreeMap<CollectionName, LineCounts>, out: &mut Vec<u8>) -> Result<()> {
    serialise(counts, out)
}

fn write_other(codec: &LineCodec, json: &Json, out: &mut Vec<u8>) -> Result<()> {
    let kind = super::decode::kind_of(codec, json.as_str())?;
    if kind != LineKind::Other {
        return Err(broken("a line of a known type cannot be written as an unknown one"));
    }
    // What reads it back reads it whole, with the strictness of the profile.
    Scanner::new(json.as_str()).value(codec.depth())?;
    rules::check_interoperable(codec, json)?;
    let text = json.as_bytes();
    if !(text.starts_with(b"{") && text.ends_with(b"}")) {
        return Err(broken("a line is an object with nothing around it"));
    }
    out.extend_from_slice(text);
    Ok(())
}

fn relationships(refs: &BTreeMap<String, References>, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    // A relationship named `data` goes first, without comma before it: so `,"data":` stands once in the envelope.
    let (data, others): (Option<(&String, &References)>, _) = (refs.get_key_value("data"), refs.iter());
    for (name, references) in data.into_iter().chain(others.filter(|(name, _)| *name != "data")) {
        raw(",", out);
        text(name, out)?;
        raw(":", out);
        match references {
            References::One(one) => reference(one, out)?,
            References::Many(many) => list(many, out, reference)?,
            References::None => raw("null", out),
        }
    }
    if let Some(comma) = out.get_mut(start) {
        *comma = b'{';
    }
    raw("}", out);
    Ok(())
}

fn reference(reference: &Reference, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"collection\":", out);
    text(reference.collection.as_str(), out)?;
    member("id", reference.id.as_str(), out, text)?;
    optional("account", reference.account.as_deref(), out, text)?;
    raw("}", out);
    Ok(())
}

fn blob(blob: &BlobRef, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"blob\":", out);
    match &blob.id {
        Some(id) => text(id.as_str(), out)?,
        None => raw("null", out),
    }
    member("role", &*blob.role, out, text)?;
    optional("path", blob.path.as_deref(), out, text)?;
    optional("name", blob.name.as_deref(), out, text)?;
    optional("media_type", blob.media_type.as_deref(), out, text)?;
    match &blob.size {
        Some(size) => member("size", size, out, |size, out| number(*size, out))?,
        None => raw(",\"size\":null", out),
    }
    optional("digest", blob.digest.as_ref(), out, digest)?;
    member("status", &blob.status, out, serialise)?;
    optional("external_url", blob.external_url.as_deref(), out, text)?;
    optional("created", blob.created.as_ref(), out, instant)?;
    raw("}", out);
    Ok(())
}

fn permission(access: &Access, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"principal\":", out);
    match &access.principal {
        Principal::Record(record) => reference(record, out)?,
        Principal::Named(name) => text(name, out)?,
    }
    member("role", &*access.role, out, text)?;
    optional("inherited_from", access.inherited_from.as_ref(), out, reference)?;
    optional("expires", access.expires.as_ref(), out, instant)?;
    raw("}", out);
    Ok(())
}

fn problem(problem: &Problem, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"type\":", out);
    text(&problem.kind, out)?;
    member("title", &*problem.title, out, text)?;
    optional("detail", problem.detail.as_deref(), out, text)?;
    optional("status", problem.status.as_ref(), out, |status, out| number(u64::from(*status), out))?;
    raw("}", out);
    Ok(())
}

fn extra(codec: &LineCodec, extra: &BTreeMap<String, Json>, known: &[&str], out: &mut Vec<u8>) -> Result<()> {
    for (name, value) in extra {
        if name == "type" || known.contains(&name.as_str()) {
            return Err(Error::new(ErrorKind::InvalidData, "an unknown member has the name of a known one"));
        }
        rules::check_interoperable(codec, value)?;
        raw(",", out);
        text(name, out)?;
        raw(":", out);
        out.extend_from_slice(value.as_bytes());
    }
    Ok(())
}

fn member<T: ?Sized>(
    name: &str,
    value: &T,
    out: &mut Vec<u8>,
    write: impl FnOnce(&T, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    raw(",\"", out);
    raw(name, out);
    raw("\":", out);
    write(value, out)
}

fn optional<T: ?Sized>(
    name: &str,
    value: Option<&T>,
    out: &mut Vec<u8>,
    write: impl FnOnce(&T, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    value.map_or(Ok(()), |value| member(name, value, out, write))
}

fn list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>) -> Result<()>) -> Result<()> {
    raw("[", out);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            raw(",", out);
        }
        write(item, out)?;
    }
    raw("]", out);
    Ok(())
}

fn raw(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

fn text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at_checked(plain_run(rest)).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match byte {
            b'"' => raw("\\\"", out),
            b'\\' => raw("\\\\", out),
            b'\n' => raw("\\n", out),
            b'\r' => raw("\\r", out),
            b'\t' => raw("\\t", out),
            0x08 => raw("\\b", out),
            0x0c => raw("\\f", out),
            control => {
                raw("\\u00", out);
                out.extend([control >> 4, control & 15].iter().filter_map(|digit| HEX.get(usize::from(*digit))));
            }
        }
        rest = after;
    }
    out.push(b'"');
    Ok(())
}

fn number(number: u64, out: &mut Vec<u8>) -> Result<()> {
    raw(itoa::Buffer::new().format(number), out);
    Ok(())
}

fn instant(instant: &DateTime<Utc>, out: &mut Vec<u8>) -> Result<()> {
    time::write(*instant, out)
}

fn serialise<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    Ok(serde_json::to_writer(out, value)?)
}

fn digest(digest: &Digest, out: &mut Vec<u8>) -> Result<()> {
    raw("{\"sha-256\":\"", out);
    raw(&digest.to_base64(), out);
    raw("\"}", out);
    Ok(())
}

fn schema_digest(digest: &Digest, out: &mut Vec<u8>) -> Result<()> {
    use std::io::Write as _;
    Ok(write!(out, "\"sha256:{digest}\"")?)
}

fn push_cursor(cursor: &Cursor, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(cursor.as_json().as_bytes());
    Ok(())
}
