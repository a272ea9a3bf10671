use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use saas_backup::core::memory::{MemoryConnector, MemoryStore};
use saas_backup::core::{
    Catalog, Collection, CollectionName, Connector, FieldMapping, Json, Key, Kind, Record, TransferOptions, WriteMode,
    transfer,
};
use saas_backup::{Context, Registry};
use tempfile::TempDir;

/// A folder with a home, a state folder and an account of its own.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// What a run of the command left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The objects on stdout.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Sends a running command a signal. The shell's own `kill`: a bare machine has no program of that name.
#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// A folder with a repository and the source `notes`, which holds `posts` 1 to 3.
    pub(crate) fn with_notes() -> Self {
        let sandbox = Self::new();
        sandbox.run(&["init"]).expect(0);
        sandbox.configure("\n[[source]]\nname = \"notes\"\nconnector = \"jsonl\"\npath = \"account\"\n");
        sandbox.account(&[("1", "one"), ("2", "two"), ("3", "three")]);
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.path("saas-backup.toml");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, before + text).unwrap();
    }

    /// Replaces a part of the configuration.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let path = self.path("saas-backup.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{before}");
        std::fs::write(path, before.replace(from, to)).unwrap();
    }

    /// The objects of the repository, by their path in it.
    pub(crate) fn repository(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path("saas-backup-repository");
        let mut folders = vec![root.clone()];
        let mut files = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(&root).unwrap().to_owned(), std::fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saas-backup"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("SAAS_BACKUP_CONFIG")
            .env_remove("SAAS_BACKUP_LOG")
            .env("SAAS_BACKUP_STATE_DIR", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Sets what the account holds: ids and titles of `posts`.
    pub(crate) fn account(&self, posts: &[(&str, &str)]) {
        let store = MemoryStore::new();
        let name = CollectionName::from_static("posts");
        let mut fields = FieldMapping::default();
        fields.title = Some("title".to_owned());
        let collection = Collection::new(name.clone(), Kind::Document).with_title("Posts").with_fields(fields);
        store.set_catalog(Catalog::new(vec![collection]));
        for (id, title) in posts {
            let data = format!("{{\"title\":{},\"price\":1.10}}", serde_json::Value::from(*title));
            store.put(Record::new(Key::parse("posts", id).unwrap(), Json::parse(data).unwrap()));
        }
        write_archive(&MemoryConnector::new(store), &self.path("account"));
    }
}

/// Writes an archive, in place of what is there.
fn write_archive(from: &MemoryConnector, path: &Path) {
    let context = Context::new("", "");
    let archive: Arc<dyn Connector> = Registry::default().find_format("jsonl").unwrap().open(path, &context).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(transfer(from, &archive, TransferOptions::new(WriteMode::Overwrite))).unwrap();
}
