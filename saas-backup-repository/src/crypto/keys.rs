use std::fmt;

use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::age_file;
use super::signing::{RootKey, Signer};

/// An owner's secret key: reads everything, and vouches for writers.
///
/// It is an ordinary age key (`AGE-SECRET-KEY-1…`): `age -d -i` takes the file that holds it. The key that signs
/// for the repository is derived from it, so that there is one secret to keep. Who loses it loses the backup.
#[derive(Clone)]
pub struct Identity(Secret);

/// A writer's secret key: signs commits and reads cursors, gaps and the table of blobs, but no record.
///
/// An ordinary age key, too; the key that signs is derived from it.
#[derive(Clone)]
pub struct AgentKey(Secret);

/// A public age key (`age1…`) that the data is encrypted to.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Recipient(String);

#[derive(Clone)]
pub(crate) struct Secret {
    text: SecretString,
    recipient: Recipient,
}

const OWNER_SIGNS: &str = "saas-backup repository 1: the Ed25519 seed of an owner";
const WRITER_SIGNS: &str = "saas-backup repository 1: the Ed25519 seed of a writer";

impl Secret {
    #[cfg(feature = "encryption")]
    #[expect(clippy::expect_used, reason = "where encryption is compiled in, a key is made without fail")]
    fn generate() -> Self {
        let (text, recipient) = age_file::generate().expect("encryption is compiled in");
        Self { text, recipient: Recipient(recipient) }
    }

    fn parse(text: &str) -> Result<Self> {
        let key = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let key = key.ok_or_else(|| Error::new(ErrorKind::Configuration, "the key file holds no key"))?;
        let recipient = age_file::recipient_of(key)?;
        Ok(Self { text: SecretString::from(key), recipient: Recipient(recipient) })
    }

    fn signer(&self, purpose: &str) -> Signer {
        Signer::from_seed(blake3::derive_key(purpose, self.text.expose_secret().as_bytes()))
    }

    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    fn file(&self, what: &str) -> SecretString {
        SecretString::from(format!("# {what}\n# public key: {}\n{}\n", self.recipient, self.expose()))
    }
}

impl Identity {
    /// Makes a new key.
    #[cfg(feature = "encryption")]
    pub fn generate() -> Self {
        Self(Secret::generate())
    }

    /// Reads a key, or a file of age's own form that holds one; lines that begin with `#` do not count.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is not one; [`ErrorKind::Unsupported`] without the feature `encryption`.
    pub fn parse(text: &str) -> Result<Self> {
        Secret::parse(text).map(Self)
    }

    /// The text of a key file, with its public key in a comment.
    pub fn to_file(&self) -> SecretString {
        self.0.file("saas-backup identity: reads everything; without it the backup cannot be read")
    }

    /// The public key that data is encrypted to.
    pub fn recipient(&self) -> &Recipient {
        &self.0.recipient
    }

    /// The public key that this owner vouches for writers with: pin it where no identity is kept.
    pub fn root_key(&self) -> RootKey {
        self.signer().root_key()
    }

    pub(crate) fn signer(&self) -> Signer {
        self.0.signer(OWNER_SIGNS)
    }

    /// The key of a writer that is the owner at the same time.
    pub(crate) fn as_agent(&self) -> AgentKey {
        AgentKey(self.0.clone())
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

impl AgentKey {
    /// Makes a new key.
    #[cfg(feature = "encryption")]
    pub fn generate() -> Self {
        Self(Secret::generate())
    }

    /// Reads a key, or a file that holds one; lines that begin with `#` do not count.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is not one; [`ErrorKind::Unsupported`] without the feature `encryption`.
    pub fn parse(text: &str) -> Result<Self> {
        Secret::parse(text).map(Self)
    }

    /// The text of a key file, with its public key in a comment.
    pub fn to_file(&self) -> SecretString {
        self.0.file("saas-backup agent key: writes backups and reads no record")
    }

    /// The public key that cursors and the like are encrypted to.
    pub fn recipient(&self) -> &Recipient {
        &self.0.recipient
    }

    pub(crate) fn signer(&self) -> Signer {
        self.0.signer(WRITER_SIGNS)
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

impl Recipient {
    /// Reads a public key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is not one; [`ErrorKind::Unsupported`] without the feature `encryption`.
    pub fn parse(text: &str) -> Result<Self> {
        age_file::check_recipient(text.trim())?;
        Ok(Self(text.trim().to_owned()))
    }

    /// The text: `age1…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Prints the public key.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({})", self.0.recipient)
    }
}

/// Prints the public key.
impl fmt::Debug for AgentKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AgentKey({})", self.0.recipient)
    }
}

/// What somebody holds of a repository's keys; which of them decides what they can do.
///
/// | holds | can |
/// |---|---|
/// | an identity | everything |
/// | an agent key | write; list points; read cursors, gaps and reports; verify without decrypting records |
/// | nothing | list points, and read a repository that is not encrypted |
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Keys {
    /// Reads records.
    pub identity: Option<Identity>,
    /// Writes. Where there is none, an identity writes, too.
    pub agent: Option<AgentKey>,
    /// Further public keys that a new repository is encrypted to, beside that of the identity.
    pub recipients: Vec<Recipient>,
    /// The owner's public key that the repository must be signed with. An identity knows it by itself; a writer
    /// without one should pin it, or who controls the storage could have it encrypt to somebody else.
    pub root: Option<RootKey>,
}

impl Keys {
    /// No keys: for a repository that is not encrypted, or to list points.
    pub fn none() -> Self {
        Self::default()
    }

    /// An owner, who reads and writes.
    pub fn owner(identity: Identity) -> Self {
        Self { identity: Some(identity), ..Self::default() }
    }

    /// A writer that reads no record.
    pub fn writer(agent: AgentKey) -> Self {
        Self { agent: Some(agent), ..Self::default() }
    }

    /// Adds a writer's key.
    #[must_use]
    pub fn with_agent(mut self, agent: AgentKey) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Adds a public key that a new repository is encrypted to.
    #[must_use]
    pub fn with_recipient(mut self, recipient: Recipient) -> Self {
        self.recipients.push(recipient);
        self
    }

    /// Pins the owner's public key.
    #[must_use]
    pub fn with_root(mut self, root: RootKey) -> Self {
        self.root = Some(root);
        self
    }

    /// The key that writes: the agent's, or else the owner's own.
    pub(crate) fn writing(&self) -> Option<AgentKey> {
        self.agent.clone().or_else(|| self.identity.as_ref().map(Identity::as_agent))
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.identity.iter().map(Identity::secret).chain(self.agent.iter().map(AgentKey::secret))
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_debug_shows_no_secret() {
        let identity = Identity::generate();
        let file = identity.to_file();
        let again = Identity::parse(file.expose_secret()).unwrap();
        assert_eq!(again.recipient(), identity.recipient());
        assert_eq!(again.root_key(), identity.root_key());
        let keys = Keys::owner(identity).with_agent(AgentKey::generate());
        assert!(!format!("{keys:?}").contains("SECRET"));
    }

    #[test]
    fn owner_and_writer_sign_with_different_keys() {
        let identity = Identity::generate();
        assert_ne!(identity.signer().root_key(), identity.as_agent().signer().root_key());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let error = Identity::parse("AGE-SECRET-KEY-1HUNTER2").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(!format!("{error:?}").contains("HUNTER2"));
        assert!(Recipient::parse("age1nonsense").is_err());
    }
}
