use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{BlobRef, Catalog, Collection, Kind, Record, RefRule, WriteMode};
use saas_backup_formats::git::{GitConfig, GitConnector, check};
use serde_json::json;

use crate::personal::{assert_round_trip, blob, hostile_catalog, hostile_records, mapping, record, reference, shown};
use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, write,
};

fn connector(path: &Path) -> GitConnector {
    GitConnector::new(GitConfig::new(path))
}

fn catalog() -> Catalog {
    let collection =
        |name_of: &str, kind| Collection::new(name(name_of), kind).with_fields(mapping("name", "text", &[]));
    Catalog::new(vec![
        collection("repositories", Kind::Repository),
        collection("issues", Kind::Issue).with_ref(RefRule::one("repository", name("repositories"))),
        collection("comments", Kind::Comment).with_ref(RefRule::one("issue", name("issues"))),
        collection("users", Kind::User),
    ])
}

const MAIN: &str = "1111111111111111111111111111111111111111 refs/heads/main\n";

/// A head as git writes it, and the beginning of the objects.
fn bundle_of(head: &str) -> Vec<u8> {
    [head.as_bytes(), b"\nPACK\0\0\0\x02\0\0\0\0"].concat()
}

fn world(bundle: &[u8]) -> (Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let (code, code_bytes) = blob("b1", "bundle", "code.bundle", "", bundle);
    let needing = format!("# v3 git bundle\n@object-format=sha1\n-{} before\n{MAIN}", "2".repeat(40));
    let (wiki, wiki_bytes) = blob("b2", "wiki", "", "application/x-git-bundle", &bundle_of(&needing));
    let (broken, broken_bytes) = blob("b3", "bundle", "", "", b"not a bundle");
    let (logo, logo_bytes) = blob("b4", "icon", "logo.png", "image/png", b"\x89PNG");
    let issue = |id: &str, repository: &str| {
        record("issues", id, &json!({ "name": id, "text": "x" }))
            .with_ref("repository", reference("repositories", repository))
    };
    let comment =
        |id: &str, of: &str| record("comments", id, &json!({ "text": id })).with_ref("issue", reference("issues", of));
    let records = vec![
        record("repositories", "1", &json!({ "name": "me/../code: 1" }))
            .with_blob(code.clone())
            .with_blob(wiki.clone())
            .with_blob(logo.clone()),
        record("repositories", "2", &json!({ "name": "ME/../CODE: 1" })).with_blob(broken.clone()),
        record("repositories", "3", &json!({ "name": "empty" })),
        issue("i1", "1"),
        issue("i2", "2"),
        issue("i3", "gone"),
        comment("c1", "i1"),
        comment("c2", "i1"),
        comment("c3", "i3"),
        record("users", "u", &json!({ "name": "u" })),
    ];
    (records, vec![(code, code_bytes), (wiki, wiki_bytes), (broken, broken_bytes), (logo, logo_bytes)])
}

async fn written(folder: &Path, bundle: &[u8]) -> PathBuf {
    let path = folder.join("code");
    let (records, blobs) = world(bundle);
    write(&connector(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn repositories_lie_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &bundle_of(&format!("# v2 git bundle\n{MAIN}"))).await;
    let mut tree = files(&path);
    tree.retain(|file, _| !file.starts_with("_source"));
    insta::assert_snapshot!(shown(&tree).replace('\0', "␀"));
}

#[tokio::test]
async fn planted_faults_are_found() {
    let good = format!("# v2 git bundle\n{MAIN}");
    let cases = [
        (good.clone(), None),
        (good.replace("v2", "v9"), Some("it is no bundle")),
        (good.replace("1111 refs", "111 refs"), Some("its head has a line that is none")),
        (format!("{good}{} x", "3".repeat(40)), Some("its head does not end")),
        (good.replace("heads/main", "heads/other"), Some("its references are not those that names.json names")),
        (good.replace('\n', &format!("\n-{}\n", "4".repeat(40))), Some("it needs commits")),
    ];
    for (head, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &bundle_of(&good)).await;
        let mut bytes = bundle_of(&head);
        if expected == Some("its head does not end") {
            bytes.truncate(head.len());
        }
        fs::write(path.join("repositories/me-..-code- 1.bundle"), bytes).unwrap();
        let report = check(&path).unwrap();
        let found = report.findings.iter().filter(|found| found.file.ends_with("/me-..-code- 1.bundle"));
        let found: Vec<&str> = found.map(|found| found.problem.as_str()).filter(|it| !it.contains("bytes")).collect();
        match expected {
            None => assert_eq!(found, Vec::<&str>::new()),
            Some(expected) => assert!(found.iter().any(|found| found.starts_with(expected)), "{expected}: {found:?}"),
        }
        assert_eq!(report.checked["bundles"], 3);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), format!("# v2 git bundle\n{MAIN}\nPARK").as_bytes()).await;
    assert!(check(&path).unwrap().findings.iter().any(|found| found.problem == "it has no objects"));
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle_of(&format!("# v2 git bundle\n{MAIN}"));
    let first = files(&written(folder.path(), &bundle).await);
    let path = folder.path().join("again");
    let (records, blobs) = world(&bundle);
    assert_same_in_any_order(&connector(&path), &path, &first, (start(catalog(), 77), puts(&records), blobs)).await;
}

#[tokio::test]
async fn it_reads_back_everything() {
    let folder = tempfile::tempdir().unwrap();
    assert_reads_back(&connector(&folder.path().join("code"))).await;
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(connector).await;
}

const PROPERTIES: [&str; 2] = ["title", "body"];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_records_hold_the_files_have_no_fault_and_read_back(records in hostile_records("repositories", &PROPERTIES)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        assert_round_trip(&connector(&path), hostile_catalog("repositories", Kind::Repository, &PROPERTIES), &records);
        proptest::prop_assert_eq!(check(&path).unwrap().findings, []);
    }
}

mod live_readers {
    use std::process::Command;

    use super::*;
    use crate::support::succeeded;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(folder).args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(arguments);
        succeeded(command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null"))
    }

    // Debian's `git`.
    #[tokio::test]
    #[ignore = "needs git"]
    async fn git_verifies_and_clones_a_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let origin = folder.path().join("origin");
        fs::create_dir(&origin).unwrap();
        git(&origin, &["init", "--quiet", "--initial-branch=main"]);
        for (file, branch) in [("a.txt", "other"), ("größe.txt", "main")] {
            fs::write(origin.join(file), file).unwrap();
            git(&origin, &["add", "--all"]);
            git(&origin, &["commit", "--quiet", "--message", file]);
            git(&origin, &["branch", "--force", &format!("{branch}-kept")]);
        }
        git(&origin, &["tag", "--annotate", "v1", "--message", "one"]);
        git(&origin, &["bundle", "create", "--quiet", "../b.bundle", "--all", "HEAD"]);
        let bundle = fs::read(folder.path().join("b.bundle")).unwrap();

        let path = written(folder.path(), &bundle).await;
        let file = path.join("repositories/me-..-code- 1.bundle");
        assert_eq!(fs::read(&file).unwrap(), bundle);
        let file = file.to_str().unwrap();
        git(&origin, &["bundle", "verify", "--quiet", file]);
        git(folder.path(), &["clone", "--quiet", "--mirror", file, "clone.git"]);
        let clone = folder.path().join("clone.git");
        git(&clone, &["fsck", "--full", "--strict"]);
        let refs = ["for-each-ref", "--format=%(objectname) %(refname)"];
        assert_eq!(git(&clone, &refs), git(&origin, &refs));

        let listed: serde_json::Value = serde_json::from_slice(&fs::read(path.join("names.json")).unwrap()).unwrap();
        let named =
            listed.as_array().unwrap().iter().find(|named| named["id"] == "1" && named["role"] == "bundle").unwrap();
        for line in git(&origin, &refs).lines() {
            let (object, name) = line.split_once(' ').unwrap();
            assert_eq!(named["refs"][name], object);
        }
        let report = check(&path).unwrap();
        assert!(report.findings.iter().all(|found| found.file != "repositories/me-..-code- 1.bundle"), "{report:?}");
    }
}
