use std::fmt;
use std::path::Path;

use saas_backup_core::Result;
use serde::de::DeserializeOwned;

use super::node::{Node, Table, Value};
use super::{de, text};

/// A connector's own settings, as they were configured: each text may still be `{ env }`, `{ file }` or
/// `{ command }`. Its `Debug` shows no text.
#[derive(Clone)]
pub struct Settings(Node);

impl Settings {
    /// No settings.
    pub fn new() -> Self {
        Self::of(Table::new(), None)
    }

    pub(crate) fn of(table: Table, place: Option<super::node::Place>) -> Self {
        Self(Node { value: Value::Table(table), place })
    }

    /// Adds a setting: a text, a number, a list, a table.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        if let Value::Table(table) = &mut self.0.value {
            table.insert(name.into(), (None, Node::from(value.into())));
        }
        self
    }

    /// Reads the settings as a type, and finds the texts that are not written out. Blocks while it does.
    ///
    /// # Errors
    ///
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) with line and column where the settings come from a file; never the value.
    pub fn read<T: DeserializeOwned>(&self, base: &Path) -> Result<T> {
        de::from_node(&text::resolve_all(&self.0, base)?)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
