//! Collections as tables, for every format that has rows and columns.
//!
//! One pass over all records ([`Survey`]) finds what columns there are and which references lead nowhere, a [`Plan`]
//! lays out tables with keys, and a second pass ([`RowWriter`]) writes rows. Numbers keep their tokens, and what does
//! not fit a column stands in another one as JSON: nothing is changed to fit.

mod attachments;
mod json;
mod layout;
mod names;
mod plan;
mod rows;
mod scalar;
mod shape;
mod survey;

pub(crate) use attachments::{blob_file, copy_blobs, held_blobs};
pub(crate) use json::{Member, Value, items, members};
pub(crate) use layout::{pointer, root_names};
pub(crate) use names::{Identifiers, column_name};
pub(crate) use plan::{Column, Kind, Link, Plan, Role, Table};
pub(crate) use rows::{Cell, RowWriter, Sheet, extra, state, word};
pub(crate) use scalar::{NULL, is_awkward, tamed};
pub(crate) use shape::{Parts, Scalar, Seen, Shape};
pub(crate) use survey::{Survey, Surveyed};
