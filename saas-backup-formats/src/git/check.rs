use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use super::bundle::Head;
use crate::beside::{NAMES, Named, check_names, is_of_form};
use crate::folder::contained;

/// Looks through all bundles: heads that cannot be read, bundles that need commits which they do not hold, and references
/// that are not those of `names.json`. Compares `names.json` with what is there, too.
///
/// Whether the objects are whole is what `git fsck` says of a clone.
///
/// # Errors
///
/// If a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    check_names(folder, &[], &mut report)?;
    let Ok(lines) = File::open(folder.join(NAMES)) else { return Ok(report) };
    for line in BufReader::new(lines).split(b'\n') {
        let Ok(Some(named)) = Named::read(&line?) else { continue };
        // What only is called a bundle is an attachment like any other.
        let is_bundle = is_of_form(&named.file, "bundle");
        let Some(path) = contained(folder, &named.file).ok().filter(|path| is_bundle && path.is_file()) else {
            continue;
        };
        report.add("bundles", 1);
        match Head::read(BufReader::new(File::open(path)?))? {
            Err(fault) => report.find(&named.file, "", fault),
            Ok(head) => {
                report.add("references", head.refs.len() as u64);
                if head.needs > 0 {
                    report.find(&named.file, "", "it needs commits that it does not hold: nobody can clone it");
                }
                if head.refs != named.refs {
                    report.find(&named.file, "", format!("its references are not those that {NAMES} names"));
                }
            }
        }
    }
    Ok(report)
}
