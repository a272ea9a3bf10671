use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::Value;

/// Reads YAML within the budgets of the parser: nodes, depth and aliases are bounded, so that a small text cannot grow
/// into a large value.
pub(super) fn parse(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text)
        .map_err(|error| Error::new(ErrorKind::Configuration, "the manifest is no YAML").with_source(error))
}
