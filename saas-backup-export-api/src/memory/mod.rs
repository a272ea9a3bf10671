//! A source in memory: what the kit's tests and the demonstration service export.

mod account;
mod erasures;
mod imports;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use saas_backup_core::{
    BlobId, Clock, CollectionCoverage, Coverage, Error, ErrorKind, Key, Result, SystemClock, Visibility, async_trait,
};

pub use self::account::{MemoryAccount, Transaction};
use self::state::{AccountState, State};
use crate::{
    AccountId, Blob, ChangePage, ChangesRequest, Entry, ErasureLog, ExportSource, Grant, Head, ImportTarget, ScanPage,
    ScanRequest, Schema, ServiceInfo, Watermark,
};

/// Accounts in memory with a log in commit order; cloning gives another handle on the same data.
///
/// ```
/// use saas_backup_core::{Catalog, Collection, CollectionName, Json, Key, Kind, Record};
/// use saas_backup_export_api::{AccountId, MemorySource, Schema, ServiceInfo};
///
/// let notes = Collection::new(CollectionName::from_static("notes"), Kind::Document);
/// let source = MemorySource::new(ServiceInfo::new("demo", "Demo", "Example"), Schema::new(Catalog::new(vec![notes])));
/// let account = source.account(&AccountId::parse("ws_1")?);
/// account.put(Record::new(Key::parse("notes", "n_1")?, Json::parse(r#"{"title":"Hello"}"#)?));
/// assert_eq!(account.visible().len(), 1);
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemorySource {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

impl MemorySource {
    /// A service without accounts, on the machine's clock.
    pub fn new(service: ServiceInfo, schema: Schema) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(service, schema))), clock: Arc::new(SystemClock) }
    }

    /// Sets the clock that stamps changes.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The account of this id; it begins to exist with the first call.
    pub fn account(&self, id: &AccountId) -> MemoryAccount {
        self.lock().accounts.entry(id.clone()).or_default();
        MemoryAccount::new(self.clone(), id.clone())
    }

    /// Replaces the schema.
    pub fn set_schema(&self, schema: Schema) {
        self.lock().schema = schema;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_account<T>(&self, id: &AccountId, act: impl FnOnce(&mut AccountState) -> T) -> Result<T> {
        let mut state = self.lock();
        let account = state.accounts.get_mut(id);
        account.map(act).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such account"))
    }
}

#[async_trait]
impl ExportSource for MemorySource {
    fn service(&self) -> ServiceInfo {
        self.lock().service.clone()
    }

    async fn schema(&self, _account: Option<&AccountId>) -> Result<Schema> {
        Ok(self.lock().schema.clone())
    }

    async fn head(&self, grant: &Grant) -> Result<Head> {
        self.with_account(&grant.account, |account| {
            Head::new(account.generation_name(), Watermark::new(account.position().to_string()))
        })
    }

    async fn scan(&self, grant: &Grant, request: &ScanRequest) -> Result<ScanPage> {
        self.with_account(&grant.account, |account| {
            account.interruption()?;
            Ok(ScanPage::limited(account.scan(request), request.limit))
        })?
    }

    async fn changes(&self, grant: &Grant, request: &ChangesRequest) -> Result<ChangePage> {
        let malformed = || Error::new(ErrorKind::InvalidData, "the watermark is not one of this source");
        let since: u64 = request.since.as_str().parse().map_err(|_| malformed())?;
        self.with_account(&grant.account, |account| {
            account.interruption()?;
            account.changes(since, request.limit)
        })?
    }

    async fn records(&self, grant: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        self.with_account(&grant.account, |account| keys.iter().filter_map(|key| account.entry(key)).collect())
    }

    async fn blob(&self, grant: &Grant, blob: &BlobId) -> Result<Blob> {
        self.with_account(&grant.account, |account| {
            let blob = account.blob(blob)?;
            // Pieces, as a real store would give them, so that readers do not come to rely on one.
            let pieces: Vec<Result<Bytes>> =
                (0..blob.bytes.len()).step_by(PIECE).map(|at| Ok(piece(&blob.bytes, at))).collect();
            let size = blob.bytes.len() as u64;
            let answer = Blob::new(size, futures::stream::iter(pieces).boxed()).with_digest(blob.digest);
            Ok(answer.with_media_type(blob.media_type.clone()))
        })?
    }

    fn erasures(&self) -> Option<&dyn ErasureLog> {
        Some(self)
    }

    fn imports(&self) -> Option<&dyn ImportTarget> {
        Some(self)
    }

    async fn coverage(&self, grant: &Grant) -> Result<Coverage> {
        let state = self.lock();
        let account = state.accounts.get(&grant.account);
        let account = account.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such account"))?;
        let mut coverage = Coverage::default();
        for name in state.schema.catalog.names() {
            let (visible, hidden) = account.count(name);
            let collection = match hidden {
                0 => CollectionCoverage::new(Visibility::All),
                hidden => CollectionCoverage::new(Visibility::Partial).with_reason("acl").with_hidden(hidden),
            };
            coverage = coverage.with(name.clone(), collection.with_count(visible, true));
        }
        Ok(coverage)
    }
}

const PIECE: usize = 64 * 1024;

fn piece(bytes: &Bytes, at: usize) -> Bytes {
    bytes.slice(at..bytes.len().min(at + PIECE))
}
