use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saas_backup_core::{
    BlobId, BlobRef, BlobSlot, BlobWriter, Feed, Key, Receipt, Result, RunReport, RunStart, Sink, State, StoredBlob,
    Writer,
};

use super::record::blob_url;
use super::site::Form;
use super::target::Target;
use super::writer::SiteWriter;
use crate::spool::Spool;

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
        let writer = FileWriter { target: Arc::clone(&self.target), id, spool: Spool::new()? };
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
    spool: Spool,
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.spool.write(&chunk).await
    }

    async fn finish(self: Box<Self>, blob: StoredBlob) -> Result<()> {
        self.target.hold_file(self.id, self.spool.finish(blob).await?);
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
