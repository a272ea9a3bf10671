//! Reading an export back: what a form finds in its folder becomes an archive in a temporary folder, sorted and with
//! digests, and that is read.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use saas_backup_core::{
    At, BlobId, BlobRef, BlobStatus, Budget, ByteStream, Catalog, CollectionCoverage, Coverage, Digest, Error,
    ErrorKind, Event, EventStream, FeedStream, Key, Line, LineCodec, Outcome, ReadRequest, Record, Result, RunId,
    RunReport, RunStart, SinkOptions, Snapshot, SnapshotOptions, StoredBlob, Visibility, WriteMode, async_trait,
};
use tempfile::TempDir;

use crate::folder::{contained, digest_of};
use crate::form::{Form, GAPS, Manifest, lines};
use crate::jsonl::{self, Assembly, MARKER};
use crate::session::{Keeping, Open, Session, blocking};

/// Reads what a form has written, as far as its files carry it.
pub(crate) trait Import: Send + Sync + 'static {
    /// Hands over what the folder holds, in any order.
    ///
    /// # Errors
    ///
    /// If the folder is none of this format or is damaged: nothing is imported then.
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()>;
}

/// Takes what an import finds.
#[derive(Debug)]
pub(crate) struct Loading {
    open: Open,
    start: RunStart,
    folder: TempDir,
}

impl Loading {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let session = Session::open(
            &archive_in(&folder),
            MARKER,
            &SinkOptions::new(WriteMode::Create),
            Keeping { carry_over: false, lines: true },
        )?;
        let time = chrono::DateTime::UNIX_EPOCH;
        let start = RunStart::new(RunId::new(time), time, Catalog::default(), Coverage::default());
        Ok(Self { open: session.end()?, start, folder })
    }

    /// Reads the manifest of the export, and takes account, catalog, coverage and gaps from it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no export, [`ErrorKind::InvalidData`] if it is none of this format,
    /// [`ErrorKind::UnsupportedVersion`] if a newer version wrote it.
    pub(crate) fn manifest<F: Form>(&mut self, folder: &Path) -> Result<Manifest> {
        let manifest = Manifest::read::<F>(folder)?;
        self.start.account.clone_from(&manifest.account);
        self.start.catalog.clone_from(&manifest.catalog);
        self.start.coverage.clone_from(&manifest.coverage);
        if manifest.gaps > 0 {
            let codec = LineCodec::stored();
            for line in lines(Some(&contained(folder, GAPS)?))? {
                let Line::Gap(gap) = codec.decode(&line?)? else {
                    return Err(Error::new(ErrorKind::InvalidData, "a line of `gaps.jsonl` is not a gap"));
                };
                self.open.take(Event::Gap(gap))?;
            }
        }
        Ok(manifest)
    }

    /// Says what this format does not carry of its collections: the coverage shows it wherever the copy goes.
    pub(crate) fn lossy(&mut self, reason: &str) {
        let names: Vec<_> = self.start.catalog.names().cloned().collect();
        for name in names {
            let entry = self.start.coverage.collections.entry(name);
            let coverage = entry.or_insert_with(|| CollectionCoverage::new(Visibility::Partial));
            coverage.visible = coverage.visible.min(Visibility::Partial);
            coverage.reason = Some(reason.to_owned());
        }
    }

    /// Takes a record. Its blobs must have been handed over before.
    ///
    /// # Errors
    ///
    /// If it is larger than a line may be.
    pub(crate) fn record(&mut self, record: Record) -> Result<()> {
        match self.open.take(Event::Put(Box::new(record)))? {
            Outcome::Rejected(problem) => {
                Err(Error::new(ErrorKind::LimitExceeded, "a record of the export cannot be kept")
                    .with_context("reason", problem.title))
            }
            _ => Ok(()),
        }
    }

    /// Takes the bytes of a blob from a file, which stays where it is; says what they are.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(crate) fn blob(&mut self, id: &BlobId, file: &Path) -> Result<StoredBlob> {
        let part = match self.open.blobs.ask(id)? {
            Ok(held) => return Ok(held),
            Err(part) => part,
        };
        if fs::hard_link(file, &part).is_err() {
            io::copy(&mut File::open(file)?, &mut File::create_new(&part)?)?;
        }
        let blob = StoredBlob { digest: digest_of(&part)?, size: fs::metadata(&part)?.len() };
        self.open.blobs.store(id, &part, blob)?;
        Ok(blob)
    }

    /// Takes the records of a file of lines, with their attachments from where `locate` finds their digests. An
    /// attachment that is not found is missing, as it was in the export.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] for a line that is no record, [`ErrorKind::Integrity`] for an attachment with other
    /// bytes.
    pub(crate) fn source(
        &mut self,
        lines_of: &Path,
        mut locate: impl FnMut(&Digest) -> Result<Option<PathBuf>>,
    ) -> Result<()> {
        let codec = LineCodec::stored();
        for line in lines(Some(lines_of))? {
            let Line::Put(record) = codec.decode(&line?)? else {
                return Err(Error::new(ErrorKind::InvalidData, "a line of the export is not a record"));
            };
            for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
                let (Some(id), Some(digest)) = (&blob.id, blob.digest) else { continue };
                let Some(file) = locate(&digest)?.filter(|file| file.exists()) else { continue };
                if self.blob(id, &file)?.digest != digest {
                    return Err(Error::new(ErrorKind::Integrity, "an attachment is not as it was written")
                        .with_context("file", file.display()));
                }
            }
            self.record(*record)?;
        }
        Ok(())
    }

    /// A path for a file that is not kept.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join("scratch").join(name)
    }

    fn finish(mut self, budget: Budget) -> Result<ReadBack> {
        let mut report = RunReport::new(self.start.run, self.start.started);
        report.coverage = self.start.coverage.clone();
        self.open.start = Some(self.start);
        Assembly::write(self.open, &report)?;
        Ok(ReadBack { archive: jsonl::open(&archive_in(&self.folder), budget)?, _folder: self.folder })
    }
}

fn archive_in(folder: &TempDir) -> PathBuf {
    folder.path().join("archive")
}

/// Reads an export back. Needs room for its records in the folder for temporary files, and for its attachments where
/// that is on another file system.
///
/// # Errors
///
/// As [`Import::read`].
pub(crate) async fn read_back(
    import: impl Import,
    folder: PathBuf,
    options: SnapshotOptions,
) -> Result<Box<dyn Snapshot>> {
    if options.at != At::Now {
        return Err(Error::new(ErrorKind::Unsupported, "an export holds one point in time"));
    }
    blocking(move || {
        let mut loading = Loading::new()?;
        import.read(&folder, &mut loading)?;
        Ok(Box::new(loading.finish(options.budget)?) as Box<dyn Snapshot>)
    })
    .await
}

/// The archive that was made of an export; its folder goes with it.
#[derive(Debug)]
struct ReadBack {
    archive: jsonl::JsonlSnapshot,
    _folder: TempDir,
}

#[async_trait]
impl Snapshot for ReadBack {
    async fn catalog(&self) -> Result<Catalog> {
        self.archive.catalog().await
    }

    async fn coverage(&self) -> Result<Coverage> {
        self.archive.coverage().await
    }

    fn feeds(&self) -> FeedStream {
        self.archive.feeds()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.archive.read(request)
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.archive.open(owner, blob, range).await
    }
}
