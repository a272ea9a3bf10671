//! The key objects of one source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::{Error, ErrorKind, Result};

use crate::committer::family_domain;
use crate::crypto::{DomainKind, Wrapping};
use crate::layout::Map;
use crate::object::ulid_of;
use crate::source::Shared;

/// Begins the name of an object that holds secrets while their objects are rewritten.
const REWRITING: &str = "rewriting-";

/// What there is, and what the timeline says of it.
#[derive(Debug)]
pub(super) struct KeyObjects {
    pub(super) map: Arc<Map>,
    /// The names of all key objects that are there.
    pub(super) present: BTreeSet<String>,
    /// Secrets that an interrupted rewriting left behind.
    pub(super) rewriting: Vec<String>,
    /// The key objects that the timeline names, by name.
    pub(super) named: BTreeMap<String, DomainKind>,
}

impl KeyObjects {
    pub(super) async fn of(shared: &Shared) -> Result<Self> {
        let map = match shared.loader.load(None).await {
            // What the timeline does not tell, the objects say themselves.
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::PermissionDenied) => Arc::default(),
            map => map?,
        };
        let (mut present, mut rewriting) = (BTreeSet::new(), Vec::new());
        let folder = shared.names.keys();
        let mut entries = shared.store.list(folder.trim_end_matches('/'), None);
        while let Some(entry) = entries.try_next().await? {
            if is_rewriting(&entry.name) {
                rewriting.push(entry.name);
            } else if entry.name == shared.keyring.naming_object() || ulid_of(&entry.name).is_some() {
                present.insert(entry.name);
            }
        }
        let named = named(&map, shared);
        Ok(Self { map, present, rewriting, named })
    }

    /// The kind of a key object: the timeline knows best, then the object itself; what nobody knows is for owners alone.
    pub(super) fn kind(&self, name: &str, said: Option<&Wrapping>) -> DomainKind {
        let said = || said.and_then(|wrapping| wrapping.kind);
        self.named.get(name).copied().or_else(said).unwrap_or(DomainKind::Data)
    }
}

/// The name under which secrets are held while their objects are rewritten.
pub(super) fn rewriting(shared: &Shared) -> String {
    format!("{}{REWRITING}{}.age", shared.names.keys(), shared.names.ulid())
}

/// What a key object holds, and what it says of whom it is encrypted to.
pub(super) async fn opened(shared: &Shared, name: &str) -> Result<(Bytes, Option<Wrapping>)> {
    let object = shared.store.get(name, None).await?;
    shared.keyring.open_key(&object).map_err(|error| error.with_context("object", name))
}

/// Whether a failure is that of the object itself: it is gone, cut, or no key for whoever asks.
pub(super) fn is_its_own(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Integrity
            | ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidData
            | ErrorKind::UnsupportedVersion
    )
}

/// Whether an object holds secrets while theirs are rewritten.
pub(crate) fn is_rewriting(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|file| file.starts_with(REWRITING))
}

fn named(map: &Map, shared: &Shared) -> BTreeMap<String, DomainKind> {
    let segments = map.segments.iter().map(|segment| (segment.object.domain.as_ref(), family_domain(segment.family)));
    let others = map.others.iter().map(|object| (object.domain.as_ref(), DomainKind::Data));
    let parts = map.parts.iter().map(|part| (part.domain.as_ref(), part.kind.domain()));
    let months = map.domains.iter().map(|domain| (Some(&domain.id), domain.kind));
    let all = segments.chain(others).chain(parts).chain(months);
    let mut named: BTreeMap<String, DomainKind> =
        all.filter_map(|(id, kind)| Some((shared.keyring.object(id?), kind))).collect();
    if map.head.is_some() {
        named.insert(shared.keyring.naming_object(), DomainKind::Meta);
    }
    named
}
