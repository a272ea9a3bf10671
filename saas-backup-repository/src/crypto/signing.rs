use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use saas_backup_core::{Digest, Error, ErrorKind, Result};

/// An owner's public Ed25519 key, in base64: what a repository's writers are vouched for with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootKey(VerifyingKey);

/// A writer's public Ed25519 key.
pub(crate) type WriterKey = RootKey;

/// What a signature is about; a signature for one purpose is none for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SigningPurpose<'a> {
    Repository,
    Writer,
    /// A commit of this source of this repository, and of no other: its header need not say which.
    Commit {
        repository: &'a str,
        source: &'a str,
    },
    Layout,
    Evidence,
    Proof,
    Merging,
    Drill,
    Roles,
}

impl fmt::Display for SigningPurpose<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Repository => "repo",
            Self::Writer => "writer",
            Self::Commit { repository, source } => return write!(formatter, "commit {repository} {source}"),
            Self::Layout => "layout",
            Self::Evidence => "evidence",
            Self::Proof => "proof",
            Self::Merging => "merging",
            Self::Drill => "drill",
            Self::Roles => "roles",
        })
    }
}

impl SigningPurpose<'_> {
    fn message(self, text: &[u8]) -> Vec<u8> {
        [format!("saas-backup repository 1: {self}\n").as_bytes(), text].concat()
    }
}

/// A secret Ed25519 key; erased from memory when it is dropped.
pub(crate) struct Signer(SigningKey);

impl Signer {
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    pub(crate) fn root_key(&self) -> RootKey {
        RootKey(self.0.verifying_key())
    }

    /// The base64 of the signature.
    pub(crate) fn sign(&self, purpose: SigningPurpose<'_>, text: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&purpose.message(text)).to_bytes())
    }
}

impl RootKey {
    /// Checks the base64 of a signature.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is not this key's signature of the text.
    pub(crate) fn verify(&self, purpose: SigningPurpose<'_>, text: &[u8], signature: &str) -> Result<()> {
        let wrong = || Error::new(ErrorKind::Integrity, "a signature does not match");
        let bytes: [u8; 64] =
            STANDARD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
        self.0.verify_strict(&purpose.message(text), &Signature::from_bytes(&bytes)).map_err(|_| wrong())
    }

    /// A short name for the key: 16 hexadecimal digits of its SHA-256.
    pub(crate) fn short_id(&self) -> String {
        Digest::of(self.0.as_bytes()).to_string().chars().take(16).collect()
    }
}

impl FromStr for RootKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::Configuration, "not the base64 of a public Ed25519 key");
        let bytes: [u8; 32] =
            STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(malformed)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| malformed())
    }
}

impl fmt::Display for RootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RootKey({self})")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer({})", self.root_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_text_and_purpose_alone() {
        let signer = Signer::from_seed([7; 32]);
        let commit = SigningPurpose::Commit { repository: "one", source: "blog" };
        let signature = signer.sign(commit, b"text");
        let key: RootKey = signer.root_key().to_string().parse().unwrap();
        assert!(key.verify(commit, b"text", &signature).is_ok());
        for (repository, source) in [("one", "shop"), ("two", "blog")] {
            let elsewhere = SigningPurpose::Commit { repository, source };
            assert!(key.verify(elsewhere, b"text", &signature).is_err());
        }
        assert!(key.verify(SigningPurpose::Layout, b"text", &signature).is_err());
        assert!(key.verify(commit, b"texT", &signature).is_err());
        assert!(key.verify(commit, b"text", "").is_err());
    }
}
