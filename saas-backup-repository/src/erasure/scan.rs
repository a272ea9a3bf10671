use std::collections::BTreeSet;

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::crypto::Unsealer;
use crate::object::each_frame_within;
use crate::read::blocking;
use crate::source::Source;

/// How an age file begins (age-encryption.org/v1).
const AGE: &[u8] = b"age-encryption.org/v1\n";

/// What a search through everything that can be read found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Scanned {
    /// Objects that were read.
    pub objects: u64,
    /// Plain bytes that were searched.
    pub bytes: u64,
    /// Objects, and sealed parts of objects, that no key opens which is still there.
    pub shredded: u64,
    /// Sealed objects, and parts of objects, that are damaged: what they hold cannot be read.
    pub damaged: u64,
    /// The names of the objects that hold one of the texts, in order.
    pub found: BTreeSet<String>,
}

impl Source {
    /// Searches every byte of the source that the keys at hand can still read for some texts, such as the name and the
    /// address of a person who was erased: in objects that are in use, in those that are not any more, and in what no
    /// commit names. It goes by the names that the storage lists, and by nothing that the repository says of itself.
    ///
    /// Text is found as it stands in JSON: what is written with escapes must be given with escapes. `progress` is called
    /// after each object. Holds one object at a time. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity; [`ErrorKind::Configuration`] without a text.
    pub async fn scan(&self, texts: &[String], progress: &mut (dyn FnMut(&Scanned) + Send)) -> Result<Scanned> {
        let shared = &self.shared;
        if !shared.keyring.reads_data() {
            return Err(Error::new(ErrorKind::PermissionDenied, "a search takes the owner's identity"));
        }
        let texts: Vec<Finder<'static>> = texts
            .iter()
            .filter(|text| !text.is_empty())
            .map(|text| Finder::new(text.as_bytes()).into_owned())
            .collect();
        if texts.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "it is not said what to search for"));
        }
        let names = shared.listed(shared.names.prefix().trim_end_matches('/')).await?;
        let mut keys = Vec::new();
        for name in names.iter().filter(|name| name.starts_with(&shared.names.keys())) {
            if let Some(id) = name.strip_prefix(&shared.names.keys()).and_then(|name| name.strip_suffix(".age")) {
                match shared.keyring.unsealer(Some(id)).await {
                    Ok(unsealer) => keys.push(unsealer),
                    // The naming key is none of a domain; what another damaged one covered is lost.
                    Err(error) if error.kind() == ErrorKind::Integrity => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let (mut scanned, mut search) = (Scanned::default(), Search { keys, texts });
        for name in names.iter().filter(|name| !name.starts_with(&shared.names.keys())) {
            let object = match shared.store.get(name, None).await {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                object => object?,
            };
            let found;
            (search, found) = blocking(move || {
                let found = search.object(&object);
                Ok((search, found))
            })
            .await?;
            scanned.objects += 1;
            scanned.bytes += found.bytes;
            scanned.shredded += found.shredded;
            scanned.damaged += found.damaged;
            if found.is_there {
                scanned.found.insert(name.clone());
            }
            progress(&scanned);
        }
        Ok(scanned)
    }
}

struct Search {
    keys: Vec<Unsealer>,
    texts: Vec<Finder<'static>>,
}

/// What an object holds.
#[derive(Default)]
struct Found {
    bytes: u64,
    shredded: u64,
    damaged: u64,
    is_there: bool,
}

impl Search {
    fn object(&mut self, object: &Bytes) -> Found {
        let mut found = Found::default();
        let starts: Vec<usize> = memmem::find_iter(object, AGE).collect();
        self.plain(object.get(..starts.first().copied().unwrap_or(object.len())).unwrap_or_default(), &mut found);
        for (place, start) in starts.iter().enumerate() {
            let end = starts.get(place + 1).copied().unwrap_or(object.len());
            match self.open(&object.slice(*start..end)) {
                Ok(Some(plain)) => self.plain(&plain, &mut found),
                Ok(None) => found.shredded += 1,
                Err(_) => found.damaged += 1,
            }
        }
        found
    }

    /// What the first key that opens a file gives; neighbours mostly have the same.
    fn open(&mut self, sealed: &Bytes) -> Result<Option<Bytes>> {
        for place in 0..self.keys.len() {
            let Some(key) = self.keys.get(place) else { break };
            match key.open(sealed.clone()) {
                Ok(plain) => {
                    self.keys.swap(0, place);
                    return Ok(Some(plain));
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn plain(&self, bytes: &[u8], found: &mut Found) {
        let longest = self.texts.iter().map(|text| text.needle().len()).max().unwrap_or(0);
        let holds = |bytes: &[u8]| self.texts.iter().any(|text| text.find(bytes).is_some());
        found.bytes += bytes.len() as u64;
        found.is_there |= holds(bytes);
        // A text may begin in one frame and end in the next.
        let mut end: Vec<u8> = Vec::new();
        each_frame_within(bytes, |frame| {
            found.bytes += frame.len() as u64;
            end.extend_from_slice(frame.get(..longest.min(frame.len())).unwrap_or_default());
            found.is_there |= holds(frame) || holds(&end);
            let keep = frame.len().saturating_sub(longest);
            end = frame.get(keep..).unwrap_or_default().to_vec();
        });
    }
}
