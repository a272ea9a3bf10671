//! An attachment of a gibibyte: it arrives as it was, programs of others read it, and it never is in memory as a whole.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use saas_backup_core::{
    BlobId, BlobRef, BlobSlot, Body, Catalog, CheckReport, Collection, Connector, Digest, Event, Feed, FieldMapping,
    Json, Key, Kind, Markup, Record, Result, RunReport, SinkOptions, StoredBlob, WriteMode,
};
use sha2::{Digest as _, Sha256};

use crate::support::{name, start};

/// Ignored because they need gigabytes of room, and programs that nobody here wrote.
mod live_readers {
    mod mail;
    mod packed;
    mod sites;
    mod tables;
    mod trees;
}

const BLOCK: u64 = 1 << 20;
const GIBIBYTE: u64 = 1 << 30;
const MOST_MEMORY: u64 = 256 << 20;

type Check = fn(&Path) -> Result<CheckReport>;

/// Bytes that nothing packs, in blocks of which each is another one.
fn noise(bytes: u64) -> impl Iterator<Item = Bytes> {
    let mut state = 1_u64;
    let mut words = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 24) as u8
    });
    let block: Vec<u8> = words.by_ref().take(BLOCK as usize).collect();
    (0..bytes.div_ceil(BLOCK)).map(move |number| {
        let mut block = block.clone();
        block[..8].copy_from_slice(&number.to_be_bytes());
        block.rotate_left(number as usize);
        block.truncate(BLOCK.min(bytes - number * BLOCK) as usize);
        Bytes::from(block)
    })
}

fn attachment() -> BlobRef {
    BlobRef::new(BlobId::parse("large").unwrap(), "content").with_name("large.bin")
}

/// Writes one record with an attachment, and gives the attachment's digest.
async fn written(connector: &dyn Connector, kind: Kind, blob: BlobRef, blocks: impl Iterator<Item = Bytes>) -> Digest {
    let mut fields = FieldMapping::default();
    fields.title = Some("title".to_owned());
    fields.body = Some(Body::new("body", Markup::Plain));
    fields.time = Some("at".to_owned());
    let catalog = Catalog::new(vec![Collection::new(name("things"), kind).with_fields(fields)]);
    let start = start(catalog, 0);
    let key = Key::parse("things", "1").unwrap();

    let sink = connector.sink(SinkOptions::new(WriteMode::Create)).await.unwrap();
    sink.begin(&start).await.unwrap();
    let BlobSlot::Want(mut writer) = sink.blob(&key, &blob).await.unwrap() else { panic!("a new one") };
    let (mut digest, mut size) = (Sha256::new(), 0);
    for block in blocks {
        digest.update(&block);
        size += block.len() as u64;
        writer.write(block).await.unwrap();
    }
    let digest = Digest::from_bytes(digest.finalize().into());
    writer.finish(StoredBlob { digest, size }).await.unwrap();
    let data = serde_json::json!({ "title": "Large", "body": "See the attachment.", "at": "2024-05-01T10:00:00Z" });
    let record = Record::new(key, Json::from_value(&data).unwrap()).with_blob(blob.with_size(size).with_digest(digest));
    let mut writer = sink.writer(&Feed::slice(name("things"))).await.unwrap();
    writer.write(vec![Event::Put(Box::new(record))]).await.unwrap();
    writer.flush(None).await.unwrap();
    writer.close().await.unwrap();
    let mut report = RunReport::new(start.run, start.started);
    report.coverage = start.coverage.clone();
    sink.commit(&report).await.unwrap();
    digest
}

/// Writes a gibibyte, and lets the format's own check look through the export. Gives the digest.
async fn arrives(connector: &dyn Connector, path: &Path, kind: Kind, blob: BlobRef, check: Check) -> Digest {
    let digest = written(connector, kind, blob, noise(GIBIBYTE)).await;
    assert_eq!(check(path).unwrap().findings, []);
    assert_memory();
    digest
}

fn digest_of(mut from: impl Read) -> Digest {
    let (mut digest, mut block) = (Sha256::new(), vec![0; BLOCK as usize]);
    loop {
        let read = from.read(&mut block).unwrap();
        if read == 0 {
            return Digest::from_bytes(digest.finalize().into());
        }
        digest.update(&block[..read]);
    }
}

/// The digest of what a program prints, which must succeed.
fn digest_told(command: &mut Command) -> Digest {
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    let digest = digest_of(program.stdout.take().unwrap());
    assert!(program.wait().unwrap().success(), "{command:?}");
    digest
}

/// The most memory that the process had.
fn assert_memory() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024;
    assert!(peak < MOST_MEMORY, "{peak} bytes");
}

/// The files below a folder that are as large as the attachment, or larger.
fn large_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(large_files(&path));
        } else if path.metadata().unwrap().len() >= GIBIBYTE {
            found.push(path);
        }
    }
    found.sort();
    found
}
