use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};

use super::{Creation, Store};

/// Proves that the store keeps the promise which every commit rests on: of two creates of one name, one wins.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] if the store overwrites, or says that it created what it did not.
pub(crate) async fn probe(store: &dyn Store) -> Result<()> {
    let name = format!("probe/{}", ulid::Ulid::generate());
    let outcome = attempt(store, &name).await;
    // A store that denies deletion keeps a few bytes; that is no reason to refuse it.
    let _ = store.delete(&name).await;
    outcome
}

async fn attempt(store: &dyn Store, name: &str) -> Result<()> {
    let refuse = |how: &str| {
        Error::new(
            ErrorKind::Unsupported,
            "the storage does not honour conditional creation: two writers could overwrite each other; promise a \
             single writer to use it all the same",
        )
        .with_context("found", how)
    };
    if store.create(name, Bytes::from_static(b"first")).await? != Creation::Created {
        return Err(refuse("a new name is said to exist"));
    }
    if store.create(name, Bytes::from_static(b"second")).await? == Creation::Created {
        return Err(refuse("an existing object was replaced"));
    }
    if store.get(name, None).await?.as_ref() != b"first" {
        return Err(refuse("a refused write replaced the object"));
    }
    Ok(())
}
