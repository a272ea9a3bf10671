use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Joins a path that came from outside to a folder.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] if the path is not relative, has a `..` or anything but plain names, or leads through a
/// symbolic link.
pub(crate) fn contained(folder: &Path, relative: &str) -> Result<PathBuf> {
    let escapes = || Error::new(ErrorKind::InvalidData, "a path leads out of the folder");
    let mut path = folder.to_path_buf();
    let plain = !relative.is_empty() && !relative.contains(['\\', '\0']);
    if !plain || relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(escapes());
    }
    for component in Path::new(relative).components() {
        let Component::Normal(name) = component else { return Err(escapes()) };
        path.push(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return Err(escapes()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::new(ErrorKind::InvalidData, "a path leads through a file"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(path)
}

/// Makes the folders above a file.
pub(crate) fn create_parents(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => Ok(fs::create_dir_all(parent)?),
        None => Ok(()),
    }
}

/// JSON that a person can read, with a line feed at the end.
pub(crate) fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

/// Writes a new file of JSON that a person can read; `durable` as in [`HashingWriter::finish`].
pub(crate) fn write_json(path: &Path, value: &impl Serialize, durable: bool) -> Result<(Digest, u64)> {
    let mut writer = HashingWriter::create(path)?;
    writer.write_all(&pretty(value)?)?;
    writer.finish(durable)
}

/// The paths of all files below a folder, with `/` between their parts, sorted; a link counts as a file.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    walk(folder, |path| {
        found.push(path);
        Ok(())
    })?;
    found.sort_unstable();
    Ok(found)
}

/// Tells every file of a folder and of those below it, in any order.
pub(crate) fn walk(folder: &Path, mut tell: impl FnMut(String) -> Result<()>) -> Result<()> {
    let mut folders = vec![(folder.to_path_buf(), String::new())];
    while let Some((path, prefix)) = folders.pop() {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let relative = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{relative}/")));
            } else {
                tell(relative)?;
            }
        }
    }
    Ok(())
}

/// Writes a file and digests what it writes.
#[derive(Debug)]
pub(crate) struct HashingWriter {
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl HashingWriter {
    /// Makes a new file and the folders above it.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        create_parents(path)?;
        let file = BufWriter::with_capacity(64 * 1024, File::create_new(path)?);
        Ok(Self { file, digest: Sha256::new(), bytes: 0 })
    }

    /// Ends the file, makes it durable if asked, and says what was written.
    pub(crate) fn finish(self, durable: bool) -> Result<(Digest, u64)> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        if durable {
            file.sync_all()?;
        }
        Ok((Digest::from_bytes(self.digest.finalize().into()), self.bytes))
    }
}

/// A file of lines: with its digest if an export keeps it, without where only a form reads it.
#[derive(Debug)]
pub(crate) enum LineFile {
    Kept(HashingWriter),
    Read(BufWriter<File>, u64),
}

impl LineFile {
    /// Makes a new file and the folders above it.
    pub(crate) fn create(path: &Path, kept: bool) -> Result<Self> {
        if kept {
            return HashingWriter::create(path).map(Self::Kept);
        }
        create_parents(path)?;
        Ok(Self::Read(BufWriter::with_capacity(64 * 1024, File::create_new(path)?), 0))
    }

    /// Ends the file, makes it durable if it is kept and that is asked, and says what was written.
    pub(crate) fn finish(self, durable: bool) -> Result<(Option<Digest>, u64)> {
        match self {
            Self::Kept(file) => file.finish(durable).map(|(digest, bytes)| (Some(digest), bytes)),
            Self::Read(mut file, bytes) => {
                file.flush()?;
                Ok((None, bytes))
            }
        }
    }

    pub(crate) fn line(&mut self, line: &[u8]) -> Result<()> {
        match self {
            Self::Kept(file) => {
                file.write_all(line)?;
                file.write_all(b"\n")?;
            }
            Self::Read(file, bytes) => {
                file.write_all(line)?;
                file.write_all(b"\n")?;
                *bytes += line.len() as u64 + 1;
            }
        }
        Ok(())
    }
}

impl Write for HashingWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.digest.update(buffer.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_from_outside_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("records")).unwrap();
        assert!(contained(folder.path(), "records/a.jsonl").is_ok());
        for path in ["", "/etc/passwd", "../x", "records/../../x", "./x", "a//b", "a\\..\\b", "a\0b", "records/"] {
            assert_eq!(contained(folder.path(), path).unwrap_err().kind(), ErrorKind::InvalidData, "{path:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("records")).unwrap();
        assert_eq!(contained(folder.path(), "records/passwd").unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(list(folder.path()).unwrap(), ["records"]);
    }
}
