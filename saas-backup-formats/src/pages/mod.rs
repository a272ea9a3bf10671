//! What formats of pages share: which record becomes a page, where it stands, how it is found, what texts link to.

mod attachments;
mod counts;
mod drafts;
mod incoming;
mod layout;
mod linker;
mod names_file;
mod order;
mod past;
mod place;
mod read;
mod style;
mod survey;

pub(crate) use attachments::addresses;
pub(crate) use counts::CollectionPages;
pub use counts::{AttachmentTotals, LinkCounts};
pub(crate) use drafts::Drafts;
pub(crate) use incoming::{Backlinks, Edge, Edges, Incoming, MAX_RELATED};
pub(crate) use layout::{Shape, shapes};
pub(crate) use linker::{Here, Linker};
pub(crate) use names_file::NamesFile;
pub(crate) use order::{day_of, fold, instant, newest_first};
pub(crate) use past::Past;
pub(crate) use place::{Placed, anchor_of, below};
pub(crate) use read::read_sources;
pub(crate) use style::Style;
pub(crate) use survey::{Node, Place, Survey};
