//! What a session held, settled: every record once, in its last state, sorted by collection and id.

mod blobs;
mod settle;

pub(crate) use blobs::Owned;
pub(crate) use settle::LinesWriter;

use std::collections::BTreeMap;
use std::path::PathBuf;

use saas_backup_core::{
    Account, BlobRef, BlobStatus, Catalog, CollectionName, Coverage, Digest, Error, ErrorKind, Json, LineCodec, Result,
};

use crate::session::BlobStore;

/// Everything that an export holds; it can be read any number of times.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) account: Option<Account>,
    /// The collections; at the end those that have records and were not announced.
    pub(crate) catalog: Catalog,
    pub(crate) coverage: Coverage,
    /// Schema documents that came in the feeds.
    pub(crate) schemas: BTreeMap<Digest, Json>,
    pub(crate) codec: LineCodec,
    /// A folder for what is not kept: it goes when the export is published.
    pub(crate) scratch: PathBuf,
    pub(crate) blobs: BlobStore,
    pub(crate) records: BTreeMap<CollectionName, Lines>,
    /// What is known to be missing, sorted by collection and id; `None` if nothing is.
    pub(crate) gaps: Option<Lines>,
}

/// A file of lines in the stored profile.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) path: PathBuf,
    /// Its digest, if the session keeps lines for its form.
    pub(crate) digest: Option<Digest>,
    /// Its length in bytes.
    pub(crate) bytes: u64,
    /// How many lines it has.
    pub(crate) count: u64,
    /// A file with the digests of the blobs that its records own and that are held; `None` if there are none.
    pub(crate) blobs: Option<PathBuf>,
    /// What was seen of its records while they came, if that was all of them and is asked.
    #[cfg(feature = "_table")]
    pub(crate) looked: Option<std::sync::Arc<crate::table::Looked>>,
}

impl Lines {
    /// Digest and length, for a form that makes the file a part of its export.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unexpected`] if the form said that it does not.
    pub(crate) fn written(&self) -> Result<(Digest, u64)> {
        let digest = self.digest.ok_or_else(|| Error::new(ErrorKind::Unexpected, "lines without a digest are kept"))?;
        Ok((digest, self.bytes))
    }
}

impl Dataset {
    /// The file with the bytes of a blob, and their digest; `None` if they never came, which is among the gaps.
    pub(crate) fn blob(&self, blob: &BlobRef) -> Option<(PathBuf, Digest)> {
        let digest = blob.digest.filter(|_| blob.status == BlobStatus::Available)?;
        let path = self.blobs.path(&digest);
        path.exists().then_some((path, digest))
    }

    /// Where a form may keep files while it works.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}
