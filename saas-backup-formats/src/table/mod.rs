//! Collections as tables, for every format that has rows and columns.
//!
//! A [`Look`] at each record, while it comes if records come sorted, finds what columns there are; a [`Survey`] tells which
//! references lead nowhere, a [`Plan`] lays out tables with keys, and a pass over all records ([`RowWriter`]) writes rows. Numbers keep their tokens, and what does
//! not fit a column stands in another one as JSON: nothing is changed to fit.

mod attachments;
mod json;
mod layout;
mod look;
mod names;
mod plan;
mod rows;
mod scalar;
mod shape;
mod survey;

pub(crate) use attachments::{blob_file, copy_blobs, held_blobs};
pub(crate) use json::{Member, Value, items, members};
pub(crate) use layout::{pointer, root_names};
pub(crate) use look::{Look, Looked};
pub(crate) use names::{Identifiers, column_name};
pub(crate) use plan::{Column, Kind, Link, Plan, Role, Table};
pub(crate) use rows::{Cell, RowWriter, Sheet, extra, state, word};
pub(crate) use scalar::{NULL, is_awkward, tamed};
pub(crate) use shape::{Parts, Scalar, Seen, Shape};
pub(crate) use survey::{Survey, Surveyed};
