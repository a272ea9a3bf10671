//! An export as one file.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{Connector, Digest, Kind};
use saas_backup_formats::files::{self, FilesConfig, FilesConnector};
use saas_backup_formats::packed::{self, Packed};

use crate::large::{BLOCK, GIBIBYTE, assert_memory, attachment, digest_told, written};
use crate::support::python;

/// Packs a gibibyte, which our own check finds again after unpacking.
async fn pack(path: &Path) -> Digest {
    let open = |folder: &Path| Ok(Arc::new(FilesConnector::new(FilesConfig::new(folder))) as Arc<dyn Connector>);
    let zeros = std::iter::repeat_n(Bytes::from(vec![0; BLOCK as usize]), (GIBIBYTE / BLOCK) as usize);
    let digest = written(&Packed::new(path, open).unwrap(), Kind::File, attachment(), zeros).await;
    assert_eq!(packed::check(path, files::check).unwrap().findings, []);
    assert_memory();
    digest
}

#[tokio::test]
#[ignore = "needs 2 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_is_taken_out_of_a_zip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.zip");
    let digest = pack(&path).await;
    assert_eq!(python("large.py", &path).trim(), digest.to_string());
}

#[tokio::test]
#[ignore = "needs 2 GiB of room, tar and zstd"]
async fn a_gibibyte_is_taken_out_of_a_tar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.tar.zst");
    let digest = pack(&path).await;
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--extract", "--to-stdout", "--file"]).arg(&path).arg("drive/things/large.bin");
    assert_eq!(digest_told(&mut tar), digest);
}
