//! `repo.json`: what a repository is.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::commit::{check_version, decode, encode};
use crate::crypto::{Identity, Keys, RootKey, SigningPurpose};
use crate::store::{Owner, Store, create};

const NAME: &str = "repo.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) format: u32,
    pub(crate) requires: Vec<String>,
    /// The repository's own name: a ULID.
    pub(crate) id: String,
    pub(crate) created: DateTime<Utc>,
    /// The owner's key that signs for the writers; empty in a repository that is not encrypted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) root: String,
    /// The owners' public keys, until they are stated anew; none in a repository that is not encrypted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<String>,
}

impl Config {
    /// Describes a new repository.
    pub(crate) fn new(keys: &Keys, created: DateTime<Utc>) -> Result<Self> {
        let mut config = Self {
            format: 1,
            requires: Vec::new(),
            id: Ulid::generate().to_string(),
            created,
            root: String::new(),
            recipients: Vec::new(),
        };
        match &keys.identity {
            Some(identity) => {
                config.root = identity.root_key().to_string();
                let owners = std::iter::once(identity.recipient()).chain(&keys.recipients);
                config.recipients = owners.map(ToString::to_string).collect();
                config.recipients.dedup();
            }
            None if keys.agent.is_some() || !keys.recipients.is_empty() => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "making an encrypted repository takes the owner's identity: it vouches for the writers",
                ));
            }
            None => {}
        }
        Ok(config)
    }

    /// Writes it where there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if there is a repository already.
    pub(crate) async fn create(&self, store: &dyn Store, identity: Option<&Identity>) -> Result<()> {
        let signer = identity.map(Identity::signer);
        let (object, _) = encode(self, SigningPurpose::Repository, signer.as_ref(), &[])?;
        match create(store, NAME, &object, |found| *found == object).await? {
            Owner::Us => Ok(()),
            Owner::Them(_) => Err(Error::new(ErrorKind::Conflict, "there is a repository already")),
        }
    }

    /// Reads it and checks that it is the one whose owner is pinned or at hand.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no repository, [`ErrorKind::Integrity`] if it is not the one that is pinned,
    /// [`ErrorKind::UnsupportedVersion`] if it is newer than this version.
    pub(crate) async fn read(store: &dyn Store, keys: &Keys) -> Result<Self> {
        let object = match store.get(NAME, None).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::NotFound, "there is no repository here; make one first"));
            }
            found => found?,
        };
        let foreign = || Error::new(ErrorKind::Integrity, "`repo.json` is damaged or is no repository's");
        let config = Self::parse(&object, keys);
        config.map_err(|error| if error.kind() == ErrorKind::InvalidData { foreign() } else { error })
    }

    pub(crate) fn parse(object: &Bytes, keys: &Keys) -> Result<Self> {
        let envelope = decode(object)?;
        check_version(&envelope.header)?;
        let config: Self = serde_json::from_slice(&envelope.header)?;
        if config.root.is_empty() != config.recipients.is_empty() {
            return Err(Error::new(ErrorKind::Integrity, "`repo.json` is damaged or is no repository's"));
        }
        let root = config.root_key()?;
        envelope.verify(SigningPurpose::Repository, root.as_ref())?;
        match (root, &keys.root) {
            (Some(root), pinned) => {
                if pinned.as_ref().is_some_and(|pinned| *pinned != root) {
                    return Err(Error::new(
                        ErrorKind::Integrity,
                        "the repository is not the one that is pinned: its owner's key is another one",
                    ));
                }
            }
            (None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Integrity,
                    "the repository is not the one that is pinned: it has no owner",
                ));
            }
            (None, None) => {
                if keys.identity.is_some() || keys.agent.is_some() {
                    return Err(Error::new(
                        ErrorKind::Configuration,
                        "the repository is not encrypted; open it without keys",
                    ));
                }
            }
        }
        Ok(config)
    }

    pub(crate) fn root_key(&self) -> Result<Option<RootKey>> {
        if self.root.is_empty() {
            return Ok(None);
        }
        self.root
            .parse()
            .map(Some)
            .map_err(|_| Error::new(ErrorKind::Integrity, "`repo.json` is damaged or is no repository's"))
    }
}
