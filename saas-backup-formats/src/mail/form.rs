use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use saas_backup_core::{Collection, Kind, Record, RecordState, Result};

use super::config::MaildirSeparator;
use super::connector::MailLayout;
use super::flags::{Flags, is_place, state_of};
use super::labels::{LABELS, Labelled, LabelsFile};
use super::layout::{Envelope, Mailbox};
use super::message::{Message, sent};
use super::quote::unquote;
use crate::beside::{ATTACHMENTS, Beside, BlobFile, Properties, Span, Titles, read_source, text_of, whole_files};
use crate::dataset::Dataset;
use crate::form::value::{key_text, refs, time_text, title_of};
use crate::form::{Desk, Form, Place};
use crate::import::{Import, Loading};
use crate::spool::Spool;

/// Longest name of a mailbox, in bytes.
const MAILBOX_NAME: usize = 60;

/// The mailbox that every account has.
const INBOX: &str = "\0INBOX";

/// A file a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eml;

/// A file a mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mbox;

/// A Maildir a mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maildir(pub(super) MaildirSeparator);

impl Form for Eml {
    const FORMAT: &'static str = "saas-backup-eml";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        write(dataset, desk, MailLayout::Eml, MaildirSeparator::default())
    }
}

impl Form for Mbox {
    const FORMAT: &'static str = "saas-backup-mbox";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        write(dataset, desk, MailLayout::Mbox, MaildirSeparator::default())
    }
}

impl Form for Maildir {
    const FORMAT: &'static str = "saas-backup-maildir";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        write(dataset, desk, MailLayout::Maildir, self.0)
    }
}

impl Import for Eml {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, whole_files)
    }
}

impl Import for Mbox {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, extract)
    }
}

impl Import for Maildir {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, whole_files)
    }
}

/// Copies a message out of an mbox, as it was.
fn extract(file: &Path, span: Span, to: &Path) -> Result<()> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(span.offset))?;
    crate::folder::create_parents(to)?;
    let mut out = BufWriter::new(File::create(to)?);
    unquote(&mut BufReader::new(file).take(span.length), &mut out)?;
    Ok(out.flush()?)
}

fn write(dataset: &Dataset, desk: &mut Desk, layout: MailLayout, separator: MaildirSeparator) -> Result<()> {
    let mut beside = Beside::create(dataset, desk)?;
    beside.names.reserve("", LABELS);
    let labels = LabelsFile::create(&desk.output)?;
    let titles = Titles::read(dataset, Kind::Message, "titles")?;
    let mut post = Post { dataset, layout, separator, titles, labels };
    for (collection, records) in dataset.collections() {
        if collection.kind == Kind::Message {
            let folder = beside.folder(&collection.name);
            post.collection(collection, &folder, &mut beside, desk)?;
            desk.output.create_folder(&folder)?;
            desk.place(&collection.name, Place::new(folder, records));
        } else {
            for record in dataset.records(&collection.name)? {
                beside.attachments(dataset, desk, &record?.0)?;
            }
        }
    }
    post.labels.finish(&mut desk.output)?;
    beside.finish(desk)
}

/// Sorts messages into mailboxes and writes them.
#[derive(Debug)]
struct Post<'a> {
    dataset: &'a Dataset,
    layout: MailLayout,
    separator: MaildirSeparator,
    titles: Titles,
    labels: LabelsFile,
}

/// Where a message belongs.
struct Sorted {
    /// The mailbox: what tells it from others, a zero byte, and its title.
    mailbox: String,
    labels: Vec<String>,
}

impl Post<'_> {
    fn collection(
        &mut self,
        collection: &Collection,
        folder: &str,
        beside: &mut Beside,
        desk: &mut Desk,
    ) -> Result<()> {
        let mut spool = Spool::new(self.dataset.scratch("messages").join(folder));
        for record in self.dataset.records(&collection.name)? {
            let (record, line) = record?;
            let sorted = self.sort(collection, &record)?;
            let time = sent(collection, &record).map(time_text).unwrap_or_default();
            spool.push(&sorted.mailbox, &format!("{time}\0{}", record.key.id), line.to_vec())?;
        }
        if self.layout == MailLayout::Maildir {
            // A program that opens the folder takes it for the inbox, with the others below it.
            Mailbox::begin(self.layout, self.separator, folder.to_owned(), beside, desk)?;
        }
        let mut open: Option<(String, Mailbox)> = None;
        for entry in spool.finish()? {
            let entry = entry?;
            if open.as_ref().is_none_or(|(group, _)| *group != entry.group) {
                if let Some((_, mailbox)) = open.take() {
                    mailbox.finish(desk)?;
                }
                let path = self.path_of(&entry.group, folder, beside);
                let mailbox = Mailbox::begin(self.layout, self.separator, path, beside, desk)?;
                open = Some((entry.group.clone(), mailbox));
            }
            let record = self.dataset.decode(entry.line)?;
            if let Some((_, mailbox)) = &mut open {
                self.message(collection, &record, mailbox, beside, desk)?;
            }
        }
        match open {
            Some((_, mailbox)) => mailbox.finish(desk),
            None => Ok(()),
        }
    }

    /// The folder or the file of a mailbox.
    fn path_of(&self, mailbox: &str, folder: &str, beside: &mut Beside) -> String {
        if self.layout == MailLayout::Maildir && mailbox == INBOX {
            return folder.to_owned();
        }
        let title = mailbox.rsplit('\0').next().unwrap_or_default();
        let extension = if self.layout == MailLayout::Mbox { ".mbox" } else { "" };
        format!("{folder}/{}", beside.names.give(folder, title, extension, mailbox, MAILBOX_NAME))
    }

    fn sort(&mut self, collection: &Collection, record: &Record) -> Result<Sorted> {
        let properties = Properties::new(collection, record);
        let (mut labels, mut places) = (Vec::new(), Vec::new());
        for name in &collection.fields.labels {
            for reference in refs(record, Some(name)) {
                let title = self.titles.of(reference)?;
                if is_place(&title) && is_place(reference.id.as_str()) {
                    places.push(format!("{}\0{title}", key_text(&reference.key())));
                }
                labels.push(title);
            }
        }
        for label in properties.items("labels").iter().filter_map(text_of) {
            if is_place(&label) {
                places.push(format!("\0{label}"));
            }
            labels.push(label);
        }
        let parent = refs(record, collection.fields.parent.as_deref()).find(|to| {
            let kind = self.dataset.catalog.get(&to.collection).map(|target| target.kind);
            // An answer lies where what it answers lies; and who has labels does not sort by conversation.
            kind != Some(Kind::Message) && (kind != Some(Kind::Conversation) || places.is_empty())
        });
        let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
        let mailbox = if record.state == RecordState::Trashed {
            "\0Trash".to_owned()
        } else if let Some(parent) = parent {
            format!("{}\0{}", key_text(&parent.key()), self.titles.of(parent)?)
        } else {
            places.into_iter().next().unwrap_or_else(|| format!("\0{title}"))
        };
        // Its name is the same in upper and lower case to every program.
        let is_inbox = mailbox.rsplit('\0').next().is_some_and(|title| title.eq_ignore_ascii_case("INBOX"));
        Ok(Sorted { mailbox: if is_inbox { INBOX.to_owned() } else { mailbox }, labels })
    }

    fn message(
        &mut self,
        collection: &Collection,
        record: &Record,
        mailbox: &mut Mailbox,
        beside: &mut Beside,
        desk: &mut Desk,
    ) -> Result<()> {
        let scratch = self.dataset.scratch("message");
        let message = Message::of(self.dataset, collection, record, &scratch, &mut self.titles, desk)?;
        let Sorted { mailbox: place, labels } = self.sort(collection, record)?;
        let headers = message.headers()?;
        let sent = sent(collection, record).or_else(|| super::message::parse_date(headers.get("date")?));
        let flags = Flags::of(Properties::new(collection, record), &labels);
        let envelope = Envelope { record, sent, subject: &title_of(collection, record), flags };
        let (file, span) = mailbox.take(&message, &envelope, beside, desk)?;
        self.labels.line(&Labelled {
            file,
            span,
            collection: collection.name.as_str().to_owned(),
            id: record.key.id.as_str().to_owned(),
            mailbox: place.rsplit('\0').next().unwrap_or_default().to_owned(),
            labels,
            flags: flags.names().into_iter().map(str::to_owned).collect(),
            state: state_of(record).map(str::to_owned),
            original: message.original,
        })?;
        let folder = format!("{ATTACHMENTS}/{}", beside.folder(&collection.name));
        for (place, blob) in record.blobs.iter().enumerate() {
            if message.blob.is_none_or(|(own, _)| own != place) {
                let file = BlobFile { key: &record.key, blob, title: None, modified: None };
                beside.blob(self.dataset, desk, &folder, &file)?;
            }
        }
        if !record.access.is_empty() {
            desk.losses.part(&record.key, "/access", "permissions: in the source alone")?;
        }
        match fs::remove_file(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
