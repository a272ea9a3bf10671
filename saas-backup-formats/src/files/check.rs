use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use crate::beside::check_names;

/// Looks through a tree of files: names that some system does not take, two names that some system takes for one,
/// files that `names.json` does not name or whose bytes are not those that it says.
///
/// # Errors
///
/// If a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    check_names(folder, &[], &mut report)?;
    Ok(report)
}
