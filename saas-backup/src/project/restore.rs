use std::path::PathBuf;

use saas_backup_core::{IdMap, Key, Result, RunStatus, TransferOptions, Transferred, WriteMode, transfer};

use super::{Project, check_mode};

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
    /// Writes a copy of one source into the account of another, or back into its own. The clock and the id map are the
    /// project's.
    ///
    /// The id map of a restore that did not come to its end is kept, and the next one into the same account goes on
    /// with it: records that are there already are not written twice.
    ///
    /// # Errors
    ///
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if the options are those of a backup;
    /// [`Unsupported`](saas_backup_core::ErrorKind::Unsupported) if the account's connector cannot be written in this
    /// mode; [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is no such point;
    /// [`Conflict`](saas_backup_core::ErrorKind::Conflict) if another restore into the account is at work on this
    /// machine.
    pub async fn restore(&self, source: &str, to: &str, options: TransferOptions) -> Result<Restored> {
        let modes = [WriteMode::Create, WriteMode::Merge, WriteMode::Overwrite];
        check_mode(&options, &modes, "a restore creates, merges or overwrites")?;
        let copies = self.copies(source).await?;
        let account = self.account(to).await?;
        let _lock = self.state.lock(&format!("restore-to-{to}"))?;
        let folder = self.state.folder("restores")?;
        let open = folder.join(format!("{source}-to-{to}.ids.ndjson"));
        let ids = if options.dry_run { IdMap::default() } else { IdMap::open(&open)? };
        let dry_run = options.dry_run;
        let options = options.with_ids(ids.clone()).with_clock(self.clock());
        let transferred = transfer(&copies, &account, options).await?;
        let pairs = ids.pairs();
        if dry_run {
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
