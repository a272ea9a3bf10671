use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

use saas_backup_core::{Error, ErrorKind, Result};
use zip::write::SimpleFileOptions;

use super::Packing;
use super::unpack::{ALWAYS, MOST_TIMES};
use crate::folder::{Listed, SUMS};

/// The level of compression; attachments are mostly packed already.
const DEFLATE_LEVEL: i64 = 6;
const ZSTD_LEVEL: i32 = 3;
/// From how many bytes on a file has the long form of a zip. It begins below 4 GiB, because what does not pack grows by up
/// to a thousandth.
const LONG_FORM: u64 = 4_000_000_000;
/// The beginning of a frame that readers of zstd skip (RFC 8878, 3.1.2).
const SKIPPED: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();

/// Packs a folder into a new file, where it is called `top`.
pub(super) fn pack(packing: Packing, folder: &Path, top: &str, file: &Path) -> Result<u64> {
    let writer = BufWriter::with_capacity(256 * 1024, File::create_new(file)?);
    let written = match packing {
        Packing::Zip => zipped(folder, top, writer)?,
        Packing::TarZst => tarred(folder, top, writer)?,
    };
    let mut file = written.into_inner().map_err(io::IntoInnerError::into_error)?;
    if packing == Packing::TarZst {
        enlarge(&mut file, bytes(folder)?)?;
    }
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// What a zeroed disk packs to looks like a bomb. Bytes that every reader of zstd skips make the file as large as one that
/// may hold so much.
fn enlarge(file: &mut File, held: u64) -> Result<()> {
    let wanted = if held > ALWAYS { held.div_ceil(MOST_TIMES) } else { 0 };
    let mut missing = wanted.saturating_sub(file.metadata()?.len());
    while missing > 0 {
        let now = missing.min(1 << 20);
        file.write_all(&SKIPPED)?;
        file.write_all(&(now as u32).to_le_bytes())?;
        io::copy(&mut io::repeat(0).take(now), file)?;
        missing -= now;
    }
    Ok(())
}

/// How much a reader of the packed file unpacks.
fn bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in files(folder)? {
        bytes += fs::metadata(folder.join(path?))?.len();
    }
    Ok(bytes)
}

/// The files by their paths, as the list of digests has them, and that list: all but the report, which tells of the run
/// and would make each file another one.
fn files(folder: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let mut listed = Listed::open(folder)?.paths().peekable();
    let mut list = Some(SUMS.to_owned());
    Ok(std::iter::from_fn(move || {
        let is_next = listed.peek().is_none_or(|path| path.as_ref().is_ok_and(|path| path.as_str() > SUMS));
        let own = list.take_if(|_| is_next);
        own.map(Ok).or_else(|| listed.next())
    }))
}

fn zipped(folder: &Path, top: &str, writer: BufWriter<File>) -> Result<BufWriter<File>> {
    let mut zip = zip::ZipWriter::new(writer);
    for path in files(folder)? {
        let path = path?;
        let mut file = File::open(folder.join(&path))?;
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(DEFLATE_LEVEL))
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            .large_file(file.metadata()?.len() >= LONG_FORM);
        zip.start_file(format!("{top}/{path}"), options).map_err(failed)?;
        io::copy(&mut file, &mut zip)?;
    }
    zip.finish().map_err(failed)
}

fn tarred<W: Write>(folder: &Path, top: &str, writer: W) -> Result<W> {
    let mut tar = tar::Builder::new(zstd::Encoder::new(writer, ZSTD_LEVEL)?);
    for path in files(folder)? {
        let path = path?;
        let file = folder.join(&path);
        let mut header = tar::Header::new_gnu();
        header.set_size(fs::metadata(&file)?.len());
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{top}/{path}"), File::open(file)?)?;
    }
    Ok(tar.into_inner()?.finish()?)
}

fn failed(error: zip::result::ZipError) -> Error {
    match error {
        zip::result::ZipError::Io(error) => error.into(),
        error => Error::new(ErrorKind::Unexpected, "the archive cannot be written").with_source(error),
    }
}
