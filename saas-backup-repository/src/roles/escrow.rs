use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};

use crate::crypto::{Identity, Recipient, RootKey, Sealer, Unsealer};
use crate::repository::Repository;

const REPOSITORY: &str = "# repository: ";
const ROOT: &str = "# root: ";

/// What a person needs who finds the copies in ten years: an identity that opens them, and which they are.
///
/// As a file it is an age file to a few people; opened, it is an age identity file with a description in its comments.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Escrow {
    /// Opens the repository.
    pub identity: Identity,
    /// The repository's name: a ULID.
    pub repository: String,
    /// The owner's public key that the repository is signed with.
    pub root: RootKey,
}

impl Escrow {
    /// Opens an escrow file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] if it is not encrypted to this identity; [`ErrorKind::Integrity`] if it is damaged;
    /// [`ErrorKind::InvalidData`] if it is another age file.
    pub fn open(file: Bytes, with: &Identity) -> Result<Self> {
        let other = || Error::new(ErrorKind::InvalidData, "the file is no escrow of a repository");
        let text = Unsealer::from_key(with.secret().expose())?.open(file)?;
        let text = SecretString::from(std::str::from_utf8(&text).map_err(|_| other())?);
        let stated =
            |name: &str| text.expose_secret().lines().find_map(|line| line.strip_prefix(name)).ok_or_else(other);
        Ok(Self {
            identity: Identity::parse(text.expose_secret()).map_err(|_| other())?,
            repository: stated(REPOSITORY)?.to_owned(),
            root: stated(ROOT)?.parse().map_err(|_| other())?,
        })
    }
}

impl Repository {
    /// An age file to some people with all that it takes to open this repository: the identity at hand, what it opens, and the
    /// steps, with this program and without. It names no address. To be kept apart from the storage; who opens it reads
    /// everything.
    ///
    /// ```
    /// use saas_backup_repository::{Escrow, Identity, Keys, Repository, RepositoryOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saas_backup_core::Result<()> {
    /// let (mine, notary) = (Identity::generate(), Identity::generate());
    /// let options = RepositoryOptions::parse("memory://escrow")?.with_keys(Keys::owner(mine.clone()));
    /// let repository = Repository::init(options).await?;
    /// let file = repository.escrow(&[notary.recipient().clone()])?;
    /// let opened = Escrow::open(file, &notary)?;
    /// assert_eq!(opened.identity.recipient(), mine.recipient());
    /// assert_eq!(opened.repository, repository.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without an identity; [`ErrorKind::Configuration`] if the repository is not encrypted,
    /// or without recipients.
    pub fn escrow(&self, to: &[Recipient]) -> Result<Bytes> {
        let Some(root) = self.root_key() else {
            return Err(Error::new(ErrorKind::Configuration, "the repository is not encrypted: it has no keys"));
        };
        let identity = self.keys().identity.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::PermissionDenied, "an escrow holds an identity, and none is at hand")
        })?;
        if to.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "an escrow is encrypted to somebody: name a recipient"));
        }
        let signs = identity.root_key() == root;
        let text = SecretString::from(
            include_str!("escrow.txt")
                .replace("{repository}", self.id())
                .replace("{root}", &root.to_string())
                .replace("{made}", &self.made().to_rfc3339())
                .replace("{now}", &self.clock().now().to_rfc3339())
                .replace("{recipient}", identity.recipient().as_str())
                .replace("{role}", if signs { "the owner's: it reads, and signs for who writes" } else { "reads" })
                .replace("{identity}", identity.secret().expose()),
        );
        let sealer = Sealer::Age(to.iter().map(ToString::to_string).collect());
        sealer.seal(text.expose_secret().as_bytes().to_vec()).map(Bytes::from)
    }
}
