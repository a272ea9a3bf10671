//! Copies of a repository on other storage, object by object: they keep its identity, and each can mend the other.

mod copy;
mod repair;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::{Digest, Error, ErrorKind, Result};

pub use self::copy::Replicated;
pub use self::repair::Repaired;
use crate::layout::Map;
use crate::object::sequence_of;
use crate::read::blocking;
use crate::source::Shared;
use crate::store::Store;

/// What the objects of a source must be, going by a timeline that was checked.
struct Expected {
    digests: BTreeMap<String, Digest>,
    /// The mark of the naming key.
    naming: Option<String>,
}

impl Expected {
    fn of(map: &Map) -> Self {
        let objects = map.segments.iter().map(|segment| &segment.object).chain(&map.others);
        let digests = objects.map(|object| (object.name.clone(), object.sha256)).collect();
        Self { digests, naming: map.naming().map(str::to_owned) }
    }

    /// Checks what was read as an object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is not what was written.
    async fn check(&self, shared: &Arc<Shared>, name: &str, object: &Bytes) -> Result<()> {
        if let Some(expected) = self.digests.get(name).copied() {
            let bytes = object.clone();
            let is_it = blocking(move || Ok(Digest::of(&bytes) == expected)).await?;
            return if is_it { Ok(()) } else { Err(crate::read::changed(name)) };
        }
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        match sequence_of(name) {
            Some(sequence) if folder == shared.names.commits() => {
                let Some((envelope, header, _)) = shared.loader.read_commit(sequence, object.clone()).await? else {
                    return Ok(());
                };
                if !blocking(move || Ok(header.describes(&envelope.body))).await? {
                    return Err(crate::read::changed(name));
                }
                Ok(())
            }
            Some(sequence) if folder == shared.names.layouts() => {
                shared.loader.read_layout(sequence, object).await.map(drop)
            }
            _ if name == shared.keyring.naming_object() => {
                let opened = shared.keyring.read_naming_key(object, self.naming.as_deref());
                // Damage may look like a key for somebody else, or like one of a newer version.
                opened.map(drop).map_err(|error| match error.kind() {
                    ErrorKind::PermissionDenied | ErrorKind::UnsupportedVersion => {
                        Error::new(ErrorKind::Integrity, "the naming key does not open").with_source(error)
                    }
                    _ => error,
                })
            }
            _ => shared.keyring.check_object(name, object),
        }
    }
}

/// The objects in a folder, with their lengths.
async fn names(store: &dyn Store, folder: &str) -> Result<BTreeMap<String, u64>> {
    store.list(folder, None).map_ok(|entry| (entry.name, entry.size)).try_collect().await
}

/// Refuses to mix two repositories.
fn same(one: &str, other: &str) -> Result<()> {
    if one == other {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "there is another repository").with_context("id", other))
}
