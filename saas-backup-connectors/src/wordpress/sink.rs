use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saas_backup_core::{
    BlobId, BlobRef, BlobSlot, BlobWriter, Error, ErrorKind, Feed, Key, Receipt, Result, RunReport, RunStart, Sink,
    State, StoredBlob, Writer,
};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::record::blob_url;
use super::site::Form;
use super::target::{HeldFile, Target};
use super::writer::SiteWriter;

/// A session that writes a site.
#[derive(Debug)]
pub(super) struct SiteSink {
    pub(super) target: Arc<Target>,
}

#[async_trait]
impl Sink for SiteSink {
    async fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.target.plan(start.catalog.names().cloned());
        Ok(())
    }

    /// Takes a media record's largest file and files that only a text shows; smaller copies the site makes itself.
    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        let Some((id, of)) = blob.id.clone().zip(self.target.site.get(&owner.collection)) else {
            return Ok(BlobSlot::Unwanted);
        };
        let is_known = match blob.role.as_str() {
            "attachment" | "original" if of.form == Form::Media => self.target.ids.get(owner).is_some(),
            "inline" if of.form == Form::Posts => {
                blob_url(blob).is_ok_and(|url| self.target.new_address(url.as_str()).is_some())
            }
            _ => true,
        };
        if is_known || self.target.dry_run {
            return Ok(BlobSlot::Unwanted);
        }
        let (file, path) = tempfile::NamedTempFile::new()?.into_parts();
        let writer = FileWriter { target: Arc::clone(&self.target), id, file: File::from_std(file), path, size: 0 };
        Ok(BlobSlot::Want(Box::new(writer)))
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        Ok(Box::new(SiteWriter { target: Arc::clone(&self.target), feed: feed.clone() }))
    }

    async fn commit(self: Box<Self>, _report: &RunReport) -> Result<Receipt> {
        for guess in self.target.take_guesses() {
            self.target.correct(guess).await?;
        }
        let mut receipt = Receipt::default();
        receipt.written = self.target.has_written();
        Ok(receipt)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Keeps the bytes of a file on disk until the record that owns it is written.
#[derive(Debug)]
struct FileWriter {
    target: Arc<Target>,
    id: BlobId,
    file: File,
    path: tempfile::TempPath,
    size: u64,
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.size += chunk.len() as u64;
        Ok(self.file.write_all(&chunk).await?)
    }

    async fn finish(mut self: Box<Self>, blob: StoredBlob) -> Result<()> {
        self.file.flush().await?;
        if blob.size != self.size {
            return Err(Error::new(ErrorKind::Integrity, "the file was not kept whole"));
        }
        self.target.hold_file(self.id, HeldFile { path: self.path, size: self.size });
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
