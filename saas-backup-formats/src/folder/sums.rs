use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::files::{HashingWriter, contained, list, walk};
use crate::names::short_hash;
use crate::spool::Hashes;

/// The list of digests, in the form that `sha256sum --check` reads.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Files of a folder that its list does not name: the list itself, and the report, which has the time of its run in it.
pub(crate) const UNLISTED: [&str; 2] = [SUMS, REPORT];

/// The report of the run that wrote a folder.
pub(crate) const REPORT: &str = "report.json";

/// Longest line of the list; a path has at most 4,096 bytes on the systems that we know.
const MAX_LINE: u64 = 8 * 1024;

/// Writes the list; the files are added in the order of their paths.
#[derive(Debug)]
pub(crate) struct SumsWriter(HashingWriter);

impl SumsWriter {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        HashingWriter::create(&folder.join(SUMS)).map(Self)
    }

    pub(crate) fn add(&mut self, path: &str, digest: Digest) -> Result<()> {
        Ok(writeln!(self.0, "{digest}  {path}")?)
    }

    pub(crate) fn finish(self) -> Result<u64> {
        self.0.finish(true).map(|(_, bytes)| bytes)
    }
}

/// Reads the list, line by line.
#[derive(Debug)]
pub(crate) struct Listed {
    lines: BufReader<File>,
}

impl Listed {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let file = File::open(folder.join(SUMS)).map_err(|error| {
            Error::new(ErrorKind::InvalidData, "the folder has no list of digests").with_source(error)
        })?;
        Ok(Self { lines: BufReader::new(file) })
    }

    /// The next path and its digest.
    fn next(&mut self) -> Result<Option<(String, Digest)>> {
        let mut line = String::new();
        let length = self.lines.by_ref().take(MAX_LINE).read_line(&mut line)?;
        if length == 0 {
            return Ok(None);
        }
        let malformed = || Error::new(ErrorKind::InvalidData, "the list of digests has a malformed line");
        let text = line.strip_suffix('\n').ok_or_else(malformed)?;
        let (digest, path) = text.split_once("  ").ok_or_else(malformed)?;
        Ok(Some((path.to_owned(), Digest::from_hex(digest)?)))
    }

    /// The paths, in their order.
    #[cfg(feature = "packed")]
    pub(crate) fn paths(mut self) -> impl Iterator<Item = Result<String>> {
        std::iter::from_fn(move || Some(self.next().transpose()?.map(|(path, _)| path)))
    }

    /// The files of a folder that the list does not name; `scratch` is a file for what memory does not hold.
    pub(crate) fn foreign(mut self, folder: &Path, scratch: PathBuf) -> Result<Vec<String>> {
        let mut named = Hashes::new(scratch);
        for name in UNLISTED {
            named.insert(short_hash(name.as_bytes()), [])?;
        }
        // A list that cannot be read to its end names too few: what it does not name is kept.
        while let Ok(Some((path, _))) = self.next() {
            named.insert(short_hash(path.as_bytes()), [])?;
        }
        let mut foreign = Vec::new();
        walk(folder, |path| {
            if named.get(short_hash(path.as_bytes()))?.is_none() {
                foreign.push(path);
            }
            Ok(())
        })?;
        foreign.sort_unstable();
        Ok(foreign)
    }
}

/// What a check of a folder against its list found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// Files whose bytes are what the list says.
    pub intact: u64,
    /// Files that the list names and that are not there.
    pub missing: Vec<String>,
    /// Files whose bytes are not what the list says.
    pub changed: Vec<String>,
    /// Files that the list does not name.
    pub foreign: Vec<String>,
}

impl Audit {
    /// Whether every file is there, unchanged, and no other one.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty() && self.foreign.is_empty()
    }
}

/// Reads every file that the list names and compares its digest.
pub(crate) fn audit(folder: &Path) -> Result<Audit> {
    let mut audit = Audit::default();
    let mut others: BTreeSet<String> = list(folder)?.into_iter().collect();
    for name in UNLISTED {
        others.remove(name);
    }
    let mut listed = Listed::open(folder)?;
    while let Some((path, expected)) = listed.next()? {
        others.remove(&path);
        match digest_of(&contained(folder, &path)?) {
            Ok(found) if found == expected => audit.intact += 1,
            Ok(_) => audit.changed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => audit.missing.push(path),
            Err(error) => return Err(error.into()),
        }
    }
    audit.foreign.extend(others);
    Ok(audit)
}

/// The SHA-256 of a file.
pub(crate) fn digest_of(path: &Path) -> io::Result<Digest> {
    digest_from(File::open(path)?)
}

/// The SHA-256 of what is left to read.
pub(crate) fn digest_from(mut from: impl io::Read) -> io::Result<Digest> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(digest.finalize().into())),
            length => digest.update(buffer.get(..length).unwrap_or_default()),
        }
    }
}
