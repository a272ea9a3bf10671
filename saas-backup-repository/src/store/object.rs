use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
#[cfg(feature = "s3")]
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
#[cfg(feature = "fs")]
use object_store::{GetResult, GetResultPayload};
use saas_backup_core::{Error, ErrorKind, Result};

use super::error::{classify, status};
use super::{Creation, Entry, Store};

/// How a conditional write is made.
#[derive(Clone, Debug)]
pub(super) enum Conditional {
    /// The store's own.
    Native,
    /// An exclusive create in this folder: for file systems without hard links.
    #[cfg(feature = "fs")]
    Exclusive(std::path::PathBuf),
    /// Look, then write: only where the user promised a single writer.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "webdav"))]
    Promised,
}

/// Two uploads may want to make the same folder at the same moment; a WebDAV server refuses the later one, which then
/// finds the folder made. RFC 4918, 9.3.1: 405 for a folder that is there, 409 for one whose parent is not.
const ATTEMPTS: u32 = 4;

/// A [`Store`] over `object_store`, below a path.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// The same objects, by a client whose requests say what uploads have to say.
    uploads: Arc<dyn ObjectStore>,
    prefix: Path,
    conditional: Conditional,
    /// There where the bucket keeps versions.
    #[cfg(feature = "s3")]
    versions: Option<super::versions::Versions>,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: Path, conditional: Conditional) -> Self {
        Self {
            uploads: Arc::clone(&store),
            store,
            prefix,
            conditional,
            #[cfg(feature = "s3")]
            versions: None,
        }
    }

    #[cfg(feature = "s3")]
    pub(super) fn with_versions(mut self, versions: Option<super::versions::Versions>) -> Self {
        self.versions = versions;
        self
    }

    #[cfg(feature = "s3")]
    pub(super) fn with_uploads(mut self, uploads: Arc<dyn ObjectStore>) -> Self {
        self.uploads = uploads;
        self
    }

    fn path(&self, name: &str) -> Result<Path> {
        let whole = if self.prefix.as_ref().is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Path::parse(whole).map_err(|error| classify(&error.into(), name))
    }

    fn relative(prefix: &Path, location: &Path) -> String {
        let whole = location.as_ref();
        let rest = whole.strip_prefix(prefix.as_ref()).unwrap_or(whole);
        rest.trim_start_matches('/').to_owned()
    }
}

#[async_trait]
impl Store for Objects {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(name)?;
        let mut attempt = 1;
        loop {
            match self.uploads.put(&path, bytes.clone().into()).await {
                Err(error) if attempt < ATTEMPTS && matches!(status(&error), Some(405 | 409)) => attempt += 1,
                put => return put.map(drop).map_err(|error| classify(&error, name)),
            }
        }
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation> {
        let path = self.path(name)?;
        match &self.conditional {
            Conditional::Native => {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                match self.uploads.put_opts(&path, bytes.into(), options).await {
                    Ok(_) => Ok(Creation::Created),
                    Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                        Ok(Creation::Exists)
                    }
                    Err(error) => Err(classify(&error, name)),
                }
            }
            #[cfg(feature = "fs")]
            Conditional::Exclusive(folder) => super::local::create_exclusively(folder.join(name), bytes).await,
            #[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "webdav"))]
            Conditional::Promised => {
                match self.store.head(&path).await {
                    Ok(_) => return Ok(Creation::Exists),
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(classify(&error, name)),
                }
                self.put(name, bytes).await.map(|()| Creation::Created)
            }
        }
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let path = self.path(name)?;
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(Bytes::new());
        }
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&path, options).await.map_err(|error| classify(&error, name))?;
        let bytes = match found {
            #[cfg(feature = "fs")]
            GetResult { payload: GetResultPayload::File(file, _), range, .. } => {
                super::local::read(file, range).await.map_err(|error| error.with_context("object", name))?
            }
            found => found.bytes().await.map_err(|error| classify(&error, name))?,
        };
        if range.is_some_and(|range| bytes.len() as u64 != range.end - range.start) {
            return Err(
                Error::new(ErrorKind::Integrity, "the object is shorter than it was").with_context("object", name)
            );
        }
        Ok(bytes)
    }

    async fn size(&self, name: &str) -> Result<u64> {
        let path = self.path(name)?;
        self.store.head(&path).await.map(|meta| meta.size).map_err(|error| classify(&error, name))
    }

    fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Entry>> {
        let name = folder.to_owned();
        let path = if folder.is_empty() { Ok(self.prefix.clone()) } else { self.path(folder) };
        let offset = after.map(|after| self.path(after)).transpose();
        let (path, offset) = match (path, offset) {
            (Ok(path), Ok(offset)) => (path, offset),
            (Err(error), _) | (_, Err(error)) => return futures::stream::once(async { Err(error) }).boxed(),
        };
        let path = (!path.as_ref().is_empty()).then_some(path);
        let found = match &offset {
            Some(offset) => self.store.list_with_offset(path.as_ref(), offset),
            None => self.store.list(path.as_ref()),
        };
        let prefix = self.prefix.clone();
        found
            .map_ok(move |meta| Entry { name: Self::relative(&prefix, &meta.location), size: meta.size })
            .map_err(move |error| classify(&error, &name))
            .boxed()
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        #[cfg(feature = "s3")]
        if let Some(versions) = &self.versions {
            return versions.remove(&path, name).await;
        }
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(classify(&error, name)),
        }
    }

    #[cfg(feature = "s3")]
    fn keeps_versions(&self) -> bool {
        self.versions.is_some()
    }

    #[cfg(feature = "s3")]
    async fn prune(&self, name: &str) -> Result<()> {
        match &self.versions {
            Some(versions) => versions.prune(&self.path(name)?, name).await,
            None => Ok(()),
        }
    }

    #[cfg(feature = "s3")]
    async fn locked_until(&self, name: &str) -> Result<Option<DateTime<Utc>>> {
        match &self.versions {
            Some(versions) => versions.locked_until(&self.path(name)?, name).await,
            None => Err(super::without_locks()),
        }
    }

    #[cfg(feature = "s3")]
    async fn lock(&self, name: &str, until: DateTime<Utc>, mode: super::LockMode) -> Result<()> {
        match &self.versions {
            Some(versions) => versions.lock(&self.path(name)?, name, until, mode).await,
            None => Err(super::without_locks()),
        }
    }
}

/// Prints no address: it may hold a user's name.
impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Objects").field("conditional", &self.conditional).finish_non_exhaustive()
    }
}
