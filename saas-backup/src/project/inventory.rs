use chrono::{DateTime, Utc};
use saas_backup_core::{Period, Result};
use serde::Serialize;

use super::{Project, SourceStatus, Stats};
use crate::config::SourceConfig;
use crate::provider::OwnBackup;

/// A place where data lives.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InventoryItem {
    /// Its name: that of a source, or of a `[[store]]`.
    pub name: String,
    /// What it is: the provider, the connector, or what a `[[store]]` says.
    pub kind: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What lies in it, as a `[[store]]` says.
    pub contains: Option<String>,
    /// Why it is not backed up, as a `[[store]]` says.
    pub note: Option<String>,
    /// Whether there is a complete copy of it that is as young as the objective wants; where there is no objective, any.
    pub protected: bool,
    /// What its copies are; `None` for what is not backed up.
    pub copies: Option<InventoryCopies>,
    /// What the provider's own backups are worth; `None` if that is not known.
    pub own_backup: Option<OwnBackup>,
}

/// What the copies of a source are.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InventoryCopies {
    /// Points in time.
    pub points: u64,
    /// When the first of them was made.
    pub first: Option<DateTime<Utc>>,
    /// Live records, where they are counted.
    pub records: Option<u64>,
    /// Bytes in the storage.
    pub stored: u64,
    /// How old the newest complete copy may be.
    pub rpo: Option<Period>,
    /// How old it is.
    pub age: Option<Period>,
    /// When the run began of whose point everything was read and found good since.
    pub verified_as_of: Option<DateTime<Utc>>,
    /// How long a restore may take.
    pub rto: Option<Period>,
    /// How long the last full drill took that passed.
    pub rto_measured: Option<Period>,
    /// When the last drill ended that passed.
    pub drilled: Option<DateTime<Utc>>,
    /// Whether they are encrypted.
    pub encrypted: bool,
    /// Other storage that holds them, too.
    pub replicas: u64,
    /// Whether what is needed is locked against removal.
    pub locked: bool,
}

impl Project {
    /// Every place where data lives, as far as the configuration names it: the sources, with what their copies are, and what
    /// nothing protects; and what the providers' own backups are worth. Accounts for rehearsals are left out. Takes no
    /// identity, and asks no account. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened.
    pub async fn inventory(&self) -> Result<Vec<InventoryItem>> {
        let mut items = Vec::new();
        for (source, status) in self.config().sources.iter().zip(self.status().await?) {
            if !source.scratch {
                let stats = self.stats(&source.name).await?;
                items.push(self.item(source, &status, &stats));
            }
        }
        items.extend(self.config().stores.iter().map(|store| InventoryItem {
            name: store.name.clone(),
            kind: store.kind.clone(),
            owner: store.owner.clone(),
            contains: store.contains.clone(),
            note: store.note.clone(),
            protected: false,
            copies: None,
            own_backup: OwnBackup::of(&store.kind),
        }));
        Ok(items)
    }

    fn item(&self, source: &SourceConfig, status: &SourceStatus, Stats { stats, .. }: &Stats) -> InventoryItem {
        let kind = source.provider.as_ref().unwrap_or(&source.connector);
        let repository = &self.config().repository;
        InventoryItem {
            name: source.name.clone(),
            kind: kind.clone(),
            owner: source.owner.clone(),
            contains: None,
            note: None,
            protected: status.rpo_met.unwrap_or(status.complete_as_of.is_some()),
            copies: Some(InventoryCopies {
                points: stats.points,
                first: stats.first,
                records: stats.records,
                stored: stats.stored,
                rpo: status.rpo,
                age: status.age,
                verified_as_of: status.verified_as_of,
                rto: status.rto,
                rto_measured: status.rto_measured,
                drilled: status.drill.as_ref().and_then(|drill| drill.passed_at),
                encrypted: repository.encryption == crate::Encryption::Age,
                replicas: self.config().replicas.len() as u64,
                locked: repository.lock.is_some(),
            }),
            own_backup: OwnBackup::of(kind),
        }
    }
}
