use std::io::Write as _;
use std::path::{Path, PathBuf};

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// The settings of a program: those that were given, or those in a file, where the ones that it replaces are kept.
#[derive(Clone)]
pub(crate) struct Settings {
    given: Map<String, Value>,
    file: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn new(given: Map<String, Value>, file: Option<PathBuf>) -> Self {
        Self { given, file }
    }

    /// What holds now. Blocks while the file is read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the file is there and is no JSON object.
    pub(crate) fn current(&self) -> Result<Value> {
        let Some(file) = self.file.as_deref().filter(|file| file.exists() || self.given.is_empty()) else {
            return Ok(Value::Object(self.given.clone()));
        };
        let wrong =
            |what: &'static str| Error::new(ErrorKind::Configuration, what).with_context("file", file.display());
        let bytes =
            std::fs::read(file).map_err(|error| wrong("the file of settings cannot be read").with_source(error))?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(settings)) => Ok(Value::Object(settings)),
            _ => Err(wrong("the file of settings is not a JSON object")),
        }
    }

    /// Keeps what the program replaced, durable when this returns: the next run would be refused with the old ones.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no file to keep them in.
    pub(crate) fn keep(&self, settings: &Value) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the program replaces its settings, and `config_file` names no file to keep them in",
            ));
        };
        write(file, &serde_json::to_vec(settings)?)
    }
}

/// Shows none of the values.
impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.given.keys().collect();
        formatter.debug_struct("Settings").field("given", &names).field("file", &self.file).finish()
    }
}

/// Written beside it and renamed, so that a crash leaves the old one or the new one.
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
    fn replaced_settings_are_there_after_a_restart_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tap.json");
        let given = json!({ "refresh_token": "old" }).as_object().unwrap().clone();
        let settings = Settings::new(given.clone(), Some(file.clone()));
        assert_eq!(settings.current().unwrap(), json!({ "refresh_token": "old" }));
        settings.keep(&json!({ "refresh_token": "new" })).unwrap();
        let again = Settings::new(given.clone(), Some(file.clone()));
        assert_eq!(again.current().unwrap(), json!({ "refresh_token": "new" }));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
        }
        assert!(!format!("{again:?}").contains("old"));
        assert_eq!(Settings::new(given, None).keep(&json!({})).unwrap_err().kind(), ErrorKind::Configuration);
        std::fs::write(&file, "[1]").unwrap();
        assert_eq!(again.current().unwrap_err().kind(), ErrorKind::Configuration);
    }
}
