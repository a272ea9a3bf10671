//! Files of the age v1 format with X25519 recipients.
//!
//! The library wraps the key of a file, and judges heads. The head that it would write has a line that nobody reads, some
//! 50 bytes in every part of a commit, so heads are written here. The payload is sealed and opened here, too, in the buffer
//! that it lies in: the library's own streams copy every byte three times.

use std::ops::Range;
use std::str::FromStr as _;
use std::sync::OnceLock;

use age::secrecy::ExposeSecret as _;
use age::{Recipient as _, x25519};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Bytes, BytesMut};
use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use hmac::{Hmac, Mac as _};
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::SecretString;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::random;

/// Plain bytes of one chunk of the payload, and what encryption adds to each.
const CHUNK: u64 = 64 * 1024;
const TAG: u64 = 16;
const NONCE: usize = 16;

/// A secret key that opens files.
pub(super) type Key = x25519::Identity;

#[expect(clippy::unnecessary_wraps, reason = "the form without encryption has none to give")]
pub(super) fn generate() -> Result<(SecretString, String)> {
    let key = x25519::Identity::generate();
    Ok((SecretString::from(key.to_string().expose_secret()), key.to_public().to_string()))
}

pub(super) fn parse_key(text: &str) -> Result<Key> {
    x25519::Identity::from_str(text).map_err(|_| Error::new(ErrorKind::Configuration, "not an age secret key"))
}

pub(super) fn recipient_of(key: &str) -> Result<String> {
    Ok(parse_key(key)?.to_public().to_string())
}

pub(super) fn check_recipient(text: &str) -> Result<()> {
    recipient(text).map(drop)
}

pub(super) fn recipient(text: &str) -> Result<x25519::Recipient> {
    x25519::Recipient::from_str(text)
        .map_err(|_| Error::new(ErrorKind::Configuration, "not an age public key of the X25519 kind"))
}

/// Encrypts to public keys.
pub(super) fn seal(recipients: &[&str], plain: &[u8]) -> Result<Vec<u8>> {
    let mut sealing = Sealing::begin(recipients, Vec::with_capacity(sealed_size(plain.len())))?;
    sealing.push(plain)?;
    sealing.end()?;
    Ok(sealing.into_file())
}

/// About how large a file gets.
pub(super) fn sealed_size(plain: usize) -> usize {
    plain + plain / CHUNK as usize * TAG as usize + 1024
}

/// A file that is encrypted to public keys piece by piece.
pub(super) struct Sealing {
    payload: Payload,
    out: Vec<u8>,
    /// Where the chunk begins that is not encrypted yet, and its number.
    start: usize,
    number: u64,
}

impl Sealing {
    /// Begins a file in an empty buffer.
    pub(super) fn begin(recipients: &[&str], mut out: Vec<u8>) -> Result<Self> {
        if recipients.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "there is no public key to encrypt to"));
        }
        let secret = Zeroizing::new(random::<FILE_KEY_BYTES>()?);
        let file_key = FileKey::init_with_mut(|key| key.copy_from_slice(secret.as_slice()));
        out.extend_from_slice(b"age-encryption.org/v1\n");
        for text in recipients {
            let (stanzas, _) = recipient(text)?.wrap_file_key(&file_key).map_err(|_| refused_key())?;
            for Stanza { tag, args, body } in stanzas {
                out.extend_from_slice(format!("-> {tag} {}\n{}\n", args.join(" "), base64(&body)).as_bytes());
            }
        }
        out.extend_from_slice(b"---");
        let key = Zeroizing::new(hkdf(&[], b"header", file_key.expose_secret()));
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.as_slice()).map_err(|_| refused_key())?;
        mac.update(&out);
        out.extend_from_slice(format!(" {}\n", base64(&mac.finalize().into_bytes())).as_bytes());
        out.extend_from_slice(&random::<NONCE>()?);
        Ok(Self { payload: Payload::new(&file_key, &out)?, start: out.len(), out, number: 0 })
    }

    /// Appends plain bytes.
    pub(super) fn push(&mut self, mut plain: &[u8]) -> Result<()> {
        while !plain.is_empty() {
            let filled = self.out.len() - self.start;
            // Only what follows tells that a full chunk is not the last one.
            if filled == CHUNK as usize {
                self.close(false)?;
                continue;
            }
            let (now, later) = plain.split_at(plain.len().min(CHUNK as usize - filled));
            self.out.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    /// The file so far: its bytes do not change any more.
    pub(super) fn done(&self) -> &[u8] {
        self.out.get(..self.start).unwrap_or_default()
    }

    /// Ends the file; [`done`](Self::done) is all of it then.
    pub(super) fn end(&mut self) -> Result<()> {
        self.close(true)
    }

    pub(super) fn into_file(self) -> Vec<u8> {
        self.out
    }

    fn close(&mut self, is_last: bool) -> Result<()> {
        let nonce = nonce(self.number, is_last);
        let tag = self.payload.cipher.encrypt_in_place_detached(&nonce, &[], &mut self.out[self.start..]);
        let tag = tag.map_err(|_| Error::new(ErrorKind::Unexpected, "the cipher refused a chunk"))?;
        self.out.extend_from_slice(&tag);
        (self.start, self.number) = (self.out.len(), self.number + 1);
        Ok(())
    }
}

/// Decrypts a whole file, in its own buffer where nobody else holds it.
pub(super) fn open(key: &Key, sealed: Bytes) -> Result<Bytes> {
    let payload = Payload::open(key, &sealed)?;
    let body = sealed.slice(payload.head..);
    drop(sealed);
    payload.decrypt(body, 0, true).map(BytesMut::freeze)
}

/// The part of a file before its payload: all that decrypting a range of it takes besides the range.
pub(super) fn head(sealed: &[u8]) -> Result<&[u8]> {
    let cut = || Error::new(ErrorKind::Integrity, "not an age file");
    let mut end = 0;
    loop {
        let rest = sealed.get(end..).ok_or_else(cut)?;
        let line = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
        end += line + 1;
        if rest.starts_with(b"---") {
            return sealed.get(..end + NONCE).ok_or_else(cut);
        }
    }
}

/// The bytes of a file of `size` bytes that hold a range of its plain bytes.
pub(super) fn sealed_range(head: usize, size: u64, plain: &Range<u64>) -> Range<u64> {
    let chunk = CHUNK + TAG;
    let place = |chunks: u64| chunks.saturating_mul(chunk).saturating_add(head as u64).min(size);
    place(plain.start / CHUNK)..place(plain.end.div_ceil(CHUNK))
}

/// Decrypts a range out of the bytes that [`sealed_range`] names, in their own buffer where nobody else holds it.
pub(super) fn open_range(key: &Key, head: &[u8], size: u64, body: Bytes, plain: &Range<u64>) -> Result<Bytes> {
    let beyond = || Error::new(ErrorKind::Integrity, "the range lies beyond the end of the object");
    // No file holds more plain bytes than it has.
    if plain.start > plain.end || plain.end > size {
        return Err(beyond());
    }
    let payload = Payload::open(key, head)?;
    let is_end = sealed_range(head.len(), size, plain).end == size;
    let first = plain.start / CHUNK;
    let opened = payload.decrypt(body, first, is_end)?.freeze();
    let place = |at: u64| usize::try_from(at - first * CHUNK).ok().filter(|at| *at <= opened.len());
    match (place(plain.start), place(plain.end)) {
        (Some(start), Some(end)) => Ok(opened.slice(start..end)),
        _ => Err(beyond()),
    }
}

/// Bytes of a head as text; the 32 of a wrapped key and of a digest make one line.
fn base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

fn refused_key() -> Error {
    Error::new(ErrorKind::Configuration, "nothing can be encrypted to this public key")
}

/// Takes note of a file's own key while the library reads the head.
struct Listening<T> {
    to: T,
    heard: OnceLock<FileKey>,
}

impl<T> Listening<T> {
    fn to(to: T) -> Self {
        Self { to, heard: OnceLock::new() }
    }

    fn hear(&self, key: &FileKey) {
        self.heard.get_or_init(|| FileKey::init_with_mut(|copy| copy.copy_from_slice(key.expose_secret())));
    }
}

impl age::Identity for Listening<&Key> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let found = self.to.unwrap_stanza(stanza);
        if let Some(Ok(key)) = &found {
            self.hear(key);
        }
        found
    }
}

/// What opens the chunks of a file.
struct Payload {
    cipher: ChaCha20Poly1305,
    /// Length of what stands before the first chunk.
    head: usize,
}

impl Payload {
    /// Of a file with a key of its own, by the nonce at the end of its head.
    fn new(file_key: &FileKey, head: &[u8]) -> Result<Self> {
        let nonce = head.len().checked_sub(NONCE).and_then(|at| head.get(at..));
        let nonce = nonce.ok_or_else(|| Error::new(ErrorKind::Integrity, "not an age file"))?;
        let key = Zeroizing::new(hkdf(nonce, b"payload", file_key.expose_secret()));
        Ok(Self { cipher: ChaCha20Poly1305::new(key.as_slice().into()), head: head.len() })
    }

    /// Of a file that begins with these bytes, whose head is judged.
    fn open(key: &Key, file: &[u8]) -> Result<Self> {
        let mut rest = file;
        let listening = Listening::to(key);
        let decryptor = age::Decryptor::new_buffered(&mut rest).map_err(|error| refused(&error))?;
        decryptor.decrypt(std::iter::once(&listening as _)).map_err(|error| refused(&error))?;
        let file_key = listening.heard.get().ok_or_else(|| refused(&age::DecryptError::NoMatchingKeys))?;
        Self::new(file_key, file.get(..file.len() - rest.len()).unwrap_or_default())
    }

    /// Decrypts chunks from one on; whether they go on to the end of the file.
    fn decrypt(&self, sealed: Bytes, first: u64, to_end: bool) -> Result<BytesMut> {
        let mut bytes = sealed.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        let sealed_chunk = (CHUNK + TAG) as usize;
        let (mut read, mut written, mut number) = (0, 0, first);
        loop {
            let end = bytes.len().min(read + sealed_chunk);
            let is_last = to_end && end == bytes.len();
            let tag_at = end.checked_sub(TAG as usize).filter(|at| *at >= read).ok_or_else(damaged)?;
            let (chunk, tag) = bytes.get_mut(read..end).ok_or_else(damaged)?.split_at_mut(tag_at - read);
            // The format has no empty last chunk, but for a file that holds nothing.
            if chunk.is_empty() && number > 0 {
                return Err(damaged());
            }
            let opened =
                self.cipher.decrypt_in_place_detached(&nonce(number, is_last), &[], chunk, Tag::from_slice(tag));
            opened.map_err(|_| damaged())?;
            bytes.copy_within(read..tag_at, written);
            written += tag_at - read;
            (read, number) = (end, number + 1);
            if read == bytes.len() {
                bytes.truncate(written);
                return Ok(bytes);
            }
        }
    }
}

/// The nonce of a chunk: its number in 11 bytes, and whether it is the last one.
fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    nonce
}

pub(super) fn refused(error: &age::DecryptError) -> Error {
    match error {
        age::DecryptError::NoMatchingKeys => {
            Error::new(ErrorKind::PermissionDenied, "the key does not open this object")
        }
        age::DecryptError::UnknownFormat => {
            Error::new(ErrorKind::UnsupportedVersion, "the object is an age file of a newer version")
        }
        _ => Error::new(ErrorKind::Integrity, "the object's encryption does not match its key"),
    }
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "the object was changed after it was encrypted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_opens_from_the_head_and_its_own_bytes() {
        let key = x25519::Identity::generate();
        let public = key.to_public().to_string();
        for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = seal(&[&public], &plain).unwrap();
            assert_eq!(open(&key, Bytes::copy_from_slice(&sealed)).unwrap(), plain);
            let size = sealed.len() as u64;
            let head = head(&sealed).unwrap();
            let edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK, length - 1, length];
            for start in edges.iter().filter(|at| **at < length) {
                for end in edges.iter().filter(|at| **at > *start && **at <= length) {
                    let range = *start..*end;
                    let needed = sealed_range(head.len(), size, &range);
                    let body = Bytes::copy_from_slice(&sealed[needed.start as usize..needed.end as usize]);
                    let out = open_range(&key, head, size, body, &range).unwrap();
                    assert_eq!(out, plain[*start as usize..*end as usize], "{range:?} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_file_is_the_same_in_whatever_pieces_it_is_sealed() {
        let key = x25519::Identity::generate();
        let public = key.to_public().to_string();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for size in [1000, CHUNK as usize, 100_000] {
                let mut sealing = Sealing::begin(&[&public], Vec::new()).unwrap();
                plain.chunks(size).for_each(|piece| sealing.push(piece).unwrap());
                let before = sealing.done().to_vec();
                sealing.end().unwrap();
                assert!(sealing.done().starts_with(&before));
                let done = sealing.done().len();
                let file = sealing.into_file();
                assert_eq!(file.len(), done);
                assert_eq!(age::decrypt(&key, &file).unwrap(), plain, "{length} in pieces of {size}");
                assert_eq!(open(&key, file.into()).unwrap(), plain);
            }
        }
    }

    #[test]
    fn a_changed_byte_and_a_cut_are_noticed() {
        let key = x25519::Identity::generate();
        let sealed = seal(&[&key.to_public().to_string()], &vec![7; 100_000]).unwrap();
        for at in [0, 30, 100, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key, changed.into()).is_err(), "{at}");
        }
        let cut = Bytes::copy_from_slice(&sealed[..sealed.len() - 1]);
        assert_eq!(open(&key, cut).unwrap_err().kind(), ErrorKind::Integrity);
        let other = x25519::Identity::generate();
        assert_eq!(open(&other, sealed.into()).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    /// A vector of the format's authors: what a reader must make of a file.
    struct Vector {
        name: String,
        expect: String,
        payload: String,
        identities: Vec<String>,
        file: Vec<u8>,
    }

    fn vectors() -> Vec<Vector> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/c2sp-age");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_none()).map(|path| vector(&path)).collect()
    }

    fn vector(path: &std::path::Path) -> Vector {
        let bytes = std::fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let all = |name: &str| -> Vec<String> {
            let values = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.map(str::to_owned).collect()
        };
        let file = bytes[end + 2..].to_vec();
        Vector {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            expect: all("expect").concat(),
            payload: all("payload").concat(),
            identities: all("identity"),
            file: if all("compressed").is_empty() { file } else { zstd::decode_all(&*file).unwrap() },
        }
    }

    /// The library forgives writers that leave out the empty last line of a stanza's body; the header's MAC holds.
    const LENIENT: [&str; 2] = ["stanza_missing_body", "stanza_missing_final_line"];

    /// Files of others open, to the byte and by range, and what the format refuses is refused.
    #[test]
    fn what_the_vectors_of_the_format_accept_opens_and_nothing_else() {
        let vectors = vectors();
        assert!(vectors.len() > 60, "{}", vectors.len());
        for Vector { name, expect, payload, identities, file } in vectors {
            let keys = identities.iter().map(|text| parse_key(text).unwrap());
            for key in keys.chain(identities.is_empty().then(x25519::Identity::generate)) {
                match (expect.as_str(), open(&key, Bytes::copy_from_slice(&file))) {
                    ("success", Ok(plain)) => {
                        assert_eq!(saas_backup_core::Digest::of(&plain).to_string(), payload, "{name}");
                        ranges_open(&key, &file, &plain, &name);
                    }
                    ("no match", Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{name}: {error}");
                    }
                    ("HMAC failure" | "header failure" | "payload failure", Err(error)) => {
                        let known = [ErrorKind::Integrity, ErrorKind::UnsupportedVersion];
                        assert!(known.contains(&error.kind()), "{name}: {error}");
                    }
                    (_, Ok(_)) if LENIENT.contains(&name.as_str()) => {}
                    (_, outcome) => panic!("{name}: {expect}, but {:?}", outcome.map(|plain| plain.len())),
                }
            }
        }
    }

    fn ranges_open(key: &Key, file: &[u8], plain: &[u8], name: &str) {
        let (head, size, length) = (head(file).unwrap(), file.len() as u64, plain.len() as u64);
        for range in [0..1, length / 2..length, length.saturating_sub(1)..length, CHUNK - 1..CHUNK + 1] {
            if range.start < range.end && range.end <= length {
                let needed = sealed_range(head.len(), size, &range);
                let body = Bytes::copy_from_slice(&file[needed.start as usize..needed.end as usize]);
                let read = open_range(key, head, size, body, &range).unwrap();
                assert!(read == plain[range.start as usize..range.end as usize], "{name}: {range:?}");
            }
        }
    }
}
