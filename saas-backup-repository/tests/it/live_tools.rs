//! Stock tools read what this crate wrote, and this crate reads what they wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use saas_backup_core::memory::MemoryStore;
use saas_backup_core::{At, BlobId, BlobRef, LineCodec, PartitionId};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions};
use secrecy::ExposeSecret as _;

use crate::support::{back_up_memory, clock, holds, key, lacks, live, note, tell};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/read_without_us.sh")
}

fn run(arguments: &[&Path]) -> Vec<u8> {
    let done = Command::new("bash").arg(script()).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

#[tokio::test]
#[ignore = "needs age, zstd, jq, sed and sha256sum: ./test runs it"]
async fn a_shell_script_restores_a_collection_and_an_attachment() {
    let clock = clock();
    for identity in [None, Some(Identity::generate())] {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repository");
        let key_file = folder.path().join("me.key");
        let mut options = RepositoryOptions::parse(repository.to_str().unwrap()).unwrap();
        let mut arguments: Vec<PathBuf> = Vec::new();
        if let Some(identity) = identity {
            std::fs::write(&key_file, identity.to_file().expose_secret()).unwrap();
            arguments.push(key_file.clone());
            options = options.with_keys(Keys::owner(identity));
        }
        let blog = Repository::init(options).await.unwrap().source("blog").unwrap();
        let records = MemoryStore::new();
        for id in 0..3000 {
            records.put(note(&format!("{id} \"ü\""), &format!("text {id} {}", "lorem ipsum ".repeat(id % 90))));
        }
        let large: Vec<u8> = (0..9_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (id, bytes) in [("small", b"all work and no play ".repeat(50)), ("large", large.clone())] {
            records.put_blob(BlobId::parse(id).unwrap(), bytes);
            records.put(note(id, "").with_blob(BlobRef::new(BlobId::parse(id).unwrap(), "attachment")));
        }
        back_up_memory(&records, &blog, &clock).await;
        records.put(note("0 \"ü\"", "changed"));
        records.delete(key("1 \"ü\""));
        records.put(note("moved", "in q").with_partition(PartitionId::parse("q").unwrap()));
        back_up_memory(&records, &blog, &clock).await;
        let late = vec![holds("q", "late", "in q"), holds("p", "late", "in p"), holds("p", "left", "in p")];
        tell(false, &blog, late).await;
        tell(false, &blog, vec![lacks("p", "late"), lacks("p", "left"), lacks("q", "unknown")]).await;

        let mut expected: Vec<String> = Vec::new();
        for record in live(&blog, At::Now).await.unwrap().values() {
            let mut line = Vec::new();
            let codec = LineCodec::stored();
            let sole = record.key == key("moved");
            if sole { codec.encode_sole_put(record, &mut line) } else { codec.encode_put(record, &mut line) }.unwrap();
            expected.push(String::from_utf8(line).unwrap());
        }
        expected.sort_unstable();
        let read = |wanted: &[&str]| {
            let mut all: Vec<&Path> = vec![&repository, Path::new("blog")];
            all.extend(wanted.iter().map(Path::new));
            all.extend(arguments.iter().map(PathBuf::as_path));
            run(&all)
        };
        let found = String::from_utf8(read(&["notes"])).unwrap();
        assert!(found.lines().eq(expected.iter().map(String::as_str)), "{} lines", found.lines().count());
        assert!(read(&["--blob", "large"]) == large);
        assert!(read(&["--blob", "small"]) == b"all work and no play ".repeat(50));
    }
}

#[tokio::test]
#[ignore = "needs age: ./test runs it"]
async fn keys_that_stock_age_wrapped_anew_open() {
    let clock = clock();
    let folder = tempfile::tempdir().unwrap();
    let (identity, key_file) = (Identity::generate(), folder.path().join("me.key"));
    std::fs::write(&key_file, identity.to_file().expose_secret()).unwrap();
    let recipient = identity.recipient().to_string();
    let address = folder.path().join("repository");
    let options = RepositoryOptions::parse(address.to_str().unwrap()).unwrap().with_keys(Keys::owner(identity));
    let records = MemoryStore::new();
    records.put(note("1", "text"));
    let blog = Repository::init(options.clone()).await.unwrap().source("blog").unwrap();
    back_up_memory(&records, &blog, &clock).await;
    for entry in std::fs::read_dir(address.join("source/blog/keys")).unwrap() {
        let path = entry.unwrap().path();
        let plain = Command::new("age").args(["-d", "-i"]).arg(&key_file).arg(&path).output().unwrap();
        assert!(plain.status.success());
        std::fs::write(folder.path().join("plain"), plain.stdout).unwrap();
        let mut wrap = Command::new("age");
        wrap.args(["-r", &recipient, "-o"]).arg(&path).arg(folder.path().join("plain"));
        assert!(wrap.status().unwrap().success());
    }
    let blog = Repository::open(options).await.unwrap().source("blog").unwrap();
    assert_eq!(live(&blog, At::Now).await.unwrap(), records.live());
}
