use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saas_backup_core::{BlobId, BlobWriter, CollectionName, Result, StoredBlob};

use super::session::Session;
use super::tables::put;
use crate::commit::{ObjectKind, ObjectRef};
use crate::committer::{Later, PACK_BYTES, PACKED_BYTES};
use crate::crypto::{Domain, DomainKind, Keyring, Sealer, Sealing, hex};
use crate::object::{Codec, Spare, month};
use crate::read::{BlobPart, BlobRow, blocking};
use crate::reserved;

/// Bytes of an attachment in one part.
const PART_BYTES: usize = 8 * 1024 * 1024;

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
    /// Bytes that are in no part yet: fewer than make an object of their own.
    buffer: Vec<u8>,
    part: Option<Part>,
    parts: Vec<BlobPart>,
    objects: Vec<ObjectRef>,
    domain: Option<Domain>,
}

/// A part of an attachment on the way into its object.
#[derive(Debug)]
struct Part {
    sealing: Sealing,
    zstd: bool,
    /// Bytes of the attachment, and of the object before it is sealed.
    length: u64,
    size: u64,
}

impl Part {
    /// Begins with bytes by which it is judged whether compressing pays.
    fn begin(to: &Sealer, bytes: &[u8], spare: &Spare) -> Result<Self> {
        let zstd = Codec::with(|codec| codec.pays(bytes))?;
        let sealing = to.begin(PART_BYTES, |capacity| spare.take(capacity))?;
        Ok(Self { sealing, zstd, length: 0, size: 0 })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        if !self.zstd {
            self.size += bytes.len() as u64;
            return self.sealing.push(bytes);
        }
        Codec::with(|codec| {
            codec.squeeze(bytes, |frame| {
                self.size += frame.len() as u64;
                self.sealing.push(frame)
            })
        })
    }
}

impl RepositoryBlobWriter {
    pub(super) fn new(session: Arc<Session>, collection: CollectionName, id: BlobId) -> Self {
        let (parts, objects) = (Vec::new(), Vec::new());
        Self { session, collection, id, buffer: Vec::new(), part: None, parts, objects, domain: None }
    }

    /// Compresses and seals what is buffered, as the next bytes of a part.
    async fn seal(&mut self) -> Result<()> {
        let shared = self.session.shared();
        if self.domain.is_none() && shared.keyring.is_encrypted() {
            // One domain for all parts: an attachment is shredded whole.
            let month = month(shared.clock.now());
            self.domain = Some(
                self.session.committer.make_domain(DomainKind::Data, month, &self.session.shared().owners()).await?,
            );
        }
        let (begun, to) = (self.part.take(), Keyring::sealer(self.domain.as_ref()));
        let (mut buffer, session) = (std::mem::take(&mut self.buffer), Arc::clone(&self.session));
        let turn = self.session.sealers.acquire().await;
        let (part, buffer) = blocking(move || {
            let mut part = begun.map_or_else(|| Part::begin(&to, &buffer, &session.committer.spare), Ok)?;
            part.push(&buffer)?;
            buffer.clear();
            Ok((part, buffer))
        })
        .await?;
        drop(turn);
        (self.part, self.buffer) = (Some(part), buffer);
        Ok(())
    }

    /// Uploads the part that is begun, if there is one.
    async fn upload(&mut self) -> Result<()> {
        let Some(Part { sealing, zstd, length, size }) = self.part.take() else { return Ok(()) };
        let (sealed, sha256) = sealing.finish()?;
        let digest = self.session.committer.naming.digest("blob", &[sha256.as_bytes()]);
        let name = self.session.shared().names.blob(&hex(digest.get(..16).unwrap_or_default()), zstd);
        let domain = self.domain.as_ref().map(|domain| domain.id.clone());
        let stored = sealed.len() as u64;
        self.session.committer.put(&name, Bytes::from(sealed)).await?;
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
        self.objects.push(ObjectRef::new(name, ObjectKind::Blob, stored, sha256, domain));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for RepositoryBlobWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let taken = rest.split_to(rest.len().min(PACKED_BYTES - self.buffer.len()));
            self.session.committer.spare.make_room(&mut self.buffer, taken.len(), PACKED_BYTES);
            self.buffer.extend_from_slice(&taken);
            if self.buffer.len() == PACKED_BYTES {
                self.seal().await?;
                if self.part.as_ref().is_some_and(|part| part.length >= PART_BYTES as u64) {
                    self.upload().await?;
                }
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, blob: StoredBlob) -> Result<()> {
        if self.parts.is_empty() && self.part.is_none() {
            let bytes = std::mem::take(&mut self.buffer);
            self.session.pack_blob(self.id.clone(), blob, bytes).await?;
        } else {
            if !self.buffer.is_empty() {
                self.seal().await?;
            }
            self.session.committer.spare.give(std::mem::take(&mut self.buffer));
            self.upload().await?;
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
            if let Err(error) = self.session.shared().store.delete(&object.name).await {
                tracing::debug!(object = object.name, %error, "a part of an attachment that was given up stays behind");
            }
        }
        Ok(())
    }
}

impl Session {
    async fn pack_blob(self: &Arc<Self>, id: BlobId, blob: StoredBlob, bytes: Vec<u8>) -> Result<()> {
        let spare = Arc::clone(&self.committer.spare);
        let (stored, zstd) = blocking(move || squeeze(bytes, &spare)).await?;
        let mut pack = self.pack.lock().await;
        self.committer.spare.make_room(&mut pack.bytes, stored.len(), PACK_BYTES + PACKED_BYTES);
        let (at, size) = (pack.bytes.len() as u64, stored.len() as u64);
        pack.bytes.extend_from_slice(&stored);
        self.committer.spare.give(stored);
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
        let turn = self.sealers.acquire().await;
        let (object, pack) = self.committer.put_pack(bytes, &mut Later(&self.committer)).await?;
        drop(turn);
        let mut inner = self.lock();
        for PackEntry { at, size, zstd, blob, id } in entries {
            let part = BlobPart { at, size, zstd, length: blob.size, ..pack.clone() };
            let row = BlobRow { size: blob.size, sha256: blob.digest, parts: vec![part] };
            put(&mut inner.pending.meta, reserved::key(reserved::BLOBS, id.as_str())?, &row)?;
            inner.pending.blob_bytes += blob.size;
        }
        inner.pending.objects.push(object);
        Ok(())
    }
}

/// Compresses what gets smaller by it; whether it did.
fn squeeze(bytes: Vec<u8>, spare: &Spare) -> Result<(Vec<u8>, bool)> {
    Codec::with(|codec| {
        if !codec.pays(&bytes)? {
            return Ok((bytes, false));
        }
        let mut squeezed = Vec::with_capacity(bytes.len() / 2);
        codec.squeeze(&bytes, |frame| {
            squeezed.extend_from_slice(frame);
            Ok(())
        })?;
        spare.give(bytes);
        Ok((squeezed, true))
    })
}
