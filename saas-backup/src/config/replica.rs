use std::collections::BTreeMap;

use saas_backup_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Text;
use super::node::{Table, Value, located};

/// Other storage that holds a copy of the repository. Its keys are the repository's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct ReplicaConfig {
    /// The address, written as that of the repository.
    pub url: Text,
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
            options: BTreeMap::new(),
            environment: true,
            single_writer: false,
            prune: false,
            versioned: false,
        }
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
