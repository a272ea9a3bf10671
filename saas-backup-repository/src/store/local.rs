//! Local files: reading, and conditional creation on file systems without hard links (exFAT, SMB).

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as Io, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};

use super::Creation;

/// Reads a range of a file, or what there is of it, into memory that is not filled with zeros before.
pub(super) async fn read(mut file: File, range: Range<u64>) -> Result<Bytes> {
    let read = tokio::task::spawn_blocking(move || {
        let length = range.end.saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.seek(SeekFrom::Start(range.start))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    });
    read.await
        .map_err(|error| Error::new(ErrorKind::Unexpected, "reading a file was interrupted").with_source(error))?
}

/// Creates a file that must not exist.
///
/// A crash in the middle leaves a cut file under the name; readers pass over a commit that is cut and the next
/// writer takes the next number.
pub(super) async fn create_exclusively(path: PathBuf, bytes: Bytes) -> Result<Creation> {
    let made = tokio::task::spawn_blocking(move || create(&path, &bytes)).await;
    made.map_err(|error| Error::new(ErrorKind::Unexpected, "writing a file was interrupted").with_source(error))?
}

fn create(path: &Path, bytes: &[u8]) -> Result<Creation> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == Io::AlreadyExists => return Ok(Creation::Exists),
        Err(error) => return Err(error.into()),
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(file);
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    Ok(Creation::Created)
}

/// Whether the file system below a folder has hard links.
pub(super) fn has_hard_links(folder: &Path) -> Result<bool> {
    let probe = tempfile::Builder::new().prefix(".saas-backup-probe-").tempfile_in(folder)?;
    let mut link = probe.path().as_os_str().to_owned();
    link.push("-link");
    let linked = fs::hard_link(probe.path(), &link);
    if linked.is_ok() {
        fs::remove_file(&link)?;
    }
    Ok(linked.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_one_of_two_exclusive_creates_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("commit/00000000000000000001");
        let first = create_exclusively(path.clone(), Bytes::from_static(b"one")).await.unwrap();
        let second = create_exclusively(path.clone(), Bytes::from_static(b"two")).await.unwrap();
        assert_eq!((first, second), (Creation::Created, Creation::Exists));
        assert_eq!(fs::read(path).unwrap(), b"one");
    }

    #[test]
    fn this_file_system_has_hard_links_and_leaves_no_probe() {
        let folder = tempfile::tempdir().unwrap();
        assert!(has_hard_links(folder.path()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
