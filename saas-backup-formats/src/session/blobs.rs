use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{
    BlobId, BlobRef, BlobStatus, BlobWriter, Digest, Error, ErrorKind, Result, StoredBlob, async_trait,
};

use super::{Session, blocking};
use crate::spool::Hashes;

/// The blobs of a session by their digests.
#[derive(Debug)]
pub(crate) struct BlobStore {
    folder: PathBuf,
    // By half a SHA-256 of the id: nobody finds two ids with the same one. One of them is the key, what follows it comes
    // first in the value, then digest and size.
    held: Hashes<48>,
    parts: u64,
}

impl BlobStore {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { held: Hashes::new(folder.join("held")), folder, parts: 0 }
    }

    /// The same blobs, for one who only reads them.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.folder.clone())
    }

    /// The blob if it is held, else the file to write it to.
    pub(crate) fn ask(&mut self, id: &BlobId) -> Result<Result<StoredBlob, PathBuf>> {
        if let Some(held) = self.find(id)? {
            return Ok(Ok(held));
        }
        fs::create_dir_all(&self.folder)?;
        self.parts += 1;
        Ok(Err(self.folder.join(format!("part-{}", self.parts))))
    }

    /// Whether the bytes that a record says it owns are held.
    pub(super) fn holds(&mut self, blob: &BlobRef) -> Result<bool> {
        if blob.status != BlobStatus::Available {
            return Ok(true);
        }
        let held = blob.id.as_ref().map_or(Ok(None), |id| self.find(id))?;
        Ok(held.is_some_and(|held| Some(held.digest) == blob.digest))
    }

    fn find(&mut self, id: &BlobId) -> Result<Option<StoredBlob>> {
        let (key, rest) = short(id);
        let Some(value) = self.held.get(key)? else { return Ok(None) };
        let (found, value) = value.split_at(8);
        let (digest, size) = value.split_at(32);
        Ok(match (digest.try_into(), size.try_into()) {
            (Ok(digest), Ok(size)) if found == rest => {
                Some(StoredBlob { digest: Digest::from_bytes(digest), size: u64::from_le_bytes(size) })
            }
            _ => None,
        })
    }

    /// Keeps what was written to a part.
    pub(crate) fn store(&mut self, id: &BlobId, part: &Path, blob: StoredBlob) -> Result<()> {
        let path = self.path(&blob.digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(part, path)?;
        let (key, rest) = short(id);
        let mut value = [0; 48];
        let bytes = rest.iter().chain(blob.digest.as_bytes()).copied().chain(blob.size.to_le_bytes());
        value.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        self.held.replace(key, value)
    }

    /// Where the bytes of a digest are kept: `<ab>/<digest>`.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.folder.join(hex.get(..2).unwrap_or_default()).join(hex)
    }
}

fn short(id: &BlobId) -> (u64, [u8; 8]) {
    let digest = Digest::of(id.as_str().as_bytes());
    let half = |from| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(digest.as_bytes().iter().skip(from)).for_each(|(place, byte)| *place = *byte);
        bytes
    };
    (u64::from_be_bytes(half(0)), half(8))
}

/// Writes one blob to a file of its own until its digest is known.
#[derive(Debug)]
pub(super) struct StagedBlob {
    session: Arc<Session>,
    id: BlobId,
    part: PathBuf,
    file: Option<File>,
    written: u64,
}

impl StagedBlob {
    pub(super) fn new(session: Arc<Session>, id: BlobId, part: PathBuf) -> Self {
        Self { session, id, part, file: None, written: 0 }
    }
}

#[async_trait]
impl BlobWriter for StagedBlob {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let length = chunk.len() as u64;
        let (file, part) = (self.file.take(), self.part.clone());
        let file = blocking(move || {
            let mut file = file.map_or_else(|| File::create_new(part), Ok)?;
            file.write_all(&chunk)?;
            Ok(file)
        });
        self.file = Some(file.await?);
        self.written += length;
        Ok(())
    }

    async fn finish(mut self: Box<Self>, blob: StoredBlob) -> Result<()> {
        if self.written != blob.size {
            self.abort().await?;
            return Err(Error::new(ErrorKind::Integrity, "a blob is not as long as its writer says"));
        }
        blocking(move || {
            let file = self.file.take().map_or_else(|| File::create_new(&self.part), Ok)?;
            file.sync_all()?;
            drop(file);
            self.session.store(&self.id, &self.part, blob)
        })
        .await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        blocking(move || match self.file.take() {
            None => Ok(()),
            Some(_) => Ok(fs::remove_file(&self.part)?),
        })
        .await
    }
}
