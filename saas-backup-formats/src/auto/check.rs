use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use super::fit::Fit;
use super::form::Auto;
use crate::form::Manifest;
use crate::{csv, files, git, ics, mail, markdown, vcf};

/// Looks through every folder with its format's own check.
///
/// # Errors
///
/// If there is no export of this format, or a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    Manifest::read::<Auto>(folder)?;
    let mut report = CheckReport::default();
    for fit in Fit::ALL {
        let part = folder.join(fit.folder());
        if !part.exists() {
            continue;
        }
        let found = match fit {
            Fit::Documents => markdown::check(&part),
            Fit::Tables => csv::check(&part),
            Fit::Calendars => ics::check(&part),
            Fit::Contacts => vcf::check(&part),
            Fit::Mail => mail::check(&part),
            Fit::Files => files::check(&part),
            Fit::Repositories => git::check(&part),
        }?;
        report.files += found.files;
        for (what, number) in found.checked {
            report.add(what, number);
        }
        report.count += found.count - found.findings.len() as u64;
        for finding in found.findings {
            report.find(&format!("{}/{}", fit.folder(), finding.file), finding.at, finding.problem);
        }
    }
    Ok(report)
}
