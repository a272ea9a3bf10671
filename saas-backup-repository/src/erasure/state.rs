use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::commit::{check_version, decode, encode};
use crate::crypto::SigningPurpose;
use crate::object::{sequence_of, ulid_of};
use crate::repository::Repository;
use crate::source::{Shared, Source};

/// An erasure, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Erasure {
    /// The id of the request.
    pub request: String,
    /// Why it was made.
    pub basis: String,
    /// The commit that made it.
    pub commit: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// Records that were erased.
    pub records: u64,
    /// Their versions and deletions.
    pub lines: u64,
    /// Attachments that were erased.
    pub attachments: u64,
    /// How far it came.
    pub progress: ErasureProgress,
}

/// How far an erasure came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
#[non_exhaustive]
pub enum ErasureProgress {
    /// Readers leave it out; objects that are in use still hold it. The next compaction writes them anew.
    Hidden,
    /// No object that is in use holds it. Objects that are given up do until they, or in an encrypted repository their
    /// keys, are removed.
    GivenUp {
        /// When everything else was written anew; what is given up is removed after a grace from then on.
        rewritten: DateTime<Utc>,
        /// How many objects, or keys, are still there.
        left: u64,
    },
    /// Nothing that could be read holds it.
    Gone {
        /// When everything else was written anew.
        rewritten: DateTime<Utc>,
    },
}

/// What a maintainer signs of the erasures of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErasureStatement {
    format: u32,
    requires: Vec<String>,
    /// The repository.
    pub repository: String,
    /// The source.
    pub source: String,
    /// Who signed; empty in a repository that is not encrypted, which nobody signs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub writer: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The erasures of the last 400 days, oldest first.
    pub erasures: Vec<Erasure>,
}

impl Source {
    /// The erasures of the last 400 days, oldest first, and how far they came. Lists the objects of the source. Needs no
    /// key. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if the timeline is broken.
    pub async fn erasures(&self) -> Result<Vec<Erasure>> {
        let shared = &self.shared;
        let map = shared.loader.load_maintained().await?;
        map.check()?;
        if map.upkeep.erasures.is_empty() {
            return Ok(Vec::new());
        }
        let present = shared.listed(shared.names.prefix().trim_end_matches('/')).await?;
        let needed = map.needed(&shared.keyring);
        let told = map.upkeep.erasures.iter().map(|erasure| {
            let progress = match &erasure.rewritten {
                None => ErasureProgress::Hidden,
                Some(rewritten) => {
                    let left = left(shared, &present, &needed, erasure.commit, rewritten.at);
                    match left {
                        0 => ErasureProgress::Gone { rewritten: rewritten.at },
                        left => ErasureProgress::GivenUp { rewritten: rewritten.at, left },
                    }
                }
            };
            let erases = &erasure.erases;
            Erasure {
                request: erases.request.clone(),
                basis: erases.basis.clone(),
                commit: erasure.commit,
                at: erasure.at,
                records: erases.records,
                lines: erases.lines,
                attachments: erases.attachments,
                progress,
            }
        });
        Ok(told.collect())
    }

    /// Signs what [`erasures`](Self::erasures) says, for whoever asks: [`Repository::read_statement`] reads it. No
    /// personal data stands in it. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity.
    pub async fn state_erasures(&self) -> Result<Bytes> {
        let shared = &self.shared;
        let keys = shared.maintaining_keys().await?;
        let statement = ErasureStatement {
            format: 1,
            requires: Vec::new(),
            repository: shared.repository.clone(),
            source: shared.name.clone(),
            writer: keys.id.clone(),
            at: shared.clock.now(),
            erasures: self.erasures().await?,
        };
        Ok(encode(&statement, SigningPurpose::Evidence, keys.signer.as_ref(), &[])?.0)
    }
}

/// What could still be read: in an encrypted repository the keys that nobody needs, else the objects, and the commits up
/// to the erasure.
fn left(shared: &Shared, present: &[String], needed: &BTreeSet<String>, erasure: u64, rewritten: DateTime<Utc>) -> u64 {
    let (keys, commits) = (shared.names.keys(), shared.names.commits());
    // They name objects and tell times, and no more.
    let says_nothing = |name: &str| name.starts_with(&shared.names.layouts()) || shared.names.is_evidence(name);
    let until = ulid::Ulid::from_parts(u64::try_from(rewritten.timestamp_millis()).unwrap_or(0), 0).to_string();
    let holds = |name: &&String| {
        if shared.keyring.is_encrypted() {
            let is_old = ulid_of(name).is_some_and(|ulid| ulid < until.as_str());
            return name.starts_with(&keys) && is_old && !needed.contains(*name);
        }
        if name.starts_with(&commits) {
            return sequence_of(name).is_some_and(|sequence| sequence <= erasure);
        }
        let is_old = ulid_of(name).is_some_and(|ulid| ulid < until.as_str());
        is_old && !says_nothing(name) && !needed.contains(*name)
    };
    present.iter().filter(holds).count() as u64
}

impl Repository {
    /// Reads what [`Source::state_erasures`] signed. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it was changed, is one of another repository, or who signed it may not maintain.
    pub async fn read_statement(&self, statement: &Bytes) -> Result<ErasureStatement> {
        let refused = |what| Error::new(ErrorKind::Integrity, what);
        let envelope = decode(statement)?;
        check_version(&envelope.header)?;
        let read: ErasureStatement =
            serde_json::from_slice(&envelope.header).map_err(|_| refused("this is no statement of erasures"))?;
        if read.repository != self.id() {
            return Err(refused("the statement is one of another repository"));
        }
        let maintains = self.trust().verify(&**self.store(), SigningPurpose::Evidence, &read.writer, &envelope).await?;
        if !maintains {
            return Err(refused("who signed the statement may not maintain"));
        }
        Ok(read)
    }
}
