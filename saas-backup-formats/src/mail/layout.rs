//! The three ways in which messages lie in files.

use std::fs::File;
use std::io::{self, BufReader, Write as _};

use chrono::{DateTime, Utc};
use saas_backup_core::{Digest, Record, Result};

use super::config::MaildirSeparator;
use super::connector::MailLayout;
use super::flags::Flags;
use super::message::Message;
use super::quote::quote;
use crate::beside::{Beside, Named, Span};
use crate::folder::HashingWriter;
use crate::form::Desk;

/// Longest name of a message's file, in bytes.
const FILE_NAME: usize = 100;

/// A mailbox that is being written.
#[derive(Debug)]
pub(super) struct Mailbox {
    layout: MailLayout,
    separator: MaildirSeparator,
    /// Its folder, or its file.
    path: String,
    file: Option<HashingWriter>,
    offset: u64,
}

/// What a layout has to know of a message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) record: &'a Record,
    pub(super) sent: Option<DateTime<Utc>>,
    pub(super) subject: &'a str,
    pub(super) flags: Flags,
}

impl Mailbox {
    pub(super) fn begin(
        layout: MailLayout,
        separator: MaildirSeparator,
        path: String,
        beside: &mut Beside,
        desk: &Desk,
    ) -> Result<Self> {
        let file = match layout {
            MailLayout::Mbox => Some(desk.output.create(&path)?),
            MailLayout::Maildir => {
                for name in ["cur", "new", "tmp"] {
                    desk.output.create_folder(&format!("{path}/{name}"))?;
                    beside.names.reserve(&path, name);
                }
                None
            }
            MailLayout::Eml => None,
        };
        Ok(Self { layout, separator, path, file, offset: 0 })
    }

    /// Writes a message; says in which file, and where in it.
    pub(super) fn take(
        &mut self,
        message: &Message,
        envelope: &Envelope<'_>,
        beside: &mut Beside,
        desk: &mut Desk,
    ) -> Result<(String, Option<Span>)> {
        let Envelope { record, sent, subject, flags } = envelope;
        let key = &record.key;
        let (file, span) = match self.layout {
            MailLayout::Mbox => (self.path.clone(), Some(self.append(message, *sent)?)),
            MailLayout::Eml => {
                let time = sent.map_or_else(String::new, |sent| sent.format("%Y-%m-%d %H%M%S ").to_string());
                let name =
                    beside.names.give(&self.path, &format!("{time}{subject}"), ".eml", &key.to_string(), FILE_NAME);
                (format!("{}/{name}", self.path), None)
            }
            MailLayout::Maildir => {
                let digest = Digest::of(key.to_string().as_bytes()).to_string();
                let unique = digest.get(..16).unwrap_or(&digest);
                let seconds = sent.map_or(0, |sent| sent.timestamp().max(0));
                let (letters, length) = (flags.letters(), message.length()?);
                let separator = self.separator.character();
                let name = format!("{seconds}.{unique}.saas-backup,S={length}{separator}2,{letters}");
                (format!("{}/cur/{name}", self.path), None)
            }
        };
        let digest = message.blob.map(|(_, digest)| digest);
        if span.is_none() {
            if let Some(digest) = digest {
                beside.place(desk, &file, (&message.path, digest), *sent)?;
            } else {
                let mut writer = desk.output.create(&file)?;
                io::copy(&mut File::open(&message.path)?, &mut writer)?;
                desk.output.keep(&file, writer)?;
                if let Some(sent) = sent {
                    desk.output.set_modified(&file, *sent)?;
                }
            }
        }
        beside.names_file.line(&Named {
            file: file.clone(),
            collection: key.collection.as_str().to_owned(),
            id: Some(key.id.as_str().to_owned()),
            role: Some("message".to_owned()),
            sha256: digest,
            span,
            ..Named::default()
        })?;
        Ok((file, span))
    }

    /// Writes a message behind the others.
    fn append(&mut self, message: &Message, sent: Option<DateTime<Utc>>) -> Result<Span> {
        let sent = sent.unwrap_or(DateTime::UNIX_EPOCH).format("%a %b %e %H:%M:%S %Y");
        let first = format!("From MAILER-DAEMON {sent}\n");
        let offset = self.offset + first.len() as u64;
        let Some(file) = &mut self.file else { return Ok(Span { offset, length: 0 }) };
        file.write_all(first.as_bytes())?;
        let (length, ends) = quote(&mut BufReader::new(File::open(&message.path)?), file)?;
        let after: &[u8] = if ends { b"\n" } else { b"\n\n" };
        file.write_all(after)?;
        self.offset = offset + length + after.len() as u64;
        Ok(Span { offset, length })
    }

    pub(super) fn finish(self, desk: &mut Desk) -> Result<()> {
        match self.file {
            Some(file) => desk.output.keep(&self.path, file),
            None => Ok(()),
        }
    }
}
