//! A message that is built from the fields of its record.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

use chrono::{DateTime, Utc};
use saas_backup_core::{BlobRef, Collection, Digest, Kind, Markup, Record, Reference, Result};

use super::encode::{base64, date, header, parameter, phrase, quoted_printable, words};
use super::message::sent;
use crate::beside::{Person, Properties, Titles, text_of};
use crate::dataset::Dataset;
use crate::form::Desk;
use crate::form::value::{author, body_of, refs, text_at};

/// Who stands where an address must stand and there is none.
const NOBODY: &str = "nobody@saas-backup.invalid";

/// Builds a message; what it cannot hold is noted.
pub(super) struct Builder<'a> {
    dataset: &'a Dataset,
    collection: &'a Collection,
    record: &'a Record,
    desk: &'a mut Desk,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        dataset: &'a Dataset,
        collection: &'a Collection,
        record: &'a Record,
        desk: &'a mut Desk,
    ) -> Self {
        Self { dataset, collection, record, desk }
    }

    pub(super) fn write(mut self, titles: &mut Titles, out: &mut File) -> Result<()> {
        let mut out = BufWriter::new(out);
        let headers = self.headers(titles)?;
        out.write_all(headers.as_bytes())?;
        let held = self.record.blobs.iter().filter(|blob| self.dataset.blob(blob).is_some());
        let held: Vec<&BlobRef> = held.collect();
        if held.is_empty() {
            self.body(&mut out)?;
        } else {
            let digest = Digest::of(self.record.key.to_string().as_bytes()).to_string();
            // No encoding of parts gives an underscore behind an equals sign.
            let boundary = format!("=_{}", digest.get(..24).unwrap_or(&digest));
            write!(out, "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n")?;
            self.body(&mut out)?;
            for blob in held {
                write!(out, "\r\n--{boundary}\r\n")?;
                self.attachment(blob, &mut out)?;
            }
            write!(out, "\r\n--{boundary}--\r\n")?;
        }
        Ok(out.flush()?)
    }

    fn headers(&mut self, titles: &mut Titles) -> Result<String> {
        let properties = Properties::new(self.collection, self.record);
        let mut text = String::new();
        let from = Self::people(properties, "from");
        let from = match (from.is_empty(), author(self.collection, self.record)) {
            (true, Some(author)) => format!("{} <{NOBODY}>", phrase(&titles.of(author)?)),
            (true, None) => NOBODY.to_owned(),
            (false, _) => from,
        };
        text.push_str(&header("From", &from));
        for (property, name) in [("to", "To"), ("cc", "Cc"), ("bcc", "Bcc"), ("reply_to", "Reply-To")] {
            let people = Self::people(properties, property);
            if !people.is_empty() {
                text.push_str(&header(name, &people));
            }
        }
        let title = self.collection.fields.title.as_deref().and_then(|path| text_at(&self.record.data, path));
        if let Some(title) = title.filter(|title| !title.trim().is_empty()) {
            text.push_str(&header("Subject", &words(&title)));
        }
        let sent = sent(self.collection, self.record);
        if sent.is_none() {
            self.desk.losses.part(&self.record.key, "date", "nobody knows when it was sent: it has the date 1970")?;
        }
        text.push_str(&header("Date", &date(sent.unwrap_or(DateTime::<Utc>::UNIX_EPOCH))));
        let own = properties.text("message_id").and_then(|id| message_ids(&id).into_iter().next());
        text.push_str(&header("Message-ID", &own.unwrap_or_else(|| derived_id(&Reference::from(&self.record.key)))));
        let mut answers: Vec<String> = properties.text("in_reply_to").map(|id| message_ids(&id)).unwrap_or_default();
        if answers.is_empty() {
            let parents = refs(self.record, self.collection.fields.parent.as_deref());
            answers.extend(parents.filter(|to| self.is_message(to)).take(1).map(derived_id));
        }
        let mut thread: Vec<String> = properties.items("references").iter().filter_map(text_of).collect();
        thread = thread.iter().flat_map(|ids| message_ids(ids)).collect();
        for (name, ids) in [("In-Reply-To", answers), ("References", thread)] {
            if !ids.is_empty() {
                text.push_str(&header(name, &ids.join(" ")));
            }
        }
        text.push_str("MIME-Version: 1.0\r\n");
        Ok(text)
    }

    /// Whether a reference leads to a message whose id is made here, too.
    fn is_message(&self, to: &Reference) -> bool {
        let target = self.dataset.catalog.get(&to.collection);
        to.account.is_none()
            && target.is_some_and(|it| it.kind == Kind::Message && !it.fields.properties.contains_key("message_id"))
    }

    fn people(properties: Properties<'_>, property: &str) -> String {
        let people = properties.items(property).into_iter().flat_map(|item| match text_of(&item) {
            // One text may name several.
            Some(text) => split_people(&text),
            None => Person::read(&item).into_iter().collect(),
        });
        let people = people.map(|person| {
            let address = person.address.filter(|address| is_address(address));
            match (person.name, address) {
                (Some(name), Some(address)) => format!("{} <{address}>", phrase(&name)),
                (None, Some(address)) => address,
                (Some(name), None) => format!("{} <{NOBODY}>", phrase(&name)),
                (None, None) => NOBODY.to_owned(),
            }
        });
        people.collect::<Vec<_>>().join(", ")
    }

    fn body(&self, out: &mut impl Write) -> Result<()> {
        let (text, markup) = body_of(self.record, self.collection.fields.body.as_ref())
            .unwrap_or_else(|| (String::new(), Markup::Plain));
        let kind = match markup {
            Markup::Html => "html",
            Markup::Markdown => "markdown",
            _ => "plain",
        };
        write!(out, "Content-Type: text/{kind}; charset=utf-8\r\n")?;
        write!(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n")?;
        quoted_printable(&text, out)?;
        Ok(write!(out, "\r\n")?)
    }

    fn attachment(&self, blob: &BlobRef, out: &mut impl Write) -> Result<()> {
        let Some((path, _)) = self.dataset.blob(blob) else { return Ok(()) };
        let kind = blob.media_type.as_deref().and_then(|kind| kind.split(';').next()).map(str::trim);
        let kind = kind.filter(|kind| is_media_type(kind));
        let name = parameter("filename", blob.name.as_deref().unwrap_or("attachment"));
        out.write_all(header("Content-Type", kind.unwrap_or("application/octet-stream")).as_bytes())?;
        out.write_all(header("Content-Disposition", &format!("attachment; {name}")).as_bytes())?;
        write!(out, "Content-Transfer-Encoding: base64\r\n\r\n")?;
        Ok(base64(BufReader::new(File::open(path)?), out)?)
    }
}

/// The people of a list, parted by commas outside of quotation marks.
fn split_people(text: &str) -> Vec<Person> {
    let mut quoted = false;
    let parts = text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    parts.filter_map(|part| Person::read(&serde_json::Value::String(part.trim().to_owned()))).collect()
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    parts.is_some()
        && text.bytes().all(|it| it.is_ascii_graphic() && !b"<>(),;:\"[]\\".contains(&it))
        && text.len() < 320
}

/// A type and a subtype; those of messages and parts would promise what is not there.
fn is_media_type(text: &str) -> bool {
    let valid = |part: &str| {
        !part.is_empty() && part.bytes().all(|it| it.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&it))
    };
    let parts = text.split_once('/').filter(|(kind, sub)| valid(kind) && valid(sub) && text.len() <= 127);
    parts.is_some_and(|(kind, _)| !kind.eq_ignore_ascii_case("multipart") && !kind.eq_ignore_ascii_case("message"))
}

/// The ids in a text, each in its brackets; what no reader takes for one is left out.
fn message_ids(text: &str) -> Vec<String> {
    let ids = text.split(|it: char| it.is_whitespace() || matches!(it, '<' | '>' | ','));
    let is_part = |part: &str| {
        let atom = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&it);
        part.split('.').all(|word| !word.is_empty() && word.bytes().all(atom))
    };
    let is_id =
        |id: &&str| id.len() < 900 && id.split_once('@').is_some_and(|(left, right)| is_part(left) && is_part(right));
    ids.filter(is_id).map(|id| format!("<{id}>")).collect()
}

fn derived_id(of: &Reference) -> String {
    let digest = Digest::of(of.key().to_string().as_bytes()).to_string();
    format!("<{}@saas-backup.invalid>", digest.get(..32).unwrap_or(&digest))
}
