//! Telling copies what to erase, and hearing what they did.

use std::fmt::Debug;

use saas_backup_core::{ErasureEvent, ErasureReceipt, Json, Result, async_trait};
use serde::Serialize;

use crate::{Grant, Watermark};

/// What a product asks of those who hold copies: to erase, or to keep what a court wants kept (GDPR, Articles 17(2)
/// and 19).
///
/// The log holds opaque ids and never personal data. Entries stay for
/// [`Limits::erasure_retention_seconds`](crate::Limits::erasure_retention_seconds), at least 400 days. A deletion in the
/// log of changes with the reason `erased` has a request here.
#[async_trait]
pub trait ErasureLog: Debug + Send + Sync {
    /// A page of the log, in the order of the commits; from its beginning without `after`.
    ///
    /// The positions obey the same rule as those of [`ExportSource::head`](crate::ExportSource::head): none is later
    /// than an entry that becomes visible after it was given.
    ///
    /// # Errors
    ///
    /// [`CursorExpired`](saas_backup_core::ErrorKind::CursorExpired) if the log no longer goes back that far.
    async fn requests(&self, grant: &Grant, after: Option<&Watermark>, limit: usize) -> Result<ErasurePage>;

    /// Notes what a holder of a copy did; the last word of each holder counts. Idempotent.
    ///
    /// # Errors
    ///
    /// [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is no such request.
    async fn receive(&self, grant: &Grant, receipt: &FiledReceipt) -> Result<()>;

    /// What the holders said about a request, for the product's own data protection officer.
    ///
    /// # Errors
    ///
    /// [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is no such request.
    async fn receipts(&self, grant: &Grant, erasure: &str) -> Result<Vec<FiledReceipt>>;
}

/// A page of requests.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ErasurePage {
    /// The entries, each with the position after it. Checkpoints do not belong here: the kit writes its own.
    pub entries: Vec<(Watermark, ErasureEvent)>,
    /// The position after the page.
    pub next: Watermark,
    /// Whether there are more.
    pub more: bool,
}

impl ErasurePage {
    /// A page.
    pub fn new(entries: Vec<(Watermark, ErasureEvent)>, next: Watermark, more: bool) -> Self {
        Self { entries, next, more }
    }
}

/// A receipt, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FiledReceipt {
    /// The principal that sent it.
    pub consumer: String,
    /// What it says.
    #[serde(flatten)]
    pub receipt: ErasureReceipt,
    /// What it offers as a proof, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

impl FiledReceipt {
    /// A receipt of a principal.
    pub fn new(consumer: impl Into<String>, receipt: ErasureReceipt) -> Self {
        Self { consumer: consumer.into(), receipt, evidence: None }
    }

    /// Adds what it offers as a proof.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Option<Json>) -> Self {
        self.evidence = evidence;
        self
    }
}
