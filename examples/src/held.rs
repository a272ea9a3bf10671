//! What a point in time holds, in a form that is compared.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use saas_backup_core::{Event, Key, ReadRequest, Result, Snapshot};

/// The data of every record, and the digests of its attachments.
///
/// # Errors
///
/// Those of the snapshot.
pub async fn records(snapshot: &dyn Snapshot) -> Result<BTreeMap<Key, String>> {
    let feeds: Vec<_> = snapshot.feeds().try_collect().await?;
    let mut records = BTreeMap::new();
    for feed in feeds {
        let mut events = snapshot.read(ReadRequest::new(feed));
        while let Some(event) = events.try_next().await? {
            if let Event::Put(record) = event {
                let digests: Vec<_> = record.blobs.iter().map(|blob| &blob.digest).collect();
                records.insert(record.key.clone(), format!("{} {digests:?}", record.data.as_str()));
            }
        }
    }
    Ok(records)
}
