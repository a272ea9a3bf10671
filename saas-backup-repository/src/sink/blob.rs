use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use saas_backup_core::{BlobId, BlobWriter, CollectionName, Result, StoredBlob};

use super::session::Session;
use super::spare::Spare;
use super::step::InSession;
use super::tables::put;
use crate::commit::{ObjectKind, ObjectRef};
use crate::crypto::{Domain, DomainKind, Keyring, hex};
use crate::object::{Codec, month};
use crate::read::{BlobPart, BlobRow, blocking};
use crate::reserved;

/// Attachments below this size lie in packs.
const PACKED_BYTES: usize = 1024 * 1024;
/// Bytes of an attachment in one part.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Plain bytes after which a pack is written.
const PACK_BYTES: usize = 7 * 1024 * 1024;

/// Small attachments that wait for their object.
#[derive(Debug, Default)]
pub(super) struct Pack {
    bytes: Vec<u8>,
    entries: Vec<PackEntry>,
}

#[derive(Debug)]
struct PackEntry {
    id: BlobId,
    blob: StoredBlob,
    at: u64,
    size: u64,
    zstd: bool,
}

#[derive(Debug)]
pub(super) struct RepositoryBlobWriter {
    session: Arc<Session>,
    collection: CollectionName,
    id: BlobId,
    buffer: Vec<u8>,
    parts: Vec<BlobPart>,
    objects: Vec<ObjectRef>,
    domain: Option<Domain>,
}

impl RepositoryBlobWriter {
    pub(super) fn new(session: Arc<Session>, collection: CollectionName, id: BlobId) -> Self {
        Self { session, collection, id, buffer: Vec::new(), parts: Vec::new(), objects: Vec::new(), domain: None }
    }

    /// Uploads what is buffered as one part with an object of its own.
    async fn upload(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        let shared = &self.session.shared;
        if self.domain.is_none() && shared.keyring.is_encrypted() {
            // One domain for all parts: an attachment is shredded whole.
            let month = month(shared.clock.now());
            self.domain = Some(shared.keyring.make(DomainKind::Data, month, &[]).await?);
        }
        let length = bytes.len() as u64;
        let turn = self.session.sealers.acquire().await;
        let session = Arc::clone(&self.session);
        let (stored, zstd) = blocking(move || squeeze(bytes, &session.spare)).await?;
        let size = stored.len() as u64;
        let (sealed, sha256, _) = self.session.seal(Keyring::sealer(self.domain.as_ref()), stored).await?;
        drop(turn);
        let digest = self.session.naming.digest("blob", &[sha256.as_bytes()]);
        let name = shared.names.blob(&hex(digest.get(..16).unwrap_or_default()), zstd);
        let domain = self.domain.as_ref().map(|domain| domain.id.clone());
        let stored = sealed.len() as u64;
        self.session.put(&name, sealed).await?;
        self.parts.push(BlobPart {
            object: name.clone(),
            at: 0,
            size,
            length,
            zstd,
            stored,
            sha256: Some(sha256),
            domain: domain.clone(),
            head: String::new(),
        });
        self.objects.push(ObjectRef { name, kind: ObjectKind::Blob, size: stored, sha256, domain });
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for RepositoryBlobWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let taken = rest.split_to(rest.len().min(PART_BYTES - self.buffer.len()));
            self.session.spare.make_room(&mut self.buffer, taken.len(), PART_BYTES);
            self.buffer.extend_from_slice(&taken);
            if self.buffer.len() == PART_BYTES {
                self.upload().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, blob: StoredBlob) -> Result<()> {
        if self.parts.is_empty() && self.buffer.len() < PACKED_BYTES {
            let bytes = std::mem::take(&mut self.buffer);
            self.session.pack_blob(self.id.clone(), blob, bytes).await?;
        } else {
            if !self.buffer.is_empty() {
                self.upload().await?;
            }
            let row = BlobRow { size: blob.size, sha256: blob.digest, parts: std::mem::take(&mut self.parts) };
            let key = reserved::key(reserved::BLOBS, self.id.as_str())?;
            let mut inner = self.session.lock();
            put(&mut inner.pending.meta, key, &row)?;
            inner.pending.blob_bytes += blob.size;
            inner.pending.objects.append(&mut self.objects);
        }
        let mut inner = self.session.lock();
        inner.blobs.insert(self.id.clone(), blob);
        inner.tables.count(&self.collection, |held| {
            held.blobs += 1;
            held.blob_bytes += blob.size;
        });
        Ok(())
    }

    /// What was uploaded is named by nobody; `verify` lists it.
    async fn abort(self: Box<Self>) -> Result<()> {
        for object in &self.objects {
            // A writer may well be denied deletion.
            if let Err(error) = self.session.shared.store.delete(&object.name).await {
                tracing::debug!(object = object.name, %error, "a part of an attachment that was given up stays behind");
            }
        }
        Ok(())
    }
}

impl Session {
    async fn pack_blob(self: &Arc<Self>, id: BlobId, blob: StoredBlob, bytes: Vec<u8>) -> Result<()> {
        let session = Arc::clone(self);
        let (stored, zstd) = blocking(move || squeeze(bytes, &session.spare)).await?;
        let mut pack = self.pack.lock().await;
        self.spare.make_room(&mut pack.bytes, stored.len(), PACK_BYTES + PACKED_BYTES);
        let (at, size) = (pack.bytes.len() as u64, stored.len() as u64);
        pack.bytes.extend_from_slice(&stored);
        pack.entries.push(PackEntry { id, blob, at, size, zstd });
        if pack.bytes.len() >= PACK_BYTES { self.write_pack(&mut pack).await } else { Ok(()) }
    }

    /// Writes the pack that is begun, if there is one.
    pub(super) async fn flush_pack(self: &Arc<Self>) -> Result<()> {
        let mut pack = self.pack.lock().await;
        self.write_pack(&mut pack).await
    }

    async fn write_pack(self: &Arc<Self>, pack: &mut Pack) -> Result<()> {
        let Pack { bytes, entries } = std::mem::take(pack);
        if entries.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let domain = match (shared.keyring.is_encrypted(), bytes.len() >= PACKED_BYTES) {
            (false, _) => None,
            (true, true) => Some(shared.keyring.make(DomainKind::Data, month(shared.clock.now()), &[]).await?),
            (true, false) => self.month_domain(DomainKind::Data, &mut InSession(self)).await?,
        };
        let turn = self.sealers.acquire().await;
        let (sealed, sha256, head) = self.seal(Keyring::sealer(domain.as_ref()), bytes).await?;
        drop(turn);
        let head = STANDARD.encode(head);
        let name = shared.names.pack();
        let stored = sealed.len() as u64;
        self.put(&name, sealed).await?;
        let domain = domain.map(|domain| domain.id);
        let mut inner = self.lock();
        for entry in entries {
            let part = BlobPart {
                object: name.clone(),
                at: entry.at,
                size: entry.size,
                length: entry.blob.size,
                zstd: entry.zstd,
                stored,
                sha256: None,
                domain: domain.clone(),
                head: head.clone(),
            };
            let row = BlobRow { size: entry.blob.size, sha256: entry.blob.digest, parts: vec![part] };
            put(&mut inner.pending.meta, reserved::key(reserved::BLOBS, entry.id.as_str())?, &row)?;
            inner.pending.blob_bytes += entry.blob.size;
        }
        inner.pending.objects.push(ObjectRef { name, kind: ObjectKind::Pack, size: stored, sha256, domain });
        Ok(())
    }
}

/// Compresses what gets smaller by it; whether it did.
fn squeeze(bytes: Vec<u8>, spare: &Spare) -> Result<(Vec<u8>, bool)> {
    Codec::with(|codec| {
        if !codec.pays(&bytes)? {
            return Ok((bytes, false));
        }
        let mut squeezed = spare.take(bytes.len() / 2);
        codec.squeeze(&bytes, &mut squeezed)?;
        spare.give(bytes);
        Ok((squeezed, true))
    })
}
