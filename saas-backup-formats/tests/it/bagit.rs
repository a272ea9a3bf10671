use std::fs;
use std::path::Path;

use saas_backup_core::{Catalog, Connector, ErrorKind, SnapshotOptions, WriteMode};
use saas_backup_formats::bagit::{BagItConfig, BagItConnector, check};

use crate::support::{assert_reads_back, files, puts, start, world, write};

fn bag(path: &Path) -> BagItConnector {
    BagItConnector::new(BagItConfig::new(path))
}

async fn written(path: &Path) {
    let (catalog, records, blobs) = world();
    write(&bag(path), WriteMode::Create, &start(catalog, 0), puts(&records), &blobs).await.unwrap();
}

#[tokio::test]
async fn a_bag_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    assert_reads_back(&bag(&path)).await;
    assert_eq!(check(&path).unwrap().findings, []);
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, records, blobs) = world();
    let mut trees = Vec::new();
    for round in 0..2 {
        let path = folder.path().join(round.to_string());
        let mut events = puts(&records);
        if round == 1 {
            events.reverse();
        }
        write(&bag(&path), WriteMode::Create, &start(catalog.clone(), round), events, &blobs).await.unwrap();
        trees.push(files(&path));
    }
    assert!(trees[0] == trees[1], "{:?}", trees[0].keys());
}

#[tokio::test]
async fn planted_faults_are_found_and_a_damaged_bag_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let plant = |name: &str, fault: &dyn Fn(&Path)| {
        let path = folder.path().join(name);
        fault(&path);
        let report = check(&path).unwrap();
        assert!(!report.is_clean(), "{name}");
        report.findings.into_iter().map(|found| format!("{}: {}", found.file, found.problem)).collect::<Vec<_>>()
    };
    for name in ["changed", "missing", "extra", "declaration", "tag", "twice", "size", "malformed"] {
        written(&folder.path().join(name)).await;
    }
    let records = "data/records/pages.jsonl";
    let found = plant("changed", &|bag| {
        let mut text = fs::read(bag.join(records)).unwrap();
        text[40] ^= 1;
        fs::remove_file(bag.join(records)).unwrap();
        fs::write(bag.join(records), text).unwrap();
    });
    assert_eq!(found, [format!("{records}: a file of the payload that is not as it was listed")]);
    let found = plant("missing", &|bag| fs::remove_file(bag.join(records)).unwrap());
    assert!(found[0].contains("listed and not there"), "{found:?}");
    let found = plant("extra", &|bag| fs::write(bag.join("data/extra"), "x").unwrap());
    assert!(found[0].contains("not listed"), "{found:?}");
    let found = plant("declaration", &|bag| fs::write(bag.join("bagit.txt"), "BagIt-Version: 0.97\n").unwrap());
    assert!(found[0].contains("declaration"), "{found:?}");
    let found = plant("tag", &|bag| fs::write(bag.join("README.txt"), "other").unwrap());
    assert_eq!(found, ["README.txt: a tag file that is missing, or not as it was listed"]);

    let edit = |bag: &Path, file: &str, change: &dyn Fn(&str) -> String| {
        let text = fs::read_to_string(bag.join(file)).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed);
        fs::write(bag.join(file), changed).unwrap();
    };
    let found = plant("twice", &|bag| edit(bag, "manifest-sha256.txt", &|text| text.repeat(2)));
    assert!(found.contains(&format!("{records}: a file of the payload that is listed twice")), "{found:?}");
    let found =
        plant("size", &|bag| edit(bag, "bag-info.txt", &|text| text.replace("Payload-Oxum: ", "Payload-Oxum: 1")));
    assert!(found.contains(&"bag-info.txt: the size of the payload is another one".to_owned()), "{found:?}");
    let malformed = folder.path().join("malformed");
    edit(&malformed, "manifest-sha256.txt", &|text| text.replace("  ", " "));
    assert_eq!(check(&malformed).unwrap_err().kind(), ErrorKind::InvalidData);

    for name in ["changed", "missing"] {
        let refused = bag(&folder.path().join(name)).snapshot(SnapshotOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Integrity);
    }
}

#[tokio::test]
async fn an_empty_account_makes_a_bag_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    write(&bag(&path), WriteMode::Create, &start(Catalog::default(), 0), Vec::new(), &[]).await.unwrap();
    assert!(check(&path).unwrap().is_clean());
}

mod live_readers {
    use super::*;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs the Python library bagit: testing/servers up readers"]
    async fn bagit_validates_it_and_rocrate_metadata_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        written(&path).await;
        python("bag.py", &path);
    }
}
