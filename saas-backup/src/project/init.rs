use std::path::{Path, PathBuf};

use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_repository::{AgentKey, Identity, Keys, Recipient};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{Project, blocking, store};
use crate::config::{Config, Encryption, RepositoryConfig, Text};
use crate::state::write_secret;

/// Where `init` keeps the keys that it makes, beside the configuration.
const IDENTITY_FILE: &str = "me.key";
const AGENT_FILE: &str = "agent.key";

/// A repository that was made.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Initialised {
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Who can read it.
    pub recipients: Vec<String>,
    /// The owner's public key that the repository is signed with; to be pinned in the configuration.
    pub root: Option<String>,
    /// The file that holds the identity: without it nobody reads the copies.
    pub identity: Option<PathBuf>,
    /// The file that holds the agent key.
    pub agent: Option<PathBuf>,
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// Lines that the configuration still needs in its `[repository]`.
    pub add: Vec<String>,
}

/// An age identity that was made.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewKey {
    /// The public key.
    pub recipient: String,
    /// The text of the key file.
    pub file: SecretString,
}

/// Makes an age identity: the key that reads a repository. Any age tool takes it.
///
/// ```
/// let key = saas_backup::keygen()?;
/// assert!(key.recipient.starts_with("age1"));
/// # Ok::<_, saas_backup::core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] without the feature `encryption`.
pub fn keygen() -> Result<NewKey> {
    let identity = new_identity()?;
    Ok(NewKey { recipient: identity.recipient().to_string(), file: identity.to_file() })
}

/// Makes an age identity and writes it to a file that only its owner can read.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] if there is such a file; [`ErrorKind::Unsupported`] without the feature `encryption`.
pub fn keygen_to(path: &Path) -> Result<NewKey> {
    let key = keygen()?;
    write_secret(path, key.file.expose_secret().as_bytes())?;
    Ok(key)
}

/// The keys of a new repository, and what was done to have them.
struct Made {
    keys: Keys,
    identity: Option<PathBuf>,
    agent: Option<PathBuf>,
    written: Vec<PathBuf>,
    add: Vec<String>,
}

impl Project {
    /// Makes the repository, and the keys that the configuration names and that are not there yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if there is a repository already; [`ErrorKind::Unsupported`] if the store cannot keep
    /// two writers apart and no single writer is promised; [`ErrorKind::Configuration`] if the keys do not do.
    pub async fn init(&self) -> Result<Initialised> {
        let config = self.config().clone();
        let made = blocking(move || keys(&config)).await?;
        let Made { keys, identity, agent, written, add } = made;
        let root = keys.identity.as_ref().map(|identity| identity.root_key().to_string());
        let owner = keys.identity.iter().map(|identity| identity.recipient().to_string());
        let mut recipients: Vec<String> = owner.chain(keys.recipients.iter().map(ToString::to_string)).collect();
        recipients.sort();
        recipients.dedup();
        let encrypted = keys.identity.is_some();
        store::create(self.config(), keys, self.clock()).await?;
        Ok(Initialised { encrypted, recipients, root, identity, agent, written, add })
    }
}

/// Writes a commented configuration for a repository at an address, with the keys beside it.
///
/// The keys, `me.key` and `agent.key`, are readable by their owner alone; those that are there already are taken. The
/// repository itself is made by [`Project::init`]. Gives the files that were written.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] if there is such a file; [`ErrorKind::Unsupported`] without the feature `encryption`.
pub fn write_starter_config(path: &Path, url: &str) -> Result<Vec<PathBuf>> {
    if path.exists() {
        return Err(
            Error::new(ErrorKind::Conflict, "there is a configuration already").with_context("file", path.display())
        );
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let (identity_file, agent_file) = (folder.join(IDENTITY_FILE), folder.join(AGENT_FILE));
    let mut written = Vec::new();
    let make = || Ok(new_identity()?.to_file());
    let identity = key_or_new(&Text::File(path_text(&identity_file)), Path::new(""), &mut written, make)?;
    let identity = Identity::parse(identity.text.expose_secret())?;
    key_or_new(&Text::File(path_text(&agent_file)), Path::new(""), &mut written, || Ok(new_agent()?.to_file()))?;
    let text = include_str!("starter.toml")
        .replace("{url}", &toml::Value::String(url.to_owned()).to_string())
        .replace("{recipient}", identity.recipient().as_str())
        .replace("{root}", &identity.root_key().to_string());
    write_secret(path, text.as_bytes())?;
    written.push(path.to_owned());
    Ok(written)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn keys(config: &Config) -> Result<Made> {
    let repository = &config.repository;
    if repository.encryption == Encryption::None {
        return plain(repository);
    }
    let mut made = Made { keys: Keys::none(), identity: None, agent: None, written: Vec::new(), add: Vec::new() };
    let identity = match &repository.identity {
        Some(text) => key_or_new(text, &config.base, &mut made.written, || Ok(new_identity()?.to_file()))?,
        None if !repository.recipients.is_empty() && !config.base.join(IDENTITY_FILE).exists() => {
            return Err(Error::new(
                ErrorKind::Configuration,
                "making a repository takes an owner's identity, which vouches for the writers: put me.key beside the configuration, or add identity = { file = \"…\" }",
            ));
        }
        None => {
            made.add.push(format!("identity = {{ file = \"{IDENTITY_FILE}\" }}"));
            key_or_new(&Text::File(IDENTITY_FILE.to_owned()), &config.base, &mut made.written, || {
                Ok(new_identity()?.to_file())
            })?
        }
    };
    let owner = Identity::parse(identity.text.expose_secret())?;
    made.identity = identity.path;
    let mut listed = repository.recipients.is_empty();
    for text in &repository.recipients {
        let recipient = Recipient::parse(text.resolve(&config.base)?.expose_secret())?;
        if recipient == *owner.recipient() {
            listed = true;
        } else {
            made.keys = made.keys.with_recipient(recipient);
        }
    }
    if !listed {
        return Err(Error::new(ErrorKind::Configuration, "the identity is not that of one of the recipients")
            .with_context("identity", owner.recipient()));
    }
    match &repository.root {
        Some(root) => {
            if root.resolve(&config.base)?.expose_secret().trim() != owner.root_key().to_string() {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "root is not the public key that the identity signs with",
                ));
            }
        }
        None => made.add.push(format!("root = \"{}\"", owner.root_key())),
    }
    if repository.recipients.is_empty() {
        made.add.push(format!("recipients = [\"{}\"]", owner.recipient()));
    }
    if let Some(text) = &repository.agent {
        let agent = key_or_new(text, &config.base, &mut made.written, || Ok(new_agent()?.to_file()))?;
        made.keys = made.keys.with_agent(AgentKey::parse(agent.text.expose_secret())?);
        made.agent = agent.path;
    }
    made.keys.identity = Some(owner);
    Ok(made)
}

fn plain(repository: &RepositoryConfig) -> Result<Made> {
    let RepositoryConfig { recipients, agent, identity, .. } = repository;
    if !recipients.is_empty() || agent.is_some() || identity.is_some() {
        return Err(Error::new(ErrorKind::Configuration, "keys make no sense with encryption = \"none\""));
    }
    Ok(Made { keys: Keys::none(), identity: None, agent: None, written: Vec::new(), add: Vec::new() })
}

struct Key {
    text: SecretString,
    path: Option<PathBuf>,
}

/// The text of a key; a file that is not there yet is made.
fn key_or_new(text: &Text, base: &Path, written: &mut Vec<PathBuf>, make: fn() -> Result<SecretString>) -> Result<Key> {
    let Text::File(path) = text else { return Ok(Key { text: text.resolve(base)?, path: None }) };
    let path = base.join(path);
    if !path.exists() {
        write_secret(&path, make()?.expose_secret().as_bytes())?;
        written.push(path.clone());
    }
    Ok(Key { text: text.resolve(base)?, path: Some(path) })
}

#[cfg(feature = "encryption")]
#[expect(clippy::unnecessary_wraps, reason = "without encryption it fails")]
fn new_identity() -> Result<Identity> {
    Ok(Identity::generate())
}

#[cfg(feature = "encryption")]
#[expect(clippy::unnecessary_wraps, reason = "without encryption it fails")]
pub(super) fn new_agent() -> Result<AgentKey> {
    Ok(AgentKey::generate())
}

#[cfg(not(feature = "encryption"))]
fn new_identity() -> Result<Identity> {
    Err(without_encryption())
}

#[cfg(not(feature = "encryption"))]
pub(super) fn new_agent() -> Result<AgentKey> {
    Err(without_encryption())
}

#[cfg(not(feature = "encryption"))]
fn without_encryption() -> Error {
    Error::new(ErrorKind::Unsupported, "this build has no encryption; configure encryption = \"none\"")
}
