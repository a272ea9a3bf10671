use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use saas_backup_core::{Digest, Error, ErrorKind, Result};

use super::files::{HashingWriter, create_parents};
use super::sums::SumsWriter;
use crate::spool::{SMALL, Spool};

/// The files of a folder that is being written, with their digests: any number of them in bounded memory.
#[derive(Debug)]
pub(crate) struct Output {
    folder: PathBuf,
    sums: Spool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Output {
    /// Files in `folder`; `scratch` is for what is not written yet.
    pub(crate) fn new(folder: &Path, scratch: &Path) -> Self {
        Self { folder: folder.to_path_buf(), sums: Spool::with_limit(scratch.join("sums"), SMALL), files: 0, bytes: 0 }
    }

    /// Begins a file.
    pub(crate) fn create(&self, path: &str) -> Result<HashingWriter> {
        HashingWriter::create(&self.folder.join(path))
    }

    /// Ends a file that was begun.
    pub(crate) fn keep(&mut self, path: &str, writer: HashingWriter) -> Result<()> {
        self.seal(path, writer).map(drop)
    }

    /// Ends a file that was begun, and says what was written.
    pub(crate) fn seal(&mut self, path: &str, writer: HashingWriter) -> Result<(Digest, u64)> {
        let (digest, bytes) = writer.finish(false)?;
        self.note(path, digest, bytes)?;
        Ok((digest, bytes))
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let mut writer = self.create(path)?;
        writer.write_all(content)?;
        self.keep(path, writer)
    }

    /// Takes a file of the dataset in, of which digest and length are known: other forms may want it, too.
    ///
    /// The file itself gets a second name where the file system has that, and is copied where it has not.
    pub(crate) fn copy(&mut self, from: &Path, path: &str, (digest, bytes): (Digest, u64)) -> Result<()> {
        let to = self.folder.join(path);
        create_parents(&to)?;
        if fs::hard_link(from, &to).is_err() {
            io::copy(&mut File::open(from)?, &mut File::create_new(&to)?)?;
        }
        self.note(path, digest, bytes)
    }

    /// As [`copy`](Self::copy), and always a file of its own: whoever edits it edits no other one.
    pub(crate) fn duplicate(&mut self, from: &Path, path: &str, (digest, bytes): (Digest, u64)) -> Result<()> {
        let to = self.folder.join(path);
        create_parents(&to)?;
        io::copy(&mut File::open(from)?, &mut File::create_new(&to)?)?;
        self.note(path, digest, bytes)
    }

    /// Sets when a file was last changed.
    pub(crate) fn set_modified(&self, path: &str, time: DateTime<Utc>) -> Result<()> {
        let file = File::options().write(true).open(self.folder.join(path))?;
        // Not every file system knows every year.
        match file.set_modified(time.into()) {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            set => Ok(set?),
        }
    }

    /// Makes a folder that may stay empty.
    pub(crate) fn create_folder(&self, path: &str) -> Result<()> {
        Ok(fs::create_dir_all(self.folder.join(path))?)
    }

    /// Notes a file that was ended elsewhere.
    pub(crate) fn note(&mut self, path: &str, digest: Digest, bytes: u64) -> Result<()> {
        self.files += 1;
        self.bytes += bytes;
        self.sums.push("", path, digest.as_bytes().to_vec())
    }

    /// An output for a folder in this one, to be joined when it is filled.
    pub(crate) fn part(&self, folder: &str, scratch: &Path) -> Self {
        Self::new(&self.folder.join(folder), scratch)
    }

    /// Takes in what was written to a part.
    pub(crate) fn join(&mut self, folder: &str, part: Self) -> Result<()> {
        self.files += part.files;
        self.bytes += part.bytes;
        for entry in part.sums.finish()? {
            let entry = entry?;
            self.sums.push("", &format!("{folder}/{}", entry.id), entry.line)?;
        }
        Ok(())
    }

    /// Writes the list of digests.
    pub(crate) fn finish(self) -> Result<(u64, u64)> {
        let mut writer = SumsWriter::new(&self.folder)?;
        for entry in self.sums.finish()? {
            let entry = entry?;
            let digest = entry.line.try_into().map_err(|_| Error::new(ErrorKind::Integrity, "not a digest"))?;
            writer.add(&entry.id, Digest::from_bytes(digest))?;
        }
        Ok((self.files + 1, self.bytes + writer.finish()?))
    }
}
