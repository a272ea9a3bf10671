use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use saas_backup_core::{Error, ErrorKind, Result};

use super::Packing;
use crate::folder::{contained, create_parents};

/// How many times its own size a packed file may hold, and what it may hold in any case: text packs to a hundredth at
/// best, a bomb to a hundred-thousandth.
pub(super) const MOST_TIMES: u64 = 2_000;
pub(super) const ALWAYS: u64 = 64 * 1024 * 1024;
/// Longest path, in bytes.
const MAX_PATH: usize = 4096;

/// Unpacks a file into an empty folder; gives the one folder that it holds.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] for what nobody packs who means well: a path that leads out of the folder, a link, a
/// device, a name twice, more than one folder. [`ErrorKind::LimitExceeded`] for far more bytes than the file can hold.
pub(super) fn unpack(packing: Packing, file: &Path, folder: &Path) -> Result<PathBuf> {
    let opened = File::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "there is no such file").with_context("file", file.display())
        }
        _ => error.into(),
    })?;
    let budget = opened.metadata()?.len().saturating_mul(MOST_TIMES).max(ALWAYS);
    let mut unpacking = Unpacking { folder, left: budget, top: None };
    match packing {
        Packing::Zip => zipped(opened, &mut unpacking)?,
        Packing::TarZst => tarred(opened, &mut unpacking)?,
    }
    let top = unpacking.top.ok_or_else(|| Error::new(ErrorKind::InvalidData, "the packed file is empty"))?;
    Ok(folder.join(top))
}

/// Whether a packed file has a file of this name in its folder.
///
/// # Errors
///
/// If it is damaged, or no packed file.
pub(super) fn holds(packing: Packing, file: &Path, name: &str) -> Result<bool> {
    let file = File::open(file)?;
    let is_it = |path: &[u8]| path.split(|byte| *byte == b'/').skip(1).eq([name.as_bytes()]);
    match packing {
        Packing::Zip => {
            let zip = zip::ZipArchive::new(BufReader::new(file)).map_err(malformed)?;
            Ok(zip.file_names_raw().any(is_it))
        }
        Packing::TarZst => {
            for entry in tar::Archive::new(zstd::Decoder::new(file)?).entries().map_err(damaged)? {
                if is_it(&entry.map_err(damaged)?.path_bytes()) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

struct Unpacking<'a> {
    folder: &'a Path,
    left: u64,
    top: Option<String>,
}

impl Unpacking<'_> {
    fn entry(&mut self, path: &str, is_folder: bool, content: &mut impl Read) -> Result<()> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let refused = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
        if path.len() > MAX_PATH {
            return Err(refused("a path in the packed file is too long"));
        }
        let to = contained(self.folder, path)?;
        let top = path.split('/').next().unwrap_or_default();
        if self.top.get_or_insert_with(|| top.to_owned()) != top {
            return Err(refused("the packed file holds more than one folder"));
        }
        if is_folder {
            return Ok(fs::create_dir_all(to)?);
        }
        create_parents(&to)?;
        let mut file = File::create_new(&to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => refused("a name stands twice in the packed file"),
            _ => error.into(),
        })?;
        let written = io::copy(&mut content.take(self.left.saturating_add(1)), &mut file).map_err(damaged)?;
        self.left = self.left.checked_sub(written).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, "the packed file holds far more than its size allows for")
        })?;
        Ok(())
    }
}

fn zipped(file: File, into: &mut Unpacking<'_>) -> Result<()> {
    let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(malformed)?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(malformed)?;
        let name = std::str::from_utf8(entry.name_raw())
            .map_err(|_| Error::new(ErrorKind::InvalidData, "a name in the packed file is not UTF-8"))?
            .to_owned();
        if entry.is_symlink() {
            return Err(Error::new(ErrorKind::InvalidData, "the packed file holds a link"));
        }
        let is_folder = entry.is_dir();
        into.entry(&name, is_folder, &mut entry)?;
    }
    Ok(())
}

fn tarred(file: File, into: &mut Unpacking<'_>) -> Result<()> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(file)?);
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir()) {
            return Err(Error::new(ErrorKind::InvalidData, "the packed file holds a link or a device"));
        }
        let name = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| Error::new(ErrorKind::InvalidData, "a name in the packed file is not UTF-8"))?;
        into.entry(&name, kind.is_dir(), &mut entry)?;
    }
    Ok(())
}

fn malformed(error: zip::result::ZipError) -> Error {
    Error::new(ErrorKind::InvalidData, "the packed file is damaged, or no archive").with_source(error)
}

/// What cannot be unpacked is damaged; a disk that is full is not.
fn damaged(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
            Error::new(ErrorKind::InvalidData, "the packed file is damaged, or no archive").with_source(error)
        }
        _ => error.into(),
    }
}
