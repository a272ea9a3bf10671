use std::collections::BTreeMap;

use saas_backup_core::Result;
use saas_backup_repository::{GivenUp, MendOptions};
use serde::Serialize;

use super::Project;
use super::verify::{Problem, VerifyRead, is_unreachable, problems};

/// What mending without a copy did, or would do.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Mended {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Whether nothing is wrong any more, as far as was looked.
    pub good: bool,
    /// Objects that were made anew out of others.
    pub restored: Vec<String>,
    /// Damaged objects that nothing depends on, and that were removed.
    pub removed: Vec<String>,
    /// What was given up, by source; of a dry run, what would be.
    pub dropped: BTreeMap<String, GivenUp>,
    /// What is lost and was not given up, because nobody asked for it, by source.
    pub lost: BTreeMap<String, GivenUp>,
    /// What is still wrong; of a dry run, what was found.
    pub problems: Vec<Problem>,
    /// Whether the configuration names a copy, which may hold what is lost.
    pub replica: bool,
}

impl Mended {
    /// Whether the storage could not be asked, and so nothing is known to be damaged.
    pub fn is_unreachable(&self) -> bool {
        is_unreachable(&self.problems)
    }
}

impl Project {
    /// Mends what is damaged without a copy: what can be made anew is, and with `drop` what is lost for good is given up by
    /// name, so that everything else goes on without it. Takes the identity.
    ///
    /// [`repair`](Self::repair) from a replica brings back more, and should come first. Points that lost something are
    /// incomplete from then on, and the next backup reads everything again. Without [`VerifyRead::ALL`], data that is damaged
    /// may not be noticed. `progress` hears how many objects were looked for. Cancel safe: what was mended is mended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](saas_backup_core::ErrorKind::Unsupported) if metadata is lost, without which no backup goes
    /// on; [`ErrorKind::Integrity`](saas_backup_core::ErrorKind::Integrity) if the timeline breaks off where no layout tells
    /// how it goes on; [`ErrorKind::Conflict`](saas_backup_core::ErrorKind::Conflict) if another maintainer was faster.
    pub async fn mend(
        &self,
        read: VerifyRead,
        drop: bool,
        dry_run: bool,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Mended> {
        let (verify, _) = self.verify_options(read)?;
        let options = MendOptions::new(verify).with_drop(drop).with_dry_run(dry_run);
        let done = self.reader().await?.mend(&options, &mut |report| progress(report.objects)).await?;
        if !dry_run {
            for source in self.source_names() {
                self.note_anchor(source).await;
            }
        }
        Ok(Mended {
            dry_run,
            good: done.problems.is_empty(),
            restored: done.restored,
            removed: done.removed,
            dropped: done.dropped,
            lost: done.lost,
            problems: problems(done.problems),
            replica: self.config().has_copies(),
        })
    }
}
