//! What a service says about itself before anybody has a token.

use serde::Serialize;

/// Who runs the service, and what its export leaves out; published without authentication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// A stable short name, such as `example-crm`.
    pub id: String,
    /// The product's name.
    pub name: String,
    /// Who runs it.
    pub vendor: String,
    /// The address where its export is documented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation: Option<String>,
    /// Every category of customer data that the export leaves out.
    #[serde(skip)]
    pub excluded: Vec<Excluded>,
}

impl ServiceInfo {
    /// A service whose export leaves nothing out.
    pub fn new(id: impl Into<String>, name: impl Into<String>, vendor: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), vendor: vendor.into(), documentation: None, excluded: Vec::new() }
    }

    /// Says where the export is documented.
    #[must_use]
    pub fn with_documentation(mut self, url: impl Into<String>) -> Self {
        self.documentation = Some(url.into());
        self
    }

    /// Names a category of customer data that is not exported, and why.
    #[must_use]
    pub fn with_excluded(mut self, what: impl Into<String>, reason: impl Into<String>) -> Self {
        self.excluded.push(Excluded { what: what.into(), reason: reason.into() });
        self
    }
}

/// A category of customer data that the export leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excluded {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// The bounds that a source keeps, as it publishes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Limits {
    /// Longest line, in bytes. Default: 4 MiB, the protocol's own bound; larger values have no effect.
    pub max_line_bytes: usize,
    /// Most records and deletions in one answer. Default: 5,000.
    pub max_page_lines: usize,
    /// Size at which an answer ends, in bytes. Default: 32 MiB.
    pub max_page_bytes: usize,
    /// How long a change cursor lives, in seconds; the source keeps this promise. Default and least: 30 days.
    pub change_retention_seconds: u64,
    /// How long a snapshot can be walked, in seconds. Default: one day.
    pub snapshot_ttl_seconds: u64,
    /// Most requests of one principal at once. Default: 8.
    pub max_concurrent_requests: usize,
    /// Longest time that a reader of changes may wait for one, in seconds. Default: 60.
    pub max_wait_seconds: u64,
    /// How long an address works that [`Blob::elsewhere`](crate::Blob::elsewhere) names, in seconds; the source keeps
    /// this promise. Default: 900.
    pub blob_url_ttl_seconds: u64,
    /// Time in which a full export of any account is possible, in seconds. Default: one day.
    pub full_export_target_seconds: u64,
    /// How long requests to erase stay in their log, in seconds; the source keeps this promise. Default and least: 400
    /// days.
    pub erasure_retention_seconds: u64,
    /// How long an import stays open, in seconds; then what it created is removed, unless it was committed. Default: 7
    /// days.
    pub import_ttl_seconds: u64,
    /// Largest attachment that an import may upload, in bytes. Default: 5 GiB.
    pub max_import_blob_bytes: u64,
    /// How many requests a principal has. Default: 6,000 a minute.
    #[serde(skip)]
    pub quota: Quota,
}

/// How many requests a principal may send in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// The requests; at least one.
    pub requests: u64,
    /// The window, in seconds; at least one.
    pub seconds: u64,
}

impl Quota {
    /// So many requests in so many seconds.
    pub fn new(requests: u64, seconds: u64) -> Self {
        Self { requests: requests.max(1), seconds: seconds.max(1) }
    }
}

/// The protocol's bound on a line, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// What the protocol asks of the log of erasures: 400 days.
const ERASURE_RETENTION_SECONDS: u64 = 400 * 24 * 3600;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_bytes: MAX_LINE_BYTES,
            max_page_lines: 5_000,
            max_page_bytes: 32 * 1024 * 1024,
            change_retention_seconds: 30 * 24 * 3600,
            snapshot_ttl_seconds: 24 * 3600,
            max_concurrent_requests: 8,
            max_wait_seconds: 60,
            blob_url_ttl_seconds: 900,
            full_export_target_seconds: 24 * 3600,
            erasure_retention_seconds: ERASURE_RETENTION_SECONDS,
            import_ttl_seconds: 7 * 24 * 3600,
            max_import_blob_bytes: 5 * 1024 * 1024 * 1024,
            quota: Quota::new(6_000, 60),
        }
    }
}

impl Limits {
    /// Sets the longest line, in bytes.
    #[must_use]
    pub fn with_max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes.min(MAX_LINE_BYTES);
        self
    }

    /// Sets the most records and deletions in one answer; at least one.
    #[must_use]
    pub fn with_max_page_lines(mut self, lines: usize) -> Self {
        self.max_page_lines = lines.max(1);
        self
    }

    /// Sets the size at which an answer ends, in bytes.
    #[must_use]
    pub fn with_max_page_bytes(mut self, bytes: usize) -> Self {
        self.max_page_bytes = bytes;
        self
    }

    /// Sets how long a change cursor lives, in seconds; at least 30 days.
    #[must_use]
    pub fn with_change_retention_seconds(mut self, seconds: u64) -> Self {
        self.change_retention_seconds = seconds.max(30 * 24 * 3600);
        self
    }

    /// Sets how long a snapshot can be walked, in seconds.
    #[must_use]
    pub fn with_snapshot_ttl_seconds(mut self, seconds: u64) -> Self {
        self.snapshot_ttl_seconds = seconds;
        self
    }

    /// Sets the most requests of one principal at once; at least one.
    #[must_use]
    pub fn with_max_concurrent_requests(mut self, requests: usize) -> Self {
        self.max_concurrent_requests = requests.max(1);
        self
    }

    /// Sets the longest time that a reader of changes may wait, in seconds.
    #[must_use]
    pub fn with_max_wait_seconds(mut self, seconds: u64) -> Self {
        self.max_wait_seconds = seconds;
        self
    }

    /// Sets how long an address of an attachment works, in seconds.
    #[must_use]
    pub fn with_blob_url_ttl_seconds(mut self, seconds: u64) -> Self {
        self.blob_url_ttl_seconds = seconds;
        self
    }

    /// Sets how long requests to erase stay, in seconds; at least 400 days.
    #[must_use]
    pub fn with_erasure_retention_seconds(mut self, seconds: u64) -> Self {
        self.erasure_retention_seconds = seconds.max(ERASURE_RETENTION_SECONDS);
        self
    }

    /// Sets how long an import stays open, in seconds.
    #[must_use]
    pub fn with_import_ttl_seconds(mut self, seconds: u64) -> Self {
        self.import_ttl_seconds = seconds;
        self
    }

    /// Sets the largest attachment that an import may upload, in bytes.
    #[must_use]
    pub fn with_max_import_blob_bytes(mut self, bytes: u64) -> Self {
        self.max_import_blob_bytes = bytes;
        self
    }

    /// Sets the requests of one principal.
    #[must_use]
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }
}
