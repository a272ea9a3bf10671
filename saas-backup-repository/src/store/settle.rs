use std::time::Duration;

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result, Retry};

use super::{Creation, Store};

/// Tries of one conditional write whose outcome is not known.
const ATTEMPTS: u32 = 4;

/// Who has a name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// We have.
    Us,
    /// Somebody else has, with this content.
    Them(Bytes),
}

/// Creates an object that others may want to create at the same moment, and finds out who did.
///
/// A store's word is not enough: "exists" may be our own write whose answer got lost, or a conflict that nobody won;
/// an error may follow a write that landed, and a store that overwrites says "created" to everybody. So the object is
/// read back, and `is_ours` looks at it. Cancelling leaves it open whether the object is there.
pub(crate) async fn create(
    store: &dyn Store,
    name: &str,
    object: &Bytes,
    is_ours: impl Fn(&Bytes) -> bool,
) -> Result<Owner> {
    let mut attempt = 1;
    loop {
        let said = match store.create(name, object.clone()).await {
            Err(error) if error.retry() == Retry::Never => return Err(error),
            said => said,
        };
        match store.get(name, None).await {
            Ok(found) if is_ours(&found) => return Ok(Owner::Us),
            Ok(found) => return Ok(Owner::Them(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if attempt == ATTEMPTS {
            let undecided = Error::new(ErrorKind::Unavailable, "the storage does not show what it says that it holds");
            return Err(match said {
                Err(error) => error,
                Ok(Creation::Created | Creation::Exists) => undecided.with_context("object", name),
            });
        }
        tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
        attempt += 1;
    }
}
