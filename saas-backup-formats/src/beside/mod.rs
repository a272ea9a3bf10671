//! What the forms have in common that keep original files: a line for every record in `_source/`, attachments, and
//! `names.json`, which says which file is which record.

mod body;
mod check;
mod files;
mod names_file;
mod original;
mod person;
mod property;
mod read;
mod titles;

pub(crate) use body::readable_body;
pub(crate) use check::check_names;
pub(crate) use files::{Beside, BlobFile};
pub(crate) use names_file::{NAMES, Named, Span};
pub(crate) use original::{is_of, original};
pub(crate) use person::Person;
pub(crate) use property::{Properties, member_of, text_of};
pub(crate) use read::{read_source, whole_files};
pub(crate) use titles::Titles;

/// The folder of all records as lines of the stored profile.
pub(crate) const SOURCE: &str = "_source";
/// The folder of attachments that have no place in the files of the form.
pub(crate) const ATTACHMENTS: &str = "_attachments";
/// The member of the manifest's content that says which file has the lines of a collection.
const SOURCES: &str = "sources";

/// Whether a form wrote this file: originals stand among the attachments as the provider gave them.
pub(crate) fn is_of_form(file: &str, extension: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|it| it == extension) && !file.starts_with(ATTACHMENTS)
}
