use saas_backup_core::Result;
use saas_backup_repository::{Compacted, Concerned, EraseOptions, Erasure, ErasureStatement, Scanned, Subject};
use serde::Serialize;

use super::store::Access;
use super::{MaintainOptions, Maintained, Project};

/// What an erasure did, or would do.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Erased {
    /// The source.
    pub source: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What was erased, or would be.
    pub concerned: Concerned,
    /// The maintenance behind it; `None` if there was nothing to erase, or nothing was to be changed.
    pub maintained: Option<Maintained>,
    /// The erasures of the source, this one last, and how far they came.
    pub erasures: Vec<Erasure>,
    /// Replicas that keep what was copied before, because their configuration does not say `prune = true`.
    pub kept_by_replicas: Vec<String>,
    /// Replicas by records, which keep what they took over before until they erase it themselves.
    pub kept_by_followers: Vec<String>,
}

/// What an erasure is at work with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ErasureStep<'a> {
    /// So many records were looked at.
    Search(u64),
    /// Everything else is written anew.
    Rewrite(&'a Compacted),
}

impl Project {
    /// Erases what concerns a subject from all points of a source, and maintains the source, so that no object in use
    /// holds it. Takes the identity.
    ///
    /// From the moment that it is found, no reader sees it. What held it stays for the grace of `maintain`, which removes
    /// it then, with the keys to it: [`erasures`](Self::erasures) tells when it is gone. What the provider still has comes
    /// back with the next change or full read: erase there first. Cancel safe: it is hidden or it is not, and the next
    /// maintenance does the rest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](saas_backup_core::ErrorKind) if the source is neither configured nor in the
    /// repository, the subject names nothing, the options are wrong, or the identity is missing; `PermissionDenied` if the
    /// identity may not maintain; `Conflict` if a point is on legal hold, or a backup or another maintainer was faster.
    pub async fn erase(
        &self,
        source: &str,
        subject: &Subject,
        options: &EraseOptions,
        progress: &mut (dyn FnMut(ErasureStep<'_>) + Send),
    ) -> Result<Erased> {
        let store = self.reader().await?;
        self.check_known(store, source).await?;
        let mut search = |records: u64| progress(ErasureStep::Search(records));
        let concerned = store.erase(source, subject, options, &mut search).await?;
        let mut maintained = None;
        if !options.dry_run && !concerned.is_empty() {
            self.note_anchor(source).await;
            let mut rewrite = |done: &Compacted| progress(ErasureStep::Rewrite(done));
            maintained = Some(self.maintain(source, &MaintainOptions::default(), &mut rewrite).await?);
        }
        let (kept_by_replicas, kept_by_followers) = Box::pin(self.replicas_that_keep_all()).await?;
        Ok(Erased {
            source: source.to_owned(),
            dry_run: options.dry_run,
            concerned,
            maintained,
            erasures: store.erasures(source).await?,
            kept_by_replicas,
            kept_by_followers,
        })
    }

    /// The erasures of a source in the last 400 days, and how far they came. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](saas_backup_core::ErrorKind) if the source is neither configured nor in the
    /// repository.
    pub async fn erasures(&self, source: &str) -> Result<Vec<Erasure>> {
        let store = self.store(Access::Write).await?;
        self.check_known(store, source).await?;
        store.erasures(source).await
    }

    /// What [`erasures`](Self::erasures) tells, signed by who may maintain: for whoever asks. Takes the identity. Cancel
    /// safe.
    ///
    /// # Errors
    ///
    /// As [`erasures`](Self::erasures); `PermissionDenied` if the identity may not maintain.
    pub async fn state_erasures(&self, source: &str) -> Result<Vec<u8>> {
        Ok(self.reader().await?.state_erasures(source).await?.to_vec())
    }

    /// Reads what [`state_erasures`](Self::state_erasures) signed. Cancel safe.
    ///
    /// # Errors
    ///
    /// `Integrity` if it was changed, or is one of another repository.
    pub async fn read_statement(&self, statement: Vec<u8>) -> Result<ErasureStatement> {
        self.store(Access::Write).await?.read_statement(&statement.into()).await
    }

    /// Searches every byte of a source that can still be read for some texts: what was erased is gone if it finds none.
    /// Takes the identity. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`erasures`](Self::erasures), and `Configuration` without a text.
    pub async fn scan(
        &self,
        source: &str,
        texts: &[String],
        progress: &mut (dyn FnMut(&Scanned) + Send),
    ) -> Result<Scanned> {
        let store = self.reader().await?;
        self.check_known(store, source).await?;
        store.scan(source, texts, progress).await
    }
}
