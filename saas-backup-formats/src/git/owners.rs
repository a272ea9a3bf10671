use saas_backup_core::{Kind, Record, Result};

use crate::dataset::Dataset;
use crate::form::Store;
use crate::form::value::{key_text, reference_text};

/// How far something may be from its repository: an answer to a comment on an issue.
const MAX_DISTANCE: usize = 4;

/// Which repository a record belongs to, by its relationships.
#[derive(Debug)]
pub(super) struct Owners(Store);

impl Owners {
    pub(super) fn read(dataset: &Dataset) -> Result<Self> {
        let mut owners = Self(Store::create(dataset.scratch("owners"))?);
        for distance in 0..=MAX_DISTANCE {
            let mut found = false;
            for (collection, _) in dataset.collections() {
                if (distance == 0) != (collection.kind == Kind::Repository) {
                    continue;
                }
                for record in dataset.records(&collection.name)? {
                    let (record, _) = record?;
                    let key = key_text(&record.key);
                    if owners.0.contains(&key)? {
                        continue;
                    }
                    let owner = if distance == 0 { Some(key.clone()) } else { owners.above(&record)? };
                    if let Some(owner) = owner {
                        owners.0.put(&key, &owner)?;
                        found = true;
                    }
                }
            }
            if !found {
                break;
            }
        }
        Ok(owners)
    }

    /// The repository of a record.
    pub(super) fn of(&mut self, record: &Record) -> Result<Option<String>> {
        self.0.get(&key_text(&record.key))
    }

    fn above(&mut self, record: &Record) -> Result<Option<String>> {
        for references in record.refs.values() {
            for key in references.iter().filter_map(reference_text) {
                if let Some(owner) = self.0.get(&key)? {
                    return Ok(Some(owner));
                }
            }
        }
        Ok(None)
    }
}
