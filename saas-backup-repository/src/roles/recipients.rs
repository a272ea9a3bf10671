use saas_backup_core::{Error, ErrorKind, Result};

use crate::crypto::Recipient;
use crate::repository::Repository;

impl Repository {
    /// Lets somebody else read: what is written from now on is encrypted to this public key, too. Whoever has its secret key
    /// reads everything and vouches for nobody; it opens what is there already after [`rewrap`](Self::rewrap).
    ///
    /// A writer that is at work meanwhile goes by what was stated when it began. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the identity that the repository was made with;
    /// [`ErrorKind::Configuration`] if the repository is not encrypted; [`ErrorKind::Conflict`] if others are always faster.
    pub async fn add_recipient(&self, recipient: &Recipient) -> Result<()> {
        let stated = self.restate(|roles| {
            if !roles.reads(recipient) {
                roles.recipients.push(recipient.to_string());
            }
            Ok(())
        });
        stated.await.map(drop)
    }

    /// Encrypts nothing to this public key any more, and begins new domains for what is written from now on.
    /// [`rewrap`](Self::rewrap) takes the keys of what is there from it.
    ///
    /// That takes back nothing that its owner kept: who copied keys while they could be opened reads what they open, with
    /// access to the objects. Take that access to the storage away as well. A writer that is at work meanwhile goes by what was
    /// stated when it began. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`add_recipient`](Self::add_recipient); [`ErrorKind::NotFound`] if it does not read;
    /// [`ErrorKind::PermissionDenied`] for the identity at hand, which rewrites the keys.
    pub async fn remove_recipient(&self, recipient: &Recipient) -> Result<()> {
        self.owner()?;
        if self.keys().identity.as_ref().is_some_and(|identity| identity.recipient() == recipient) {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "the owner cannot be removed: its identity signs for all others; if it was stolen, make another repository",
            ));
        }
        let now = self.clock().now();
        let stated = self.restate(|roles| {
            let before = roles.recipients.len();
            roles.recipients.retain(|one| one != recipient.as_str());
            if roles.recipients.len() == before {
                return Err(Error::new(ErrorKind::NotFound, "the repository is not encrypted to this recipient")
                    .with_context("recipient", recipient));
            }
            roles.renew(now);
            Ok(())
        });
        stated.await.map(drop)
    }
}
