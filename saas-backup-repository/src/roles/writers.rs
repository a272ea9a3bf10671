use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::statement::{Revoked, Roles, refresh};
use crate::commit::Parent;
use crate::crypto::{AgentKey, Recipient};
use crate::layout::{Head, Loader, Trust};
use crate::repository::Repository;
use crate::writers::{self, writer_id};

/// Statements of one revocation, should others build on commits of the writer meanwhile.
const ROUNDS: usize = 4;

/// Somebody who may write, or might.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Writer {
    /// Its name: 16 hexadecimal digits.
    pub id: String,
    /// The public key that cursors and the like are encrypted to.
    pub recipient: Recipient,
    /// Whether it may maintain: it is the owner's own.
    pub maintains: bool,
    /// Since when its commits do not count, by the owner's clock.
    pub revoked: Option<DateTime<Utc>>,
}

impl Repository {
    /// Who may write, and who was revoked, by their names. Needs no key. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if somebody is listed for whom the owner does not vouch.
    pub async fn writers(&self) -> Result<Vec<Writer>> {
        let Some(root) = self.root_key() else { return Ok(Vec::new()) };
        let roles = refresh(&**self.store(), self.id(), self.trust()).await?;
        let mut found = Vec::new();
        for id in writers::ids(&**self.store()).await? {
            let writer = writers::read_writer(&**self.store(), &root, &id).await?;
            let revoked = roles.revocation(&id).map(|revoked| revoked.at);
            found.push(Writer { id, recipient: writer.recipient, maintains: writer.maintains, revoked });
        }
        Ok(found)
    }

    /// Lets another agent write; gives its name. One that may write already stays as it is.
    ///
    /// Keys of metadata that are there stay closed to it until [`rewrap`](Self::rewrap): until then it continues no run
    /// of another agent of the same month.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the identity that the repository was made with, and for an agent that was
    /// revoked.
    pub async fn add_writer(&self, agent: &AgentKey) -> Result<String> {
        let (owner, id) = (self.owner()?, writer_id(agent));
        let roles = refresh(&**self.store(), self.id(), self.trust()).await?;
        if roles.revocation(&id).is_some() {
            return Err(Error::new(ErrorKind::PermissionDenied, "this writer was revoked; make another key")
                .with_context("writer", id));
        }
        match writers::read_writer(&**self.store(), &owner.root_key(), &id).await {
            // Its object is gone or damaged: its key makes the same again.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Integrity) => {
                writers::add_writer(&**self.store(), &owner, agent, false).await?;
            }
            found => drop(found?),
        }
        Ok(id)
    }

    /// Ends a writer's right to write. What it wrote up to now stays; commits that it makes from now on do not count, for
    /// whoever opens the repository after this, or writes to it.
    ///
    /// The statement names the last commit of each source, so that nothing before it can be replaced, either. A run of the
    /// writer that is under way is lost. What the writer could open, it may have kept: [`rewrap`](Self::rewrap) keeps new
    /// metadata from it. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the identity that the repository was made with, and for its own writer;
    /// [`ErrorKind::NotFound`] if there is no such writer; [`ErrorKind::Conflict`] if others are always faster.
    pub async fn revoke_writer(&self, id: &str) -> Result<()> {
        let root = self.owner()?.root_key();
        let writer = writers::read_writer(&**self.store(), &root, id).await.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => {
                Error::new(ErrorKind::NotFound, "the repository has no such writer").with_context("writer", id)
            }
            _ => error,
        })?;
        if writer.maintains {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "the owner cannot be revoked: it vouches for all others",
            ));
        }
        let before = refresh(&**self.store(), self.id(), self.trust()).await?;
        if before.revocation(id).is_some() {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            // By what held before: a commit that another writer has built on is an earlier one.
            let heads = self.heads(&before).await?;
            let last: BTreeMap<String, Parent> =
                heads.iter().filter_map(|(source, (head, _))| Some((source.clone(), head.clone()?))).collect();
            let now = self.clock().now();
            let revoked = Revoked { writer: id.to_owned(), at: now, last };
            let stated = self.restate(move |roles| {
                roles.revoked.retain(|other| other.writer != revoked.writer);
                roles.revoked.push(revoked.clone());
                roles.renew(now);
                Ok(())
            });
            let after = self.heads(&*stated.await?).await?;
            let was_whole = |source: &String| heads.get(source).is_none_or(|(_, whole)| *whole);
            if after.iter().all(|(source, (_, whole))| *whole || !was_whole(source)) {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Conflict, "other writers build on what this one writes; stop it, and try again"))
    }

    /// The last commit of each source, and whether its timeline is whole, to whom these roles are what counts.
    async fn heads(&self, roles: &Roles) -> Result<BTreeMap<String, (Option<Parent>, bool)>> {
        let mut heads = BTreeMap::new();
        for source in self.sources().await? {
            let trust = Trust::new(self.root_key());
            trust.set_roles(roles.clone());
            let loader = self.unread(&source).shared.loader.clone();
            let map = Loader { trust: Arc::new(trust), ..loader }.load_maintained().await?;
            heads.insert(source, (map.head.as_ref().map(Head::as_parent), map.check().is_ok()));
        }
        Ok(heads)
    }
}
