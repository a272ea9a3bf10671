//! Who may write: public keys that the owner vouches for.

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::commit::{check_version, decode, encode};
use crate::crypto::{AgentKey, Audience, Recipient, RootKey, Signer, SigningPurpose, WriterKey};
use crate::layout::Trust;
use crate::roles::refresh;
use crate::store::Store;

#[derive(Serialize, Deserialize)]
struct WriterFile {
    format: u32,
    requires: Vec<String>,
    writer: String,
    verification_key: String,
    recipient: String,
    /// Whether it may change what earlier commits say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    maintains: bool,
}

/// A writer's public keys.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) key: WriterKey,
    pub(crate) recipient: Recipient,
    pub(crate) maintains: bool,
}

/// The name of a writer's object.
pub(crate) fn object_name(id: &str) -> String {
    format!("writer/{id}.json")
}

/// The name under which an agent writes.
pub(crate) fn writer_id(agent: &AgentKey) -> String {
    agent.signer().root_key().short_id()
}

/// Lets an agent write, and with `maintains` change what earlier commits say.
pub(crate) async fn add_writer(store: &dyn Store, owner: &Signer, agent: &AgentKey, maintains: bool) -> Result<()> {
    let id = writer_id(agent);
    let file = WriterFile {
        format: 1,
        requires: Vec::new(),
        writer: id.clone(),
        verification_key: agent.signer().root_key().to_string(),
        recipient: agent.recipient().to_string(),
        maintains,
    };
    let (object, _): (Bytes, Digest) = encode(&file, SigningPurpose::Writer, Some(owner), &[])?;
    store.put(&object_name(&id), object).await
}

/// Reads a writer's keys and checks that the owner vouches for them.
///
/// # Errors
///
/// [`ErrorKind::PermissionDenied`] if the repository has no such writer.
pub(crate) async fn read_writer(store: &dyn Store, root: &RootKey, id: &str) -> Result<Writer> {
    if id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::new(ErrorKind::Integrity, "not the name of a writer").with_context("writer", id));
    }
    match store.get(&object_name(id), None).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::new(ErrorKind::PermissionDenied, "the repository does not know this writer")
                .with_context("writer", id))
        }
        found => parse_writer(&found?, root, id),
    }
}

/// Reads what was found as a writer's object.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if the owner does not vouch for it, or it is another writer's.
fn parse_writer(object: &Bytes, root: &RootKey, id: &str) -> Result<Writer> {
    let wrong = |what: &'static str| Error::new(ErrorKind::Integrity, what).with_context("writer", id);
    let envelope = decode(object)?;
    envelope.verify(SigningPurpose::Writer, Some(root))?;
    check_version(&envelope.header)?;
    let file: WriterFile =
        serde_json::from_slice(&envelope.header).map_err(|_| wrong("the writer's object is damaged"))?;
    let key: WriterKey = file.verification_key.parse().map_err(|_| wrong("the writer's object is damaged"))?;
    if file.writer != id || key.short_id() != id {
        return Err(wrong("the writer's object belongs to another writer"));
    }
    Ok(Writer { key, recipient: Recipient::parse(&file.recipient)?, maintains: file.maintains })
}

/// Checks what was read as a writer's object, by its name.
///
/// # Errors
///
/// As [`parse_writer`].
pub(crate) fn check_writer(name: &str, object: &Bytes, root: &RootKey) -> Result<()> {
    let id = id_of(name).ok_or_else(|| Error::new(ErrorKind::Integrity, "not the name of a writer"))?;
    parse_writer(object, root, id).map(drop)
}

fn id_of(name: &str) -> Option<&str> {
    name.strip_prefix("writer/")?.strip_suffix(".json")
}

/// The names of all writers, sorted.
pub(crate) async fn ids(store: &dyn Store) -> Result<Vec<String>> {
    let names: Vec<String> = store.list("writer", None).map_ok(|entry| entry.name).try_collect().await?;
    let mut ids: Vec<String> = names.iter().filter_map(|name| id_of(name)).map(str::to_owned).collect();
    ids.sort();
    Ok(ids)
}

/// Whom keys are encrypted to, as the owner states it at this moment.
pub(crate) async fn audience(store: &dyn Store, repository: &str, trust: &Trust) -> Result<Audience> {
    let Some(root) = trust.root() else { return Ok(Audience::default()) };
    let roles = refresh(store, repository, trust).await?;
    let mut writers = Vec::new();
    for id in ids(store).await? {
        if roles.revocation(&id).is_none() {
            writers.push(read_writer(store, root, &id).await?.recipient.to_string());
        }
    }
    Ok(Audience { owners: roles.recipients.clone(), writers })
}
