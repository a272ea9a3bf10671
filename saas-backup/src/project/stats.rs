use saas_backup_core::Result;
use saas_backup_repository::SourceStats;
use serde::Serialize;

use super::Project;
use super::store::{Access, may_read};

/// What a source costs and how it fares.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The source.
    pub source: String,
    /// The numbers.
    #[serde(flatten)]
    pub stats: SourceStats,
}

impl Project {
    /// What a source costs in storage, what it holds, and when it was last maintained and verified.
    ///
    /// Takes no identity; with one, sizes before compression are known, too. Goes by layouts and headers: some 20 requests
    /// for a source that is kept up, whatever it holds. Changes nothing. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if the source is neither configured nor in the
    /// repository; or if the repository cannot be opened.
    pub async fn stats(&self, source: &str) -> Result<Stats> {
        let access = if may_read(self.config()) { Access::Read } else { Access::Write };
        let stats = self.store(access).await?.stats(source).await?;
        if stats.points == 0 {
            self.config().source(source)?;
        }
        Ok(Stats { source: source.to_owned(), stats })
    }
}
