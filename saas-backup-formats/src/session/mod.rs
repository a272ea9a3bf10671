//! What the sinks of all formats share: events are spooled and blobs are kept until `commit` writes the folder.

mod blobs;
mod sink;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saas_backup_core::{
    BlobId, BlobRef, BlobSlot, Capabilities, Digest, Error, ErrorKind, Event, Json, LineCodec, Outcome, Problem,
    Result, RunStart, SinkOptions, StoredBlob, WriteMode, Writer,
};

use crate::folder::{Marker, Policy, Staging};
use crate::spool::Intake;

pub(crate) use blobs::BlobStore;
use blobs::StagedBlob;
pub(crate) use sink::FolderSink;
use writer::SpoolWriter;

/// The folder below the staging folder that is gone before it is published.
pub(crate) const SCRATCH: &str = ".scratch";

/// One write session; the handles of its writers share it.
#[derive(Debug)]
pub(crate) struct Session {
    open: Mutex<Option<Open>>,
}

/// What a session keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// As in [`Policy`].
    pub(crate) carry_over: bool,
    /// Whether the lines of records are a part of the export.
    pub(crate) lines: bool,
}

/// What a session holds while it is open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) staging: Staging,
    /// As in [`Keeping::lines`].
    pub(crate) keeps_lines: bool,
    pub(crate) start: Option<RunStart>,
    pub(crate) intake: Intake,
    pub(crate) blobs: BlobStore,
    /// Schema documents that came in the feeds.
    pub(crate) schemas: BTreeMap<Digest, Json>,
    pub(crate) codec: LineCodec,
}

impl Session {
    /// Opens a session that writes `target` anew.
    pub(crate) fn open(target: &Path, marker: Marker, options: &SinkOptions, keeping: Keeping) -> Result<Arc<Self>> {
        let replace = replaces(options)?;
        let staging = Staging::open(target, marker, Policy { replace, carry_over: keeping.carry_over })?;
        let scratch = staging.folder().join(SCRATCH);
        let open = Open {
            staging,
            keeps_lines: keeping.lines,
            start: None,
            intake: Intake::new(&scratch, keeping.lines),
            blobs: BlobStore::new(scratch.join("blobs")),
            schemas: BTreeMap::new(),
            codec: LineCodec::stored(),
        };
        Ok(Arc::new(Self { open: Mutex::new(Some(open)) }))
    }

    /// Notes what is about to be written.
    pub(crate) fn begin(&self, start: &RunStart) -> Result<()> {
        self.with(|open| {
            open.start = Some(start.clone());
            Ok(())
        })
    }

    /// Whether the session has the blob already.
    pub(crate) fn blob(self: &Arc<Self>, blob: &BlobRef) -> Result<BlobSlot> {
        let Some(id) = blob.id.clone() else { return Ok(BlobSlot::Unwanted) };
        match self.with(|open| open.blobs.ask(&id))? {
            Ok(held) => Ok(BlobSlot::Held(held)),
            Err(part) => Ok(BlobSlot::Want(Box::new(StagedBlob::new(Arc::clone(self), id, part)))),
        }
    }

    /// Opens a writer.
    pub(crate) fn writer(self: &Arc<Self>) -> Box<dyn Writer> {
        Box::new(SpoolWriter::new(Arc::clone(self)))
    }

    /// Ends the session and hands out what it holds: writers that are still about are told so.
    pub(crate) fn end(&self) -> Result<Open> {
        self.lock().take().ok_or_else(ended)
    }

    fn take(&self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        self.with(|open| batch.into_iter().map(|event| open.take(event)).collect())
    }

    fn store(&self, id: &BlobId, part: &Path, blob: StoredBlob) -> Result<()> {
        self.with(|open| open.blobs.store(id, part, blob))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Open) -> Result<T>) -> Result<T> {
        self.lock().as_mut().ok_or_else(ended).and_then(work)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes an event of a feed.
    pub(crate) fn take(&mut self, event: Event) -> Result<Outcome> {
        match event {
            Event::Seen(_) => Ok(Outcome::Unchanged),
            Event::Schema(change) => {
                if let Some(document) = change.document {
                    self.schemas.insert(change.schema, document.detach());
                }
                Ok(Outcome::Stored)
            }
            event => {
                let mut whole = false;
                if let Event::Put(record) = &event {
                    whole = true;
                    for blob in &record.blobs {
                        whole &= self.blobs.holds(blob)?;
                    }
                }
                match self.intake.take(&self.codec, event, whole) {
                    Ok(()) => Ok(Outcome::Stored),
                    // A record that no line can hold is refused alone; the rest of the export goes on.
                    Err(error) if matches!(error.kind(), ErrorKind::LimitExceeded | ErrorKind::InvalidData) => {
                        Ok(Outcome::Rejected(Box::new(Problem::from(&error))))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// Whether a session replaces what is there.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for modes in which something would stay, and for a dry run.
pub(crate) fn replaces(options: &SinkOptions) -> Result<bool> {
    let unsupported = |what: &str| Err(Error::new(ErrorKind::Unsupported, what.to_owned()));
    match options.mode {
        _ if options.dry_run => unsupported("an export has no dry run"),
        WriteMode::Create => Ok(false),
        WriteMode::Overwrite => Ok(true),
        _ => unsupported("an export is written anew each time: only the modes `create` and `overwrite` make sense"),
    }
}

/// What a connector can do that writes its target anew.
pub(crate) fn writes() -> Capabilities {
    let mut capabilities = Capabilities::default();
    capabilities.create = true;
    capabilities.overwrite = true;
    capabilities.atomic = true;
    capabilities.whole = true;
    capabilities
}

/// What a connector can do that also reads its target back, as an archive of lines is read.
pub(crate) fn reads_back(lossless: bool) -> Capabilities {
    let mut capabilities = writes();
    capabilities.read = true;
    capabilities.incremental = true;
    capabilities.sweeps = true;
    capabilities.reads_records = true;
    capabilities.blobs = true;
    capabilities.blob_ranges = true;
    capabilities.lossless = lossless;
    capabilities
}

fn ended() -> Error {
    Error::new(ErrorKind::Unexpected, "the session has ended")
}

/// Runs work that reads or writes files where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Err(Error::new(ErrorKind::Cancelled, "the runtime is shutting down")),
        Err(error) => Err(Error::new(ErrorKind::Unexpected, "an export step panicked").with_source(error)),
    }
}
