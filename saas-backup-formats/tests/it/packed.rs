use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use saas_backup_core::{Connector, ErrorKind, SinkOptions, SnapshotOptions, WriteMode};
use saas_backup_formats::jsonl::{self, JsonlConfig, JsonlConnector};
use saas_backup_formats::packed::{Packed, check};
use zip::write::SimpleFileOptions;

use crate::support::{assert_reads_back, puts, start, world, write};

fn packed(path: &Path) -> Packed {
    Packed::new(path, |folder| Ok(Arc::new(JsonlConnector::new(JsonlConfig::new(folder))))).unwrap()
}

async fn refusal(path: &Path) -> ErrorKind {
    let temporary = fs::read_dir(path.parent().unwrap()).unwrap().count();
    let refused = packed(path).snapshot(SnapshotOptions::default()).await.unwrap_err();
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), temporary);
    refused.kind()
}

#[tokio::test]
async fn a_packed_archive_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["notes.zip", "notes.tar.zst"] {
        let path = folder.path().join(name);
        assert_reads_back(&packed(&path)).await;
        assert!(check(&path, jsonl::check).unwrap().is_clean());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside {name}");
        fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn the_same_records_give_the_same_file_but_for_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, records, blobs) = world();
    for ending in ["zip", "tar.zst"] {
        let written = ["one", "two"].map(|place| folder.path().join(place).join(format!("notes.{ending}")));
        for path in &written {
            write(&packed(path), WriteMode::Create, &start(catalog.clone(), 0), puts(&records), &blobs).await.unwrap();
        }
        assert!(fs::read(&written[0]).unwrap() == fs::read(&written[1]).unwrap(), "{ending}");
    }
}

#[tokio::test]
async fn what_is_no_export_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.zip");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    zip.start_file("photos/cat.png", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    let before = fs::read(&path).unwrap();
    for mode in [WriteMode::Create, WriteMode::Overwrite] {
        let refused = packed(&path).sink(SinkOptions::new(mode)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(fs::read(&path).unwrap() == before);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let path = folder.path().join("notes.zip");
    let (catalog, records, blobs) = world();
    for mode in [WriteMode::Create, WriteMode::Overwrite] {
        write(&packed(&path), mode, &start(catalog.clone(), 0), puts(&records), &blobs).await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_packs_who_means_well_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("a.zip");
    let entries: [&[&str]; 6] =
        [&["../evil"], &["/etc/evil"], &["a/../../evil"], &["a/x", "b/x"], &["a\\..\\..\\evil"], &["a/x", "a/x/y"]];
    for names in entries {
        let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
        for name in names {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(b"x").unwrap();
        }
        writer.finish().unwrap();
        let kind = refusal(&zip).await;
        assert!(matches!(kind, ErrorKind::InvalidData | ErrorKind::Unavailable), "{names:?}: {kind:?}");
    }
    let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
    writer.add_symlink("a/link", "/etc", SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap();
    assert_eq!(refusal(&zip).await, ErrorKind::InvalidData);

    let tar = folder.path().join("a.tar.zst");
    for (kind, name) in [
        (tar::EntryType::Symlink, "a/link"),
        (tar::EntryType::Link, "a/link"),
        (tar::EntryType::Char, "a/device"),
        (tar::EntryType::Regular, "../evil"),
    ] {
        let mut builder = tar::Builder::new(zstd::Encoder::new(File::create(&tar).unwrap(), 1).unwrap());
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        builder.into_inner().unwrap().finish().unwrap();
        assert_eq!(refusal(&tar).await, ErrorKind::InvalidData, "{kind:?}");
    }
    assert!(!folder.path().join("evil").exists() && !folder.path().parent().unwrap().join("evil").exists());
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_fills_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.tar.zst");
    let mut tar = tar::Builder::new(zstd::Encoder::new(File::create(&path).unwrap(), 19).unwrap());
    let mut header = tar::Header::new_gnu();
    let size = 1 << 28;
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, "a/zeros", std::io::repeat(0).take(size)).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    assert_eq!(refusal(&path).await, ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, records, blobs) = world();
    for name in ["notes.zip", "notes.tar.zst"] {
        let path = folder.path().join(name);
        write(&packed(&path), WriteMode::Create, &start(catalog.clone(), 0), puts(&records), &blobs).await.unwrap();
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], &whole[..0], b"not packed at all, but long enough to be looked at"] {
            fs::write(&path, damaged).unwrap();
            let kind = refusal(&path).await;
            assert_eq!(kind, ErrorKind::InvalidData, "{name}, {} bytes", damaged.len());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(refusal(&path).await, ErrorKind::NotFound);
    }
}
