use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::PathBuf;

use saas_backup_core::{CollectionName, Record, Reference, References, Result};

use super::shape::{Learner, Shape};
use super::survey::{Relation, Used};
use crate::folder::create_parents;
use crate::form::value::{key_text, reference_text};
use crate::names::short_hash;

/// Looks at the records of a collection, one after the other.
#[derive(Debug)]
pub(crate) struct Look {
    learner: Learner,
    used: Used,
    by: Relation,
    refs: BTreeMap<String, Relation>,
    notes: BufWriter<File>,
    path: PathBuf,
    groups: BTreeMap<(Option<String>, CollectionName), u32>,
    count: u64,
}

/// What a look at all records of a collection found.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(super) shape: Shape,
    pub(super) used: Used,
    pub(super) by: Relation,
    pub(super) refs: BTreeMap<String, Relation>,
    /// The keys of the records and those that they point to, in a file until all keys are known.
    path: PathBuf,
    /// The relationships and targets that references belong to, by number.
    pub(super) groups: BTreeMap<(Option<String>, CollectionName), u32>,
    /// How many keys the file has.
    count: u64,
}

/// The group of the records' own keys.
const OWN: u32 = 0;

impl Look {
    /// A look that keeps keys in a file.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        create_parents(&path)?;
        let notes = BufWriter::new(File::create(&path)?);
        let (by, refs, groups) = (Relation::default(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { learner: Learner::default(), used: Used::default(), by, refs, notes, path, groups, count: 0 })
    }

    /// Looks at a record.
    pub(crate) fn record(&mut self, record: &Record) -> Result<()> {
        self.note(OWN, short_hash(key_text(&record.key).as_bytes()))?;
        let used = &mut self.used;
        match record.data.as_str() {
            data if data.starts_with('{') => self.learner.learn(data),
            _ => used.data = true,
        }
        used.partition |= record.partition.is_some();
        used.sequence |= record.sequence.is_some();
        used.purge_at |= record.purge_at.is_some();
        used.extra |= !record.extra.is_empty();
        used.blobs |= !record.blobs.is_empty();
        used.access |= !record.access.is_empty();
        if let Some(by) = &record.by {
            self.by.point(by);
            self.pointer(None, by)?;
        }
        for (name, references) in &record.refs {
            if !self.refs.contains_key(name) {
                self.refs.insert(name.clone(), Relation::default());
            }
            let Some(relation) = self.refs.get_mut(name) else { continue };
            relation.many |= matches!(references, References::Many(_));
            references.iter().for_each(|reference| relation.point(reference));
            for reference in references.iter() {
                self.pointer(Some(name), reference)?;
            }
        }
        Ok(())
    }

    fn pointer(&mut self, name: Option<&str>, reference: &Reference) -> Result<()> {
        let group = (name.map(str::to_owned), reference.collection.clone());
        let next = self.groups.len() as u32 + 1;
        let group = *self.groups.entry(group).or_insert(next);
        // No record has the key 0, as far as anybody knows.
        self.note(group, reference_text(reference).map_or(0, |key| short_hash(key.as_bytes())))
    }

    fn note(&mut self, group: u32, key: u64) -> Result<()> {
        self.notes.write_all(&group.to_le_bytes())?;
        self.notes.write_all(&key.to_le_bytes())?;
        self.count += 1;
        Ok(())
    }

    /// Ends the look.
    pub(crate) fn finish(mut self) -> Result<Looked> {
        self.notes.flush()?;
        let Self { learner, used, by, refs, path, groups, count, .. } = self;
        Ok(Looked { shape: learner.shape, used, by, refs, path, groups, count })
    }
}

impl Looked {
    /// Tells the keys of the records.
    pub(super) fn own(&self, mut tell: impl FnMut(u64)) -> Result<()> {
        self.notes(|group, key| {
            if group == OWN {
                tell(key);
            }
        })
    }

    /// Tells the keys that records point to, each with its group.
    pub(super) fn pointers(&self, mut tell: impl FnMut(u32, u64)) -> Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        self.notes(|group, key| {
            if group != OWN {
                tell(group, key);
            }
        })
    }

    fn notes(&self, mut tell: impl FnMut(u32, u64)) -> Result<()> {
        let mut file = BufReader::new(File::open(&self.path)?);
        let (mut group, mut key) = ([0; 4], [0; 8]);
        for _ in 0..self.count {
            file.read_exact(&mut group)?;
            file.read_exact(&mut key)?;
            tell(u32::from_le_bytes(group), u64::from_le_bytes(key));
        }
        Ok(())
    }
}
