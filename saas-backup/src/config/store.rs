use std::collections::BTreeSet;

use saas_backup_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node::{Table, Value, located};

/// A place where data lives that is not backed up, declared by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Its name, unique among stores and sources.
    pub name: String,
    /// What it is: `rds`, `notion`, `google-drive` …; any word will do, and of some it is known what their own backups are worth.
    pub kind: String,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What lies in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Why it is not backed up, and who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl StoreConfig {
    /// A place of some kind.
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { name: name.into(), kind: kind.into(), owner: None, contains: None, note: None }
    }
}

/// Says what is wrong where somebody writes one pair of brackets.
pub(super) fn check_form(table: &Table) -> Result<()> {
    match table.get("store") {
        Some((place, node)) if !matches!(node.value, Value::Array(_)) => {
            let error = Error::new(ErrorKind::Configuration, "stores are written as [[store]], with two brackets");
            Err(located(error, node.place.or(*place)))
        }
        _ => Ok(()),
    }
}

/// # Errors
///
/// [`ErrorKind::Configuration`] if two have the same name.
pub(super) fn check<'a>(stores: &'a [StoreConfig], sources: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut names: BTreeSet<&str> = sources.collect();
    match stores.iter().find(|store| !names.insert(&store.name)) {
        None => Ok(()),
        Some(twice) => Err(Error::new(ErrorKind::Configuration, "a store has the name of another, or of a source")
            .with_context("store", &twice.name)),
    }
}
