use super::super::report::{Finding, applies, ensure};
use super::target::{Target, cursor, feed, key, record};
use crate::testkit::compare::read_blob;
use crate::testkit::sample_blob;
use crate::{BlobSlot, Digest, Event, SnapshotOptions, StoredBlob};

pub(super) async fn held(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let (blob, bytes) = sample_blob("blob", 1, 3000)?;
    let wanted = StoredBlob { digest: Digest::of(&bytes), size: bytes.len() as u64 };
    let session = target.open().await?;
    let given = session.blob(&key("owner"), &blob, &bytes).await?;
    applies!(given.is_some(), "it has no use for blobs");
    let owner = record("owner", "1")?.with_blob(blob.clone());
    session.write(&feed(), vec![Event::Put(Box::new(owner))], Some(&cursor(1)?)).await?;
    session.commit().await?;
    let session = target.open().await?;
    let BlobSlot::Held(stored) = session.sink.blob(&key("owner"), &blob).await? else {
        ensure!(false, "a blob that was stored is wanted again");
        return Ok(());
    };
    ensure!(stored == wanted, "it is held as {stored:?}, not {wanted:?}");
    session.abort().await?;
    Ok(())
}

pub(super) async fn aborted(target: &Target) -> Finding {
    let (blob, bytes) = sample_blob("blob", 1, 3000)?;
    let session = target.open().await?;
    let BlobSlot::Want(mut writer) = session.sink.blob(&key("owner"), &blob).await? else {
        applies!(false, "it has no use for blobs");
        return Ok(());
    };
    writer.write(bytes.slice(..1000)).await?;
    writer.abort().await?;
    let slot = session.sink.blob(&key("owner"), &blob).await?;
    ensure!(!matches!(slot, BlobSlot::Held(_)), "a blob that was given up counts as held");
    if let BlobSlot::Want(writer) = slot {
        writer.abort().await?;
    }
    // And it can be given again, in the same session.
    session.blob(&key("owner"), &blob, &bytes).await?;
    let owner = record("owner", "1")?.with_blob(blob.clone());
    session.write(&feed(), vec![Event::Put(Box::new(owner))], None).await?;
    session.commit().await?;
    check_bytes(target, &bytes).await
}

pub(super) async fn read_back(target: &Target) -> Finding {
    let (small, few) = sample_blob("small", 2, 1)?;
    let (large, many) = sample_blob("large", 3, 300_000)?;
    let (empty, none) = sample_blob("empty", 4, 0)?;
    for (blob, bytes) in [(small, few), (large, many), (empty, none)] {
        let session = target.open().await?;
        let given = session.blob(&key("owner"), &blob, &bytes).await?;
        applies!(given.is_some(), "it has no use for blobs");
        let owner = record("owner", blob.role.as_str())?.with_blob(blob);
        session.write(&feed(), vec![Event::Put(Box::new(owner))], None).await?;
        session.commit().await?;
        if matches!(target.mode, crate::WriteMode::Mirror | crate::WriteMode::Overwrite) {
            check_bytes(target, &bytes).await?;
        }
    }
    Ok(())
}

async fn check_bytes(target: &Target, wanted: &[u8]) -> Finding {
    let reads = target.capabilities.read && target.capabilities.blobs && target.reads_back();
    applies!(reads, "it does not read blobs back");
    let snapshot = target.connector.snapshot(SnapshotOptions::default()).await?;
    let contents = target.contents().await?;
    let owner = contents.records.get(&key("owner"));
    let Some(blob) = owner.and_then(|record| record.blobs.first()) else {
        ensure!(false, "the record has lost its blob");
        return Ok(());
    };
    let read = read_blob(&*snapshot, &key("owner"), blob).await?;
    ensure!(read == wanted, "{} bytes read back as {} others", wanted.len(), read.len());
    Ok(())
}
