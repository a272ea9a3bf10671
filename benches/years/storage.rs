use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use saas_backup_core::{Error, ErrorKind, Result, async_trait};
use saas_backup_repository::{Creation, Entry, Store};
use serde::Serialize;

/// Names that one request of a listing gives.
const PAGE: usize = 1000;

/// A storage in memory that counts what it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountingStore(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Bytes>,
    requests: Requests,
    bytes: u64,
    most_bytes: u64,
    most_objects: usize,
}

/// Requests of each kind, and the bytes that they moved.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Requests {
    pub(crate) list: u64,
    pub(crate) get: u64,
    pub(crate) put: u64,
    pub(crate) delete: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// What lies in the storage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Stored {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    pub(crate) most_objects: usize,
    pub(crate) most_bytes: u64,
}

impl CountingStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked for since the last time.
    pub(crate) fn take_requests(&self) -> Requests {
        std::mem::take(&mut self.lock().requests)
    }

    /// Counts on from what was asked for before.
    pub(crate) fn put_back(&self, requests: Requests) {
        self.lock().requests = requests;
    }

    /// What lies there, and the most that ever did.
    pub(crate) fn stored(&self) -> Stored {
        let inner = self.lock();
        let Inner { bytes, most_bytes, most_objects, .. } = *inner;
        Stored { objects: inner.objects.len(), bytes, most_objects, most_bytes }
    }

    /// Objects and bytes by the folder that they lie in.
    pub(crate) fn folders(&self) -> BTreeMap<String, (u64, u64)> {
        let mut folders = BTreeMap::new();
        for (name, bytes) in &self.lock().objects {
            let folder = name.rsplit('/').nth(1).unwrap_or("the top").to_owned();
            let (objects, total) = folders.entry(folder).or_insert((0, 0));
            *objects += 1;
            *total += bytes.len() as u64;
        }
        folders
    }
}

impl Inner {
    fn write(&mut self, name: &str, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        // What is kept is a copy: the sender's buffer may have room for more.
        if let Some(old) = self.objects.insert(name.to_owned(), Bytes::copy_from_slice(bytes)) {
            self.bytes -= old.len() as u64;
        }
        self.most_bytes = self.most_bytes.max(self.bytes);
        self.most_objects = self.most_objects.max(self.objects.len());
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let found = self.objects.get(name).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such object").with_context("object", name))
    }
}

#[async_trait]
impl Store for CountingStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let mut inner = self.lock();
        inner.requests.put += 1;
        inner.requests.sent += bytes.len() as u64;
        inner.write(name, &bytes);
        Ok(())
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation> {
        let mut inner = self.lock();
        inner.requests.put += 1;
        inner.requests.sent += bytes.len() as u64;
        if inner.objects.contains_key(name) {
            return Ok(Creation::Exists);
        }
        inner.write(name, &bytes);
        Ok(Creation::Created)
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let mut inner = self.lock();
        inner.requests.get += 1;
        let mut bytes = inner.get(name)?;
        if let Some(range) = range {
            let end = bytes.len().min(range.end as usize);
            bytes = bytes.slice((range.start as usize).min(end)..end);
        }
        inner.requests.received += bytes.len() as u64;
        Ok(bytes)
    }

    async fn size(&self, name: &str) -> Result<u64> {
        let mut inner = self.lock();
        inner.requests.get += 1;
        Ok(inner.get(name)?.len() as u64)
    }

    fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Entry>> {
        let mut inner = self.lock();
        let prefix = format!("{folder}/");
        let from = after.unwrap_or_default().max(&prefix).to_owned();
        let within = inner.objects.range(from..).take_while(|(name, _)| name.starts_with(&prefix));
        let found: Vec<_> = within
            .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after))
            .map(|(name, bytes)| Ok(Entry { name: name.clone(), size: bytes.len() as u64 }))
            .collect();
        inner.requests.list += found.len().div_ceil(PAGE).max(1) as u64;
        stream::iter(found).boxed()
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let mut inner = self.lock();
        inner.requests.delete += 1;
        if let Some(old) = inner.objects.remove(name) {
            inner.bytes -= old.len() as u64;
        }
        Ok(())
    }
}
