use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use super::names_file::Named;
use super::{NAMES, SOURCE};
use crate::folder::{contained, digest_of, list};
use crate::form::RESERVED;
use crate::names::{fault_of, fingerprint};

/// Looks through the names of all files, and compares `names.json` with what is there; it need not name the files `own`
/// of the form. Gives the paths of all files, sorted.
pub(crate) fn check_names(folder: &Path, own: &[&str], report: &mut CheckReport) -> Result<Vec<String>> {
    let files = list(folder)?;
    let mut seen = HashSet::new();
    for path in &files {
        report.files += 1;
        check_name(path, &mut seen, report);
    }
    let mut known = vec![false; files.len()];
    let Ok(lines) = File::open(folder.join(NAMES)) else {
        report.find(NAMES, "", "it is missing");
        return Ok(files);
    };
    for (number, line) in BufReader::new(lines).split(b'\n').enumerate() {
        let named = match Named::read(&line?) {
            Ok(Some(named)) => named,
            Ok(None) => continue,
            Err(_) => {
                report.find(NAMES, format!("line {}", number + 1), "it does not say what a file is");
                continue;
            }
        };
        report.add("names", 1);
        if let Ok(place) = files.binary_search(&named.file)
            && let Some(known) = known.get_mut(place)
        {
            *known = true;
        }
        check_named(folder, &named, report)?;
    }
    for (path, known) in files.iter().zip(known) {
        if !known && has_to_be_named(path, own) {
            report.find(path, "", "names.json does not name it");
        }
    }
    Ok(files)
}

fn check_name(path: &str, seen: &mut HashSet<u64>, report: &mut CheckReport) {
    let mut above = "";
    for part in path.split('/') {
        if let Some(fault) = fault_of(without_flags(part)) {
            report.find(path, part, format!("not every system takes this name: {fault}"));
        }
        let end = above.len() + usize::from(!above.is_empty()) + part.len();
        let here = path.get(..end).unwrap_or(path);
        if here == path && !seen.insert(fingerprint(above, part)) {
            report.find(path, part, "some systems take this name and another one for the same");
        }
        above = here;
    }
}

/// The flags of a Maildir's file may stand behind a colon: somebody chose that, and a separator that every system takes
/// is the default.
fn without_flags(name: &str) -> &str {
    let flagged = name.rsplit_once(":2,").filter(|(_, flags)| flags.bytes().all(|flag| flag.is_ascii_uppercase()));
    flagged.map_or(name, |(name, _)| name)
}

fn has_to_be_named(path: &str, own: &[&str]) -> bool {
    let above = path.split('/').next().unwrap_or_default();
    path != NAMES && !own.contains(&path) && !RESERVED.contains(&path) && above != SOURCE
}

fn check_named(folder: &Path, named: &Named, report: &mut CheckReport) -> Result<()> {
    if let Some(path) = named.file.strip_suffix('/') {
        if !contained(folder, path).is_ok_and(|path| path.is_dir()) {
            report.find(&named.file, "", "a folder that names.json names is not there");
        }
        return Ok(());
    }
    let path = match contained(folder, &named.file) {
        Ok(path) if path.is_file() => path,
        _ => {
            report.find(&named.file, "", "a file that names.json names is not there");
            return Ok(());
        }
    };
    if let Some(expected) = named.sha256.filter(|_| named.span.is_none()) {
        report.add("digests", 1);
        if digest_of(&path)? != expected {
            report.find(&named.file, "", "its bytes are not those that names.json says");
        }
    }
    Ok(())
}
