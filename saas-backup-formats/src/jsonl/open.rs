use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use saas_backup_core::{CollectionName, Digest, Error, ErrorKind, Result};
use serde::Deserialize;

use super::assembly::MANIFEST;
use super::manifest::{CollectionFile, FORMAT, Manifest, VERSION};
use crate::folder::contained;

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 256 * 1024 * 1024;

/// An archive whose manifest was read.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
    /// The digest of the manifest: it names the digests of all that is read, and so it tells archives apart.
    pub(super) identity: Digest,
}

impl Archive {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let file = File::open(contained(folder, MANIFEST)?).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "there is no archive in this folder")
                .with_context("folder", folder.display()),
            _ => error.into(),
        })?;
        let mut text = Vec::new();
        file.take(MAX_MANIFEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_MANIFEST {
            return Err(Error::new(ErrorKind::LimitExceeded, "the manifest is too large"));
        }
        let foreign = || {
            Error::new(ErrorKind::InvalidData, "the folder holds something else than an archive of this format")
                .with_context("folder", folder.display())
        };
        let head: Head = serde_json::from_slice(&text).map_err(|_| foreign())?;
        if head.format != FORMAT {
            return Err(foreign());
        }
        if head.version > VERSION {
            return Err(Error::new(ErrorKind::UnsupportedVersion, "a newer version wrote this archive")
                .with_context("found", head.version)
                .with_context("known", VERSION));
        }
        let manifest: Manifest = serde_json::from_slice(&text)?;
        if manifest.catalog.names().any(|name| !manifest.collections.contains_key(name)) {
            return Err(Error::new(ErrorKind::InvalidData, "the manifest names no file for a collection"));
        }
        Ok(Self { folder: folder.to_path_buf(), manifest, identity: Digest::of(&text) })
    }

    /// The file of a collection and its digest.
    pub(super) fn file_of(&self, name: &CollectionName) -> Result<(&CollectionFile, Digest)> {
        let collection = self.manifest.collections.get(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the archive has no such collection").with_context("collection", name)
        })?;
        Ok((collection, self.digest_of(&collection.file)?))
    }

    /// The digest that the manifest gives a file.
    pub(super) fn digest_of(&self, path: &str) -> Result<Digest> {
        let file = self.manifest.files.get(path);
        file.map(|file| file.sha256)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "the manifest has no digest for a file"))
    }

    /// Where a file of the archive is, which must lie in it.
    pub(super) fn path(&self, relative: &str) -> Result<PathBuf> {
        contained(&self.folder, relative)
    }
}
