//! Files of the age v1 format with X25519 recipients.

use std::io::{self, Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::str::FromStr as _;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::SecretString;

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

fn recipient(text: &str) -> Result<x25519::Recipient> {
    x25519::Recipient::from_str(text)
        .map_err(|_| Error::new(ErrorKind::Configuration, "not an age public key of the X25519 kind"))
}

/// Encrypts to public keys.
pub(super) fn seal(recipients: &[&str], plain: &[u8]) -> Result<Vec<u8>> {
    seal_into(recipients, plain, Vec::with_capacity(sealed_size(plain.len())))
}

/// About how large a file gets.
pub(super) fn sealed_size(plain: usize) -> usize {
    plain + plain / CHUNK as usize * TAG as usize + 1024
}

/// Encrypts to public keys, into an empty buffer.
pub(super) fn seal_into(recipients: &[&str], plain: &[u8], out: Vec<u8>) -> Result<Vec<u8>> {
    let recipients = recipients.iter().map(|text| recipient(text)).collect::<Result<Vec<_>>>()?;
    let encryptor = age::Encryptor::with_recipients(recipients.iter().map(|one| one as _))
        .map_err(|_| Error::new(ErrorKind::Configuration, "there is no public key to encrypt to"))?;
    let mut writer = encryptor.wrap_output(out)?;
    writer.write_all(plain)?;
    Ok(writer.finish()?)
}

/// Decrypts a whole file.
pub(super) fn open(key: &Key, sealed: &[u8]) -> Result<Vec<u8>> {
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(|error| refused(&error))?;
    let mut reader = decryptor.decrypt(std::iter::once(key as _)).map_err(|error| refused(&error))?;
    let mut plain = Vec::with_capacity(sealed.len());
    reader.read_to_end(&mut plain).map_err(damaged)?;
    Ok(plain)
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

/// Decrypts a range out of the bytes that [`sealed_range`] names.
pub(super) fn open_range(key: &Key, head: &[u8], size: u64, body: &Bytes, plain: &Range<u64>) -> Result<Vec<u8>> {
    // No file holds more plain bytes than it has; the library's own arithmetic ends in a panic there.
    if plain.start > plain.end || plain.end > size {
        return Err(Error::new(ErrorKind::Integrity, "the range lies beyond the end of the object"));
    }
    let start = sealed_range(head.len(), size, plain).start;
    let window = Window { head: Cursor::new(head), body, start, size, position: 0 };
    let decryptor = age::Decryptor::new(window).map_err(|error| refused(&error))?;
    let mut reader = decryptor.decrypt(std::iter::once(key as _)).map_err(|error| refused(&error))?;
    // Seeking to the first byte of a chunk makes the library look at the end of the file, to the second it does not.
    let aligned = plain.start / CHUNK * CHUNK;
    if aligned > 0 {
        reader.seek(SeekFrom::Start(aligned + 1)).map_err(damaged)?;
    }
    reader.seek(SeekFrom::Start(plain.start)).map_err(damaged)?;
    let length = usize::try_from(plain.end - plain.start)
        .map_err(|_| Error::new(ErrorKind::LimitExceeded, "the range is too large"))?;
    let mut out = vec![0; length];
    reader.read_exact(&mut out).map_err(damaged)?;
    Ok(out)
}

fn refused(error: &age::DecryptError) -> Error {
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

fn damaged(_: io::Error) -> Error {
    Error::new(ErrorKind::Integrity, "the object was changed after it was encrypted")
}

/// A file of which only the head and one range are there.
struct Window<'a> {
    head: Cursor<&'a [u8]>,
    body: &'a Bytes,
    start: u64,
    size: u64,
    position: u64,
}

impl io::Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let head = self.head.get_ref();
        let from = if self.position < head.len() as u64 {
            head.get(self.position as usize..)
        } else if self.position >= self.size {
            return Ok(0);
        } else {
            self.position.checked_sub(self.start).and_then(|at| self.body.get(at as usize..))
        };
        let from = from.filter(|from| !from.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = from.len().min(out.len());
        out[..length].copy_from_slice(&from[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl io::Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
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
            assert_eq!(open(&key, &sealed).unwrap(), plain);
            let size = sealed.len() as u64;
            let head = head(&sealed).unwrap();
            let edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK, length - 1, length];
            for start in edges.iter().filter(|at| **at < length) {
                for end in edges.iter().filter(|at| **at > *start && **at <= length) {
                    let range = *start..*end;
                    let needed = sealed_range(head.len(), size, &range);
                    let body = Bytes::copy_from_slice(&sealed[needed.start as usize..needed.end as usize]);
                    let out = open_range(&key, head, size, &body, &range).unwrap();
                    assert_eq!(out, plain[*start as usize..*end as usize], "{range:?} of {length}");
                }
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
            assert!(open(&key, &changed).is_err(), "{at}");
        }
        assert_eq!(open(&key, &sealed[..sealed.len() - 1]).unwrap_err().kind(), ErrorKind::Integrity);
        let other = x25519::Identity::generate();
        assert_eq!(open(&other, &sealed).unwrap_err().kind(), ErrorKind::PermissionDenied);
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
                match (expect.as_str(), open(&key, &file)) {
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
                let read = open_range(key, head, size, &body, &range).unwrap();
                assert!(read == plain[range.start as usize..range.end as usize], "{name}: {range:?}");
            }
        }
    }
}
