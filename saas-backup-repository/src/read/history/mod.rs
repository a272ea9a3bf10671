//! Past versions as collections of their own: beside `posts` stands `posts.history`, whose records are what the records
//! of `posts` were before they changed or were deleted.

mod describe;
mod snapshot;
mod versions;

pub(crate) use self::snapshot::HistorySnapshot;
