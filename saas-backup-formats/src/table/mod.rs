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

pub(crate) use attachments::copy_blobs;
pub(crate) use plan::{Column, Kind, Plan, Table};
pub(crate) use rows::{Cell, RowWriter, Sheet};
pub(crate) use scalar::{NULL, is_awkward, tamed};
pub(crate) use shape::{Scalar, Seen, Spill};
pub(crate) use survey::Survey;
