//! Rehearsed restores, as they were signed: evidence that lies beside the timeline.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saas_backup_core::{Digest, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::crypto::SigningPurpose;
use crate::object::ulid_of;
use crate::signed::Signed;
use crate::source::{Shared, Source};

/// Drills of a source that are kept, the newest among them.
const KEPT: usize = 1000;

/// Drills that are read at a time.
const AT_ONCE: usize = 8;

/// A rehearsed restore, as whoever made it signed it. It names no records and no collections: it is not encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Drill {
    /// When it was signed; set by [`Source::keep_drill`].
    #[serde(skip)]
    pub at: DateTime<Utc>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// The sequence number of the point that was restored.
    pub point: u64,
    /// When the point was made.
    pub point_at: DateTime<Utc>,
    /// Whether all of the point was restored; else a sample.
    pub full: bool,
    /// What it was restored into: the name of a format or a connector.
    pub into: String,
    /// Whether everything came back that the target can hold.
    pub passed: bool,
    /// How long opening the point and restoring took, in milliseconds: the measured RTO, if it was all of a point and came back.
    pub restore_ms: u64,
    /// How long reading back and comparing took, in milliseconds.
    pub compare_ms: u64,
    /// Records that were compared.
    pub records: u64,
    /// Attachments of these.
    pub attachments: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Records that are missing, different or unexpected.
    pub wrong: u64,
    /// Fields that were compared one by one, where the target may change them.
    pub fields: u64,
    /// Those of them that were as before.
    pub fields_equal: u64,
    /// The SHA-256 of the whole report, for whoever has it.
    pub report: Digest,
}

impl Drill {
    /// A drill of a point, in which nothing was compared yet.
    pub fn new(
        point: u64,
        point_at: DateTime<Utc>,
        started: DateTime<Utc>,
        ended: DateTime<Utc>,
        report: Digest,
    ) -> Self {
        Self {
            at: ended,
            started,
            ended,
            point,
            point_at,
            full: false,
            into: String::new(),
            passed: false,
            restore_ms: 0,
            compare_ms: 0,
            records: 0,
            attachments: 0,
            bytes: 0,
            wrong: 0,
            fields: 0,
            fields_equal: 0,
            report,
        }
    }
}

impl Source {
    /// Signs what a drill came to, and keeps it beside the timeline. A thousand are kept; older ones are removed, as far as
    /// that is allowed. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] if the keys at hand may not maintain; storage errors.
    pub async fn keep_drill(&self, drill: &Drill) -> Result<()> {
        let shared = &self.shared;
        let keys = shared.maintaining_keys().await?;
        let id = shared.names.ulid().to_string();
        let signed = Signed { at: shared.clock.now(), own: drill.clone(), part: Bytes::new() };
        let object = signed.encode(shared, SigningPurpose::Drill, (&keys.id, keys.signer.as_ref()), &id)?;
        shared.store.put(&shared.names.drill(&id), object).await?;
        for old in names(shared).await?.into_iter().rev().skip(KEPT) {
            if let Err(error) = shared.store.delete(&old).await {
                tracing::debug!(source = shared.name, %error, "an old drill stays");
                break;
            }
        }
        Ok(())
    }

    /// The newest drills that were kept, the newest last: at most so many. One that is damaged, or that nobody signed who may
    /// maintain, counts for nothing and is passed over. Takes no identity. Cancel safe.
    ///
    /// # Errors
    ///
    /// Whatever keeps the storage from being asked.
    pub async fn drills(&self, most: usize) -> Result<Vec<Drill>> {
        let shared = &self.shared;
        let names = names(shared).await?;
        let newest = names.into_iter().rev().take(most).rev();
        stream::iter(newest.map(|name| async move { read(shared, &name).await }))
            .buffered(AT_ONCE)
            .try_filter_map(|drill| async move { Ok(drill) })
            .try_collect()
            .await
    }
}

async fn names(shared: &Shared) -> Result<Vec<String>> {
    let mut names = shared.listed(&shared.names.drills()).await?;
    names.sort_unstable();
    Ok(names)
}

async fn read(shared: &Shared, name: &str) -> Result<Option<Drill>> {
    let read = async {
        let object = shared.store.get(name, None).await?;
        let id = ulid_of(name).unwrap_or_default();
        Signed::<Drill>::read(shared, SigningPurpose::Drill, id, &object).await
    };
    match read.await {
        Ok(signed) => Ok(Some(Drill { at: signed.at, ..signed.own })),
        Err(error)
            if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Unauthenticated) =>
        {
            Err(error)
        }
        Err(error) => {
            tracing::warn!(source = shared.name, %error, "a drill that was kept counts for nothing");
            Ok(None)
        }
    }
}
