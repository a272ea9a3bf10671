use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::audience::{Audience, mark};
use super::keys::{Keys, Secret};
use super::{NamingKey, Sealer, Unsealer, age_file, key_file};
use crate::store::{Owner, Store, create};

/// A shred domain: what one key object opens, and what is lost when it is destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Domain {
    /// The name of the key object.
    pub(crate) id: String,
    /// Who can open it.
    pub(crate) kind: DomainKind,
    /// The calendar month that it serves, `2026-11`, where it is shared.
    pub(crate) month: String,
    /// The public key that objects of the domain are encrypted to.
    pub(crate) recipient: String,
}

/// Who can open the key of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DomainKind {
    /// The owners: records and attachments.
    Data,
    /// The owners and the writers: cursors, gaps, reports, the table of blobs.
    Meta,
}

/// What a key object says of whom it is encrypted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapping {
    pub(crate) kind: Option<DomainKind>,
    pub(super) mark: String,
    pub(super) recipients: usize,
}

impl Wrapping {
    /// Whether it is encrypted to these public keys, sorted, as a key of that kind.
    pub(super) fn is_to(&self, kind: DomainKind, recipients: &[&str]) -> bool {
        self.kind == Some(kind) && self.recipients == recipients.len() && self.mark == mark(recipients)
    }

    /// Whether it is encrypted to who should open it.
    pub(crate) fn is_for(&self, kind: DomainKind, audience: &Audience) -> bool {
        self.is_to(kind, &audience.of(kind))
    }
}

/// The keys of one source: makes domains and opens them.
#[derive(Debug)]
pub(crate) struct Keyring {
    store: Arc<dyn Store>,
    folder: String,
    keys: Keys,
    encrypted: bool,
    opened: Mutex<HashMap<String, Unsealer>>,
}

impl Keyring {
    pub(crate) fn new(store: Arc<dyn Store>, folder: String, keys: Keys, encrypted: bool) -> Self {
        Self { store, folder, keys, encrypted, opened: Mutex::default() }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    pub(crate) fn object(&self, id: &str) -> String {
        format!("{}{id}.age", self.folder)
    }

    /// Whether record data can be read with the keys at hand.
    pub(crate) fn reads_data(&self) -> bool {
        !self.is_encrypted() || self.keys.identity.is_some()
    }

    /// Makes a new domain and puts its key where the owners, and for metadata the writers, can open it.
    ///
    /// Who made it forgets the secret: a writer cannot read what it wrote before.
    pub(crate) async fn make(&self, id: Ulid, kind: DomainKind, month: String, to: &Audience) -> Result<Domain> {
        let id = id.to_string();
        let (secret, recipient) = age_file::generate()?;
        let sealed = wrapped(kind, to, format!("{}\n", secret.expose_secret()).as_bytes())?;
        self.store.put(&self.object(&id), sealed).await?;
        Ok(Domain { id, kind, month, recipient })
    }

    /// Opens the objects of a domain; `None` names the unencrypted form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] if none of the keys at hand opens it, [`ErrorKind::NotFound`] if its key
    /// object is gone: what it covered is lost, by design.
    pub(crate) async fn unsealer(&self, domain: Option<&str>) -> Result<Unsealer> {
        let Some(id) = domain else { return Ok(Unsealer::Plain) };
        if let Some(known) = self.lock().get(id) {
            return Ok(known.clone());
        }
        let name = self.object(id);
        if self.keys.secrets().next().is_none() {
            return Err(denied());
        }
        let sealed = self.store.get(&name, None).await?;
        let unsealer = self.open_domain(&sealed).map_err(|error| error.with_context("object", &name))?;
        self.lock().insert(id.to_owned(), unsealer.clone());
        Ok(unsealer)
    }

    /// Opens a domain's key anew, whatever was opened before.
    pub(crate) async fn check(&self, id: &str) -> Result<()> {
        self.lock().remove(id);
        self.unsealer(Some(id)).await.map(drop)
    }

    fn open_domain(&self, sealed: &Bytes) -> Result<Unsealer> {
        let no_key = || Error::new(ErrorKind::Integrity, "the key object holds no key");
        let (opened, _) = self.open_key(sealed)?;
        Unsealer::from_key(std::str::from_utf8(&opened).map_err(|_| no_key())?.trim()).map_err(|_| no_key())
    }

    /// Checks what was read as a domain's key object, as far as the keys at hand tell: an owner's open every one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is none.
    pub(crate) fn check_object(&self, name: &str, object: &Bytes) -> Result<()> {
        match self.open_domain(object) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied && self.keys.identity.is_none() => Ok(()),
            Err(_) => {
                Err(Error::new(ErrorKind::Integrity, "the key object does not open").with_context("object", name))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Opens what is encrypted to owners or writers themselves.
    pub(crate) fn open_key(&self, sealed: &Bytes) -> Result<(Bytes, Option<Wrapping>)> {
        let mut refusal = denied();
        for secret in self.keys.secrets().map(Secret::expose) {
            match key_file::unwrap(&age_file::parse_key(secret)?, sealed) {
                Ok(opened) => return Ok(opened),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    pub(crate) fn naming_object(&self) -> String {
        format!("{}naming{}", self.folder, if self.is_encrypted() { ".age" } else { "" })
    }

    /// Reads the secret that names the source's blobs, if there is one; `mark` is that of the commits.
    pub(crate) async fn check_naming_key(&self, mark: Option<&str>) -> Result<()> {
        match self.store.get(&self.naming_object(), None).await {
            Ok(stored) => self.read_naming_key(&stored, mark).map(drop),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The secret that names the source's blobs; made by whoever writes to the source first.
    ///
    /// `mark` is that of the commits; where there is none yet, a key that was cut while it was written is replaced.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is damaged, or gone although there are commits: by another one what a full read has
    /// seen would look as if it were deleted.
    pub(crate) async fn naming_key(&self, to: &Audience, mark: Option<&str>) -> Result<NamingKey> {
        let name = self.naming_object();
        let lost = |error: Error| {
            let what = "the naming key is lost, and nothing is written without it: fetch it from a copy with repair --from, \
                        or begin another with repair --drop";
            Error::new(ErrorKind::Integrity, what).with_context("object", &name).with_source(error)
        };
        let cut = match self.store.get(&name, None).await {
            Ok(stored) => match self.read_naming_key(&stored, mark) {
                Err(error) if error.kind() == ErrorKind::Integrity && mark.is_none() => true,
                Err(error) if error.kind() == ErrorKind::Integrity => return Err(lost(error)),
                read => return read,
            },
            Err(error) if error.kind() == ErrorKind::NotFound && mark.is_some() => return Err(lost(error)),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let key = NamingKey::generate()?;
        let stored = self.stored_naming_key(&key, to)?;
        if cut {
            self.store.put(&name, stored).await?;
            return Ok(key);
        }
        match create(&*self.store, &name, &stored, |found| *found == stored).await? {
            Owner::Us => Ok(key),
            Owner::Them(found) => self.read_naming_key(&found, mark),
        }
    }

    /// Puts another secret in the place of one that is lost; the next commit states it.
    pub(crate) async fn replace_naming_key(&self, key: &NamingKey, to: &Audience) -> Result<()> {
        self.store.put(&self.naming_object(), self.stored_naming_key(key, to)?).await
    }

    fn stored_naming_key(&self, key: &NamingKey, to: &Audience) -> Result<Bytes> {
        // The second word tells a damaged key: where nothing is encrypted nothing else would.
        let secret = key.to_hex();
        let text = format!("{} {}\n", secret.as_str(), check_word(&secret)).into_bytes();
        if self.is_encrypted() { wrapped(DomainKind::Meta, to, &text) } else { Ok(Bytes::from(text)) }
    }

    pub(crate) fn read_naming_key(&self, stored: &Bytes, mark: Option<&str>) -> Result<NamingKey> {
        let text = if self.is_encrypted() { self.open_key(stored)?.0 } else { stored.clone() };
        Self::parse_naming_key(&text, mark)
    }

    /// Reads what the object of a naming key holds; `mark` is that of the commits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is damaged, or another key.
    pub(crate) fn parse_naming_key(text: &Bytes, mark: Option<&str>) -> Result<NamingKey> {
        let damaged = || Error::new(ErrorKind::Integrity, "the naming key is damaged");
        let text = std::str::from_utf8(text).map_err(|_| damaged())?;
        let (secret, check) = text.strip_suffix('\n').and_then(|text| text.split_once(' ')).ok_or_else(damaged)?;
        if check != check_word(secret) {
            return Err(damaged());
        }
        let secret = Digest::from_hex(secret).map_err(|_| damaged())?;
        let key = NamingKey::new(*secret.as_bytes());
        if mark.is_some_and(|mark| !mark.is_empty() && mark != key.mark()) {
            return Err(Error::new(
                ErrorKind::Integrity,
                "the naming key is not the one that the source was written with",
            ));
        }
        Ok(key)
    }

    /// The public key of the domain whose secret this is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it is none.
    pub(crate) fn recipient_of(secret: &Bytes) -> Result<String> {
        let no_key = || Error::new(ErrorKind::Integrity, "the key object holds no key");
        age_file::recipient_of(std::str::from_utf8(secret).map_err(|_| no_key())?.trim()).map_err(|_| no_key())
    }

    /// What seals to a domain; `None` in a repository that is not encrypted.
    pub(crate) fn sealer(domain: Option<&Domain>) -> Sealer {
        domain.map_or(Sealer::Plain, |domain| Sealer::Age(vec![domain.recipient.clone()]))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Unsealer>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a key object holds for those who should open it.
pub(crate) fn wrapped(kind: DomainKind, to: &Audience, secret: &[u8]) -> Result<Bytes> {
    key_file::wrap(&to.of(kind), kind, secret).map(Bytes::from)
}

fn check_word(secret: &str) -> String {
    Digest::of(secret.as_bytes()).to_string().chars().take(16).collect()
}

fn denied() -> Error {
    Error::new(ErrorKind::PermissionDenied, "none of the keys at hand opens this")
}
