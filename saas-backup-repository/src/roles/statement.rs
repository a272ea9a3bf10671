use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::commit::{Parent, check_version, decode, encode};
use crate::crypto::{AgentKey, Identity, Recipient, RootKey, Signer, SigningPurpose};
use crate::layout::{Trust, check_near};
use crate::object::sequence_of;
use crate::repository::Repository;
use crate::store::{Owner, Store, create};

const FOLDER: &str = "roles";
/// Statements that are tried when another machine of the owner is faster.
const ATTEMPTS: usize = 8;

/// Who reads, and who writes no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roles {
    format: u32,
    requires: Vec<String>,
    repository: String,
    /// Which statement it is; 0 before the first.
    pub(crate) number: u64,
    at: DateTime<Utc>,
    /// The public keys of all who read.
    pub(crate) recipients: Vec<String>,
    /// Shared domains with an earlier id are written to no more: somebody who lost their role may hold their keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) revoked: Vec<Revoked>,
}

/// A writer whose later commits do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) writer: String,
    pub(crate) at: DateTime<Utc>,
    /// Of each source the last commit before, whoever made it; a source that is missing had none.
    pub(crate) last: BTreeMap<String, Parent>,
}

impl Roles {
    /// What holds until something is stated.
    pub(crate) fn first(recipients: Vec<String>) -> Self {
        Self { recipients, ..Self::default() }
    }

    pub(crate) fn reads(&self, recipient: &Recipient) -> bool {
        self.recipients.iter().any(|one| one == recipient.as_str())
    }

    pub(crate) fn revocation(&self, writer: &str) -> Option<&Revoked> {
        self.revoked.iter().find(|revoked| revoked.writer == writer)
    }

    /// Whether what is new may be sealed to a shared domain that is there already.
    pub(crate) fn may_share(&self, domain: &str) -> bool {
        self.since.as_deref().is_none_or(|since| domain >= since)
    }

    /// The commits of a source that stood when somebody was revoked.
    pub(crate) fn standing<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a Parent> {
        self.revoked.iter().filter_map(move |revoked| revoked.last.get(source))
    }

    /// Whether a commit counts, going by who signed it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if another commit stood in its place when somebody was revoked.
    pub(crate) fn admits(&self, source: &str, writer: &str, sequence: u64, sha256: Digest) -> Result<bool> {
        if self.standing(source).any(|last| last.sequence == sequence && last.sha256 != sha256) {
            return Err(Error::new(
                ErrorKind::Integrity,
                "the commit is not the one that stood when a writer was revoked",
            ));
        }
        let last = |revoked: &Revoked| revoked.last.get(source).map_or(0, |last| last.sequence);
        Ok(self.revocation(writer).is_none_or(|revoked| sequence <= last(revoked)))
    }

    /// Whoever loses a role may have kept keys: what is written from now on needs others.
    pub(crate) fn renew(&mut self, now: DateTime<Utc>) {
        self.since = Some(Ulid::from_datetime(now.into()).to_string());
    }
}

fn name(number: u64) -> String {
    format!("{FOLDER}/{number:020}")
}

/// Takes the newest valid statement that is newer than what is known; nothing older is believed again.
///
/// # Errors
///
/// [`ErrorKind::UnsupportedVersion`] if a statement of the owner is newer than this version.
pub(crate) async fn refresh(store: &dyn Store, repository: &str, trust: &Trust) -> Result<Arc<Roles>> {
    let known = trust.roles();
    let Some(root) = trust.root() else { return Ok(known) };
    for number in numbers(store, known.number).await?.into_iter().rev() {
        match read(store, repository, root, number).await {
            Ok(roles) => return Ok(trust.set_roles(roles)),
            // Whoever may write to the storage can put anything there.
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                tracing::warn!(number, %error, "a statement of who reads and writes is passed over");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

/// The numbers that are taken after one, in order.
async fn numbers(store: &dyn Store, after: u64) -> Result<Vec<u64>> {
    let first = (after > 0).then(|| name(after));
    let mut numbers: Vec<u64> = store
        .list(FOLDER, first.as_deref())
        .try_filter_map(|entry| async move { Ok(sequence_of(&entry.name)) })
        .try_collect()
        .await?;
    numbers.retain(|number| *number > after);
    numbers.sort_unstable();
    Ok(numbers)
}

async fn read(store: &dyn Store, repository: &str, root: &RootKey, number: u64) -> Result<Roles> {
    parse(&store.get(&name(number), None).await?, repository, root, number)
}

fn parse(object: &Bytes, repository: &str, root: &RootKey, number: u64) -> Result<Roles> {
    let damaged = || Error::new(ErrorKind::Integrity, "the statement is damaged or belongs somewhere else");
    let envelope = decode(object)?;
    envelope.verify(SigningPurpose::Roles, Some(root))?;
    check_version(&envelope.header)?;
    let roles: Roles = serde_json::from_slice(&envelope.header).map_err(|_| damaged())?;
    if roles.repository != repository || roles.number != number || roles.recipients.is_empty() {
        return Err(damaged());
    }
    Ok(roles)
}

/// Checks what was read as a statement, by its name.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if it is none of this repository's owner in this place.
pub(crate) fn check_statement(name: &str, object: &Bytes, repository: &str, root: &RootKey) -> Result<()> {
    let number = sequence_of(name).ok_or_else(|| Error::new(ErrorKind::Integrity, "not the name of a statement"))?;
    parse(object, repository, root, number).map(drop)
}

/// The statements that are there, and whether they can be believed.
pub(crate) async fn statements(
    store: &dyn Store,
    repository: &str,
    root: &RootKey,
) -> Result<Vec<(String, Result<()>)>> {
    let mut found = Vec::new();
    for number in numbers(store, 0).await? {
        found.push((name(number), read(store, repository, root, number).await.map(drop)));
    }
    Ok(found)
}

impl Repository {
    /// The owner's key, if it is at hand.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the repository is not encrypted; [`ErrorKind::PermissionDenied`] without the identity
    /// that the repository is signed with.
    pub(crate) fn owner(&self) -> Result<Signer> {
        let Some(root) = self.root_key() else {
            return Err(Error::new(ErrorKind::Configuration, "the repository is not encrypted: it has no keys"));
        };
        let signer = self.keys().identity.as_ref().map(Identity::signer);
        signer.filter(|signer| signer.root_key() == root).ok_or_else(|| {
            Error::new(
                ErrorKind::PermissionDenied,
                "this takes the identity that the repository was made with: its signature is the one that counts",
            )
        })
    }

    /// The writer that the owner at hand is.
    pub(crate) fn own_writer(&self) -> Option<AgentKey> {
        self.owner().ok()?;
        self.keys().identity.as_ref().map(Identity::as_agent)
    }

    /// States who reads and who writes, going by what was stated last, unless that says the same.
    pub(crate) async fn restate(&self, change: impl Fn(&mut Roles) -> Result<()>) -> Result<Arc<Roles>> {
        let signer = self.owner()?;
        for _ in 0..ATTEMPTS {
            let known = refresh(&**self.store(), self.id(), self.trust()).await?;
            let mut next = Roles::clone(&known);
            change(&mut next)?;
            let taken = numbers(&**self.store(), known.number).await?;
            // Behind one that cannot be read what holds is stated again: it may have said something else.
            if next == *known && taken.is_empty() {
                return Ok(known);
            }
            next.number = check_near(taken.last().copied().unwrap_or_default(), known.number, name)? + 1;
            (next.format, next.at, next.repository) = (1, self.clock().now(), self.id().to_owned());
            let (object, _): (Bytes, Digest) = encode(&next, SigningPurpose::Roles, Some(&signer), &[])?;
            let is_ours = |found: &Bytes| *found == object;
            if create(&**self.store(), &name(next.number), &object, is_ours).await? == Owner::Us {
                return Ok(self.trust().set_roles(next));
            }
        }
        Err(Error::new(ErrorKind::Conflict, "others state who reads and writes at the same time; try again"))
    }
}
