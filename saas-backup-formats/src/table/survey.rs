use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};

use saas_backup_core::{CollectionName, Record, Reference, References, Result};

use super::shape::{Learner, Shape};
use crate::dataset::Dataset;
use crate::folder::create_parents;
use crate::form::value::{key_text, reference_text};
use crate::names::short_hash;

/// What all records of an export have, seen in one pass.
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
#[derive(Debug, Default)]
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
    /// Looks at every record.
    pub(crate) fn new(dataset: &Dataset) -> Result<Self> {
        let count = dataset.collections().map(|(_, count)| count).sum::<u64>();
        let mut keys = Keys(Vec::with_capacity(usize::try_from(count).unwrap_or(0)));
        let mut pointers = Pointers::create(dataset)?;
        let mut collections = Vec::new();
        for (collection, records) in dataset.collections() {
            let mut learner = Learner::default();
            let mut surveyed = Surveyed {
                name: collection.name.clone(),
                title: collection.title.clone(),
                records,
                shape: Shape::default(),
                by: Relation::default(),
                refs: BTreeMap::new(),
                used: Used { blobs: collection.blobs, access: collection.access, ..Used::default() },
            };
            for rule in &collection.refs {
                let relation = surveyed.refs.entry(rule.name.clone()).or_default();
                relation.many |= rule.many;
                relation.targets.extend(rule.to.iter().map(|to| (to.clone(), Target::default())));
            }
            for record in dataset.records(&collection.name)? {
                let (record, _) = record?;
                keys.0.push(short_hash(key_text(&record.key).as_bytes()));
                match record.data.as_str() {
                    data if data.starts_with('{') => learner.learn(data),
                    _ => surveyed.used.data = true,
                }
                surveyed.envelope(&record, &mut pointers, collections.len())?;
            }
            surveyed.shape = learner.shape;
            collections.push(surveyed);
        }
        keys.0.sort_unstable();
        pointers.resolve(&keys, &mut collections)?;
        Ok(Self { collections, keys })
    }
}

impl Surveyed {
    fn envelope(&mut self, record: &Record, pointers: &mut Pointers, collection: usize) -> Result<()> {
        let used = &mut self.used;
        used.partition |= record.partition.is_some();
        used.sequence |= record.sequence.is_some();
        used.purge_at |= record.purge_at.is_some();
        used.extra |= !record.extra.is_empty();
        used.blobs |= !record.blobs.is_empty();
        used.access |= !record.access.is_empty();
        if let Some(by) = &record.by {
            self.by.point(by);
            pointers.note(collection, None, by)?;
        }
        for (name, references) in &record.refs {
            if !self.refs.contains_key(name) {
                self.refs.insert(name.clone(), Relation::default());
            }
            let Some(relation) = self.refs.get_mut(name) else { continue };
            relation.many |= matches!(references, References::Many(_));
            for reference in references.iter() {
                relation.point(reference);
                pointers.note(collection, Some(name), reference)?;
            }
        }
        Ok(())
    }
}

impl Relation {
    fn point(&mut self, reference: &Reference) {
        self.accounts |= reference.account.is_some();
        if !self.targets.contains_key(&reference.collection) {
            self.targets.insert(reference.collection.clone(), Target::default());
        }
    }
}

/// References in a file until all keys are known.
struct Pointers {
    file: BufWriter<File>,
    path: std::path::PathBuf,
    /// The relationships and targets that references belong to, by number.
    groups: BTreeMap<(usize, Option<String>, CollectionName), u32>,
    /// How many there are.
    count: u64,
}

impl Pointers {
    fn create(dataset: &Dataset) -> Result<Self> {
        let path = dataset.scratch("references");
        create_parents(&path)?;
        Ok(Self { file: BufWriter::new(File::create(&path)?), path, groups: BTreeMap::new(), count: 0 })
    }

    fn note(&mut self, collection: usize, name: Option<&str>, reference: &Reference) -> Result<()> {
        let group = (collection, name.map(str::to_owned), reference.collection.clone());
        let next = self.groups.len() as u32;
        let group = *self.groups.entry(group).or_insert(next);
        // No record has the key 0, as far as anybody knows.
        let key = reference_text(reference).map_or(0, |key| short_hash(key.as_bytes()));
        self.file.write_all(&group.to_le_bytes())?;
        self.file.write_all(&key.to_le_bytes())?;
        self.count += 1;
        Ok(())
    }

    fn resolve(mut self, keys: &Keys, collections: &mut [Surveyed]) -> Result<()> {
        self.file.flush()?;
        drop(self.file);
        let mut targets = vec![Target::default(); self.groups.len()];
        let mut file = BufReader::new(File::open(&self.path)?);
        let (mut group, mut key) = ([0; 4], [0; 8]);
        for _ in 0..self.count {
            file.read_exact(&mut group)?;
            file.read_exact(&mut key)?;
            let held = keys.0.binary_search(&u64::from_le_bytes(key)).is_ok();
            if let Some(target) = targets.get_mut(u32::from_le_bytes(group) as usize) {
                target.held += u64::from(held);
                target.missing += u64::from(!held);
            }
        }
        for ((collection, name, to), group) in self.groups {
            let Some(surveyed) = collections.get_mut(collection) else { continue };
            let relation = match name {
                Some(name) => surveyed.refs.get_mut(&name),
                None => Some(&mut surveyed.by),
            };
            let target = relation.and_then(|relation| relation.targets.get_mut(&to));
            if let (Some(target), Some(counted)) = (target, targets.get(group as usize)) {
                *target = *counted;
            }
        }
        std::fs::remove_file(self.path)?;
        Ok(())
    }
}
