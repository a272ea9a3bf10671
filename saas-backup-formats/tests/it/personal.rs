//! What the tests of personal formats share: short ways to records, and foreign readers.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use saas_backup_core::{BlobId, BlobRef, Body, Digest, FieldMapping, Json, Key, Markup, Record, Reference};

pub(crate) fn record(collection: &str, id: &str, data: &serde_json::Value) -> Record {
    Record::new(Key::parse(collection, id).unwrap(), Json::from_value(data).unwrap())
}

pub(crate) fn reference(collection: &str, id: &str) -> Reference {
    Reference::from(&Key::parse(collection, id).unwrap())
}

/// A blob and its bytes.
pub(crate) fn blob(id: &str, role: &str, name: &str, media_type: &str, bytes: &[u8]) -> (BlobRef, Bytes) {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut blob = BlobRef::new(BlobId::parse(id).unwrap(), role).with_digest(Digest::of(&bytes));
    blob.name = Some(name.to_owned()).filter(|name| !name.is_empty());
    blob.media_type = Some(media_type.to_owned()).filter(|media_type| !media_type.is_empty());
    (blob, bytes)
}

/// A mapping of a title, a plain text, and properties that stand under their own names.
pub(crate) fn mapping(title: &str, body: &str, properties: &[&str]) -> FieldMapping {
    let mut fields = FieldMapping::default();
    fields.title = Some(title.to_owned());
    fields.body = Some(Body::new(body, Markup::Plain));
    fields.properties = properties.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
    fields
}

/// All files of a tree as a person reads them.
pub(crate) fn shown(files: &std::collections::BTreeMap<String, Vec<u8>>) -> String {
    let mut shown = String::new();
    for (file, bytes) in files {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if file != "SHA256SUMS" && file != "manifest.json" => text.replace('\r', "␍"),
            _ => "(bytes)".to_owned(),
        };
        let _ = writeln!(shown, "═══ {file}\n{}", text.trim_end());
    }
    shown
}

/// Runs a Python script of `tests/readers` on a folder; gives what it prints.
pub(crate) fn python(script: &str, folder: &Path) -> String {
    let python = std::env::var_os("SAAS_BACKUP_TEST_READERS_PYTHON").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script);
    succeeded(Command::new(python).arg(script).arg(folder))
}

/// Runs a program that must succeed; gives what it prints.
pub(crate) fn succeeded(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}
