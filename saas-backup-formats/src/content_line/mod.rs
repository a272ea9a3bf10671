//! Content lines, of which calendars (RFC 5545) and address cards (RFC 6350) are made: a name, parameters, a value, on
//! lines of at most 75 octets.

mod physical;
mod read;
mod write;

pub(crate) use physical::LogicalLines;
pub(crate) use read::{ContentLine, unescape};
pub(crate) use write::{LineWriter, escape, parameter};
