use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saas_backup_core::Result;
use serde::Serialize;
use tempfile::TempDir;

/// A folder for one run of a program, for its owner's eyes alone; gone with the last that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Files(Arc<TempDir>);

impl Files {
    /// Makes an empty folder.
    pub(crate) fn new() -> Result<Self> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("saas-backup-");
        #[cfg(unix)]
        folder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        Ok(Self(Arc::new(folder.tempdir()?)))
    }

    /// Where it is: the program's folder for what it keeps meanwhile.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a value as JSON, to be named in the program's arguments.
    pub(crate) fn write(&self, name: &str, value: &impl Serialize) -> Result<PathBuf> {
        let path = self.0.path().join(name);
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        Ok(path)
    }

    /// Reads a file that the program may have changed; `None` if it is no JSON, or not there.
    pub(crate) fn read(&self, name: &str) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(self.0.path().join(name)).ok()?).ok()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn settings_can_be_read_by_their_owner_alone_and_leave_with_the_run() {
        let files = Files::new().unwrap();
        let path = files.write("config.json", &serde_json::json!({ "token": "secret" })).unwrap();
        let folder = files.path().to_owned();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0);
        assert_eq!(files.read("config.json").unwrap()["token"], "secret");
        drop(files);
        assert!(!path.exists() && !folder.exists());
    }
}
