//! What is read at a time: partitions of a collection, and windows of time in them.

mod datetime;
mod partition;
mod router;
mod window;

pub(crate) use datetime::{DatetimeCursor, Intervals};
pub(crate) use partition::{Partition, SliceView};
pub(crate) use router::{Partitions, Router};
pub(crate) use window::Window;
