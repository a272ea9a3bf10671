//! Lines about records.

use std::collections::BTreeMap;

use super::{Decoder, required, set, unique};
use crate::line::Item;
use crate::line::limits::check_count;
use crate::line::rules::broken;
use crate::{
    Access, BlobId, BlobRef, BlobStatus, Deletion, Gap, Key, PartitionId, Principal, Problem, Record, RecordId,
    RecordState, Reference, References, Result,
};

impl Decoder<'_> {
    pub(super) fn put(&mut self) -> Result<Record> {
        let (mut collection, mut id, mut partition, mut sequence) = (None, None, None, None);
        let (mut version, mut created, mut modified, mut state, mut purge_at) = (None, None, None, None, None);
        let (mut by, mut refs, mut blobs, mut access, mut data) = (None, None, None, None, None);
        let mut sole = None;
        let extra = self.envelope(|decoder, name| {
            match name {
                "collection" => set(&mut collection, decoder.collection()?),
                "id" => set(&mut id, RecordId::parse(decoder.scanner.string()?)?),
                "partition" => set(&mut partition, PartitionId::parse(decoder.scanner.string()?)?),
                "seq" => set(&mut sequence, decoder.scanner.unsigned()?),
                "sole" if !decoder.codec.is_wire() => set(&mut sole, decoder.scanner.boolean()?),
                "version" => set(&mut version, decoder.text()?),
                "created" => set(&mut created, decoder.time()?),
                "modified" => set(&mut modified, decoder.time()?),
                "state" => set(&mut state, decoder.word::<RecordState>("an unknown state")?),
                "purge_at" => set(&mut purge_at, decoder.time()?),
                "by" => set(&mut by, decoder.reference()?),
                "refs" => set(&mut refs, decoder.relationships()?),
                "blobs" => set(&mut blobs, decoder.list("blobs", decoder.codec.limits.blobs, Self::blob)?),
                "access" => set(&mut access, decoder.list("access", decoder.codec.limits.access, Self::access)?),
                "data" => set(&mut data, decoder.data()?),
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

    pub(super) fn deletion(&mut self) -> Result<Deletion> {
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

    pub(super) fn gap(&mut self) -> Result<Gap> {
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

    pub(super) fn item(&mut self) -> Result<Item> {
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

    pub(super) fn reference(&mut self) -> Result<Reference> {
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

    pub(super) fn blob(&mut self) -> Result<BlobRef> {
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

    pub(super) fn problem(&mut self) -> Result<Problem> {
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
}
