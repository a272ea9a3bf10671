use std::collections::BTreeMap;
use std::sync::Arc;

use saas_backup_core::{Collection, CollectionName, Reference, Result};

use super::look::{Look, Looked};
use super::shape::Shape;
use crate::dataset::Dataset;
use crate::form::value::reference_text;
use crate::names::short_hash;

/// What all records of an export have.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) collections: Vec<Surveyed>,
    pub(crate) keys: Keys,
}

/// What the records of a collection have.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) name: CollectionName,
    pub(crate) title: String,
    pub(crate) records: u64,
    pub(crate) shape: Shape,
    pub(crate) by: Relation,
    pub(crate) refs: BTreeMap<String, Relation>,
    pub(crate) used: Used,
}

/// Which members of the envelope are used that most records do not have.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each member")]
pub(crate) struct Used {
    pub(crate) partition: bool,
    pub(crate) sequence: bool,
    pub(crate) purge_at: bool,
    pub(crate) extra: bool,
    pub(crate) blobs: bool,
    pub(crate) access: bool,
    /// Data that is no object.
    pub(crate) data: bool,
}

/// One relationship of a collection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relation {
    pub(crate) many: bool,
    /// Whether a record of another account is among the targets.
    pub(crate) accounts: bool,
    pub(crate) targets: BTreeMap<CollectionName, Target>,
}

/// What a relationship points to in one collection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// Records that the export has.
    pub(crate) held: u64,
    /// Records that it has not.
    pub(crate) missing: u64,
}

/// The keys of all records, 8 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<u64>);

impl Keys {
    /// Whether the export has the record.
    pub(crate) fn have(&self, reference: &Reference) -> bool {
        reference_text(reference).is_some_and(|key| self.0.binary_search(&short_hash(key.as_bytes())).is_ok())
    }
}

impl Survey {
    /// Takes what was seen of the records while they came, and looks at those of which nothing was.
    pub(crate) fn new(dataset: &Dataset) -> Result<Self> {
        let count = dataset.collections().map(|(_, count)| count).sum::<u64>();
        let mut keys = Keys(Vec::with_capacity(usize::try_from(count).unwrap_or(0)));
        let mut all = Vec::new();
        for (collection, records) in dataset.collections() {
            let seen = dataset.records.get(&collection.name).and_then(|lines| lines.looked.as_ref());
            let looked = match seen {
                Some(looked) => Arc::clone(looked),
                None => Arc::new(look(dataset, &collection.name, all.len())?),
            };
            looked.own(|key| keys.0.push(key))?;
            all.push((collection, records, looked));
        }
        keys.0.sort_unstable();
        let collections = all.into_iter().map(|(collection, records, looked)| {
            let mut surveyed = Surveyed::new(collection, records, &looked);
            surveyed.resolve(&looked, &keys)?;
            Ok(surveyed)
        });
        Ok(Self { collections: collections.collect::<Result<_>>()?, keys })
    }
}

fn look(dataset: &Dataset, collection: &CollectionName, number: usize) -> Result<Looked> {
    let mut look = Look::new(dataset.scratch("looks").join(number.to_string()))?;
    for record in dataset.records(collection)? {
        look.record(&record?.0)?;
    }
    look.finish()
}

impl Surveyed {
    fn new(collection: &Collection, records: u64, looked: &Looked) -> Self {
        let mut used = looked.used;
        used.blobs |= collection.blobs;
        used.access |= collection.access;
        let mut refs = looked.refs.clone();
        for rule in &collection.refs {
            let relation = refs.entry(rule.name.clone()).or_default();
            relation.many |= rule.many;
            for to in &rule.to {
                relation.targets.entry(to.clone()).or_default();
            }
        }
        let (name, title) = (collection.name.clone(), collection.title.clone());
        Self { name, title, records, shape: looked.shape.clone(), by: looked.by.clone(), refs, used }
    }

    /// Counts what references lead to.
    fn resolve(&mut self, looked: &Looked, keys: &Keys) -> Result<()> {
        let mut targets = vec![Target::default(); looked.groups.len() + 1];
        looked.pointers(|group, key| {
            let held = keys.0.binary_search(&key).is_ok();
            if let Some(target) = targets.get_mut(group as usize) {
                target.held += u64::from(held);
                target.missing += u64::from(!held);
            }
        })?;
        for ((name, to), group) in &looked.groups {
            let relation = match name {
                Some(name) => self.refs.get_mut(name),
                None => Some(&mut self.by),
            };
            let target = relation.and_then(|relation| relation.targets.get_mut(to));
            if let (Some(target), Some(counted)) = (target, targets.get(*group as usize)) {
                *target = *counted;
            }
        }
        Ok(())
    }
}

impl Relation {
    /// Notes where a reference points.
    pub(super) fn point(&mut self, reference: &Reference) {
        self.accounts |= reference.account.is_some();
        if !self.targets.contains_key(&reference.collection) {
            self.targets.insert(reference.collection.clone(), Target::default());
        }
    }
}
