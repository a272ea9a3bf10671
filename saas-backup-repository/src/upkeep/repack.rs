//! Taking small attachments out of packs that others lie in, too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;

use bytes::Bytes;
use saas_backup_core::{Digest, Result};

use super::Maintainer;
use super::erasing::Moved;
use super::references::Release;
use crate::commit::{CommitHeader, ObjectKind};
use crate::committer::PACK_BYTES;
use crate::layout::Map;
use crate::object::{Family, StoredLine, decompress, key_hash};
use crate::read::{BlobPart, BlobRow, Bounds, Erased, Merge, blocking};
use crate::reserved;

/// A small attachment that is to lie elsewhere.
struct Packed {
    part: BlobPart,
    sha256: Digest,
}

/// A new pack, and where what it holds lay before.
#[derive(Default)]
struct Pack {
    bytes: Vec<u8>,
    entries: Vec<((String, u64), BlobPart)>,
}

impl Maintainer {
    /// Writes anew what stays of packs that hold something erased, or are sealed to domains that are given up; the packs
    /// stand in `header`. Gives where everything lies then. One pack is read at a time.
    pub(super) async fn repack(
        &self,
        map: &Map,
        erased: &Erased,
        release: &Release,
        header: &mut CommitHeader,
    ) -> Result<Moved> {
        let is_closed = |id: &String| map.upkeep.closed.iter().any(|closed| closed.id == *id);
        let packs = || map.others.iter().filter(|object| object.kind == ObjectKind::Pack);
        let closed = packs().filter(|pack| pack.domain.as_ref().is_some_and(is_closed)).map(|pack| pack.name.clone());
        let mut emptied: HashSet<String> = closed.collect();
        let there: HashSet<&str> = packs().map(|pack| pack.name.as_str()).collect();
        let mut rows = self.packed_rows(map).await?;
        while let Some((line, part, _)) = rows.next().await? {
            // What is lost is in no map any more, and what it held is in nobody's way.
            if erased.hides(&line) && there.contains(part.object.as_str()) {
                emptied.insert(part.object);
            }
        }
        let mut stay: BTreeMap<String, HashMap<u64, Packed>> = BTreeMap::new();
        let mut rows = self.packed_rows(map).await?;
        while let Some((line, part, sha256)) = rows.next().await? {
            let is_released = line.sequence <= release.latest && !release.referred.contains(&key_hash(&line.key).0);
            if emptied.contains(&part.object) && !erased.hides(&line) && !is_released {
                stay.entry(part.object.clone()).or_default().insert(part.at, Packed { part, sha256 });
            }
        }
        let (mut moved, mut pack) = (Moved::new(), Pack::default());
        for (object, packed) in stay {
            let attachments = self.read_pack(&object, packed).await?;
            for (part, bytes) in attachments {
                let place = (object.clone(), part.at);
                let at = pack.bytes.len() as u64;
                pack.bytes.extend_from_slice(&bytes);
                pack.entries.push((place, BlobPart { at, ..part }));
                if pack.bytes.len() >= PACK_BYTES {
                    self.write_pack(mem::take(&mut pack), header, &mut moved).await?;
                }
            }
        }
        self.write_pack(pack, header, &mut moved).await?;
        Ok(moved)
    }

    async fn packed_rows(&self, map: &Map) -> Result<PackedRows> {
        let collection = Some(reserved::collection(reserved::BLOBS));
        let bounds = Bounds { collection, past: true, erased: true, ..Bounds::all(Family::Meta, map.next()) };
        let merge = Merge::open(std::sync::Arc::clone(&self.shared().access), map, bounds).await?;
        Ok(PackedRows { merge, waiting: Vec::new() })
    }

    /// The stored bytes of attachments in a pack; what they unpack to has the digest that is stated.
    async fn read_pack(&self, object: &str, packed: HashMap<u64, Packed>) -> Result<Vec<(BlobPart, Bytes)>> {
        let access = &self.shared().access;
        let domain = packed.values().next().and_then(|packed| packed.part.domain.clone());
        let unsealer = access.keyring().unsealer(domain.as_deref()).await?;
        let sealed = access.store().get(object, None).await?;
        let changed = crate::read::changed(object);
        blocking(move || {
            let plain = unsealer.open(sealed)?;
            let mut packed: Vec<Packed> = packed.into_values().collect();
            packed.sort_unstable_by_key(|packed| packed.part.at);
            let mut attachments = Vec::new();
            for Packed { part, sha256 } in packed {
                let end = part.at.checked_add(part.size).filter(|end| *end <= plain.len() as u64);
                let Some(end) = end else { return Err(changed) };
                let bytes = plain.slice(part.at as usize..end as usize);
                let whole = if part.zstd { Digest::of(&decompress(&bytes, part.length)?) } else { Digest::of(&bytes) };
                if whole != sha256 {
                    return Err(changed);
                }
                attachments.push((part, bytes));
            }
            Ok(attachments)
        })
        .await
    }

    async fn write_pack(&self, pack: Pack, header: &mut CommitHeader, moved: &mut Moved) -> Result<()> {
        let Pack { bytes, entries } = pack;
        if entries.is_empty() {
            return Ok(());
        }
        let (object, place) = self.committer.put_pack(bytes, header).await?;
        header.objects.push(object);
        let now = |part: BlobPart| BlobPart {
            at: part.at,
            size: part.size,
            length: part.length,
            zstd: part.zstd,
            ..place.clone()
        };
        moved.extend(entries.into_iter().map(|(before, part)| (before, now(part))));
        Ok(())
    }
}

/// The lines that say of an attachment that it lies in a pack.
struct PackedRows {
    merge: Merge,
    waiting: Vec<StoredLine>,
}

impl PackedRows {
    async fn next(&mut self) -> Result<Option<(StoredLine, BlobPart, Digest)>> {
        loop {
            while let Some(line) = self.waiting.pop() {
                if line.is_deletion() {
                    continue;
                }
                let row: BlobRow = reserved::value(&line.text)?;
                let mut parts = row.parts.into_iter().filter(|part| part.sha256.is_none());
                if let Some(part) = parts.next() {
                    return Ok(Some((line, part, row.sha256)));
                }
            }
            match self.merge.next().await? {
                Some(group) => self.waiting = group.lines,
                None => return Ok(None),
            }
        }
    }
}
