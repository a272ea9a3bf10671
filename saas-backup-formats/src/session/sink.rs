use std::fmt;
use std::sync::Arc;

use saas_backup_core::{
    BlobRef, BlobSlot, Feed, Key, Receipt, Result, RunReport, RunStart, Sink, State, Writer, async_trait,
};

use super::{Open, Session, blocking};

/// Writes the folder of a format and publishes it.
type Publish = Box<dyn FnOnce(Open, &RunReport) -> Result<Receipt> + Send + Sync>;

/// The sink of every format that writes its folder anew: formats differ in what they make of a session that ends.
///
/// Nothing is written before `commit`: titles, links and columns are only known when everything has come.
pub(crate) struct FolderSink {
    session: Arc<Session>,
    publish: Publish,
}

impl FolderSink {
    /// A sink of an open session; `publish` is called once, where blocking is allowed.
    pub(crate) fn new(
        session: Arc<Session>,
        publish: impl FnOnce(Open, &RunReport) -> Result<Receipt> + Send + Sync + 'static,
    ) -> Self {
        Self { session, publish: Box::new(publish) }
    }
}

#[async_trait]
impl Sink for FolderSink {
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

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        let report = report.clone();
        blocking(move || (self.publish)(self.session.end()?, &report)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        blocking(move || self.session.end()?.staging.discard()).await
    }
}

impl fmt::Debug for FolderSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FolderSink").field("session", &self.session).finish_non_exhaustive()
    }
}
