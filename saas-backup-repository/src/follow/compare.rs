//! Whether two repositories hold the same at two points.

use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Event, Record, Result};

use crate::object::Family;
use crate::read::{Bounds, Merge, PointSnapshot, event};

/// Compares every record of two points, attachments by the digests in them; gives the first difference.
pub(super) async fn compare(first: &PointSnapshot, second: &PointSnapshot) -> Result<Option<Error>> {
    let (mut one, mut other) = (open(first).await?, open(second).await?);
    let mut same = 0_u64;
    loop {
        let (expected, found) = (next(&mut one).await?, next(&mut other).await?);
        if expected != found {
            let record = expected.or(found);
            let collection = record.map_or_else(String::new, |record| record.key.collection.to_string());
            let message = "the point is not the same in both repositories, and is not taken over";
            let error = Error::new(ErrorKind::Integrity, message);
            return Ok(Some(error.with_context("collection", collection).with_context("same", same)));
        }
        if expected.is_none() {
            return Ok(None);
        }
        same += 1;
    }
}

async fn open(point: &PointSnapshot) -> Result<Merge> {
    Merge::open(Arc::clone(&point.shared.access), &point.map, Bounds::all(Family::Data, point.at)).await
}

/// The next record that is there, without its number, which each repository gives by itself.
async fn next(merge: &mut Merge) -> Result<Option<Box<Record>>> {
    while let Some(group) = merge.next().await? {
        let Some(live) = group.live() else { continue };
        if let Event::Put(mut record) = event(live)? {
            record.sequence = None;
            return Ok(Some(record));
        }
    }
    Ok(None)
}
