//! What was read and found good, and when: signed by who did it, beside the timeline.
//!
//! Nothing depends on these objects but what is read next, and which points count as verified. One that is lost costs
//! that things are read again.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use ulid::Ulid;

use crate::layout::Map;
use crate::object::ulid_of;
use crate::source::{Shared, WritingKeys};
use crate::verify::VerifyProblem;

/// Proofs that are kept, the newest among them.
const KEPT: usize = 2;

/// Stands for an object, or for a part of a commit: the first half of the SHA-256 of its stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mark([u8; 16]);

impl Mark {
    pub(crate) fn of(sha256: &Digest) -> Self {
        let mut mark = [0; 16];
        mark.iter_mut().zip(sha256.as_bytes()).for_each(|(to, from)| *to = *from);
        Self(mark)
    }
}

/// What was read of a source, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// When it was made.
    pub(crate) at: Option<DateTime<Utc>>,
    /// When last what was due was read.
    pub(crate) due: Option<DateTime<Utc>>,
    /// What was last read when.
    pub(crate) read: HashMap<Mark, DateTime<Utc>>,
    /// The points of which everything was read since they were made, and when that was so first.
    pub(crate) points: BTreeMap<u64, DateTime<Utc>>,
}

/// The newest proof of a source, and what stands in its way.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) proof: Proof,
    /// Its name in the storage.
    name: Option<String>,
    /// Newer ones that are damaged, or that nobody signed who may.
    pub(crate) damaged: Vec<(String, Error)>,
}

impl Found {
    /// Reads the newest proof that a maintainer signed, out of these names.
    ///
    /// # Errors
    ///
    /// Whatever keeps the storage from being asked.
    pub(crate) async fn among(shared: &Shared, mut names: Vec<String>) -> Result<Self> {
        names.sort_unstable();
        let mut found = Self::default();
        for name in names.into_iter().rev() {
            let read = match shared.store.get(&name, None).await {
                Ok(object) => file::read(shared, ulid_of(&name).unwrap_or_default(), &object).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(proof) => {
                    (found.proof, found.name) = (proof, Some(name));
                    break;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::PermissionDenied) => {
                    found.damaged.push((name, error));
                }
                // Removed by who wrote a newer one, or made by a newer version.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnsupportedVersion) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Reads the newest proof of a source.
    pub(crate) async fn of(shared: &Shared) -> Result<Self> {
        Self::among(shared, shared.listed(&shared.names.proofs()).await?).await
    }

    /// Puts another proof in the place of this one, and removes those that are older, as far as that is allowed.
    pub(crate) async fn replace(&self, shared: &Shared, keys: &WritingKeys, proof: &Proof) -> Result<()> {
        let before = self.name.as_deref().and_then(ulid_of).and_then(|ulid| Ulid::from_string(ulid).ok());
        // Of a clock that went back, too, the newest name is that of the newest proof.
        let id = before
            .and_then(|before| before.increment().ok())
            .map_or_else(|| shared.names.ulid(), |next| next.max(shared.names.ulid()));
        let name = shared.names.proof(&id.to_string());
        let object: Bytes = file::encode(shared, keys, &id.to_string(), proof)?;
        shared.store.put(&name, object).await?;
        let mut names = shared.listed(&shared.names.proofs()).await?;
        names.retain(|other| *other <= name);
        names.sort_unstable();
        for old in names.into_iter().rev().skip(KEPT) {
            if let Err(error) = shared.store.delete(&old).await {
                tracing::debug!(source = shared.name, %error, "an old proof of reading stays");
                break;
            }
        }
        Ok(())
    }
}

/// Removes the proofs that something is wrong with: no copy has them, and nothing is lost with them.
pub(crate) async fn remove_damaged(shared: &Shared, problems: &mut Vec<VerifyProblem>) -> Result<()> {
    let folder = format!("{}/", shared.names.proofs());
    for problem in problems.iter().filter(|problem| problem.object.starts_with(&folder)) {
        shared.store.delete(&problem.object).await?;
    }
    problems.retain(|problem| !problem.object.starts_with(&folder));
    Ok(())
}

impl Proof {
    /// The points that count as verified and are still there.
    pub(crate) fn verified(&self, map: &Map) -> BTreeMap<u64, DateTime<Utc>> {
        let there = map.points.iter().map(|(sequence, ..)| *sequence);
        let there = there.filter(|point| map.lost.iter().all(|lost| !lost.is_needed_at(*point)));
        there.filter_map(|sequence| Some((sequence, *self.points.get(&sequence)?))).collect()
    }
}

impl crate::source::Source {
    /// The points that count as verified, with the time since when: they were complete, and every object that they need
    /// was read whole and found good after they were made, as a maintainer signed. What compaction makes of them keeps
    /// that, for it compares what each point holds; a point that needs something damaged loses it with the next
    /// verification. [`verify`](Self::verify) with [`VerifyOptions::with_record`](crate::VerifyOptions::with_record)
    /// adds to them. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if the timeline breaks off.
    pub async fn verified_points(&self) -> Result<BTreeMap<u64, DateTime<Utc>>> {
        let map = Arc::clone(&self.shared).loader.load_maintained().await?;
        map.check()?;
        Ok(Found::of(&self.shared).await?.proof.verified(&map))
    }
}
