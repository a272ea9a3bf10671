//! What the stored objects look like inside.

mod bloom;
mod buffer;
mod frames;
mod index;
mod names;
mod segment;
mod spare;
mod truth;

pub(crate) use self::bloom::key_hash;
pub(crate) use self::buffer::{LineBuffer, LineMeta};
pub(crate) use self::frames::{Codec, MAX_SMALL_BYTES, compress, decompress, each_frame_within, frame_digest};
pub(crate) use self::index::SegmentIndex;
pub(crate) use self::names::{Names, check_source_name, month, sequence_of, ulid_of};
pub(crate) use self::segment::{
    Family, SEGMENT_RAW_BYTES, SegmentBuilder, SegmentFile, StoredLine, build, count_lines, split_lines,
};
pub(crate) use self::spare::Spare;
pub(crate) use self::truth::{Says, Word, decisive, effective, holders, tell_next};
