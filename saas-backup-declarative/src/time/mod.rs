//! Points in time, periods and the forms that they are written in, as the Python framework of the manifests has them.
mod any;
mod format;
mod moment;
mod period;
mod read;
mod write;

pub(crate) use any::{read_any, read_iso};
pub(crate) use format::DateFormat;
pub(crate) use moment::{Moment, shift};
pub(crate) use period::Period;
pub(crate) use read::Pattern;
pub(crate) use write::{plain_offset, strftime};
