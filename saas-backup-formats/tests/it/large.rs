//! An attachment of a gibibyte: it arrives as it was, and never as a whole in memory.

/// Ignored because they need gigabytes of room. The tools are those of every Linux.
mod live_tools {
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::Arc;

    use bytes::Bytes;
    use saas_backup_core::{
        BlobId, BlobRef, BlobSlot, Body, Catalog, CheckReport, Collection, Connector, Digest, Event, Feed,
        FieldMapping, Json, Key, Kind, Markup, Record, Result, RunReport, SinkOptions, StoredBlob, WriteMode,
    };
    use saas_backup_formats::bagit::{self, BagItConfig, BagItConnector};
    use saas_backup_formats::files::{self, FilesConfig, FilesConnector};
    use saas_backup_formats::html::{self, HtmlConfig, HtmlConnector};
    use saas_backup_formats::mail::{self, MailConfig, MailConnector, MailLayout};
    use saas_backup_formats::packed::{self, Packed};
    use saas_backup_formats::sqlite::{self, SqliteConfig, SqliteConnector};
    use sha2::{Digest as _, Sha256};

    use crate::support::{name, start, succeeded};

    const BLOCK: usize = 1 << 20;
    const BLOCKS: u64 = 1 << 10;
    const SIZE: u64 = BLOCKS * BLOCK as u64;
    const MOST_MEMORY: u64 = 256 << 20;

    type Check = fn(&Path) -> Result<CheckReport>;

    /// Blocks that nothing packs, each another one.
    fn noise() -> impl Iterator<Item = Bytes> + Clone {
        let mut state = 1_u64;
        let mut words = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 24) as u8
        });
        let block: Vec<u8> = words.by_ref().take(BLOCK).collect();
        (0..BLOCKS).map(move |number| {
            let mut block = block.clone();
            block[..8].copy_from_slice(&number.to_be_bytes());
            block.rotate_left(number as usize);
            Bytes::from(block)
        })
    }

    /// Writes one record with the attachment, looks through the export and says what digest the attachment has.
    async fn written(connector: &dyn Connector, kind: Kind, blocks: impl Iterator<Item = Bytes> + Clone) -> Digest {
        let mut digest = Sha256::new();
        blocks.clone().for_each(|block| digest.update(&block));
        let digest = Digest::from_bytes(digest.finalize().into());
        let mut fields = FieldMapping::default();
        fields.title = Some("title".to_owned());
        fields.body = Some(Body::new("body", Markup::Plain));
        let catalog = Catalog::new(vec![Collection::new(name("things"), kind).with_fields(fields)]);
        let start = start(catalog, 0);
        let blob = BlobRef::new(BlobId::parse("large").unwrap(), "content")
            .with_name("large.bin")
            .with_size(SIZE)
            .with_digest(digest);
        let key = Key::parse("things", "1").unwrap();

        let sink = connector.sink(SinkOptions::new(WriteMode::Create)).await.unwrap();
        sink.begin(&start).await.unwrap();
        let BlobSlot::Want(mut writer) = sink.blob(&key, &blob).await.unwrap() else { panic!("a new one") };
        for block in blocks {
            writer.write(block).await.unwrap();
        }
        writer.finish(StoredBlob { digest, size: SIZE }).await.unwrap();
        let data = Json::from_value(&serde_json::json!({ "title": "Large", "body": "See the attachment." })).unwrap();
        let record = Record::new(key, data).with_blob(blob);
        let mut writer = sink.writer(&Feed::slice(name("things"))).await.unwrap();
        writer.write(vec![Event::Put(Box::new(record))]).await.unwrap();
        writer.flush(None).await.unwrap();
        writer.close().await.unwrap();
        let mut report = RunReport::new(start.run, start.started);
        report.coverage = start.coverage.clone();
        sink.commit(&report).await.unwrap();
        digest
    }

    /// The most memory that the process had.
    fn peak() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    fn digest_of(path: &Path) -> Digest {
        let (mut file, mut digest, mut block) = (File::open(path).unwrap(), Sha256::new(), vec![0; BLOCK]);
        loop {
            let read = file.read(&mut block).unwrap();
            if read == 0 {
                return Digest::from_bytes(digest.finalize().into());
            }
            digest.update(&block[..read]);
        }
    }

    /// The files below a folder that are as large as the attachment, or larger.
    fn large_files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(large_files(&path));
            } else if path.metadata().unwrap().len() >= SIZE {
                found.push(path);
            }
        }
        found.sort();
        found
    }

    async fn arrives_beside(connector: &dyn Connector, path: &Path, kind: Kind, check: Check) {
        let digest = written(connector, kind, noise()).await;
        assert_eq!(check(path).unwrap().findings, []);
        let found = large_files(path);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(digest_of(&found[0]), digest);
        assert!(peak() < MOST_MEMORY, "{} bytes", peak());
    }

    #[tokio::test]
    #[ignore = "needs 2 GiB of room"]
    async fn a_gibibyte_arrives_in_a_tree_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("files");
        let connector = FilesConnector::new(FilesConfig::new(&path));
        arrives_beside(&connector, &path, Kind::File, files::check).await;
    }

    #[tokio::test]
    #[ignore = "needs 2 GiB of room"]
    async fn a_gibibyte_arrives_in_a_bag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        let connector = BagItConnector::new(BagItConfig::new(&path));
        arrives_beside(&connector, &path, Kind::Document, bagit::check).await;
    }

    #[tokio::test]
    #[ignore = "needs 2 GiB of room"]
    async fn a_gibibyte_arrives_beside_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site");
        let connector = HtmlConnector::new(HtmlConfig::new(&path));
        arrives_beside(&connector, &path, Kind::Document, html::check).await;
    }

    /// More than a database takes.
    #[tokio::test]
    #[ignore = "needs 2 GiB of room"]
    async fn a_gibibyte_that_a_database_refuses_arrives_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let connector = SqliteConnector::new(SqliteConfig::new(&path).with_blobs_inside(true));
        arrives_beside(&connector, &path, Kind::Document, sqlite::check).await;
    }

    /// An mbox is made of messages that are built as files first: those of the other layouts.
    #[tokio::test]
    #[ignore = "needs 5 GiB of room, sh, tail, head, base64 and sha256sum"]
    async fn a_gibibyte_arrives_in_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail");
        let connector = MailConnector::new(MailLayout::Mbox, MailConfig::new(&path));
        let digest = written(&connector, Kind::Message, noise()).await;
        assert_eq!(mail::check(&path).unwrap().findings, []);
        let found = large_files(&path);
        let (mbox, beside) = found.iter().partition::<Vec<_>, _>(|path| path.to_string_lossy().ends_with(".mbox"));
        assert_eq!((digest_of(beside[0]), found.len()), (digest, 2));

        let mut head = vec![0; 16 * 1024];
        File::open(mbox[0]).unwrap().read_exact(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head).into_owned();
        let part = head.rfind("base64").unwrap();
        let begins = part + head[part..].find("\r\n\r\n").unwrap() + 4;
        let length = SIZE.div_ceil(3) * 4 + SIZE.div_ceil(57) * 2;
        let decode =
            format!("tail -c +{} \"$1\" | head -c {length} | base64 --decode --ignore-garbage | sha256sum", begins + 1);
        let told = succeeded(Command::new("sh").args(["-c", &decode, "sh"]).arg(mbox[0]));
        assert_eq!(told.split(' ').next().unwrap(), digest.to_string());
        assert!(peak() < MOST_MEMORY, "{} bytes", peak());
    }

    #[tokio::test]
    #[ignore = "needs 4 GiB of room"]
    async fn a_gibibyte_is_packed_and_unpacked() {
        let zeros = std::iter::repeat_n(Bytes::from(vec![0; BLOCK]), BLOCKS as usize);
        for name in ["drive.tar.zst", "drive.zip"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            let open =
                |folder: &Path| Ok(Arc::new(FilesConnector::new(FilesConfig::new(folder))) as Arc<dyn Connector>);
            let digest = written(&Packed::new(&path, open).unwrap(), Kind::File, zeros.clone()).await;
            let looked = |folder: &Path| {
                assert_eq!(digest_of(&large_files(folder)[0]), digest);
                files::check(folder)
            };
            assert_eq!(packed::check(&path, looked).unwrap().findings, []);
            assert!(peak() < MOST_MEMORY, "{} bytes", peak());
        }
    }
}
