//! Files on their way to a provider that wants to know their length first, or the record that they belong to.

use saas_backup_core::{Error, ErrorKind, Result, StoredBlob};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::http::Body;

/// A file that is being received; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    path: tempfile::TempPath,
    size: u64,
}

/// A whole file; dropping it removes it.
#[derive(Debug)]
pub(crate) struct SpooledFile {
    path: tempfile::TempPath,
    size: u64,
}

impl Spool {
    pub(crate) fn new() -> Result<Self> {
        let (file, path) = tempfile::NamedTempFile::new()?.into_parts();
        Ok(Self { file: File::from_std(file), path, size: 0 })
    }

    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.size += chunk.len() as u64;
        Ok(self.file.write_all(chunk).await?)
    }

    pub(crate) async fn finish(mut self, blob: StoredBlob) -> Result<SpooledFile> {
        self.file.flush().await?;
        if blob.size != self.size {
            return Err(Error::new(ErrorKind::Integrity, "the file was not kept whole"));
        }
        Ok(SpooledFile { path: self.path, size: self.size })
    }
}

impl SpooledFile {
    pub(crate) fn body(&self) -> Body {
        Body::File { path: self.path.to_path_buf(), length: self.size }
    }
}
