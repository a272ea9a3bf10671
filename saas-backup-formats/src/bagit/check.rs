use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use saas_backup_core::{CheckReport, Error, ErrorKind, Result};

use super::form::{Bag, DECLARATION, MANIFEST};
use crate::folder::{contained, digest_of, list};
use crate::form::Manifest;
use crate::spool::Spool;

/// Longest line of a manifest.
const MAX_LINE: u64 = 8 * 1024;

/// Checks a bag as RFC 8493 demands (3): the declaration, the payload's size, and that every file of the payload is
/// listed, there, and as it was.
///
/// # Errors
///
/// If there is no bag of ours, or a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    Manifest::read::<Bag>(folder)?;
    let mut report = CheckReport::default();
    if fs::read(folder.join("bagit.txt")).ok().as_deref() != Some(DECLARATION) {
        report.find("bagit.txt", "", "the declaration of a bag is missing, or not as BagIt 1.0 has it");
    }
    let scratch = tempfile::tempdir()?;
    // What is there and what is listed, in one order: a file that only one of both has stands alone.
    let mut both = Spool::new(scratch.path().join("both"));
    for path in list(folder)?.into_iter().filter(|path| path.starts_with("data/")) {
        both.push("", &path, b"there".to_vec())?;
    }
    manifest(folder, MANIFEST, |path, digest| both.push("", &path, digest.as_bytes().to_vec()))?;
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let mut entries = both.finish()?.peekable();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let mut values = vec![entry.line];
        while let Some(Ok(next)) = entries.peek()
            && next.id == entry.id
        {
            if let Some(next) = entries.next() {
                values.push(next?.line);
            }
        }
        let there = values.iter().any(|value| value == b"there");
        let digests: Vec<&Vec<u8>> = values.iter().filter(|value| *value != b"there").collect();
        if !there {
            report.find(&entry.id, "", "a file of the payload that is listed and not there");
            continue;
        }
        let path = contained(folder, &entry.id)?;
        files += 1;
        bytes += fs::metadata(&path)?.len();
        match digests.as_slice() {
            [] => report.find(&entry.id, "", "a file of the payload that is not listed"),
            [digest] if digest_of(&path)?.to_string().as_bytes() == digest.as_slice() => {}
            [_] => report.find(&entry.id, "", "a file of the payload that is not as it was listed"),
            _ => report.find(&entry.id, "", "a file of the payload that is listed twice"),
        }
    }
    report.files = files;
    let info = fs::read_to_string(folder.join("bag-info.txt")).unwrap_or_default();
    let oxum = info.lines().find_map(|line| line.strip_prefix("Payload-Oxum: "));
    if oxum != Some(format!("{bytes}.{files}").as_str()) {
        report.find("bag-info.txt", "Payload-Oxum", "the size of the payload is another one");
    }
    manifest(folder, "tagmanifest-sha256.txt", |path, digest| {
        let found = contained(folder, &path).ok().and_then(|path| digest_of(&path).ok());
        if found.is_none_or(|found| found.to_string() != digest) {
            report.find(&path, "", "a tag file that is missing, or not as it was listed");
        }
        Ok(())
    })?;
    Ok(report)
}

/// Hands out the paths and digests of a manifest.
fn manifest(folder: &Path, name: &str, mut each: impl FnMut(String, &str) -> Result<()>) -> Result<()> {
    let malformed =
        || Error::new(ErrorKind::InvalidData, "a manifest of the bag is malformed").with_context("file", name);
    let mut lines = BufReader::new(File::open(contained(folder, name)?)?);
    loop {
        let mut line = String::new();
        if lines.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (digest, path) = line.trim_end_matches(['\n', '\r']).split_once("  ").ok_or_else(malformed)?;
        let path = path.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%");
        each(path, digest)?;
    }
}
