use std::collections::BTreeSet;

use saas_backup_core::{CollectionName, Kind, Reference, Result};

use crate::dataset::Dataset;
use crate::form::Store;
use crate::form::value::{key_text, reference_text, title_of};

/// The titles of the records that others point to: calendars, mailboxes, labels, groups.
#[derive(Debug)]
pub(crate) struct Titles(Store);

impl Titles {
    /// Reads the titles of all records that a relationship of a collection of this kind may point to, apart from
    /// records of the kind itself.
    pub(crate) fn read(dataset: &Dataset, kind: Kind, scratch: &str) -> Result<Self> {
        let mut store = Store::create(dataset.scratch(scratch))?;
        let of_kind = dataset.catalog.collections.iter().filter(|collection| collection.kind == kind);
        let targets: BTreeSet<&CollectionName> =
            of_kind.flat_map(|from| &from.refs).flat_map(|rule| &rule.to).collect();
        for collection in dataset.catalog.collections.iter().filter(|collection| targets.contains(&collection.name)) {
            if collection.kind == kind {
                continue;
            }
            for record in dataset.records(&collection.name)? {
                let (record, _) = record?;
                store.put(&key_text(&record.key), &title_of(collection, &record))?;
            }
        }
        Ok(Self(store))
    }

    /// The title of what a reference points to; its id where nothing is there.
    pub(crate) fn of(&mut self, reference: &Reference) -> Result<String> {
        let title = match reference_text(reference) {
            Some(key) => self.0.get(&key)?,
            None => None,
        };
        Ok(title.unwrap_or_else(|| reference.id.as_str().to_owned()))
    }
}
