//! Storage that fails: before, after and in the middle of every operation.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_repository::{Creation, Entry, Store};

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not happen, nor does any later one.
    Before,
    /// It happens and nobody hears of it, and no later one happens.
    After,
    /// Half of it happens, and no later one.
    Torn,
}

/// How the store treats conditional creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conditions {
    #[default]
    Honest,
    /// Overwrites and says that it created.
    Ignored,
    /// Says "exists" at every second try although nobody won.
    FalseConflicts,
    /// Writes and then fails, at every second try.
    LostAnswers,
}

/// A store in memory whose content can be taken over, damaged and looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyStore(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    conditions: Conditions,
    denies_deletion: bool,
    denies_replacement: bool,
    room: Option<usize>,
    fault: Option<(usize, Fault)>,
    dead: bool,
    torn: Option<String>,
    writes: usize,
    written: Vec<String>,
    creates: usize,
    reads: Vec<(String, u64)>,
    /// Objects that others write just before one whose name begins so is created.
    meanwhile: Option<(String, BTreeMap<String, Bytes>)>,
}

impl FaultyStore {
    pub(crate) fn with_conditions(self, conditions: Conditions) -> Self {
        self.lock().conditions = conditions;
        self
    }

    pub(crate) fn deny_deletion(&self) {
        self.lock().denies_deletion = true;
    }

    /// Lets nobody put an object where there is one: with [`deny_deletion`](Self::deny_deletion) what a writer may do.
    pub(crate) fn deny_replacement(&self) {
        self.lock().denies_replacement = true;
    }

    /// Lets others write objects just before the next one is created whose name begins with `prefix`.
    pub(crate) fn on_create(&self, prefix: &str, objects: BTreeMap<String, Bytes>) {
        self.lock().meanwhile = Some((prefix.to_owned(), objects));
    }

    /// Allows so many more bytes.
    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    /// Lets the write of this number, counted from now, fail and everything after it.
    pub(crate) fn fail_at(&self, write: usize, fault: Fault) {
        let mut inner = self.lock();
        inner.writes = 0;
        inner.fault = Some((write, fault));
    }

    /// A store with the same content and no faults: the machine after its restart.
    pub(crate) fn restarted(&self) -> Self {
        let inner = self.lock();
        Self(Arc::new(Mutex::new(Inner { objects: inner.objects.clone(), ..Inner::default() })))
    }

    /// The objects that were written since it was made or restarted, in order.
    pub(crate) fn written(&self) -> Vec<String> {
        self.lock().written.clone()
    }

    pub(crate) fn forget_requests(&self) {
        let mut inner = self.lock();
        inner.writes = 0;
        inner.reads.clear();
    }

    /// What was read since, by object, with the lengths.
    pub(crate) fn reads(&self) -> Vec<(String, u64)> {
        self.lock().reads.clone()
    }

    /// The object that a fault cut.
    pub(crate) fn torn(&self) -> Option<String> {
        self.lock().torn.clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    pub(crate) fn object(&self, name: &str) -> Bytes {
        self.lock().objects[name].clone()
    }

    pub(crate) fn replace(&self, name: &str, bytes: impl Into<Bytes>) {
        self.lock().objects.insert(name.to_owned(), bytes.into());
    }

    pub(crate) fn remove(&self, name: &str) {
        self.lock().objects.remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Inner {
    /// Decides about the next change; the fault that it meets.
    fn step(&mut self) -> Result<Option<Fault>> {
        if self.dead {
            return Err(outage());
        }
        let number = self.writes;
        self.writes += 1;
        let fault = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        self.dead = fault.is_some();
        Ok(fault)
    }

    /// What is left of the bytes, and what the caller is told.
    fn write(&mut self, name: &str, bytes: &Bytes) -> Result<()> {
        if let Some(room) = &mut self.room {
            *room = room
                .checked_sub(bytes.len())
                .ok_or_else(|| Error::new(ErrorKind::StorageFull, "the storage is full"))?;
        }
        let Some(fault) = self.step()? else {
            self.objects.insert(name.to_owned(), bytes.clone());
            self.written.push(name.to_owned());
            return Ok(());
        };
        match fault {
            Fault::Before => {}
            Fault::After => {
                self.objects.insert(name.to_owned(), bytes.clone());
            }
            Fault::Torn => {
                self.torn = Some(name.to_owned());
                self.objects.insert(name.to_owned(), bytes.slice(..bytes.len() / 2));
            }
        }
        Err(outage())
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let mut inner = self.lock();
        if inner.denies_replacement && inner.objects.contains_key(name) {
            return Err(Error::new(ErrorKind::PermissionDenied, "replacement is denied"));
        }
        inner.write(name, &bytes)
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation> {
        let mut inner = self.lock();
        inner.creates += 1;
        let odd = inner.creates % 2 == 1;
        if inner.meanwhile.as_ref().is_some_and(|(prefix, _)| name.starts_with(prefix.as_str())) {
            let objects = inner.meanwhile.take().map(|(_, objects)| objects).unwrap_or_default();
            inner.objects.extend(objects);
        }
        if inner.objects.contains_key(name) && inner.conditions != Conditions::Ignored {
            return Ok(Creation::Exists);
        }
        match inner.conditions {
            Conditions::FalseConflicts if odd => Ok(Creation::Exists),
            Conditions::LostAnswers if odd => {
                inner.write(name, &bytes)?;
                Err(Error::new(ErrorKind::Unavailable, "the answer got lost"))
            }
            _ => inner.write(name, &bytes).map(|()| Creation::Created),
        }
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let mut inner = self.lock();
        let found = inner.objects.get(name).cloned();
        let bytes = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such object"))?;
        let bytes = match range {
            None => bytes,
            Some(range) => {
                let end = (range.end as usize).min(bytes.len());
                bytes.slice((range.start as usize).min(end)..end)
            }
        };
        inner.reads.push((name.to_owned(), bytes.len() as u64));
        Ok(bytes)
    }

    async fn size(&self, name: &str) -> Result<u64> {
        let inner = self.lock();
        let found = inner.objects.get(name).map(|bytes| bytes.len() as u64);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such object"))
    }

    fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Entry>> {
        let inner = self.lock();
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let entries: Vec<_> = inner
            .objects
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix) && after.is_none_or(|after| name.as_str() > after))
            .map(|(name, bytes)| Ok(Entry { name: name.clone(), size: bytes.len() as u64 }))
            .collect();
        stream::iter(entries).boxed()
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let mut inner = self.lock();
        if inner.denies_deletion {
            return Err(Error::new(ErrorKind::PermissionDenied, "deletion is denied"));
        }
        let fault = inner.step()?;
        if fault != Some(Fault::Before) {
            inner.objects.remove(name);
        }
        fault.map_or(Ok(()), |_| Err(outage()))
    }
}

fn outage() -> Error {
    Error::new(ErrorKind::Unexpected, "the machine was switched off")
}
