//! A signed header, and bytes behind it: `header LF signature LF parts`.

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::Serialize;

use crate::crypto::{RootKey, Signer, SigningPurpose};

/// Begins what stands in the place of a signature where nobody signs: it tells accidents, not attacks.
const UNSIGNED: &str = "sha256:";

/// An object that was cut into its pieces and not yet believed.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// The header's line, without line feed.
    pub(crate) header: Bytes,
    /// The base64 of the signature, or `sha256:` and a digest.
    pub(crate) signature: String,
    /// What follows.
    pub(crate) body: Bytes,
    /// Where it begins in the object.
    pub(crate) body_at: u64,
}

/// Joins a header, its signature and the parts.
pub(crate) fn encode(
    header: &impl Serialize,
    purpose: SigningPurpose<'_>,
    signer: Option<&Signer>,
    parts: &[&[u8]],
) -> Result<(Bytes, Digest)> {
    let mut object = serde_json::to_vec(header)?;
    let hash = header_hash(&object);
    let signature = signer.map_or_else(|| format!("{UNSIGNED}{hash}"), |signer| signer.sign(purpose, &object));
    object.push(b'\n');
    object.extend_from_slice(signature.as_bytes());
    object.push(b'\n');
    for part in parts {
        object.extend_from_slice(part);
    }
    Ok((Bytes::from(object), hash))
}

/// What the next commit names its parent by.
pub(crate) fn header_hash(header: &[u8]) -> Digest {
    Digest::of(header)
}

/// Cuts an object at its first two line feeds.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if there are none: the object is cut, or foreign.
pub(crate) fn decode(object: &Bytes) -> Result<Envelope> {
    let cut = || Error::new(ErrorKind::Integrity, "the object is cut or is no part of a repository");
    let header_end = memchr::memchr(b'\n', object).ok_or_else(cut)?;
    let rest = object.slice(header_end + 1..);
    let signature_end = memchr::memchr(b'\n', &rest).ok_or_else(cut)?;
    let signature = std::str::from_utf8(rest.get(..signature_end).ok_or_else(cut)?).map_err(|_| cut())?.to_owned();
    let body = rest.slice(signature_end + 1..);
    let body_at = (object.len() - body.len()) as u64;
    Ok(Envelope { header: object.slice(..header_end), signature, body, body_at })
}

impl Envelope {
    /// Checks the signature, or the digest in its place where nobody signs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is not the key's, or not the header's.
    pub(crate) fn verify(&self, purpose: SigningPurpose<'_>, key: Option<&RootKey>) -> Result<()> {
        let Some(key) = key else {
            let same = self.signature.strip_prefix(UNSIGNED) == Some(header_hash(&self.header).to_string().as_str());
            return if same { Ok(()) } else { Err(Error::new(ErrorKind::Integrity, "the header was changed")) };
        };
        key.verify(purpose, &self.header, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_reads_back_and_keeps_its_hash() {
        let signer = Signer::from_seed([1; 32]);
        let header = serde_json::json!({"sequence": 1});
        let (object, hash) = encode(&header, SigningPurpose::Layout, Some(&signer), &[b"one\n", b"two"]).unwrap();
        let envelope = decode(&object).unwrap();
        assert_eq!(header_hash(&envelope.header), hash);
        assert_eq!(envelope.body.as_ref(), b"one\ntwo");
        assert_eq!(&object[envelope.body_at as usize..], b"one\ntwo");
        assert!(envelope.verify(SigningPurpose::Layout, Some(&signer.root_key())).is_ok());
        assert!(envelope.verify(SigningPurpose::Layout, Some(&Signer::from_seed([2; 32]).root_key())).is_err());
        assert!(decode(&object.slice(..10)).is_err());
    }

    #[test]
    fn without_a_signer_a_digest_stands_in_its_place() {
        let (object, _) = encode(&serde_json::json!({}), SigningPurpose::Layout, None, &[]).unwrap();
        let key = Signer::from_seed([1; 32]).root_key();
        let envelope = decode(&object).unwrap();
        assert!(envelope.verify(SigningPurpose::Layout, None).is_ok());
        assert!(envelope.verify(SigningPurpose::Layout, Some(&key)).is_err());
        let changed = [b"[", object.get(1..).unwrap()].concat();
        assert!(decode(&changed.into()).unwrap().verify(SigningPurpose::Layout, None).is_err());
    }
}
