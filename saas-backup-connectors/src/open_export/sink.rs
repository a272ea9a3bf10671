use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use saas_backup_core::{
    BlobRef, BlobSlot, BlobWriter, CollectionName, Cursor, Digest, Error, ErrorKind, Event, Feed, IdMap, ImportResult,
    ImportStatus, Json, Key, LineCodec, Loss, Outcome, Problem, Receipt, Record, Reference, Result, RunReport,
    RunStart, Sink, SinkOptions, State, StoredBlob, WriteMode, Writer, Written,
};
use tokio::sync::OnceCell;

use super::client::Api;
use super::model::{ImportDocument, ImportOrigin, NewImport};
use super::page::Page;
use crate::http::PageGuard;
use crate::spool::Spool;

/// Most records in one request, and most bytes of them; what the protocol allows.
const MAX_LINES: usize = 500;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Longest key of a line, in bytes.
const MAX_KEY_BYTES: usize = 256;
/// How often records are sent whose answer is cut.
const TRIES: u32 = 3;
/// How often a record is said to wait before what it waits for is given up.
const WAITS: u32 = 2;

/// A session that writes an account by an import.
#[derive(Debug)]
pub(super) struct ImportSink {
    target: Arc<Target>,
}

/// The account that is written, and what is known of where things went.
#[derive(Debug)]
struct Target {
    api: Api,
    mode: &'static str,
    dry_run: bool,
    ids: IdMap,
    origin: String,
    session: OnceCell<Session>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Session {
    id: String,
    accepts: BTreeSet<CollectionName>,
}

#[derive(Debug, Default)]
struct Memory {
    /// How often a record had to wait.
    waited: HashMap<Key, u32>,
    written: bool,
}

impl ImportSink {
    /// A session; nothing is asked of the service yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the service takes nothing back, or not in this mode.
    pub(super) fn new(api: Api, options: SinkOptions, origin: Option<String>) -> Result<Self> {
        if !api.offers("restore") {
            return Err(Error::new(ErrorKind::Unsupported, "the service does not take records back")
                .with_context("profile", "restore"));
        }
        let mode = match options.mode {
            WriteMode::Create => "create",
            WriteMode::Merge => "merge",
            WriteMode::Overwrite => "overwrite",
            _ => return Err(Error::new(ErrorKind::Unsupported, "a service is not a place for a mirror")),
        };
        let origin = origin.unwrap_or_else(|| api.account_id().to_owned());
        let target = Target {
            api,
            mode,
            dry_run: options.dry_run,
            ids: options.ids,
            origin,
            session: OnceCell::new(),
            memory: Mutex::default(),
        };
        Ok(Self { target: Arc::new(target) })
    }
}

impl Target {
    async fn session(&self) -> Result<&Session> {
        self.session.get_or_try_init(|| self.begin()).await
    }

    async fn begin(&self) -> Result<Session> {
        let origin = ImportOrigin { service: self.api.service_id().to_owned(), account: self.origin.clone() };
        let preserve = ["created", "by", "access"];
        let asked = NewImport { mode: self.mode, dry_run: self.dry_run, notify: false, preserve, origin };
        let ImportDocument { import, accepts, .. } = self.api.begin_import(&asked).await?;
        Ok(Session { id: import, accepts: accepts.unwrap_or_default().collections })
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line of a record.
    fn line(&self, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        let mut record = record.clone();
        (record.partition, record.sequence) = (None, None);
        // A copy need not know versions, and the service gives its own.
        record.version.get_or_insert_with(|| "0".to_owned());
        record.extra.insert("key".to_owned(), Json::from_value(&line_key(&record.key))?);
        if let Some(made) = self.ids.get(&record.key) {
            record.extra.insert("target".to_owned(), Json::from_value(&made)?);
        }
        LineCodec::wire().encode_put(&record, out)?;
        out.push(b'\n');
        Ok(())
    }

    /// Sends records; one outcome each.
    async fn send(&self, lines: Vec<u8>, keys: &[Key]) -> Result<Vec<Outcome>> {
        let session = self.session().await?;
        let lines = Bytes::from(lines);
        let mut tries = 1;
        let results = loop {
            let (body, _held) = self.api.import_records(&session.id, lines.clone()).await?;
            match Page::read_results(body) {
                Ok(results) => break results,
                // The lines have keys: those that were written are answered as they were.
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        };
        let answered = results.iter().map(|result| result.key.as_str());
        let asked: Vec<String> = keys.iter().map(line_key).collect();
        if !answered.eq(asked.iter().map(String::as_str)) {
            return Err(Error::new(ErrorKind::InvalidData, "the service answered for other records"));
        }
        keys.iter().zip(results).map(|(key, result)| self.outcome(key, result)).collect()
    }

    fn outcome(&self, key: &Key, result: ImportResult) -> Result<Outcome> {
        let made = result.target.as_ref().map(Reference::key);
        let waits = waits(&result)?;
        let problem = result.problem.map(Box::new);
        let told = |otherwise: &str| problem.clone().unwrap_or_else(|| Box::new(Problem::new(otherwise, otherwise)));
        if matches!(result.status, ImportStatus::Skipped) {
            return Ok(Outcome::Skipped(told("skipped")));
        }
        if matches!(result.status, ImportStatus::Conflict) {
            return Ok(Outcome::Rejected(told("conflict")));
        }
        if matches!(result.status, ImportStatus::Failed) {
            return Ok(if waits.is_empty() { Outcome::Rejected(told("failed")) } else { Outcome::Deferred(waits) });
        }
        let mut lost = result.lost;
        if !self.dry_run {
            let made = made.clone().ok_or_else(|| {
                Error::new(ErrorKind::InvalidData, "the service wrote a record and does not say which it is")
            })?;
            self.ids.insert(key.clone(), made);
            let mut memory = self.lock();
            memory.written = true;
            if !waits.is_empty() {
                let waited = memory.waited.entry(key.clone()).or_default();
                *waited += 1;
                if *waited <= WAITS {
                    return Ok(Outcome::Deferred(waits));
                }
                lost.push(Loss { path: "/refs".to_owned(), reason: "not-here".to_owned() });
            }
        }
        let mut written = Written::default();
        (written.key, written.lost) = (made, lost);
        written.replaced = matches!(result.status, ImportStatus::Updated);
        Ok(Outcome::Written(Box::new(written)))
    }
}

#[async_trait]
impl Sink for ImportSink {
    async fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    async fn begin(&self, _start: &RunStart) -> Result<()> {
        self.target.session().await.map(drop)
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        let target = &self.target;
        let session = target.session().await?;
        if target.dry_run || blob.id.is_none() || !session.accepts.contains(&owner.collection) {
            return Ok(BlobSlot::Unwanted);
        }
        if let Some((digest, size)) = blob.digest.zip(blob.size)
            && target.api.has_import_blob(&session.id, &digest).await?
        {
            return Ok(BlobSlot::Held(StoredBlob { digest, size }));
        }
        Ok(BlobSlot::Want(Box::new(Upload { target: Arc::clone(target), spool: Spool::new()? })))
    }

    async fn writer(&self, _feed: &Feed) -> Result<Box<dyn Writer>> {
        Ok(Box::new(ImportWriter { target: Arc::clone(&self.target) }))
    }

    async fn commit(self: Box<Self>, _report: &RunReport) -> Result<Receipt> {
        let target = &self.target;
        let session = target.session().await?;
        if target.dry_run {
            target.api.discard_import(&session.id).await?;
            return Ok(Receipt::default());
        }
        let mut guard = PageGuard::default();
        for round in 0_u64.. {
            let (document, done) = target.api.commit_import(&session.id).await?;
            if done {
                if document.unresolved > 0 {
                    tracing::warn!(references = document.unresolved, "references point to what did not come along");
                }
                break;
            }
            // A service that is at it says how far it is; one that only says so is not believed for ever.
            guard.advance(&round.to_string(), format!("{:?}", document.totals).as_bytes())?;
        }
        let mut receipt = Receipt::default();
        receipt.written = target.lock().written;
        Ok(receipt)
    }

    /// What was written stays for the next try; the service removes what is never committed.
    async fn abort(self: Box<Self>) -> Result<()> {
        match self.target.session.get() {
            Some(session) if self.target.dry_run => self.target.api.discard_import(&session.id).await,
            _ => Ok(()),
        }
    }
}

/// Sends the bytes of an attachment once they are whole: the service wants to know their digest first.
#[derive(Debug)]
struct Upload {
    target: Arc<Target>,
    spool: Spool,
}

#[async_trait]
impl BlobWriter for Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.spool.write(&chunk).await
    }

    async fn finish(self: Box<Self>, blob: StoredBlob) -> Result<()> {
        let Self { target, spool } = *self;
        let file = spool.finish(blob).await?;
        let session = target.session().await?;
        if !target.api.has_import_blob(&session.id, &blob.digest).await? {
            target.api.put_import_blob(&session.id, &blob.digest, file.body()).await?;
        }
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Writes the records of one feed.
#[derive(Debug)]
struct ImportWriter {
    target: Arc<Target>,
}

#[async_trait]
impl Writer for ImportWriter {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        let target = &self.target;
        let accepts = &target.session().await?.accepts;
        let mut outcomes = Vec::with_capacity(batch.len());
        let (mut lines, mut keys, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for event in batch {
            let outcome = match event {
                Event::Put(record) if accepts.contains(&record.key.collection) => {
                    let mut line = Vec::new();
                    match target.line(&record, &mut line) {
                        Ok(()) => {
                            if keys.len() >= MAX_LINES || (!keys.is_empty() && lines.len() + line.len() > MAX_BYTES) {
                                place(
                                    &mut outcomes,
                                    &mut places,
                                    target.send(std::mem::take(&mut lines), &keys).await?,
                                );
                                keys.clear();
                            }
                            lines.extend_from_slice(&line);
                            keys.push(record.key);
                            places.push(outcomes.len());
                            // Until the service has answered.
                            Outcome::Unchanged
                        }
                        Err(error) => Outcome::Rejected(Box::new(Problem::from(&error))),
                    }
                }
                Event::Put(_) => skipped("not-accepted", "the service does not take this collection back"),
                Event::Delete(_) => skipped("not-deleted", "a restore deletes nothing"),
                _ => Outcome::Unchanged,
            };
            outcomes.push(outcome);
        }
        if !keys.is_empty() {
            place(&mut outcomes, &mut places, target.send(lines, &keys).await?);
        }
        Ok(outcomes)
    }

    async fn flush(&mut self, _cursor: Option<&Cursor>) -> Result<()> {
        let ids = self.target.ids.clone();
        tokio::task::spawn_blocking(move || ids.flush())
            .await
            .map_err(|error| Error::new(ErrorKind::Unexpected, "the id map was not written").with_source(error))?
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn place(outcomes: &mut [Outcome], places: &mut Vec<usize>, answers: Vec<Outcome>) {
    for (at, answer) in places.drain(..).zip(answers) {
        if let Some(outcome) = outcomes.get_mut(at) {
            *outcome = answer;
        }
    }
}

fn skipped(kind: &str, title: &str) -> Outcome {
    Outcome::Skipped(Box::new(Problem::new(kind, title)))
}

/// What tells a line from the others of an import.
fn line_key(key: &Key) -> String {
    let text = key.to_string();
    if text.len() <= MAX_KEY_BYTES { text } else { Digest::of(text.as_bytes()).to_string() }
}

/// What a record waits for.
fn waits(result: &ImportResult) -> Result<Vec<Key>> {
    let Some(waits) = result.extra.get("waits") else { return Ok(Vec::new()) };
    Ok(waits.decode::<Vec<Reference>>()?.iter().map(Reference::key).collect())
}
