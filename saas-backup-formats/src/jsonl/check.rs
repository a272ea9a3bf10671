use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use super::open::Archive;
use crate::folder::audit;

/// Compares every file with its digest.
///
/// # Errors
///
/// If there is no archive, or a newer version wrote it.
pub fn check(folder: &Path) -> Result<CheckReport> {
    Archive::open(folder)?;
    let audit = audit(folder)?;
    let mut report = CheckReport::default();
    report.files = audit.intact + audit.changed.len() as u64;
    for (files, problem) in [
        (audit.missing, "a file that is not there"),
        (audit.changed, "a file that is not as it was written"),
        (audit.foreign, "a file that the archive does not know"),
    ] {
        for file in files {
            report.find(&file, "", problem);
        }
    }
    Ok(report)
}
