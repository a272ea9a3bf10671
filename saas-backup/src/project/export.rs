use std::path::Path;
use std::sync::Arc;

use saas_backup_core::{
    CancellationToken, Capabilities, Error, ErrorKind, Progress, Result, TransferOptions, Transferred, WriteMode,
    transfer,
};

use super::{Project, check_mode};

impl Project {
    /// Writes a copy in an open format: to a free place, or with [`WriteMode::Overwrite`] in the place of an earlier
    /// export. The same point gives the same bytes. The clock is the project's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if this build has no such format, or the mode is another one;
    /// [`ErrorKind::Conflict`] if something is in the place and is not to be overwritten; [`ErrorKind::NotFound`] if
    /// there is no such point.
    pub async fn export(
        &self,
        source: &str,
        format: &str,
        path: &Path,
        options: TransferOptions,
    ) -> Result<Transferred> {
        check_mode(&options, &[WriteMode::Create, WriteMode::Overwrite], "an export creates or overwrites")?;
        let target = self.registry.find_format(format)?.open(&std::path::absolute(path)?, &self.context)?;
        let copies = self.copies(source).await?;
        transfer(&copies, &target, options.with_clock(self.clock())).await
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
