//! Exports with bytes that nobody wrote: a check says what is wrong or refuses, reading refuses, and nothing panics.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{Connector, Overlay, TransferOptions, WriteMode, transfer};
use saas_backup_formats::files::{self, FilesConfig, FilesConnector};
use saas_backup_formats::packed::{self, Packed};

use crate::lying::{forms, world, written};
use crate::support::files as tree;

/// What takes the place of some bytes of a file.
#[derive(Clone, Debug)]
struct Damage {
    file: Index,
    from: Index,
    length: usize,
    bytes: Vec<u8>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        "[\\x00-\\x7f]{0,12}".prop_map(String::into_bytes),
        proptest::sample::select(vec![
            "\"",
            ",",
            "\n",
            "\r\n ",
            "{",
            "]",
            "\0",
            ":",
            ";",
            "=",
            "../",
            "/",
            "\\",
            "-1",
            "18446744073709551616",
            "From ",
            "BEGIN:VEVENT\r\n",
            "END:VCARD\r\n",
            "DTSTART;TZID=:",
            "RRULE:FREQ=",
            "--",
            "\u{feff}",
            "\\N",
            "1e999",
            "null",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let length = prop_oneof![4 => 0..20_usize, 1 => 0..100_000_usize];
    (any::<Index>(), any::<Index>(), length, bytes).prop_map(|(file, from, length, bytes)| Damage {
        file,
        from,
        length,
        bytes,
    })
}

impl Damage {
    /// The bytes of a file, damaged.
    fn of(&self, whole: &[u8]) -> Vec<u8> {
        let from = self.from.index(whole.len() + 1);
        let to = (from + self.length).min(whole.len());
        [&whole[..from], &self.bytes, &whole[to..]].concat()
    }
}

/// A part of the usual number of cases: each is a look through a whole export.
fn few(part: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / part, ..usual }
}

fn read(runtime: &tokio::runtime::Runtime, connector: &dyn Connector) -> bool {
    let back = MemoryConnector::new(MemoryStore::new());
    runtime.block_on(transfer(connector, &back, TransferOptions::new(WriteMode::Create))).is_ok()
}

#[test]
fn a_damaged_export_is_looked_through_and_read_without_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (format, connector, check) in forms(folder.path()) {
        runtime.block_on(written(&*connector, "text/plain"));
        let path = folder.path().join(format);
        let whole = tree(&path);
        // What is listed and small is what parsers read; attachments are bytes.
        let files: Vec<_> =
            whole.keys().filter(|file| !file.contains("_attachments/") && !file.contains("blobs/")).collect();
        let noticed = Cell::new(0_u32);
        let mut runner = TestRunner::new(few(32));
        runner
            .run(&damage(), |damage| {
                let file = damage.file.get(&files);
                let damaged = damage.of(&whole[*file]);
                fs::write(path.join(file), &damaged).unwrap();
                let looked = check(&path);
                let is_read = read(&runtime, &*connector);
                noticed.set(noticed.get() + u32::from(!is_read || looked.is_err() || !looked.unwrap().is_clean()));
                fs::write(path.join(file), &whole[*file]).unwrap();
                Ok(())
            })
            .unwrap();
        assert!(noticed.get() > 0, "{format}: some damage is noticed");
        assert_eq!(check(&path).unwrap().findings, [], "{format}: the last damage was taken back");
    }
}

#[test]
fn a_damaged_packed_file_is_refused_without_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.zip", "a.tar.zst"] {
        let path = folder.path().join(name);
        let open = |folder: &Path| Ok(Arc::new(FilesConnector::new(FilesConfig::new(folder))) as Arc<dyn Connector>);
        let connector = Packed::new(&path, open).unwrap();
        runtime.block_on(written(&connector, "text/plain"));
        let whole = fs::read(&path).unwrap();
        let mut runner = TestRunner::new(few(8));
        let noticed = Cell::new(0_u32);
        runner
            .run(&damage(), |damage| {
                fs::write(&path, damage.of(&whole)).unwrap();
                let looked = packed::check(&path, files::check);
                noticed.set(noticed.get() + u32::from(looked.is_err() || !looked.unwrap().is_clean()));
                Ok(())
            })
            .unwrap();
        assert!(noticed.get() > 0, "{name}: some damage is noticed");
        fs::write(&path, &whole).unwrap();
        assert!(read(&runtime, &connector));
    }
}

/// Trees with the words of overlays in them.
fn overlay() -> impl Strategy<Value = serde_json::Value> {
    let words = || {
        proptest::sample::select(vec![
            "collections",
            "documents",
            "mail",
            "kind",
            "title",
            "fields",
            "body",
            "path",
            "markup",
            "html",
            "document",
            "parent",
            "labels",
            "properties",
            "refs",
            "to",
            "many",
            "form",
            "csv",
            "time",
            "author",
            "",
            "..",
            "a.b",
        ])
    };
    let leaf = prop_oneof![
        3 => words().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => any::<String>().prop_map(serde_json::Value::from),
    ];
    let tree = leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            4 => proptest::collection::btree_map(words(), inner, 0..5).prop_map(|members| serde_json::json!(members)),
        ]
    });
    // Most that is made by chance is refused at its first word.
    (any::<bool>(), words(), tree).prop_map(|(inside, name, tree)| {
        if inside { serde_json::json!({ "collections": { name: tree } }) } else { tree }
    })
}

proptest! {
    #[test]
    fn an_overlay_of_any_form_is_read_or_refused(value in overlay()) {
        if let Ok(overlay) = Overlay::parse(&value) {
            let mut catalog = world("").0;
            let before = catalog.collections.len();
            let _ = overlay.apply(&mut catalog);
            prop_assert_eq!(catalog.collections.len(), before);
        }
    }
}
