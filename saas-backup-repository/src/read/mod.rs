//! Reading at a point in time: runs of lines are merged while they are read.

mod access;
mod blob;
mod erased;
mod history;
mod lookup;
mod losses;
mod merge;
mod snapshot;

pub(crate) use self::access::{Access, INLINE_ORDINAL, StoredFrame, blocking, changed};
pub(crate) use self::blob::{BlobPart, BlobRow};
pub(crate) use self::erased::Erased;
pub(crate) use self::history::HistorySnapshot;
pub(crate) use self::lookup::inline_kind;
pub(crate) use self::merge::{Bounds, Group, Merge};
pub(crate) use self::snapshot::{PointSnapshot, event};
