use std::path::Path;
use std::sync::Arc;

use saas_backup_core::{
    At, CancellationToken, Capabilities, CollectionName, Error, ErrorKind, NoProgress, Progress, Result,
    TransferOptions, Transferred, WriteMode, transfer,
};

use super::Project;

/// What to export, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The point in time. Default: the latest.
    pub at: At,
    /// Only these collections. Default: all.
    pub collections: Option<Vec<CollectionName>>,
    /// Replace what an earlier export left in the place. Default: `false`.
    pub overwrite: bool,
    /// Hears what happens.
    pub progress: Arc<dyn Progress>,
    /// Ends the export; nothing is left behind.
    pub cancel: CancellationToken,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            at: At::Now,
            collections: None,
            overwrite: false,
            progress: Arc::new(NoProgress),
            cancel: CancellationToken::new(),
        }
    }
}

impl ExportOptions {
    /// Exports a point in time.
    #[must_use]
    pub fn with_at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    /// Exports some collections.
    #[must_use]
    pub fn with_collections(mut self, collections: Vec<CollectionName>) -> Self {
        self.collections = Some(collections);
        self
    }

    /// Replaces an earlier export.
    #[must_use]
    pub fn with_overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets who hears what happens.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Sets what ends the export.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}

impl Project {
    /// Writes a copy in an open format. The same point gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if this build has no such format; [`ErrorKind::Conflict`] if something is in the
    /// place and is not to be overwritten; [`ErrorKind::NotFound`] if there is no such point.
    pub async fn export(&self, source: &str, format: &str, path: &Path, options: ExportOptions) -> Result<Transferred> {
        let target = self.registry.find_format(format)?.open(&std::path::absolute(path)?, &self.context)?;
        let copies = self.copies(source).await?;
        let mode = if options.overwrite { WriteMode::Overwrite } else { WriteMode::Create };
        let mut transfer_options = TransferOptions::new(mode)
            .with_at(options.at)
            .with_progress(options.progress)
            .with_cancel(options.cancel)
            .with_clock(self.clock());
        transfer_options.collections = options.collections;
        transfer(&copies, &target, transfer_options).await
    }

    /// Takes an archive in an open format as a new point in time of a source, which need not be configured.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the format does not read back; [`ErrorKind::Conflict`] if another run of the
    /// source is at work.
    pub async fn import(
        &self,
        format: &str,
        path: &Path,
        source: &str,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Transferred> {
        let archive = self.registry.find_format(format)?.open(&std::path::absolute(path)?, &self.context)?;
        let Capabilities { read, lossless, .. } = archive.capabilities();
        if !(read && lossless) {
            return Err(Error::new(ErrorKind::Unsupported, "this format loses something and does not read back")
                .with_context("format", format));
        }
        crate::config::check_name(source)?;
        let _lock = self.state.lock(source)?;
        let copies = self.writer().await?.source(source)?;
        let options = TransferOptions::backup()
            .with_full(true)
            .with_progress(progress)
            .with_cancel(cancel)
            .with_clock(self.clock());
        let done = transfer(&archive, &copies, options).await?;
        self.note_anchor(source).await;
        Ok(done)
    }
}
