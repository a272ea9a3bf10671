//! Programs that give an account's records on their standard output, a message a line: what the bridges to Singer and
//! Airbyte share.
//!
//! A program gets an environment of its own, settings in files that only its user can read, and a process group that
//! ends with the read. Its lines are taken as fast as somebody takes the records: the pipe holds it back. What it logs
//! is kept out of ours but for its last words in an error, without settings, addresses and values.

mod child;
mod drive;
mod files;
mod identity;
mod lines;
mod position;
mod redact;
mod settings;
mod snapshot;

use std::path::Path;

pub(crate) use child::{Program, Running};
pub(crate) use drive::{Protocol, drive};
use files::Files;
pub(crate) use identity::record_id;
pub(crate) use lines::Line;
pub(crate) use position::Position;
pub(crate) use redact::Redactor;
pub(crate) use settings::Settings;
pub(crate) use snapshot::{Bridge, ProgramSnapshot, Stream, capabilities};

/// Makes a program with a folder in its name start from a folder; others are looked for in `PATH`.
pub(crate) fn in_folder(command: &mut [String], folder: &Path) {
    if let Some(program) = command.first_mut().filter(|program| program.contains(std::path::MAIN_SEPARATOR)) {
        *program = folder.join(&*program).to_string_lossy().into_owned();
    }
}
