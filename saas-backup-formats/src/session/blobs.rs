use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{
    BlobId, BlobRef, BlobStatus, BlobWriter, Digest, Error, ErrorKind, Result, StoredBlob, async_trait,
};

use super::{Session, blocking};

/// The blobs of a session by their digests.
#[derive(Debug)]
pub(crate) struct BlobStore {
    folder: PathBuf,
    // Half a SHA-256 of the id: 72 bytes a blob whatever the ids' length, and nobody finds two ids with the same one.
    held: HashMap<u128, StoredBlob>,
    parts: u64,
}

impl BlobStore {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, held: HashMap::new(), parts: 0 }
    }

    /// The same blobs, for one who only reads them.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.folder.clone())
    }

    /// The blob if it is held, else the file to write it to.
    pub(crate) fn ask(&mut self, id: &BlobId) -> Result<Result<StoredBlob, PathBuf>> {
        if let Some(held) = self.held.get(&short(id)) {
            return Ok(Ok(*held));
        }
        fs::create_dir_all(&self.folder)?;
        self.parts += 1;
        Ok(Err(self.folder.join(format!("part-{}", self.parts))))
    }

    /// Whether the bytes that a record says it owns are held.
    pub(super) fn holds(&self, blob: &BlobRef) -> bool {
        let held = blob.id.as_ref().and_then(|id| self.held.get(&short(id)));
        blob.status != BlobStatus::Available || held.is_some_and(|held| Some(held.digest) == blob.digest)
    }

    /// Keeps what was written to a part.
    pub(crate) fn store(&mut self, id: &BlobId, part: &Path, blob: StoredBlob) -> Result<()> {
        let path = self.path(&blob.digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(part, path)?;
        self.held.insert(short(id), blob);
        Ok(())
    }

    /// Where the bytes of a digest are kept: `<ab>/<digest>`.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.folder.join(hex.get(..2).unwrap_or_default()).join(hex)
    }
}

fn short(id: &BlobId) -> u128 {
    let digest = Digest::of(id.as_str().as_bytes());
    digest.as_bytes().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
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
