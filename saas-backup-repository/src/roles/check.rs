use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::key_objects::{KeyObjects, is_its_own, opened};
use super::statement;
use crate::crypto::{Audience, Keyring, Wrapping};
use crate::repository::Repository;
use crate::source::Shared;
use crate::writers::{self, writer_id};

/// Key objects that are read at the same time.
const AT_ONCE: usize = 8;

/// What a check of the keys found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// Key objects that were opened.
    pub opened: u64,
    /// Key objects that no commit names: what writers that were stopped left behind, or what is given up. No fault.
    pub unnamed: u64,
    /// What is wrong; empty if everything is in order.
    pub problems: Vec<KeyProblem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyProblem {
    /// The object.
    pub object: String,
    /// What it means.
    pub kind: KeyProblemKind,
    /// For a person.
    pub message: String,
}

/// What a problem of keys means for who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyProblemKind {
    /// What the key opened is lost here; a copy may have the key.
    Lost,
    /// The key is encrypted to others than those who should open it: to be rewritten.
    Outdated,
    /// Somebody may not do what they are to do, or says what they may not say.
    Role,
}

impl KeyReport {
    /// Whether everything is in order.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn note(&mut self, object: impl Into<String>, kind: KeyProblemKind, message: &dyn fmt::Display) {
        self.problems.push(KeyProblem { object: object.into(), kind, message: message.to_string() });
    }
}

impl Repository {
    /// Proves that the identity at hand opens the keys of everything: each domain that a commit names has its key object,
    /// each opens, is the key of its domain, and is encrypted to those who read and write now; naming keys are those that
    /// the commits were made with; writers are those whom the owner vouches for, the agent at hand among them.
    ///
    /// Changes nothing and reads no record. `progress` is called after each source. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without an identity; [`ErrorKind::Configuration`] if the repository is not
    /// encrypted; or if the storage cannot be read at all.
    pub async fn check_keys(&self, progress: &mut (dyn FnMut(&KeyReport) + Send)) -> Result<KeyReport> {
        let Some(root) = self.root_key() else {
            return Err(Error::new(ErrorKind::Configuration, "the repository is not encrypted: it has no keys"));
        };
        if self.keys().identity.is_none() {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "checking the keys takes the identity that should open them",
            ));
        }
        let mut report = KeyReport::default();
        for (object, found) in statement::statements(&**self.store(), self.id(), &root).await? {
            match found {
                Err(error) if is_its_own(&error) => report.note(object, KeyProblemKind::Role, &error),
                found => found?,
            }
        }
        let roles = statement::refresh(&**self.store(), self.id(), self.trust()).await?;
        let mut audience = Audience { owners: roles.recipients.clone(), writers: Vec::new() };
        let ids = writers::ids(&**self.store()).await?;
        for id in &ids {
            match writers::read_writer(&**self.store(), &root, id).await {
                Ok(writer) if roles.revocation(id).is_none() => audience.writers.push(writer.recipient.to_string()),
                Ok(_) => {}
                Err(error) if is_its_own(&error) => {
                    report.note(format!("writer/{id}.json"), KeyProblemKind::Role, &error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(id) = self.keys().agent.as_ref().map(writer_id) {
            let object = format!("writer/{id}.json");
            if !ids.contains(&id) {
                report.note(object, KeyProblemKind::Role, &"the configured agent is not a writer of this repository");
            } else if roles.revocation(&id).is_some() {
                report.note(object, KeyProblemKind::Role, &"the configured agent was revoked");
            }
        }
        for source in self.sources().await? {
            check_source(&self.unread(&source).shared, &audience, &mut report).await?;
            progress(&report);
        }
        Ok(report)
    }
}

async fn check_source(shared: &Arc<Shared>, audience: &Audience, report: &mut KeyReport) -> Result<()> {
    let keys = KeyObjects::of(shared).await?;
    if let Err(error) = keys.map.check() {
        report.note(shared.names.commits(), KeyProblemKind::Lost, &error);
    }
    for (name, _) in keys.named.iter().filter(|(name, _)| !keys.present.contains(*name)) {
        report.note(name, KeyProblemKind::Lost, &"the key is gone, and what it opened with it");
    }
    for left in &keys.rewriting {
        report.note(left, KeyProblemKind::Outdated, &"a rewriting of keys was interrupted");
    }
    // Futures that are made before they are polled: a closure in the stream would not be `Send` for all lifetimes.
    let looks: Vec<_> = keys.present.iter().map(|name| async move { (name, opened(shared, name).await) }).collect();
    let mut found = stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some((name, found)) = found.next().await {
        let is_named = keys.named.contains_key(name);
        report.unnamed += u64::from(!is_named);
        match found.and_then(|(secret, said)| fits(shared, &keys, name, &secret).map(|()| said)) {
            Ok(said) => {
                report.opened += 1;
                outdated(&keys, name, said.as_ref(), audience, report);
            }
            Err(error) if is_its_own(&error) => {
                if is_named {
                    report.note(name, KeyProblemKind::Lost, &error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the object is the key that the timeline means.
fn fits(shared: &Shared, keys: &KeyObjects, name: &str, secret: &Bytes) -> Result<()> {
    if name == shared.keyring.naming_object() {
        return Keyring::parse_naming_key(secret, keys.map.naming()).map(drop);
    }
    let recipient = Keyring::recipient_of(secret)?;
    let domain = keys.map.domains.iter().find(|domain| shared.keyring.object(&domain.id) == name);
    if domain.is_some_and(|domain| domain.recipient != recipient) {
        return Err(Error::new(ErrorKind::Integrity, "the key is not that of its domain"));
    }
    Ok(())
}

fn outdated(keys: &KeyObjects, name: &str, said: Option<&Wrapping>, audience: &Audience, report: &mut KeyReport) {
    let kind = keys.kind(name, said);
    let message = match said {
        Some(said) if said.is_for(kind, audience) => return,
        Some(_) => "the key is encrypted to others than those who should open it",
        None => "the key does not say to whom it is encrypted",
    };
    report.note(name, KeyProblemKind::Outdated, &message);
}
