//! A session driven by hand, and folders compared byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::{self, assert_same, sample_blob, sample_collection, sample_records};
use saas_backup_core::{
    BlobRef, BlobSlot, Catalog, CollectionCoverage, CollectionName, Connector, Coverage, Digest, Event, Feed, Json,
    Key, Outcome, Receipt, Record, Result, RunId, RunReport, RunStart, Sink, SinkOptions, SnapshotOptions, StoredBlob,
    TransferOptions, Visibility, WriteMode, transfer,
};

pub(crate) fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

pub(crate) fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).unwrap()
}

pub(crate) fn start(catalog: Catalog, seconds: i64) -> RunStart {
    let mut coverage = Coverage::default();
    for collection in catalog.names() {
        coverage = coverage.with(collection.clone(), CollectionCoverage::new(Visibility::All));
    }
    RunStart::new(RunId::new(time(seconds)), time(seconds), catalog, coverage)
}

/// Hands a blob over as the engine does.
pub(crate) async fn give_blob(sink: &dyn Sink, owner: &Key, blob: &BlobRef, bytes: &Bytes) -> Result<bool> {
    let BlobSlot::Want(mut writer) = sink.blob(owner, blob).await? else { return Ok(false) };
    for chunk in bytes.chunks(1000) {
        writer.write(Bytes::copy_from_slice(chunk)).await?;
    }
    writer.finish(StoredBlob { digest: Digest::of(bytes), size: bytes.len() as u64 }).await?;
    Ok(true)
}

/// One whole session: blobs first, then the events in one feed.
pub(crate) async fn write(
    connector: &dyn Connector,
    mode: WriteMode,
    start: &RunStart,
    events: Vec<Event>,
    blobs: &[(BlobRef, Bytes)],
) -> Result<Receipt> {
    let sink = connector.sink(SinkOptions::new(mode)).await?;
    sink.begin(start).await?;
    let owner = Key::parse("any", "any")?;
    for (blob, bytes) in blobs {
        give_blob(&*sink, &owner, blob, bytes).await?;
    }
    let mut writer = sink.writer(&Feed::slice(name("any"))).await?;
    for batch in events.chunks(7) {
        let outcomes = writer.write(batch.to_vec()).await?;
        assert_eq!(outcomes.len(), batch.len());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored | Outcome::Unchanged)), "{outcomes:?}");
    }
    writer.flush(None).await?;
    writer.close().await?;
    let mut report = RunReport::new(start.run, start.started);
    report.coverage = start.coverage.clone();
    sink.commit(&report).await
}

pub(crate) fn puts(records: &[Record]) -> Vec<Event> {
    records.iter().map(|record| Event::Put(Box::new(record.clone()))).collect()
}

/// All files of a folder but the report of the run.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    paths(folder).into_iter().map(|path| (path.clone(), fs::read(folder.join(path)).unwrap())).collect()
}

/// The paths of these files.
pub(crate) fn paths(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                if relative != "report.json" {
                    found.push(relative);
                }
            }
        }
    }
    found.sort();
    found
}

/// Two collections with nasty records, one of them with a blob.
pub(crate) fn world() -> (Catalog, Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let schema = Json::parse(r#"{"type":"object","maximum":18446744073709551616}"#).unwrap();
    let catalog = Catalog::new(vec![
        sample_collection(name("pages")).with_schema(schema),
        sample_collection(name("CON/../☃")),
        sample_collection(name("empty")),
    ]);
    let mut records = sample_records(&name("pages"), 1, 60).unwrap();
    records.extend(sample_records(&name("CON/../☃"), 2, 30).unwrap());
    let (blob, bytes) = sample_blob("file-1", 3, 5000).unwrap();
    records[0].blobs.push(blob.clone());
    records[7].blobs.push(blob.clone().with_path("/data/again"));
    (catalog, records, vec![(blob, bytes)])
}

/// What loses nothing reads back the same, and is a source like any other.
pub(crate) async fn assert_reads_back(connector: &dyn Connector) {
    let (catalog, records, blobs) = world();
    let store = MemoryStore::new();
    store.set_catalog(catalog.clone());
    for (blob, bytes) in &blobs {
        store.put_blob(blob.id.clone().unwrap(), bytes.clone());
    }
    for record in records {
        store.put(record);
    }
    let source = MemoryConnector::new(store);
    let done = transfer(&source, connector, TransferOptions::new(WriteMode::Create)).await.unwrap();
    assert_eq!(done.report.totals().written, 90);

    let there = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    assert_same(&*source.snapshot(SnapshotOptions::default()).await.unwrap(), &*there).await.unwrap();
    assert_eq!(there.catalog().await.unwrap(), catalog);

    let back = MemoryConnector::new(MemoryStore::new());
    transfer(connector, &back, TransferOptions::new(WriteMode::Create)).await.unwrap();
    assert_same(&*there, &*back.snapshot(SnapshotOptions::default()).await.unwrap()).await.unwrap();

    let report = testkit::connector(connector).await;
    report.assert_passed();
    assert!(report.passed().len() > 20, "{report}");
}

/// What every sink owes the engine, of new exports in a folder.
pub(crate) async fn assert_conforms_as_sink<C: Connector>(connector: impl Fn(&Path) -> C + Send + Sync) {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    let report = testkit::sink(async || {
        let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        Ok(Arc::new(connector(&path)) as Arc<dyn Connector>)
    })
    .await;
    report.assert_passed();
    assert!(report.passed().len() > 3, "{report}");
}

/// What comes backwards, with and without some of it again, gives the files that were there `first`.
pub(crate) async fn assert_same_in_any_order(
    connector: &dyn Connector,
    path: &Path,
    first: &BTreeMap<String, Vec<u8>>,
    (start, mut events, mut blobs): (RunStart, Vec<Event>, Vec<(BlobRef, Bytes)>),
) {
    events.reverse();
    blobs.reverse();
    // Delivery is at least once: what comes again changes nothing.
    for repeated in [0, 5] {
        let again = events.iter().take(repeated);
        let events = events.iter().chain(again).cloned().collect();
        write(connector, WriteMode::Create, &start, events, &blobs).await.unwrap();
        let second = files(path);
        assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
        for (path, bytes) in first {
            assert!(bytes == &second[path], "{path} differs");
        }
        fs::remove_dir_all(path).unwrap();
    }
}

/// Runs a script of `tests/readers` in the Python that has the foreign readers; gives what it prints.
#[cfg(feature = "_form")]
pub(crate) fn python(script: &str, path: &Path) -> String {
    python_with(script, path, &[])
}

/// As [`python`], with more arguments behind the path.
#[cfg(feature = "_form")]
pub(crate) fn python_with(script: &str, path: &Path, arguments: &[&str]) -> String {
    let python = std::env::var_os("SAAS_BACKUP_TEST_READERS_PYTHON").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(script);
    succeeded(std::process::Command::new(python).arg(script).arg(path).args(arguments))
}

/// Opens a folder of pages in Chromium and takes steps there, as `tests/readers/browse.py` describes them.
#[cfg(feature = "html")]
pub(crate) fn browse(folder: &Path, steps: &serde_json::Value) -> serde_json::Value {
    use std::process::{Command, Stdio};

    let python = std::env::var("SAAS_BACKUP_TEST_READERS_PYTHON").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers/browse.py");
    let mut reader =
        Command::new(python).arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(reader.stdin.take().unwrap(), steps).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a program that must succeed; gives what it prints.
#[cfg(feature = "_form")]
pub(crate) fn succeeded(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{errors}", output.status);
    said
}

/// Makes a site of a vault, which must lie in a folder `content`; gives the folder of the site.
#[cfg(feature = "markdown")]
pub(crate) fn build_with_hugo(content: &Path) -> std::path::PathBuf {
    // A list is `_index.md` to Hugo; what is no page is none.
    for file in paths(content) {
        let path = content.join(&file);
        if file.starts_with("_source/") || !file.contains('.') || file.ends_with("json") || file.ends_with("jsonl") {
            fs::remove_file(path).unwrap();
        } else if file.rsplit('/').next() == Some("index.md") {
            fs::rename(&path, path.with_file_name("_index.md")).unwrap();
        }
    }
    let source = content.parent().unwrap();
    let kinds = "disableKinds = [\"taxonomy\", \"term\", \"RSS\", \"sitemap\"]\n";
    fs::write(source.join("hugo.toml"), kinds).unwrap();
    let layouts = source.join("layouts/_default");
    fs::create_dir_all(&layouts).unwrap();
    for kind in ["single", "list"] {
        fs::write(layouts.join(format!("{kind}.html")), "<h1>{{ .Title }}</h1>{{ .Content }}").unwrap();
    }
    let mut hugo = std::process::Command::new("hugo");
    succeeded(hugo.arg("--source").arg(source).args(["--panicOnWarning", "--printPathWarnings"]));
    source.join("public")
}
