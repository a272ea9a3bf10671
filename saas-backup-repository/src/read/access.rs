use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Digest, Error, ErrorKind, Key, Result};

use super::Erased;
use crate::commit::{ObjectRef, PartKind};
use crate::crypto::Keyring;
use crate::layout::{Map, Part, Segment, fetched};
use crate::object::{Family, MAX_SMALL_BYTES, SegmentIndex, StoredLine, decompress, frame_digest, split_lines};
use crate::store::Store;

/// Decoded lines that are kept, in bytes of text.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Objects that are fetched at the same time.
const FETCHES: usize = 8;
/// The newest segments and the inline lines of one commit; nothing of a commit is newer than its inline lines.
pub(crate) const INLINE_ORDINAL: u32 = u32::MAX;

/// Fetches, opens and decodes, and keeps a little of it.
#[derive(Debug)]
pub(crate) struct Access {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    indexes: Mutex<HashMap<String, Arc<SegmentIndex>>>,
    lines: Mutex<LineCache>,
    erased: Mutex<Option<KnownErased>>,
}

/// What was read of the lists of what is erased: which lists, and what they say together.
type KnownErased = (Vec<(u64, Digest)>, Arc<Erased>);

/// A frame of a segment: its lines, and the compressed bytes that hold them.
#[derive(Debug)]
pub(crate) struct StoredFrame {
    pub(crate) lines: Vec<StoredLine>,
    pub(crate) stored: Bytes,
    /// Length when it is decompressed.
    pub(crate) raw: usize,
}

/// Decoded lines that several readers share.
pub(crate) type Lines = Arc<Vec<StoredLine>>;

#[derive(Debug, Default)]
struct LineCache {
    /// By sequence and digest of a part, or by name and number of a frame.
    kept: HashMap<(String, usize), (u64, Lines)>,
    bytes: usize,
    turn: u64,
}

impl Access {
    pub(crate) fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring, indexes: Mutex::default(), lines: Mutex::default(), erased: Mutex::default() }
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The plain bytes of a part, checked against the digest that the commit states.
    pub(crate) async fn part(&self, part: &Part) -> Result<Bytes> {
        let sealed = if let Some(bytes) = &part.bytes {
            bytes.clone()
        } else {
            let end = part.place.at.checked_add(part.place.size).ok_or_else(|| changed(&part.place.object))?;
            self.store.get(&part.place.object, Some(part.place.at..end)).await?
        };
        let unsealer = self.keyring.unsealer(part.domain.as_deref()).await?;
        let (expected, object) = (part.sha256, part.place.object.clone());
        blocking(move || {
            if Digest::of(&sealed) != expected {
                return Err(changed(&object));
            }
            Ok(Bytes::from(decompress(&unsealer.open(sealed)?, MAX_SMALL_BYTES)?))
        })
        .await
    }

    /// The lines of a part.
    pub(crate) async fn part_lines(&self, part: &Part) -> Result<Lines> {
        let name = name_of(part);
        if let Some(kept) = self.lock_lines().get(&name) {
            return Ok(kept);
        }
        let text = self.part(part).await?;
        let sequence = part.sequence;
        let object = part.place.object.clone();
        let lines = blocking(move || split_lines(&text, sequence, INLINE_ORDINAL)).await;
        let lines = Arc::new(lines.map_err(|error| error.with_context("object", object))?);
        self.lock_lines().keep(name, &lines);
        Ok(lines)
    }

    /// The lines of several parts, in their order; of parts that lie in one object in one request.
    pub(crate) async fn all_part_lines(&self, parts: &[Part]) -> Result<Vec<Lines>> {
        let unread = parts.iter().filter(|part| !self.lock_lines().holds(&name_of(part))).cloned().collect();
        let fetched = fetched(&*self.store, unread).await?;
        let fetched: HashMap<_, _> = fetched.iter().map(|part| (name_of(part), part)).collect();
        let reads: Vec<_> =
            parts.iter().map(|part| self.part_lines(fetched.get(&name_of(part)).copied().unwrap_or(part))).collect();
        stream::iter(reads).buffered(FETCHES).try_collect().await
    }

    /// The lines of a part; those of `others` that lie in the same object are fetched with it.
    pub(crate) async fn part_lines_among(&self, part: &Part, others: &[&Part]) -> Result<Lines> {
        let kept = self.lock_lines().get(&name_of(part));
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let beside = others.iter().filter(|other| other.place.object == part.place.object);
        let beside: Vec<Part> = beside.map(|other| (*other).clone()).collect();
        self.all_part_lines(&beside).await?;
        self.part_lines(part).await
    }

    /// The indexes of segments, in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if neither the commit that introduces a segment nor the segment has its index.
    pub(crate) async fn indexes(&self, map: &Map, segments: &[Segment]) -> Result<Vec<Arc<SegmentIndex>>> {
        let unknown: Vec<&Segment> = {
            let known = self.lock_indexes();
            segments.iter().filter(|segment| !known.contains_key(&segment.object.name)).collect()
        };
        if !unknown.is_empty() {
            let wanted = |part: &&Part| {
                unknown.iter().any(|segment| {
                    let kind = match segment.family {
                        Family::Data => PartKind::Index,
                        Family::Meta => PartKind::MetaIndex,
                    };
                    part.kind == kind && part.sequence == segment.introduced()
                })
            };
            let parts: Vec<Part> = map.parts.iter().filter(wanted).cloned().collect();
            let parts = match fetched(&*self.store, parts.clone()).await {
                // One of them is gone: each is looked for alone.
                Err(error) if error.kind() == ErrorKind::NotFound => parts,
                fetched => fetched?,
            };
            // Futures that are made before they are polled: a closure in the stream would not be `Send` for all lifetimes.
            let reads: Vec<_> = parts.iter().map(|part| self.part_indexes(part)).collect();
            let read: Vec<Vec<SegmentIndex>> = stream::iter(reads).buffered(FETCHES).try_collect().await?;
            let named = |index: SegmentIndex| (index.object.clone(), Arc::new(index));
            self.lock_indexes().extend(read.into_iter().flatten().map(named));
        }
        for segment in segments {
            let is_known = self.lock_indexes().contains_key(&segment.object.name);
            if !is_known {
                let index = Arc::new(self.own_index(&segment.object).await?);
                self.lock_indexes().insert(segment.object.name.clone(), index);
            }
        }
        let known = self.lock_indexes();
        let index = |segment: &Segment| {
            known.get(&segment.object.name).map(Arc::clone).ok_or_else(|| {
                Error::new(ErrorKind::Integrity, "a segment has no index").with_context("object", &segment.object.name)
            })
        };
        segments.iter().map(index).collect()
    }

    /// The indexes in a part; none if it is damaged or gone, for each segment holds its own, too.
    async fn part_indexes(&self, part: &Part) -> Result<Vec<SegmentIndex>> {
        let read = self.part(part).await.and_then(|text| {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let damaged = |_| Error::new(ErrorKind::Integrity, "the index of a segment is damaged");
            lines.map(|line| serde_json::from_slice(line).map_err(damaged)).collect()
        });
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                tracing::warn!(object = part.place.object, %error, "indexes are read from their segments");
                Ok(Vec::new())
            }
            read => read,
        }
    }

    /// The index at the end of a segment: costs reading it whole.
    async fn own_index(&self, object: &ObjectRef) -> Result<SegmentIndex> {
        let unsealer = self.keyring.unsealer(object.domain.as_deref()).await?;
        let sealed = self.store.get(&object.name, None).await?;
        let object = object.clone();
        blocking(move || {
            if Digest::of(&sealed) != object.sha256 {
                return Err(changed(&object.name));
            }
            let head = unsealer.head(&sealed)?.to_vec();
            let mut index = SegmentIndex::inside(&unsealer.open(sealed)?)?;
            index.object = object.name;
            index.set_head(&head);
            Ok(index)
        })
        .await
    }

    /// The lines of one frame.
    pub(crate) async fn frame(&self, segment: &Segment, index: &Arc<SegmentIndex>, at: usize) -> Result<Lines> {
        let name = (segment.object.name.clone(), at);
        if let Some(kept) = self.lock_lines().get(&name) {
            return Ok(kept);
        }
        let mut lines = self.frames(segment, index, at, at + 1).await?;
        let lines = Arc::new(lines.pop().map(|frame| frame.lines).unwrap_or_default());
        self.lock_lines().keep(name, &lines);
        Ok(lines)
    }

    /// The lines of some frames, each for itself, in one request.
    pub(crate) async fn frames(
        &self,
        segment: &Segment,
        index: &Arc<SegmentIndex>,
        from: usize,
        to: usize,
    ) -> Result<Vec<StoredFrame>> {
        let wanted = index.frames.get(from..to).unwrap_or_default();
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
        let end = last.at.checked_add(u64::from(last.size)).ok_or_else(|| changed(&segment.object.name))?;
        let plain = first.at..end;
        let unsealer = self.keyring.unsealer(segment.object.domain.as_deref()).await?;
        let head = index.head()?;
        let size = segment.object.size;
        let fetch = unsealer.sealed_range(&head, size, &plain);
        let body = self.store.get(&segment.object.name, Some(fetch)).await?;
        let (index, name) = (Arc::clone(index), segment.object.name.clone());
        let (sequence, ordinal) = (segment.sequence, segment.ordinal);
        let read = blocking(move || {
            let bytes = unsealer.open_range(&head, size, body, &plain)?;
            let frames = index.frames.get(from..to).unwrap_or_default();
            frames
                .iter()
                .map(|frame| {
                    // An index that lies has its frames anywhere; what is not there has another digest.
                    let start = frame.at.saturating_sub(plain.start) as usize;
                    let end = start.saturating_add(frame.size as usize);
                    let stored = if end <= bytes.len() { bytes.slice(start..end) } else { Bytes::new() };
                    if frame_digest(&stored) != frame.digest {
                        return Err(Error::new(ErrorKind::Integrity, "a frame of a segment was changed"));
                    }
                    let text = decompress(&stored, u64::from(frame.raw))?;
                    let raw = text.len();
                    Ok(StoredFrame { lines: split_lines(&Bytes::from(text), sequence, ordinal)?, stored, raw })
                })
                .collect::<Result<Vec<_>>>()
        });
        read.await.map_err(|error| error.with_context("object", name))
    }

    /// Reads a segment by another index from now on.
    pub(crate) fn set_index(&self, index: SegmentIndex) {
        self.lock_indexes().insert(index.object.clone(), Arc::new(index));
    }

    fn lock_indexes(&self) -> MutexGuard<'_, HashMap<String, Arc<SegmentIndex>>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_erased(&self) -> MutexGuard<'_, Option<KnownErased>> {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_lines(&self) -> MutexGuard<'_, LineCache> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two commits may hold the same bytes; the lines belong to one of them.
fn name_of(part: &Part) -> (String, usize) {
    (format!("{} {}", part.sequence, part.sha256), usize::MAX)
}

impl LineCache {
    fn holds(&self, name: &(String, usize)) -> bool {
        self.kept.contains_key(name)
    }

    fn get(&mut self, name: &(String, usize)) -> Option<Lines> {
        self.turn += 1;
        let (turn, lines) = self.kept.get_mut(name)?;
        *turn = self.turn;
        Some(Arc::clone(lines))
    }

    fn keep(&mut self, name: (String, usize), lines: &Lines) {
        self.turn += 1;
        self.bytes += weight(lines);
        if let Some((_, replaced)) = self.kept.insert(name, (self.turn, Arc::clone(lines))) {
            self.bytes -= weight(&replaced);
        }
        while self.bytes > CACHE_BYTES {
            let oldest = self.kept.iter().min_by_key(|(_, (turn, _))| *turn).map(|(name, _)| name.clone());
            let Some((_, dropped)) = oldest.and_then(|name| self.kept.remove(&name)) else { break };
            self.bytes -= weight(&dropped);
        }
    }
}

fn weight(lines: &[StoredLine]) -> usize {
    // A line's text is a slice of its frame; what stands beside it is about this much.
    lines.iter().map(|line| line.text.len() + line.key.id.as_str().len() + 128).sum()
}

/// The first line of a key in sorted lines, and all that follow it.
pub(crate) fn lines_of<'a>(lines: &'a [StoredLine], key: &Key) -> &'a [StoredLine] {
    let start = lines.partition_point(|line| &line.key < key);
    let rest = lines.get(start..).unwrap_or_default();
    let length = rest.iter().take_while(|line| &line.key == key).count();
    rest.get(..length).unwrap_or_default()
}

/// Runs what takes longer than a millisecond where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, "a task ended early").with_source(error))?
}

pub(crate) fn changed(object: &str) -> Error {
    Error::new(ErrorKind::Integrity, "an object is not what was written").with_context("object", object)
}
