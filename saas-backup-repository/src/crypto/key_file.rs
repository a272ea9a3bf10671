//! Key objects: age files that hold a secret key and say to whom they are encrypted.
//!
//! A line of an age file's head tells neither whose it is nor that it belongs to a list. So one more line stands there,
//! which age passes over: the kind of the key and a digest of the list. The head is sealed with what it encrypts, so
//! only who can open the file, or made it, can have said it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read as _, Write as _};

use age_core::format::{FileKey, Stanza};
use bytes::Bytes;
use saas_backup_core::Result;

use super::age_file::{Key, damaged, recipient, refused};
use super::audience::mark;
use super::domain::{DomainKind, Wrapping};

/// The line's type.
const TAG: &str = "saas-backup";
/// The type of the lines that X25519 keys open.
const X25519: &str = "X25519";
/// Largest key object that is opened; a recipient takes 100 bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Encrypts a secret to public keys, sorted, and says so.
pub(super) fn wrap(recipients: &[&str], kind: DomainKind, secret: &[u8]) -> Result<Vec<u8>> {
    let label = Label([word(kind).to_owned(), mark(recipients)]);
    let keys = recipients.iter().map(|text| recipient(text)).collect::<Result<Vec<_>>>()?;
    let all = std::iter::once(&label as &dyn age::Recipient).chain(keys.iter().map(|one| one as _));
    let encryptor = age::Encryptor::with_recipients(all).map_err(|_| damaged())?;
    let mut file = encryptor.wrap_output(Vec::new())?;
    file.write_all(secret)?;
    Ok(file.finish()?)
}

/// Opens a key object; what it says of whom it is encrypted to, if it says so.
pub(super) fn unwrap(key: &Key, file: &Bytes) -> Result<(Bytes, Option<Wrapping>)> {
    if file.len() > MAX_BYTES {
        return Err(damaged());
    }
    let looking = Looking { key, said: RefCell::default() };
    let decryptor = age::Decryptor::new_buffered(&**file).map_err(|error| refused(&error))?;
    let mut opened = decryptor.decrypt(std::iter::once(&looking as _)).map_err(|error| refused(&error))?;
    let mut secret = Vec::new();
    opened.read_to_end(&mut secret).map_err(|_| damaged())?;
    Ok((Bytes::from(secret), looking.said.into_inner()))
}

fn word(kind: DomainKind) -> &'static str {
    match kind {
        DomainKind::Data => "data",
        DomainKind::Meta => "meta",
    }
}

fn parse(text: &str) -> Option<DomainKind> {
    [DomainKind::Data, DomainKind::Meta].into_iter().find(|kind| word(*kind) == text)
}

struct Label([String; 2]);

impl age::Recipient for Label {
    fn wrap_file_key(&self, _: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let line = Stanza { tag: TAG.to_owned(), args: self.0.to_vec(), body: Vec::new() };
        Ok((vec![line], HashSet::new()))
    }
}

/// Takes note of what the head says while the library opens it; it is only to be believed once it has.
struct Looking<'a> {
    key: &'a Key,
    said: RefCell<Option<Wrapping>>,
}

impl age::Identity for Looking<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.key.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let label = stanzas.iter().find(|stanza| stanza.tag == TAG).map(|stanza| stanza.args.as_slice());
        if let Some([kind, mark]) = label {
            let recipients = stanzas.iter().filter(|stanza| stanza.tag == X25519).count();
            *self.said.borrow_mut() = Some(Wrapping { kind: parse(kind), mark: mark.clone(), recipients });
        }
        stanzas.iter().find_map(|stanza| self.unwrap_stanza(stanza))
    }
}

#[cfg(test)]
mod tests {
    use super::super::age_file::{generate, parse_key};
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_key_object_says_to_whom_it_is_encrypted_and_nobody_else_can_change_that() {
        let pairs: Vec<_> = (0..3).map(|_| generate().unwrap()).collect();
        let mut recipients: Vec<&str> = pairs.iter().map(|(_, public)| public.as_str()).collect();
        recipients.sort_unstable();
        let file = Bytes::from(wrap(&recipients, DomainKind::Meta, b"secret").unwrap());
        for (key, _) in &pairs {
            let key = parse_key(key.expose_secret()).unwrap();
            let (secret, said) = unwrap(&key, &file).unwrap();
            assert_eq!(secret.as_ref(), b"secret");
            let said = said.unwrap();
            assert!(said.is_to(DomainKind::Meta, &recipients) && !said.is_to(DomainKind::Data, &recipients));
            assert!(!said.is_to(DomainKind::Meta, &recipients[..2]));
            // Another tool of the format opens it.
            assert_eq!(age::decrypt(&key, &file).unwrap(), b"secret");
            let text = String::from_utf8_lossy(&file).into_owned();
            let at = text.find(&said.mark).unwrap();
            let forged = [&file[..at], mark(&recipients[..2]).as_bytes(), &file[at + 16..]].concat();
            assert!(unwrap(&key, &forged.into()).is_err());
        }
        let stranger = parse_key(generate().unwrap().0.expose_secret()).unwrap();
        assert!(unwrap(&stranger, &file).is_err());
    }
}
