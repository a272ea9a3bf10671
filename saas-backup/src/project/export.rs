use std::path::{Path, PathBuf};
use std::sync::Arc;

use saas_backup_core::{
    CancellationToken, Catalog, CheckReport, CollectionName, Error, ErrorKind, Overlaid, Overlay, Progress, Result,
    SnapshotOptions, TransferOptions, Transferred, WriteMode, transfer,
};

use super::{Project, check_mode};
use crate::config::{Settings, load_overlay};
use crate::registry::FormatEntry;

/// What to write in an open format, and where.
///
/// ```no_run
/// # async fn example(project: saas_backup::Project) -> saas_backup::core::Result<()> {
/// use saas_backup::ExportRequest;
///
/// let exported = project.export(ExportRequest::new("blog", "markdown", "vault")).await?;
/// assert!(exported.check.is_some_and(|found| found.is_clean()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportRequest {
    /// The source whose copy is written.
    pub source: String,
    /// The format, by its name in the registry.
    pub format: String,
    /// The folder or file; relative paths start at the working directory.
    pub path: PathBuf,
    /// Collections, point in time, mode (only [`WriteMode::Create`], the default, and [`WriteMode::Overwrite`]), progress
    /// and cancellation. The clock is the project's.
    pub options: TransferOptions,
    /// Whether it holds what records were before they changed or were deleted, as collections beside theirs
    /// ([`Source::with_history`](saas_backup_repository::Source::with_history)). Default: as the format has it; a site of
    /// pages does, other formats hold one point in time.
    pub history: Option<bool>,
    /// What is said of the collections otherwise than their connector does; the source's own overlay is not used then.
    pub overlay: Option<Overlay>,
    /// Settings of the format, such as `spreadsheet` of `csv`; [`FormatEntry::schema`] has them.
    pub settings: Settings,
    /// Whether the export is looked through when it is written. Default: it is.
    pub check: bool,
}

impl ExportRequest {
    /// Writes the newest point in time to a free place, and checks what was written.
    pub fn new(source: impl Into<String>, format: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            format: format.into(),
            path: path.into(),
            options: TransferOptions::new(WriteMode::Create),
            history: None,
            overlay: None,
            settings: Settings::new(),
            check: true,
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: TransferOptions) -> Self {
        self.options = options;
        self
    }

    /// Says whether it holds what records were before.
    #[must_use]
    pub fn with_history(mut self, history: bool) -> Self {
        self.history = Some(history);
        self
    }

    /// Sets the overlay.
    #[must_use]
    pub fn with_overlay(mut self, overlay: Overlay) -> Self {
        self.overlay = Some(overlay);
        self
    }

    /// Adds a setting of the format.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.settings = self.settings.with(name, value);
        self
    }

    /// Says whether the export is looked through.
    #[must_use]
    pub fn with_check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }
}

/// What an export came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exported {
    /// What was written.
    pub transferred: Transferred,
    /// What looking through it found; `None` if nobody asked, nothing was written, or the format has no check.
    pub check: Option<CheckReport>,
}

impl Project {
    /// Writes a copy in an open format. The same point gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if this build has no such format, the mode is another one, or the overlay names what
    /// is not there; [`ErrorKind::Conflict`] if something is in the place and is not to be overwritten;
    /// [`ErrorKind::NotFound`] if there is no such point.
    pub async fn export(&self, request: ExportRequest) -> Result<Exported> {
        let ExportRequest { source, format, path, mut options, history, overlay, settings, check } = request;
        check_mode(&options, &[WriteMode::Create, WriteMode::Overwrite], "an export creates or overwrites")?;
        let format = self.registry.find_format(&format)?.clone();
        let path = std::path::absolute(path)?;
        let target = format.open_with(&path, &settings, &self.context)?;
        let (store, history) = (self.reader().await?, history.unwrap_or(format.shows_history()));
        let mut copies = if history { store.source_with_history(&source)? } else { store.source(&source)? };
        if let Some(collections) = options.collections.as_mut().filter(|_| history) {
            let snapshot = copies.snapshot(SnapshotOptions::at(options.at.clone())).await?;
            add_versions(&snapshot.catalog().await?, collections);
        }
        let configured = || {
            let source = self.config.sources.iter().find(|configured| configured.name == source);
            source.and_then(|source| source.overlay.as_ref()).map(load_overlay).transpose()
        };
        if let Some(overlay) = overlay.map_or_else(configured, |overlay| Ok(Some(overlay)))? {
            copies = Arc::new(Overlaid::new(copies, overlay));
        }
        let transferred = transfer(&copies, &target, options.with_clock(self.clock())).await?;
        let check = if check && transferred.receipt.is_some() { look_through(format, path).await? } else { None };
        Ok(Exported { transferred, check })
    }

    /// Takes an archive in an open format as a new point in time of a source, which need not be configured.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the format does not read back (one that reads back in part says in the coverage what
    /// it does not carry); [`ErrorKind::Conflict`] if another run of the
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
        if !archive.capabilities().read {
            return Err(
                Error::new(ErrorKind::Unsupported, "this format does not read back").with_context("format", format)
            );
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

/// Adds the collections that hold earlier versions of the records of those that are wanted.
fn add_versions(catalog: &Catalog, wanted: &mut Vec<CollectionName>) {
    for collection in &catalog.collections {
        let Some(relation) = &collection.fields.version_of else { continue };
        let mut rules = collection.refs.iter().filter(|rule| &rule.name == relation);
        if rules.any(|rule| rule.to.iter().any(|to| wanted.contains(to))) && !wanted.contains(&collection.name) {
            wanted.push(collection.name.clone());
        }
    }
}

async fn look_through(format: FormatEntry, path: PathBuf) -> Result<Option<CheckReport>> {
    let looked = tokio::task::spawn_blocking(move || format.check(&path)).await;
    looked.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, "the check stopped").with_source(error)))
}
