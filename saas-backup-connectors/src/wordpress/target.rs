use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use saas_backup_core::{BlobId, CollectionName, Error, ErrorKind, IdMap, Key, Record, RecordId, Result, WriteMode};
use serde_json::Value;

use super::content;
use super::site::{Form, Site, SiteCollection};
use crate::spool::SpooledFile;

/// The site that is written, and what is known of where things went.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) site: Site,
    pub(super) mode: WriteMode,
    pub(super) dry_run: bool,
    pub(super) ids: IdMap,
    /// The lowest id that an earlier try of this restore made, by collection: what lies below was there before.
    pub(super) made_before: BTreeMap<CollectionName, u64>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Records that were there and are left alone. Not in the id map: a second try must not take them for its own.
    found: HashMap<Key, Key>,
    /// Old address of a file or page → new address.
    addresses: HashMap<String, String>,
    /// Collections that are restored in this session.
    planned: BTreeSet<CollectionName>,
    /// Collections that were written to their end once.
    finished: BTreeSet<CollectionName>,
    old_base: Option<String>,
    /// The bytes of files, until the record that owns them is written.
    files: HashMap<BlobId, SpooledFile>,
    guesses: Vec<Guess>,
    written: bool,
}

/// A text with addresses that were guessed.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) path: String,
    pub(super) addresses: Vec<(String, String)>,
}

/// What became of a record that another one points to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    New(String),
    /// It may still come, as one of these.
    Later(Vec<Key>),
    Gone,
}

impl Target {
    pub(super) fn new(site: Site, mode: WriteMode, dry_run: bool, ids: IdMap) -> Self {
        let mut made_before: BTreeMap<CollectionName, u64> = BTreeMap::new();
        for (_, new) in ids.pairs() {
            if let Ok(id) = new.id.as_str().parse() {
                let lowest = made_before.entry(new.collection).or_insert(id);
                *lowest = id.min(*lowest);
            }
        }
        Self { site, mode, dry_run, ids, made_before, memory: Mutex::default() }
    }

    /// Notes which collections are restored.
    pub(super) fn plan(&self, collections: impl Iterator<Item = CollectionName>) {
        self.lock().planned.extend(collections);
    }

    /// Notes that a collection was written to its end.
    pub(super) fn finish(&self, collections: &[CollectionName]) {
        self.lock().finished.extend(collections.iter().cloned());
    }

    pub(super) fn resolve(&self, key: &Key) -> Resolved {
        let memory = self.lock();
        if let Some(new) = self.ids.get(key).or_else(|| memory.found.get(key).cloned()) {
            return Resolved::New(new.id.as_str().to_owned());
        }
        let may_come = memory.planned.contains(&key.collection) && !memory.finished.contains(&key.collection);
        if may_come { Resolved::Later(vec![key.clone()]) } else { Resolved::Gone }
    }

    pub(super) fn resolve_pointer(&self, to: &content::Target, id: u64) -> Resolved {
        let matching = |collection: &&SiteCollection| match to {
            content::Target::Media => collection.form == Form::Media,
            content::Target::PostType(slug) | content::Target::Taxonomy(slug) => &collection.slug == slug,
            content::Target::AnyPost => matches!(collection.form, Form::Posts | Form::Media),
        };
        self.resolve_any(self.site.collections.iter().filter(matching), id)
    }

    /// Resolves an id that is unique over several collections.
    pub(super) fn resolve_any<'a>(&self, of: impl Iterator<Item = &'a SiteCollection>, id: u64) -> Resolved {
        let mut later = Vec::new();
        for collection in of {
            let Ok(id) = RecordId::parse(id.to_string()) else { continue };
            match self.resolve(&Key::new(collection.name.clone(), id)) {
                Resolved::New(id) => return Resolved::New(id),
                Resolved::Later(keys) => later.extend(keys),
                Resolved::Gone => {}
            }
        }
        if later.is_empty() { Resolved::Gone } else { Resolved::Later(later) }
    }

    /// Notes that a record of this restore has a new id, before anything else is sent.
    pub(super) async fn made(&self, old: &Key, new: Key) -> Result<()> {
        self.lock().written = true;
        self.ids.insert(old.clone(), new);
        let ids = self.ids.clone();
        tokio::task::spawn_blocking(move || ids.flush())
            .await
            .map_err(|error| Error::new(ErrorKind::Unexpected, "the id map was not written").with_source(error))?
    }

    /// Notes a record that was there before.
    pub(super) fn found(&self, old: &Key, new: Key) {
        self.lock().found.insert(old.clone(), new);
    }

    pub(super) fn wrote(&self) {
        self.lock().written = true;
    }

    pub(super) fn has_written(&self) -> bool {
        self.lock().written
    }

    /// Learns the address of the old site from a record: from the links that the API adds to each.
    pub(super) fn learn_base(&self, record: &Record) {
        if self.lock().old_base.is_some() {
            return;
        }
        let links = record.data.member::<Value>("_links").ok().flatten().unwrap_or_default();
        let of_api = ["self", "collection"].iter().find_map(|name| links.get(name)?.get(0)?.get("href")?.as_str());
        let base = of_api.and_then(|href| {
            let end = ["/wp-json/", "/index.php", "/?rest_route="].iter().filter_map(|part| href.find(part)).min()?;
            href.get(..end)
        });
        if let Some(base) = base {
            self.lock().old_base = Some(base.to_owned());
        }
    }

    /// The old site's address, without a slash at its end.
    pub(super) fn old_base(&self) -> Option<String> {
        self.lock().old_base.clone()
    }

    pub(super) fn new_base(&self) -> String {
        self.site.home.as_str().trim_end_matches('/').to_owned()
    }

    /// Whether records go back to where they came from, so that an id says which record it is.
    pub(super) fn is_same_site(&self) -> bool {
        self.old_base().is_some_and(|old| old == self.new_base())
    }

    pub(super) fn new_address(&self, old: &str) -> Option<String> {
        self.lock().addresses.get(old).cloned()
    }

    /// Notes where the page and the files of a record are now.
    pub(super) fn learn_addresses(&self, old: &Value, new: &Value) {
        let text = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let mut pairs = Vec::new();
        for path in ["/link", "/source_url"] {
            pairs.extend(text(old, path).zip(text(new, path)));
        }
        let main = text(new, "/source_url");
        let sizes = old.pointer("/media_details/sizes").and_then(Value::as_object);
        for (name, size) in sizes.into_iter().flatten() {
            let there = new.pointer("/media_details/sizes").and_then(|sizes| sizes.get(name));
            let new_size = there.and_then(|size| text(size, "/source_url")).or_else(|| main.clone());
            pairs.extend(text(size, "/source_url").zip(new_size));
        }
        let original = |value: &Value| {
            let (folder, _) =
                text(value, "/source_url")?.rsplit_once('/').map(|(folder, name)| (folder.to_owned(), name.len()))?;
            Some(format!("{folder}/{}", text(value, "/media_details/original_image")?))
        };
        pairs.extend(original(old).zip(original(new).or(main)));
        self.lock().addresses.extend(pairs);
    }

    pub(super) fn learn_address(&self, old: &str, new: &str) {
        self.lock().addresses.insert(old.to_owned(), new.to_owned());
    }

    pub(super) fn hold_file(&self, blob: BlobId, file: SpooledFile) {
        self.lock().files.insert(blob, file);
    }

    pub(super) fn take_file(&self, blob: &BlobId) -> Option<SpooledFile> {
        self.lock().files.remove(blob)
    }

    pub(super) fn guess(&self, guess: Guess) {
        self.lock().guesses.push(guess);
    }

    pub(super) fn take_guesses(&self) -> Vec<Guess> {
        std::mem::take(&mut self.lock().guesses)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
