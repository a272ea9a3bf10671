//! From an answer to records.

mod decode;
mod expand;
mod fields;
mod path;
mod record;
mod selector;
mod transform;
mod view;

pub(crate) use decode::Decoder;
pub(crate) use fields::{Fields, at};
pub(crate) use path::{each_member, find, find_all};
pub(crate) use record::Item;
pub(crate) use selector::{Selected, Selector};
pub(crate) use transform::Transform;
pub(crate) use view::view;
