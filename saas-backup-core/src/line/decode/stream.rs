//! Lines about the stream, erasures and imports.

use std::collections::BTreeMap;

use super::{Decoder, required, set, unique};
use crate::line::limits::check_count;
use crate::line::rules::broken;
use crate::line::{End, ImportResult, Line, LineCounts, SnapshotHeader, Start};
use crate::{
    BlobId, CollectionName, ErasureEnd, ErasureRequest, ErasureTarget, Loss, RecordId, Reset, Result, SchemaChange,
};

impl Decoder<'_> {
    pub(super) fn start(&mut self) -> Result<Start> {
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

    pub(super) fn end(&mut self) -> Result<End> {
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

    pub(super) fn schema(&mut self) -> Result<SchemaChange> {
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

    pub(super) fn reset(&mut self) -> Result<Reset> {
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

    pub(super) fn checkpoint(&mut self) -> Result<Line> {
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

    pub(super) fn erasure(&mut self) -> Result<ErasureRequest> {
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

    pub(super) fn erasure_end(&mut self) -> Result<ErasureEnd> {
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

    pub(super) fn result(&mut self) -> Result<ImportResult> {
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
}
