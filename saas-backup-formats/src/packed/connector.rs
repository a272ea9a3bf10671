use std::fmt;
use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saas_backup_core::{
    Account, BlobRef, BlobSlot, ByteStream, Capabilities, Catalog, CheckReport, Connector, Coverage, Error, ErrorKind,
    EventStream, Feed, FeedStream, Key, ReadRequest, Receipt, Result, RunReport, RunStart, Sink, SinkOptions, Snapshot,
    SnapshotOptions, State, WriteMode, Writer, async_trait,
};
use tempfile::TempDir;

use super::Packing;
use super::pack::pack;
use super::unpack::{holds, unpack};
use crate::folder::{SUMS, create_parents};
use crate::session::{blocking, replaces};

type OpenFolder = dyn Fn(&Path) -> Result<Arc<dyn Connector>> + Send + Sync;

/// A format whose folder is packed into one file.
///
/// ```
/// use std::sync::Arc;
/// use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector};
/// use saas_backup_formats::packed::Packed;
///
/// let archive = Packed::new("notes.zip", |folder| Ok(Arc::new(JsonlConnector::new(JsonlConfig::new(folder)))))?;
/// assert!(Packed::new("notes", |_| unreachable!()).is_err(), "this is a folder's name");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Packed {
    path: PathBuf,
    packing: Packing,
    /// The name of the folder in the file.
    top: String,
    open: Arc<OpenFolder>,
}

impl Packed {
    /// A file, and how a folder of the format is opened.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the file's name ends neither with `.zip` nor with `.tar.zst`.
    pub fn new(
        path: impl Into<PathBuf>,
        open: impl Fn(&Path) -> Result<Arc<dyn Connector>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let path = path.into();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(Packing::split);
        let (top, packing) = name.ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "a packed export is a file whose name ends with .zip or .tar.zst")
                .with_context("file", path.display())
        })?;
        Ok(Self { top: top.to_owned(), packing, open: Arc::new(open), path })
    }
}

/// Unpacks an export into a temporary folder and looks through it with the format's own check.
///
/// # Errors
///
/// As reading it, and as `check`.
pub fn check(path: &Path, check: impl FnOnce(&Path) -> Result<CheckReport>) -> Result<CheckReport> {
    let packing =
        Packing::of(path).ok_or_else(|| Error::new(ErrorKind::Configuration, "this is no name of a packed export"))?;
    let folder = tempfile::tempdir()?;
    check(&unpack(packing, path, folder.path())?)
}

impl fmt::Debug for Packed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Packed").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for Packed {
    fn capabilities(&self) -> Capabilities {
        (self.open)(Path::new(&self.top)).map_or_else(|_| Capabilities::default(), |inner| inner.capabilities())
    }

    /// The file: what account it is of stands inside.
    async fn check(&self) -> Result<Account> {
        Ok(Account::new("saas-backup-packed", self.path.display().to_string()))
    }

    /// Unpacks the file into a folder for temporary files, which has to have room for it.
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        let (path, packing) = (self.path.clone(), self.packing);
        let (folder, top) = blocking(move || {
            let folder = tempfile::tempdir()?;
            let top = unpack(packing, &path, folder.path())?;
            Ok((folder, top))
        })
        .await?;
        let inner = (self.open)(&top)?.snapshot(options).await?;
        Ok(Box::new(Unpacked { inner, _folder: folder }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let (this, replace) = (self.clone(), replaces(&options)?);
        let work = blocking(move || Work::open(&this, replace)).await?;
        // The folder is new each time; what may be replaced was judged.
        let mut options = options;
        options.mode = WriteMode::Create;
        let folder = work.folder.join(&self.top);
        match (self.open)(&folder)?.sink(options).await {
            Ok(inner) => Ok(Box::new(PackedSink { inner, work, packing: self.packing, top: self.top.clone() })),
            Err(error) => {
                work.remove()?;
                Err(error)
            }
        }
    }
}

/// Where an export is written before it is packed: beside the file.
#[derive(Debug)]
struct Work {
    target: PathBuf,
    folder: PathBuf,
    lock: File,
}

impl Work {
    fn open(packed: &Packed, replace: bool) -> Result<Self> {
        let target = std::path::absolute(&packed.path)?;
        create_parents(&target)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let folder = target.with_file_name(format!(".{name}.saas-backup-partial"));
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join(".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Conflict, "another session writes this file")
                    .with_context("file", target.display()));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let work = Self { target, folder, lock };
        match work.begin(replace, packed.packing) {
            Ok(()) => Ok(work),
            Err(error) => {
                work.remove()?;
                Err(error)
            }
        }
    }

    fn begin(&self, replace: bool, packing: Packing) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != ".lock" {
                fs::remove_file(entry.path())?;
            }
        }
        let Ok(there) = fs::symlink_metadata(&self.target) else { return Ok(()) };
        let conflict =
            |what: &str| Error::new(ErrorKind::Conflict, what.to_owned()).with_context("file", self.target.display());
        if !replace {
            return Err(conflict("the file is there already: overwrite it, or choose another name"));
        }
        if !there.is_file() {
            return Err(conflict("something else than a file is there"));
        }
        if holds(packing, &self.target, SUMS).unwrap_or(false) {
            Ok(())
        } else {
            Err(conflict("the file is no export: it is not replaced"))
        }
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder)?;
        drop(self.lock);
        Ok(())
    }
}

#[derive(Debug)]
struct PackedSink {
    inner: Box<dyn Sink>,
    work: Work,
    packing: Packing,
    top: String,
}

#[async_trait]
impl Sink for PackedSink {
    async fn state(&self) -> Result<State> {
        self.inner.state().await
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.inner.begin(start).await
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        self.inner.blob(owner, blob).await
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        self.inner.writer(feed).await
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        let Self { inner, work, packing, top } = *self;
        let mut receipt = inner.commit(report).await?;
        blocking(move || {
            let file = work.folder.join("packed");
            receipt.bytes_added = pack(packing, &work.folder.join(&top), &top, &file)?;
            receipt.objects_added = 1;
            fs::rename(file, &work.target)?;
            work.remove()?;
            Ok(receipt)
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { inner, work, .. } = *self;
        inner.abort().await?;
        blocking(move || work.remove()).await
    }
}

/// A snapshot of what was unpacked; the folder goes with it.
#[derive(Debug)]
struct Unpacked {
    inner: Box<dyn Snapshot>,
    _folder: TempDir,
}

#[async_trait]
impl Snapshot for Unpacked {
    async fn catalog(&self) -> Result<Catalog> {
        self.inner.catalog().await
    }

    async fn coverage(&self) -> Result<Coverage> {
        self.inner.coverage().await
    }

    fn feeds(&self) -> FeedStream {
        self.inner.feeds()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.inner.read(request)
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.inner.open(owner, blob, range).await
    }
}
