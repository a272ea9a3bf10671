use std::collections::BTreeMap;

use saas_backup_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::node::{Place, Table, Value, located};
use super::{Encryption, RepositoryConfig, Text};

/// What a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReplicaBy {
    /// A copy: the same objects under the same names, with the keys of the repository.
    #[default]
    Objects,
    /// A repository of its own, with its own keys and retention, that takes over each point in time by reading it.
    Records,
}

/// Other storage that holds what the repository holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct ReplicaConfig {
    /// The address, written as that of the repository.
    pub url: Text,
    /// `objects`, a copy with the keys of the repository, or `records`, a repository of its own. Default: `objects`.
    #[serde(default)]
    pub by: ReplicaBy,
    /// Of a replica by records: the age recipients (`age1…`) who can read it. Default: the identity's alone.
    #[serde(default)]
    pub recipients: Vec<Text>,
    /// Of a replica by records: `age` or `none`. Default: `age`.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// Of a replica by records: the age identity with which it is written and compared; without the replica, it is made
    /// with this one as its owner.
    #[serde(default)]
    pub identity: Option<Text>,
    /// Of a replica by records: the key that signs what is written, if not the identity's.
    #[serde(default)]
    pub agent: Option<Text>,
    /// Of a replica by records: the owner's public key; one that is not signed with it is refused.
    #[serde(default)]
    pub root: Option<Text>,
    /// Options of its object store, such as `aws_access_key_id`; an unknown one is an error.
    #[serde(default)]
    pub options: BTreeMap<String, Text>,
    /// Whether the environment's credentials (`AWS_…`, `GOOGLE_…`, `AZURE_…`) count for it, too. Default: `true`.
    #[serde(default = "yes")]
    pub environment: bool,
    /// Nobody else writes to this store: needed where it has no conditional creation. Default: `false`.
    #[serde(default)]
    pub single_writer: bool,
    /// `replicate` also removes from it what maintenance gave up here, once its grace is over: needed for erasures to
    /// reach it. Without it nothing is ever removed there, so that its credentials need not delete. Default: `false`.
    #[serde(default)]
    pub prune: bool,
    /// The bucket keeps versions: what is pruned is removed in all of them. Default: `false`.
    #[serde(default)]
    pub versioned: bool,
}

fn yes() -> bool {
    true
}

impl ReplicaConfig {
    /// A replica at an address, with nothing else said.
    pub fn new(url: impl Into<Text>) -> Self {
        Self {
            url: url.into(),
            by: ReplicaBy::default(),
            recipients: Vec::new(),
            encryption: None,
            identity: None,
            agent: None,
            root: None,
            options: BTreeMap::new(),
            environment: true,
            single_writer: false,
            prune: false,
            versioned: false,
        }
    }

    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it says what a replica of its kind has not.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { recipients, encryption, identity, agent, root, prune, .. } = self;
        let no_keys = recipients.is_empty() && identity.is_none() && agent.is_none() && root.is_none();
        let message = match self.by {
            ReplicaBy::Objects if !no_keys || encryption.is_some() => {
                "a copy has the keys of the repository: for keys of its own add by = \"records\""
            }
            ReplicaBy::Records if *prune => "a replica by records has upkeep of its own, and is not pruned",
            ReplicaBy::Records if *encryption == Some(Encryption::None) && !no_keys => {
                "keys make no sense with encryption = \"none\""
            }
            ReplicaBy::Records if *encryption != Some(Encryption::None) && identity.is_none() => {
                "a replica by records has a key of its own: make one with `saas-backup keygen --out replica.key`, and add \
                 identity = { file = \"replica.key\" } to its [[replica]]"
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Configuration, message))
    }

    /// A replica by records, as the repository that it is.
    pub(crate) fn repository(&self) -> RepositoryConfig {
        let Self { url, recipients, encryption, identity, agent, root, options, single_writer, versioned, .. } = self;
        RepositoryConfig {
            recipients: recipients.clone(),
            encryption: encryption.unwrap_or_default(),
            identity: identity.clone(),
            agent: agent.clone(),
            root: root.clone(),
            options: options.clone(),
            single_writer: *single_writer,
            versioned: *versioned,
            ..RepositoryConfig::new(url.clone())
        }
    }
}

/// Refuses replicas that say what their kind has not, with their places.
pub(super) fn check(replicas: &[ReplicaConfig], places: &[Option<Place>]) -> Result<()> {
    let places = places.iter().copied().chain(std::iter::repeat(None));
    replicas.iter().zip(places).try_for_each(|(replica, place)| replica.check().map_err(|error| located(error, place)))
}

/// Where each replica stands in the file.
pub(super) fn places(table: &Table) -> Vec<Option<Place>> {
    match table.get("replica").map(|(_, node)| &node.value) {
        Some(Value::Array(nodes)) => nodes.iter().map(|node| node.place).collect(),
        _ => Vec::new(),
    }
}

/// Says what is wrong where somebody writes one pair of brackets.
pub(super) fn check_form(table: &Table) -> Result<()> {
    match table.get("replica") {
        Some((place, node)) if !matches!(node.value, Value::Array(_)) => {
            let error = Error::new(ErrorKind::Configuration, "replicas are written as [[replica]], with two brackets");
            Err(located(error, node.place.or(*place)))
        }
        _ => Ok(()),
    }
}
