//! Who reads and who writes.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_repository::{AgentKey, Escrow, Identity, KeyProblem, Recipient, RewrapOptions, Rewrapped, Writer};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::init::new_agent;
use super::store::{Access, Store};
use super::verify::{Problem, problems};
use super::{Project, blocking};
use crate::state::write_secret;

/// How to change who reads and who writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyOptions {
    /// Only says what would be done. Default: no.
    pub dry_run: bool,
}

impl KeyOptions {
    /// Only says what would be done.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// Who reads and who writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyHolders {
    /// The owner's public key, which the repository and all its writers are signed with.
    pub root: Option<String>,
    /// The number of the owner's newest statement; 0 if nothing was stated since the repository was made.
    pub statement: u64,
    /// Who reads.
    pub recipients: Vec<Recipient>,
    /// Who writes, and who did.
    pub writers: Vec<Writer>,
}

/// What became of the keys.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeysChanged {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The writer that was added or revoked.
    pub writer: Option<String>,
    /// The key file that was made for it.
    pub written: Option<PathBuf>,
    /// Who reads.
    pub recipients: Vec<Recipient>,
    /// Key objects that were looked at.
    pub objects: u64,
    /// Key objects that were encrypted to others, and were rewritten; in a dry run, those that would be.
    pub rewritten: u64,
    /// Key objects that the storage's credentials may not replace.
    pub denied: u64,
    /// Key objects of which the storage keeps what they were before, and does not let it be removed yet.
    pub kept: u64,
    /// Key objects that do not open, and so stay as they are.
    pub problems: Vec<Problem>,
}

/// Whose keys are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCheck {
    /// A file with the identity that should open everything. Default: the configured one.
    pub identity: Option<PathBuf>,
    /// An escrow file, which the identity opens; then the identity in it should open everything.
    pub escrow: Option<PathBuf>,
}

impl KeyCheck {
    /// Checks the identity in a file, in place of the configured one.
    #[must_use]
    pub fn with_identity(mut self, file: impl Into<PathBuf>) -> Self {
        self.identity = Some(file.into());
        self
    }

    /// Checks the identity in an escrow file, which the other identity opens.
    #[must_use]
    pub fn with_escrow(mut self, file: impl Into<PathBuf>) -> Self {
        self.escrow = Some(file.into());
        self
    }
}

/// What a check of the keys found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeysChecked {
    /// Whether everything is in order.
    pub good: bool,
    /// The public key of the identity that was checked.
    pub identity: Recipient,
    /// Key objects that it opened.
    pub opened: u64,
    /// Key objects that no commit names: what writers that were stopped left behind, or what is given up. No fault.
    pub unnamed: u64,
    /// What is wrong.
    pub problems: Vec<KeyProblem>,
}

/// An escrow file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Escrowed {
    /// The file.
    pub file: PathBuf,
    /// Who can open it.
    pub recipients: Vec<Recipient>,
    /// The public key of the identity in it.
    pub identity: Recipient,
}

impl Project {
    /// Who reads and who writes. Needs the keys that a backup needs.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened; [`ErrorKind::Integrity`] if somebody is listed for whom the owner does not vouch.
    pub async fn key_holders(&self) -> Result<KeyHolders> {
        let repository = self.writer().await?.repository();
        Ok(KeyHolders {
            root: repository.root_key().map(|root| root.to_string()),
            statement: repository.statement(),
            recipients: repository.recipients()?,
            writers: repository.writers().await?,
        })
    }

    /// Lets somebody else read everything: states it, and rewrites the keys. Records and attachments are not touched. Takes
    /// the identity that the repository was made with.
    ///
    /// Cancel safe: [`rewrap_keys`](Self::rewrap_keys) does what is left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is no public key, or the identity is missing; [`ErrorKind::PermissionDenied`] with
    /// another identity.
    pub async fn add_recipient(&self, recipient: &str) -> Result<KeysChanged> {
        let recipient = Recipient::parse(recipient)?;
        self.reader().await?.repository().add_recipient(&recipient).await?;
        self.rewrap_keys(&KeyOptions::default()).await
    }

    /// Takes the keys from somebody who read: states it, and rewrites the keys; what is written from now on gets new ones.
    /// Takes the identity that the repository was made with.
    ///
    /// What they kept they still have: take their access to the storage away, too. Copies of the repository keep what they hold.
    /// Cancel safe, as [`add_recipient`](Self::add_recipient).
    ///
    /// # Errors
    ///
    /// As [`add_recipient`](Self::add_recipient); [`ErrorKind::NotFound`] if it does not read;
    /// [`ErrorKind::PermissionDenied`] for the owner's own.
    pub async fn remove_recipient(&self, recipient: &str, options: &KeyOptions) -> Result<KeysChanged> {
        let recipient = Recipient::parse(recipient)?;
        let repository = self.reader().await?.repository();
        if options.dry_run {
            if !repository.recipients()?.contains(&recipient) {
                return Err(Error::new(ErrorKind::NotFound, "the repository is not encrypted to this recipient"));
            }
            let mut found = self.rewrap(options).await?;
            found.rewritten = found.objects;
            return self.changed(found, options).await;
        }
        repository.remove_recipient(&recipient).await?;
        self.rewrap_keys(options).await
    }

    /// Lets another agent write, with the key in a file, which is made if there is none; rewrites the keys of metadata, so that
    /// it goes on where others stopped. Takes the identity that the repository was made with.
    ///
    /// The file belongs on the machine that backs up. Cancel safe, as [`add_recipient`](Self::add_recipient).
    ///
    /// # Errors
    ///
    /// As [`add_recipient`](Self::add_recipient); [`ErrorKind::PermissionDenied`] for a key that was revoked.
    pub async fn add_writer(&self, file: &Path) -> Result<KeysChanged> {
        let repository = self.reader().await?.repository();
        let path = file.to_owned();
        let (agent, made) = blocking(move || {
            if path.exists() {
                return Ok((AgentKey::parse(read(&path)?.expose_secret())?, false));
            }
            let agent = new_agent()?;
            write_secret(&path, agent.to_file().expose_secret().as_bytes())?;
            Ok((agent, true))
        })
        .await?;
        let writer = repository.add_writer(&agent).await?;
        let changed = self.rewrap_keys(&KeyOptions::default()).await?;
        Ok(KeysChanged { writer: Some(writer), written: made.then(|| file.to_owned()), ..changed })
    }

    /// Ends a writer's right to write: what it wrote stays, and what it writes from now on does not count. Takes the identity
    /// that the repository was made with. Cancel safe, as [`add_recipient`](Self::add_recipient).
    ///
    /// # Errors
    ///
    /// As [`add_recipient`](Self::add_recipient); [`ErrorKind::NotFound`] if there is no such writer;
    /// [`ErrorKind::PermissionDenied`] for the owner's own.
    pub async fn revoke_writer(&self, id: &str, options: &KeyOptions) -> Result<KeysChanged> {
        let repository = self.reader().await?.repository();
        if options.dry_run {
            if !repository.writers().await?.iter().any(|writer| writer.id == id) {
                return Err(Error::new(ErrorKind::NotFound, "the repository has no such writer"));
            }
        } else {
            repository.revoke_writer(id).await?;
        }
        let changed = self.rewrap_keys(options).await?;
        Ok(KeysChanged { writer: Some(id.to_owned()), ..changed })
    }

    /// Encrypts the keys of everything to those who read and write now, as far as they are encrypted to others. Takes an
    /// identity that opens them. Cancel safe: what is left is rewritten the next time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the identity is missing, or the repository is not encrypted.
    pub async fn rewrap_keys(&self, options: &KeyOptions) -> Result<KeysChanged> {
        let rewrapped = self.rewrap(options).await?;
        self.changed(rewrapped, options).await
    }

    async fn rewrap(&self, options: &KeyOptions) -> Result<Rewrapped> {
        let repository = self.reader().await?.repository();
        repository.rewrap(&RewrapOptions::default().with_dry_run(options.dry_run), &mut |_| {}).await
    }

    async fn changed(&self, rewrapped: Rewrapped, options: &KeyOptions) -> Result<KeysChanged> {
        let store = self.reader().await?;
        self.see_statement(store);
        Ok(KeysChanged {
            dry_run: options.dry_run,
            writer: None,
            written: None,
            recipients: store.repository().recipients()?,
            objects: rewrapped.objects,
            rewritten: rewrapped.rewritten,
            denied: rewrapped.denied,
            kept: rewrapped.kept,
            problems: problems(rewrapped.problems),
        })
    }

    /// Proves that an identity opens the keys of everything, that they are the keys that the commits name, that they are
    /// encrypted to those who read and write now, and that the configured agent may write. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] if the identity is not of those who read, or does not open the escrow;
    /// [`ErrorKind::Configuration`] if it is missing; [`ErrorKind::Conflict`] if the escrow is that of another repository.
    pub async fn check_keys(&self, check: &KeyCheck) -> Result<KeysChecked> {
        let KeyCheck { identity, escrow } = check.clone();
        let files = blocking(move || {
            let identity = identity.as_deref().map(read).transpose()?;
            let escrow = escrow.as_deref().map(std::fs::read).transpose()?;
            Ok((identity.map(|text| Identity::parse(text.expose_secret())).transpose()?, escrow.map(Bytes::from)))
        });
        let (identity, escrow) = files.await?;
        let mut keys = super::store::keys_with(self.config(), identity).await?;
        let mut repository = None;
        if let (Some(file), Some(with)) = (escrow, &keys.identity) {
            let Escrow { identity, repository: id, root, .. } = Escrow::open(file, with)?;
            if keys.root.is_some_and(|pinned| pinned != root) {
                return Err(other_escrow());
            }
            (keys.identity, keys.root, repository) = (Some(identity), Some(root), Some(id));
        }
        let Some(checked) = keys.identity.as_ref().map(|identity| identity.recipient().clone()) else {
            return Err(Error::new(ErrorKind::Configuration, "checking the keys takes an identity"));
        };
        let store = Store::open_as(self.config(), keys, self.clock()).await?;
        self.see_statement(&store);
        if repository.is_some_and(|id| id != store.repository().id()) {
            return Err(other_escrow());
        }
        let report = store.repository().check_keys(&mut |_| {}).await?;
        let good = report.is_good();
        let (opened, unnamed) = (report.opened, report.unnamed);
        Ok(KeysChecked { good, identity: checked, opened, unnamed, problems: report.problems })
    }

    /// Writes an age file to some people with all that it takes to open the repository: the configured identity, the
    /// repository's name, the owner's public key, and the steps. To be kept apart from the storage.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if there is such a file; [`ErrorKind::Configuration`] if nobody is named, or the identity is
    /// missing.
    pub async fn escrow(&self, to: &[String], file: &Path) -> Result<Escrowed> {
        let recipients = to.iter().map(|text| Recipient::parse(text)).collect::<Result<Vec<_>>>()?;
        let keys = super::store::keys_with(self.config(), None).await?;
        let identity = keys.identity.map(|identity| identity.recipient().clone());
        let sealed = self.store(Access::Read).await?.repository().escrow(&recipients)?;
        let identity = identity.ok_or_else(|| Error::new(ErrorKind::Configuration, "an escrow takes an identity"))?;
        let path = file.to_owned();
        blocking(move || write_secret(&path, &sealed)).await?;
        Ok(Escrowed { file: file.to_owned(), recipients, identity })
    }
}

fn other_escrow() -> Error {
    Error::new(ErrorKind::Conflict, "the escrow is that of another repository")
}

fn read(path: &Path) -> Result<SecretString> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::from(error).with_context("file", path.display()))?;
    Ok(SecretString::from(text))
}
