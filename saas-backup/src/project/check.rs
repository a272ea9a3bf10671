use saas_backup_core::{Account, Capabilities, Catalog, Coverage, Result, SnapshotOptions};
use serde::Serialize;

use super::Project;

/// What a source's credentials can do.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// The source.
    pub source: String,
    /// Who the credentials speak for.
    pub account: Account,
    /// What the connector can do.
    pub capabilities: Capabilities,
    /// The collections.
    pub catalog: Catalog,
    /// What the credentials see of them.
    pub coverage: Coverage,
}

impl Project {
    /// Asks a source who the credentials speak for, and what they see. Changes nothing. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the settings do not do, or the account does not answer or refuses.
    pub async fn check(&self, source: &str) -> Result<Checked> {
        let connector = self.account(source).await?;
        let account = connector.check().await?;
        let snapshot = connector.snapshot(SnapshotOptions::default()).await?;
        Ok(Checked {
            source: source.to_owned(),
            account,
            capabilities: connector.capabilities(),
            catalog: snapshot.catalog().await?,
            coverage: snapshot.coverage().await?,
        })
    }
}
