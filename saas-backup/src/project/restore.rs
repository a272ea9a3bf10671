use std::path::PathBuf;
use std::sync::Arc;

use saas_backup_core::{
    At, CancellationToken, CollectionName, Error, ErrorKind, IdMap, Key, NoProgress, Progress, Result, RunStatus,
    TransferOptions, Transferred, WriteMode, transfer,
};

use super::Project;

/// What to restore, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The point in time. Default: the latest.
    pub at: At,
    /// Only these collections. Default: all.
    pub collections: Option<Vec<CollectionName>>,
    /// Only these records. Default: all.
    pub records: Option<Vec<Key>>,
    /// What happens to what is there. Default: [`WriteMode::Create`], which never touches what exists.
    pub mode: WriteMode,
    /// Say what would happen, and what could not be restored; change nothing. Default: `false`.
    pub dry_run: bool,
    /// Hears what happens.
    pub progress: Arc<dyn Progress>,
    /// Ends the restore; the next try goes on with the same id map.
    pub cancel: CancellationToken,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            at: At::Now,
            collections: None,
            records: None,
            mode: WriteMode::Create,
            dry_run: false,
            progress: Arc::new(NoProgress),
            cancel: CancellationToken::new(),
        }
    }
}

impl RestoreOptions {
    /// Restores a point in time.
    #[must_use]
    pub fn with_at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    /// Restores some collections.
    #[must_use]
    pub fn with_collections(mut self, collections: Vec<CollectionName>) -> Self {
        self.collections = Some(collections);
        self
    }

    /// Restores some records.
    #[must_use]
    pub fn with_records(mut self, records: Vec<Key>) -> Self {
        self.records = Some(records);
        self
    }

    /// Sets what happens to what is there.
    #[must_use]
    pub fn with_mode(mut self, mode: WriteMode) -> Self {
        self.mode = mode;
        self
    }

    /// Changes nothing.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets who hears what happens.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Sets what ends the restore.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}

/// What a restore did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// What was written, refused and lost.
    pub transferred: Transferred,
    /// Old key → new key.
    pub ids: Vec<(Key, Key)>,
    /// Where the id map is kept; `None` for a dry run.
    pub id_map: Option<PathBuf>,
}

impl Project {
    /// Writes a copy of one source into the account of another, or back into its own.
    ///
    /// The id map of a restore that did not come to its end is kept, and the next one into the same account goes on
    /// with it: records that are there already are not written twice.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the account's connector cannot be written in this mode;
    /// [`ErrorKind::NotFound`] if there is no such point; [`ErrorKind::Conflict`] if another restore into the account
    /// is at work on this machine.
    pub async fn restore(&self, source: &str, to: &str, options: RestoreOptions) -> Result<Restored> {
        if options.mode == WriteMode::Mirror {
            return Err(Error::new(ErrorKind::Configuration, "a restore creates, merges or overwrites"));
        }
        let copies = self.copies(source).await?;
        let account = self.account(to).await?;
        let _lock = self.state.lock(&format!("restore-to-{to}"))?;
        let folder = self.state.folder("restores")?;
        let open = folder.join(format!("{source}-to-{to}.ids.ndjson"));
        let ids = if options.dry_run { IdMap::default() } else { IdMap::open(&open)? };
        let mut transfer_options = TransferOptions::new(options.mode)
            .with_at(options.at)
            .with_dry_run(options.dry_run)
            .with_ids(ids.clone())
            .with_progress(options.progress)
            .with_cancel(options.cancel)
            .with_clock(self.clock());
        transfer_options.collections = options.collections;
        transfer_options.records = options.records;
        let transferred = transfer(&copies, &account, transfer_options).await?;
        let pairs = ids.pairs();
        if options.dry_run {
            return Ok(Restored { transferred, ids: pairs, id_map: None });
        }
        let ended = !matches!(transferred.report.status, RunStatus::Failed | RunStatus::Cancelled);
        let id_map = if ended {
            let kept = folder.join(format!("{source}-to-{to}-{}.ids.ndjson", transferred.report.run));
            std::fs::rename(&open, &kept)?;
            kept
        } else {
            open
        };
        Ok(Restored { transferred, ids: pairs, id_map: Some(id_map) })
    }
}
