use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::Deserialize;

use super::names_file::{NAMES, source_of};
use crate::folder::{audit, contained};
use crate::form::{Form, Store};
use crate::import::Loading;

/// Longest line of `names.json`: two names and a path.
const MAX_LINE: u64 = 64 * 1024;

#[derive(Deserialize)]
struct Named {
    file: Option<String>,
    sha256: Option<Digest>,
}

/// Reads the sources beside the pages of an export, and its attachments.
pub(crate) fn read_sources<F: Form>(folder: &Path, extension: &str, into: &mut Loading) -> Result<()> {
    let manifest = into.manifest::<F>(folder)?;
    let edited = audit(folder)?.changed.iter().filter(|file| file.ends_with(extension)).count();
    if edited > 0 {
        into.lossy(&format!("{edited} pages of the export were edited: records are read as they were exported"));
    }
    let mut files = attachments(folder, into)?;
    for place in manifest.collections.values() {
        into.source(&contained(folder, &source_of(&place.at))?, |digest| {
            let file: Option<String> = files.get(&digest.to_string())?;
            file.map(|file| contained(folder, &file)).transpose()
        })?;
    }
    Ok(())
}

/// The files of attachments by their digests.
fn attachments(folder: &Path, into: &Loading) -> Result<Store> {
    let mut files = Store::create(into.scratch("attachments"))?;
    let mut lines = BufReader::new(File::open(contained(folder, NAMES)?)?);
    loop {
        let mut line = String::new();
        if lines.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
            return Ok(files);
        }
        let line = line.trim_end().trim_end_matches(',');
        if matches!(line, "[" | "]" | "[]") {
            continue;
        }
        let named: Named = serde_json::from_str(line)
            .map_err(|error| Error::new(ErrorKind::InvalidData, "`names.json` is damaged").with_source(error))?;
        if let (Some(digest), Some(file)) = (named.sha256, named.file) {
            files.put(&digest.to_string(), &file)?;
        }
    }
}
