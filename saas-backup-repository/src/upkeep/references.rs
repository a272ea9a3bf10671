//! Which attachments are referred to, and what becomes of those that are not.

use std::collections::HashSet;

use saas_backup_core::{Error, ErrorKind, Key, Result};

use super::{Maintainer, may_follow};
use crate::commit::{CommitHeader, Merged, ObjectKind};
use crate::committer::Sealed;
use crate::layout::Map;
use crate::object::{Family, StoredLine, key_hash};
use crate::read::BlobRow;
use crate::reserved;

/// How often a commit is tried that backups come before.
const TRIES: usize = 16;

/// Which attachments are referred to.
pub(super) enum References {
    /// Notes those of the records that are kept, as hashes.
    Collect(HashSet<u64>),
    /// Leaves out the rows of attachments that no record refers to.
    Release(Release),
    /// Does neither.
    Ignore,
}

/// Leaves out the rows of attachments that are not among those that are referred to and were there at a point.
pub(super) struct Release {
    pub(super) referred: HashSet<u64>,
    /// The last of these points.
    pub(super) latest: u64,
    /// The attachments whose rows were left out, as hashes.
    released: HashSet<u64>,
    /// The objects that the others lie in, as hashes.
    objects: HashSet<u64>,
}

impl Release {
    pub(super) fn new(referred: HashSet<u64>, latest: u64) -> Self {
        Self { referred, latest, released: HashSet::new(), objects: HashSet::new() }
    }

    /// The objects of attachments that no row names any more.
    pub(super) fn unreferred(&self, map: &Map) -> Vec<String> {
        let attachments = map.others.iter().filter(|object| matches!(object.kind, ObjectKind::Blob | ObjectKind::Pack));
        attachments
            .filter(|object| !self.objects.contains(&object_hash(&object.name)))
            .map(|object| object.name.clone())
            .collect()
    }
}

impl References {
    /// Whether the key is the row of an attachment that is to be given up.
    pub(super) fn gives_up(&self, key: &Key, lines: &[StoredLine]) -> bool {
        let Self::Release(Release { referred, latest, .. }) = self else { return false };
        key.collection.as_str() == reserved::BLOBS
            && lines.first().is_some_and(|newest| newest.sequence <= *latest)
            && !referred.contains(&key_hash(key).0)
    }

    /// Notes that the row of an attachment was left out.
    pub(super) fn note_released(&mut self, key: &Key) {
        if let Self::Release(release) = self {
            release.released.insert(key_hash(key).0);
        }
    }

    /// Notes a line that is kept.
    pub(super) fn note(&mut self, line: &StoredLine) -> Result<()> {
        if line.is_deletion() {
            return Ok(());
        }
        match self {
            Self::Collect(referred) => {
                for blob in reserved::blobs(&line.text)? {
                    referred.insert(key_hash(&reserved::key(reserved::BLOBS, blob.as_str())?).0);
                }
            }
            Self::Release(Release { objects, .. }) if line.key.collection.as_str() == reserved::BLOBS => {
                let row: BlobRow = reserved::value(&line.text)?;
                objects.extend(row.parts.iter().map(|part| object_hash(&part.object)));
            }
            Self::Release(_) | Self::Ignore => {}
        }
        Ok(())
    }
}

/// The hash by which an object is noted.
fn object_hash(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl Maintainer {
    /// Notes what the commits after one, up to the last of a map, say of attachments: their lines are not rewritten.
    pub(super) async fn note_later(
        &self,
        map: &Map,
        family: Family,
        after: u64,
        references: &mut References,
    ) -> Result<()> {
        let later = Merged { family, after, through: map.next() - 1 };
        if later.after == later.through {
            return Ok(());
        }
        let mut merge = self.merge(map, &later).await?;
        while let Some(group) = merge.next().await? {
            group.lines.iter().try_for_each(|line| references.note(line))?;
        }
        Ok(())
    }

    /// Makes a commit that gives up attachments, if no backup that came since the source was last read refers to one: its
    /// writer was told that it is held.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if one does, or if another maintainer was faster.
    pub(super) async fn commit_releasing(
        &self,
        header: CommitHeader,
        parts: &[Sealed],
        release: Option<&Release>,
    ) -> Result<()> {
        let Some(release) = release.filter(|release| !release.released.is_empty()) else {
            return self.commit(header, parts).await;
        };
        for _ in 0..TRIES {
            let seen = self.map().next();
            let refused = match self.commit_next(header.clone(), parts).await {
                Err(error) if error.kind() == ErrorKind::Conflict => error,
                other => return other,
            };
            let map = self.committer.reload().await?;
            if map.next() == seen {
                return Err(refused);
            }
            may_follow(&map, seen)?;
            let mut news = References::Collect(HashSet::new());
            self.note_later(&map, Family::Data, seen - 1, &mut news).await?;
            if let References::Collect(referred) = news
                && !referred.is_disjoint(&release.released)
            {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "a backup refers to an attachment that was about to be given up; try again",
                ));
            }
        }
        Err(Error::new(ErrorKind::Conflict, "backups of this source are always faster; try again later"))
    }
}
