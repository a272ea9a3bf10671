use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use saas_backup_core::{Digest, Result};

use super::{Answer, Outgoing};

/// Answers that several collections ask for, kept in a file while a snapshot is open: a parent whose records are the
/// partitions of three others is read once.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    file: Option<File>,
    answers: HashMap<Digest, Place>,
    end: u64,
    /// Requests under way: whoever asks for the same waits for their answer.
    flights: HashMap<Digest, Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Clone, Debug)]
struct Place {
    at: u64,
    length: usize,
    status: u16,
    headers: HeaderMap,
}

/// Most bytes that are kept; what comes later is asked for again.
const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

impl Cache {
    /// Waits until nobody else asks for the same.
    pub(super) async fn turn(&self, cached: bool, outgoing: &Outgoing) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        if !cached {
            return None;
        }
        let flight = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody waits for is done.
            held.flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            Arc::clone(held.flights.entry(key(outgoing)).or_default())
        };
        Some(flight.lock_owned().await)
    }

    pub(super) fn get(&self, cached: bool, outgoing: &Outgoing) -> Result<Option<Answer>> {
        if !cached {
            return Ok(None);
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Place { at, length, status, headers }) = held.answers.get(&key(outgoing)).cloned() else {
            return Ok(None);
        };
        let Some(file) = &mut held.file else { return Ok(None) };
        let mut body = vec![0; length];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut body)?;
        Ok(Some(Answer { status, headers, body: Bytes::from(body), permit: None }))
    }

    pub(super) fn put(&self, cached: bool, outgoing: &Outgoing, answer: &Answer) -> Result<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !cached || held.end + answer.body.len() as u64 > MAX_BYTES {
            return Ok(());
        }
        let at = held.end;
        let file = match &mut held.file {
            Some(file) => file,
            // Without a name, so that nothing stays behind and nobody else can open it.
            empty => empty.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&answer.body)?;
        held.end += answer.body.len() as u64;
        let place = Place { at, length: answer.body.len(), status: answer.status, headers: answer.headers.clone() };
        held.answers.insert(key(outgoing), place);
        Ok(())
    }
}

fn key(outgoing: &Outgoing) -> Digest {
    let mut text = format!("{} {}\n", outgoing.method, outgoing.url).into_bytes();
    text.extend_from_slice(outgoing.body.as_deref().unwrap_or_default());
    Digest::of(&text)
}
