//! The map of a source: which objects hold its lines, and its points in time.

mod fetch;
mod file;
mod load;
mod map;
mod upkeep;

pub(crate) use self::fetch::fetched;
pub(crate) use self::file::{Author, write};
pub(crate) use self::load::{Loader, Trust, check_near};
pub(crate) use self::map::{Head, Map, Part, Segment};
