use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value as Json};

use crate::normalize::set;
use crate::shared::KeepSetting;
use crate::template::{Value, value_of};

/// Keeps settings that a provider replaced in a file of its own, for the owner's eyes alone.
#[derive(Debug)]
pub(super) struct TokenFile {
    file: Option<PathBuf>,
    settings: Mutex<Settings>,
}

struct Settings {
    given: Map<String, Json>,
    replaced: Map<String, Json>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Settings")
    }
}

impl TokenFile {
    /// Opens the file, if there is one.
    pub(super) fn open(file: Option<PathBuf>, given: Map<String, Json>) -> Result<Self> {
        let replaced = match &file {
            Some(path) if path.exists() => serde_json::from_slice(&std::fs::read(path)?).map_err(|_| {
                Error::new(ErrorKind::Configuration, "the file of tokens cannot be read")
                    .with_context("file", path.display())
            })?,
            _ => Map::new(),
        };
        Ok(Self { file, settings: Mutex::new(Settings { given, replaced }) })
    }

    /// The settings, with what was replaced.
    pub(super) fn settings(&self) -> Json {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).current()
    }
}

impl Settings {
    fn current(&self) -> Json {
        let mut settings = Json::Object(self.given.clone());
        for (path, value) in &self.replaced {
            set(&mut settings, &path.split('/').map(str::to_owned).collect::<Vec<_>>(), value.clone());
        }
        settings
    }
}

impl KeepSetting for TokenFile {
    fn keep(&self, path: &[String], value: &str) -> Result<Value> {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &self.file else {
            let error = "the provider replaces the refresh token, and `token_file` names no file to keep it in";
            return Err(Error::new(ErrorKind::Configuration, error));
        };
        settings.replaced.insert(path.join("/"), value.into());
        write(file, &serde_json::to_vec(&settings.replaced)?)?;
        Ok(value_of(&settings.current()))
    }
}

/// Written beside it and renamed, so that a crash leaves the old one or the new one; durable when this returns.
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file has rights for its owner alone.
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(bytes)?;
    beside.as_file().sync_all()?;
    beside.persist(file).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replaced_token_is_there_after_a_restart_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        let given =
            json!({ "credentials": { "refresh_token": "old", "client_id": "id" } }).as_object().unwrap().clone();
        let tokens = TokenFile::open(Some(file.clone()), given.clone()).unwrap();
        tokens.keep(&["credentials".to_owned(), "refresh_token".to_owned()], "new").unwrap();
        let again = TokenFile::open(Some(file.clone()), given.clone()).unwrap();
        assert_eq!(again.settings(), json!({ "credentials": { "refresh_token": "new", "client_id": "id" } }));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
        }
        let nowhere = TokenFile::open(None, given).unwrap();
        assert_eq!(nowhere.keep(&["refresh_token".to_owned()], "new").unwrap_err().kind(), ErrorKind::Configuration);
    }
}
