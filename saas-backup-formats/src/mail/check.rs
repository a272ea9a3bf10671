use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use super::labels::{LABELS, Labelled};
use super::mime::Parts;
use super::quote::is_from;
use crate::beside::{ATTACHMENTS, SOURCE, check_names};
use crate::folder::contained;

/// How much of a line is looked at.
const PIECE: u64 = 64 * 1024;

/// Looks through all messages below a folder: an mbox that has more or fewer messages than `labels.json` names, as a line
/// that was not quoted makes it; messages without date or sender; parts whose boundary is missing or that do not end.
/// Compares `names.json` with what is there, too.
///
/// # Errors
///
/// If a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let files = check_names(folder, &[LABELS], &mut report)?;
    let mut expected = labelled(folder, &mut report)?;
    for file in files.iter().filter(|file| is_mail(file)) {
        let reader = BufReader::new(File::open(contained(folder, file)?)?);
        let found = messages(file, reader, &mut report)?;
        report.add("messages", found);
        let expected = expected.remove(file.as_str()).unwrap_or_default();
        if found != expected {
            report.find(file, "", format!("it has {found} messages, and {LABELS} names {expected}"));
        }
    }
    for file in expected.keys() {
        report.find(file, "", format!("a file that {LABELS} names is not there"));
    }
    Ok(report)
}

fn is_mail(file: &str) -> bool {
    let top = file.split('/').next().unwrap_or_default();
    let is = |extension: &str| Path::new(file).extension().is_some_and(|it| it == extension);
    let in_maildir = file.rsplit('/').nth(1).is_some_and(|folder| matches!(folder, "cur" | "new"));
    top != ATTACHMENTS && top != SOURCE && (is("eml") || is("mbox") || in_maildir)
}

/// How many messages each file should have.
fn labelled(folder: &Path, report: &mut CheckReport) -> Result<BTreeMap<String, u64>> {
    let mut expected = BTreeMap::new();
    let Ok(file) = File::open(folder.join(LABELS)) else {
        report.find(LABELS, "", "it is missing");
        return Ok(expected);
    };
    for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line?;
        let line = line.strip_suffix(b",").unwrap_or(&line);
        if matches!(line, b"[" | b"]" | b"[]" | b"") {
            continue;
        }
        match serde_json::from_slice::<Labelled>(line) {
            Ok(labelled) => *expected.entry(labelled.file).or_default() += 1,
            Err(_) => report.find(LABELS, format!("line {}", number + 1), "it does not say what a message is"),
        }
    }
    Ok(expected)
}

/// Looks through the messages of a file; gives their number.
fn messages(file: &str, mut reader: BufReader<File>, report: &mut CheckReport) -> Result<u64> {
    let is_mbox = Path::new(file).extension().is_some_and(|it| it == "mbox");
    let mut found = u64::from(!is_mbox);
    let mut parts = (!is_mbox).then(Parts::default);
    let (mut line, mut at_start) = (Vec::new(), true);
    loop {
        line.clear();
        if reader.by_ref().take(PIECE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if at_start && is_mbox && is_from(&line) {
            end(file, found, parts.replace(Parts::default()), report);
            found += 1;
        } else if at_start && let Some(parts) = &mut parts {
            parts.line(&line);
        }
        at_start = line.ends_with(b"\n");
    }
    end(file, found, parts, report);
    Ok(found)
}

fn end(file: &str, number: u64, parts: Option<Parts>, report: &mut CheckReport) {
    for fault in parts.map(Parts::finish).unwrap_or_default() {
        report.find(file, format!("message {number}"), fault);
    }
}
