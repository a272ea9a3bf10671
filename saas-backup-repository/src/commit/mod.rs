//! Commits: the steps of a source's timeline.

mod envelope;
mod header;

pub(crate) use self::envelope::{Envelope, decode, encode, header_hash};
pub(crate) use self::header::{
    CommitHeader, Covers, Erases, Lost, Maintenance, Merged, ObjectKind, ObjectRef, Parent, PartKind, PartRef,
    PointHeader, check_version, drop_zeros,
};
