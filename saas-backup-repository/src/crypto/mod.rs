//! Keys, seals and signatures.

#[cfg(feature = "encryption")]
mod age_file;
mod audience;
mod domain;
#[cfg(feature = "encryption")]
mod key_file;
mod keys;
#[cfg(not(feature = "encryption"))]
mod plain_only;
mod sealing;
mod signing;

#[cfg(not(feature = "encryption"))]
use self::{plain_only as age_file, plain_only as key_file};

pub(crate) use self::audience::Audience;
pub(crate) use self::domain::{Domain, DomainKind, Keyring, Wrapping, wrapped};
pub use self::keys::{AgentKey, Identity, Keys, Recipient};
pub(crate) use self::sealing::{Sealer, Sealing, Unsealer};
pub use self::signing::RootKey;
pub(crate) use self::signing::{Signer, SigningPurpose, WriterKey};

use blake3::Hasher;
use saas_backup_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// The secret of a source that names its blobs and digests its lines, so that neither name nor digest confirms a
/// guess of the content.
#[derive(Clone)]
pub(crate) struct NamingKey(Zeroizing<[u8; 32]>);

impl NamingKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    pub(crate) fn generate() -> Result<Self> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    pub(crate) fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(self.0.as_slice()))
    }

    /// A keyed digest of parts that cannot run into each other.
    pub(crate) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = self.hasher(purpose);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// What commits know the key by: it says nothing of the key.
    pub(crate) fn mark(&self) -> String {
        hex(self.digest("naming", &[]).get(..16).unwrap_or_default())
    }

    /// A keyed digest to feed piece by piece.
    pub(crate) fn hasher(&self, purpose: &str) -> Hasher {
        let mut hasher = Hasher::new_keyed(&self.0);
        hasher.update(purpose.as_bytes());
        hasher.update(&[0]);
        hasher
    }

    /// The first eight bytes of a keyed digest.
    pub(crate) fn short(&self, purpose: &str, parts: &[&[u8]]) -> u64 {
        let digest = self.digest(purpose, parts);
        u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
    }
}

impl std::fmt::Debug for NamingKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NamingKey(..)")
    }
}

/// Random bytes of the operating system's generator.
///
/// # Errors
///
/// [`ErrorKind::Unexpected`] if the system has none to give.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Unexpected, "the operating system gives no random bytes"))?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
