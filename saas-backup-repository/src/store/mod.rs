//! Where objects lie: a narrow contract, and its form over `object_store`.

mod error;
#[cfg(feature = "fs")]
mod local;
mod object;
mod open;
mod probe;
mod settle;
#[cfg(feature = "s3")]
mod versions;

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::open::{Opening, open};
pub(crate) use self::probe::probe;
pub(crate) use self::settle::{Owner, create};

/// What a repository asks of the storage that it lies on.
///
/// Objects are immutable: a name is written once, and nothing is appended or renamed. Names are relative, of ASCII
/// letters, digits and `-._`, with `/` between their parts. Every method is cancel safe in the sense that a cancelled
/// write either happened whole or did not; which of the two is not known.
///
/// A repository opened by URL brings its own; implement this for storage that it does not know.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Writes an object. Writing the same bytes under the same name again is no error.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()>;

    /// Writes an object unless there is one of that name.
    ///
    /// [`Creation::Exists`] is a hint and no proof that somebody else won: a retry of the store's own may have
    /// landed, and some stores say so without anybody having won. The caller reads the object back.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation>;

    /// Reads an object, or a range of its bytes.
    ///
    /// # Errors
    ///
    /// [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is none of that name; a range beyond the end
    /// gives what is there or an error, and never other bytes.
    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes>;

    /// The length of an object in bytes.
    ///
    /// # Errors
    ///
    /// [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is none of that name.
    async fn size(&self, name: &str) -> Result<u64>;

    /// Lists the objects below a folder, in any order; after a name, if one is given.
    fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Entry>>;

    /// Removes an object; one that is not there is no error. Where the storage keeps versions, all of them go.
    async fn delete(&self, name: &str) -> Result<()>;

    /// Whether an object that is written anew, as keys are, is kept as it was before, until it is [pruned](Self::prune).
    fn keeps_versions(&self) -> bool {
        false
    }

    /// Removes what an object was before it was written anew.
    async fn prune(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    /// Until when the storage lets nobody remove an object; `None` if it is not locked.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if the storage has no locks.
    async fn locked_until(&self, _name: &str) -> Result<Option<DateTime<Utc>>> {
        Err(without_locks())
    }

    /// Lets nobody remove an object until then; never for less long than before.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) if the storage has no locks.
    async fn lock(&self, _name: &str, _until: DateTime<Utc>, _mode: LockMode) -> Result<()> {
        Err(without_locks())
    }
}

fn without_locks() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the storage has no locks on objects: they take a bucket of S3 with object lock, opened as one that keeps versions",
    )
}

/// Who may lift a lock on an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LockMode {
    /// Whoever has a right of its own for it.
    #[default]
    Governance,
    /// Nobody, the account's owner included.
    Compliance,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object is ours.
    Created,
    /// The store says that there is one.
    Exists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, relative to the repository.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}
