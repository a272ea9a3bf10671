use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

/// Reads YAML within the budgets of the parser: nodes, depth and aliases are bounded, so that a small text cannot grow
/// into a large value. Of two members of one name the last counts, as in Python.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Error::new(ErrorKind::Configuration, "the file is no YAML").with_source(error))
}
