use std::sync::Arc;

use saas_backup_core::{
    BlobRef, BlobSlot, Feed, Key, Receipt, Result, RunReport, RunStart, Sink, State, Writer, async_trait,
};

use super::vault::Vault;
use crate::session::{Session, blocking};

/// Writes a vault.
#[derive(Debug)]
pub(super) struct MarkdownSink {
    session: Arc<Session>,
}

impl MarkdownSink {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }
}

#[async_trait]
impl Sink for MarkdownSink {
    async fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.session.begin(start)
    }

    async fn blob(&self, _owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        self.session.blob(blob)
    }

    async fn writer(&self, _feed: &Feed) -> Result<Box<dyn Writer>> {
        Ok(self.session.writer())
    }

    /// Renders everything: titles and links are known only now.
    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        let report = report.clone();
        blocking(move || Vault::write(self.session.end()?, &report)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        blocking(move || self.session.end()?.staging.discard()).await
    }
}
