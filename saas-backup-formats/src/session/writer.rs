use std::sync::Arc;

use saas_backup_core::{Cursor, Event, Outcome, Result, Writer, async_trait};

use super::{Session, blocking};

/// Spools the events of one feed.
#[derive(Debug)]
pub(super) struct SpoolWriter {
    session: Arc<Session>,
}

impl SpoolWriter {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }
}

#[async_trait]
impl Writer for SpoolWriter {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        let session = Arc::clone(&self.session);
        blocking(move || session.take(batch)).await
    }

    /// Does nothing: an export that was not committed is begun anew.
    async fn flush(&mut self, _cursor: Option<&Cursor>) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
