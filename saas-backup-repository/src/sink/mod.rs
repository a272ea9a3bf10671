//! Writing: the mirror of a source.

mod blob;
mod extent;
mod mirror;
mod remembered;
mod session;
mod step;
mod tables;
mod writer;

pub(crate) use self::mirror::MirrorSink;
pub(crate) use self::tables::HeldRow;
