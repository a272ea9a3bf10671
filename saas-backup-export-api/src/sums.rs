//! Sums of collections, for sources that do not keep them.

use std::collections::BTreeMap;

use saas_backup_core::{CollectionName, DriftSum, RecordId, Result};
use serde::Serialize;

use crate::kit::Kit;
use crate::{Entry, Grant, ScanRequest, Sums, Watermark};

/// Records that the source is asked for at once.
const PAGE_ROWS: usize = 256;

/// A collection and its sum, as the protocol writes them.
#[derive(Serialize)]
pub(crate) struct Listed<'a> {
    name: &'a CollectionName,
    #[serde(flatten)]
    sum: &'a DriftSum,
}

/// Sums as the protocol lists them.
pub(crate) fn listed(sums: &BTreeMap<CollectionName, DriftSum>) -> Vec<Listed<'_>> {
    sums.iter().map(|(name, sum)| Listed { name, sum }).collect()
}

/// Reads collections and adds their versions up.
pub(crate) struct Adder<'a> {
    kit: &'a Kit,
    grant: &'a Grant,
}

impl<'a> Adder<'a> {
    pub(crate) fn new(kit: &'a Kit, grant: &'a Grant) -> Self {
        Self { kit, grant }
    }

    /// The sums, which are those at a position if nothing was committed after it.
    pub(crate) async fn add(&self, collections: Vec<CollectionName>, at: &Watermark) -> Result<Sums> {
        let mut sums = BTreeMap::new();
        for collection in collections {
            let sum = self.add_collection(&collection).await?;
            sums.insert(collection, sum);
        }
        Ok(Sums::new(at.clone(), sums))
    }

    async fn add_collection(&self, collection: &CollectionName) -> Result<DriftSum> {
        let (mut sum, mut after, frame) = (DriftSum::default(), None::<RecordId>, self.kit.frame());
        loop {
            let request = ScanRequest { collection: collection.clone(), after: after.clone(), limit: PAGE_ROWS };
            let page = self.kit.source.scan(self.grant, &request).await?;
            for entry in page.entries {
                if let Entry::Record(record) = entry {
                    sum.add(&record.key, &frame.version(&record)?);
                }
            }
            match page.next {
                Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                _ => return Ok(sum),
            }
        }
    }
}
