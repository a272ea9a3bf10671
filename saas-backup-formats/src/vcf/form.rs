use std::fs;
use std::io::Write as _;
use std::path::Path;

use saas_backup_core::{Collection, CollectionName, Digest, Key, Kind, Record, RecordState, Reference, Result};

use super::build::Builder;
use super::card::{Card, Line};
use super::raw::Original;
use super::version::{begin, end, older, text_3, text_4};
use crate::beside::{Beside, Named, Properties, Titles, original, read_source, whole_files};
use crate::content_line::{LineWriter, escape, unescape};
use crate::dataset::Dataset;
use crate::folder::HashingWriter;
use crate::form::value::{key_text, refs};
use crate::form::{Desk, Form, Place};
use crate::import::{Import, Loading};
use crate::names::short_hash;
use crate::spool::{Hashes, Spool};

/// Longest name of a file, in bytes.
const FILE_NAME: usize = 90;
/// Largest photo that goes into a card, in bytes.
const MAX_PHOTO: u64 = 1024 * 1024;
/// What a blob must be to be a contact in its original form.
const MEDIA_TYPES: [&str; 3] = ["text/vcard", "text/x-vcard", "text/directory"];

/// The form of contacts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contacts;

impl Form for Contacts {
    const FORMAT: &'static str = "saas-backup-vcf";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let mut beside = Beside::create(dataset, desk)?;
        let mut titles = Titles::read(dataset, Kind::Contact, "titles")?;
        for (collection, records) in dataset.collections() {
            if collection.kind != Kind::Contact {
                for record in dataset.records(&collection.name)? {
                    beside.attachments(dataset, desk, &record?.0)?;
                }
                continue;
            }
            let folder = beside.folder(&collection.name);
            let members = Spool::new(dataset.scratch("members").join(&folder));
            let book = Book::begin(dataset, collection, &folder, members, &mut beside, desk)?;
            book.write(&mut titles, &mut beside, desk)?;
            desk.place(&collection.name, Place::new(folder, records));
        }
        beside.finish(desk)
    }
}

impl Import for Contacts {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, whole_files)
    }
}

/// The two files of a collection.
#[derive(Debug)]
struct Book<'a> {
    dataset: &'a Dataset,
    collection: &'a Collection,
    new: (String, HashingWriter),
    old: (String, HashingWriter),
    uids: Hashes<0>,
    /// Who belongs to which group.
    members: Spool,
}

impl<'a> Book<'a> {
    fn begin(
        dataset: &'a Dataset,
        collection: &'a Collection,
        folder: &str,
        members: Spool,
        beside: &mut Beside,
        desk: &Desk,
    ) -> Result<Self> {
        let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
        let mut file = |title: &str, role: &str| -> Result<(String, HashingWriter)> {
            let path = format!("{folder}/{}", beside.names.give(folder, title, ".vcf", role, FILE_NAME));
            beside.names_file.line(&Named {
                file: path.clone(),
                collection: collection.name.as_str().to_owned(),
                role: Some(role.to_owned()),
                ..Named::default()
            })?;
            let writer = desk.output.create(&path)?;
            Ok((path, writer))
        };
        let new = file(title, "vCard 4.0")?;
        let old = file(&format!("{} - vCard 3", crate::names::safe_name(title, FILE_NAME - 20)), "vCard 3.0")?;
        let uids = Hashes::new(dataset.scratch("uids").join(folder));
        Ok(Self { dataset, collection, new, old, uids, members })
    }

    fn write(mut self, titles: &mut Titles, beside: &mut Beside, desk: &mut Desk) -> Result<()> {
        for record in self.dataset.records(&self.collection.name)? {
            let (record, _) = record?;
            beside.attachments(self.dataset, desk, &record)?;
            if record.state == RecordState::Trashed {
                desk.losses.part(&record.key, "", "in the trash: in the source alone")?;
                continue;
            }
            if !record.access.is_empty() {
                desk.losses.part(&record.key, "/access", "permissions: in the source alone")?;
            }
            self.record(&record, titles, desk)?;
        }
        self.groups(titles)?;
        desk.output.keep(&self.new.0, self.new.1)?;
        desk.output.keep(&self.old.0, self.old.1)
    }

    fn record(&mut self, record: &Record, titles: &mut Titles, desk: &mut Desk) -> Result<()> {
        let collection = self.collection;
        let properties = Properties::new(collection, record);
        let mut labels = Vec::new();
        for name in &collection.fields.labels {
            labels.extend(refs(record, Some(name)).cloned());
        }
        if let Some(bytes) = original(self.dataset, desk, record, properties, &MEDIA_TYPES)? {
            if let Some(originals) = Original::parse(&bytes) {
                for original in originals {
                    self.card(original.card.clone(), Some(&original), record, &labels, desk)?;
                }
                return Ok(());
            }
            desk.losses.part(&record.key, "", "the original is no card: the contact is built from the record")?;
        }
        let photo = self.photo(record, desk)?;
        let mut groups = Vec::new();
        for label in &labels {
            groups.push(titles.of(label)?);
        }
        let mut card = Builder::new(collection, record, desk).build(photo, &groups)?;
        if let Some(uid) = properties.text("uid") {
            card.push(Line::new("UID", escape(&uid)));
        }
        self.card(card, None, record, &labels, desk)
    }

    /// Writes a card to both files.
    fn card(
        &mut self,
        mut card: Card,
        original: Option<&Original>,
        record: &Record,
        labels: &[Reference],
        desk: &mut Desk,
    ) -> Result<()> {
        let given = card.get("UID").map(|line| unescape(&line.value)).filter(|uid| !uid.trim().is_empty());
        let mut uid = given.unwrap_or_else(|| uuid(record.key.to_string().as_bytes()));
        let repeated = !self.uids.insert(short_hash(uid.as_bytes()), [])?;
        if repeated {
            let reason = "another contact has the same identity: this one got its own";
            desk.losses.part(&record.key, "uid", reason)?;
            uid = uuid(format!("{uid}\0{}", record.key).as_bytes());
            self.uids.insert(short_hash(uid.as_bytes()), [])?;
        }
        let original = original.filter(|_| !repeated);
        card.lines.retain(|line| line.name != "UID");
        card.push(Line::new("UID", escape(&uid)));
        if card.get("FN").is_none() {
            let name = card.get("N").map(|line| spoken(&line.value)).filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| escape(record.key.id.as_str()));
            card.lines.insert(0, Line::new("FN", name));
        }
        let modified = record.modified.filter(|time| (1..=9999).contains(&chrono::Datelike::year(time)));
        if let (Some(modified), None) = (modified, card.get("REV")) {
            card.push(Line::new("REV", modified.format("%Y%m%dT%H%M%SZ").to_string()));
        }
        for label in labels {
            if !self.is_group(&label.collection) {
                continue;
            }
            if let Some(member) = member_of(&uid) {
                let group = key_text(&label.key());
                self.members.push(&group, record.key.id.as_str(), member.into_bytes())?;
            } else {
                let reason = "its identity is no address: it is in the group by the name of the group alone";
                desk.losses.part(&record.key, "uid", reason)?;
            }
        }
        let new = original.and_then(|original| original.verbatim("4.0")).unwrap_or_else(|| text_4(&card));
        let old = original.and_then(|original| original.verbatim("3.0")).unwrap_or_else(|| text_3(&card));
        self.new.1.write_all(new.as_bytes())?;
        Ok(self.old.1.write_all(old.as_bytes())?)
    }

    fn is_group(&self, collection: &CollectionName) -> bool {
        self.dataset.catalog.get(collection).is_some_and(|collection| collection.kind == Kind::Group)
    }

    /// A card for each group that somebody belongs to.
    fn groups(&mut self, titles: &mut Titles) -> Result<()> {
        let folder = self.dataset.scratch("no members");
        let mut members = std::mem::replace(&mut self.members, Spool::new(folder)).finish()?;
        let mut open: Option<String> = None;
        while let Some(entry) = members.next() {
            let entry = entry?;
            if open.as_ref() != Some(&entry.group) {
                let (collection, id) = entry.group.split_once('\0').unwrap_or_default();
                let key = Key::parse(collection, id)?;
                let title = escape(&titles.of(&Reference::from(&key))?);
                let uid = uuid(key.to_string().as_bytes());
                self.lines(begin("4.0"), begin("3.0"))?;
                let name = Line::new("N", format!("{title};;;;"));
                for line in [Line::new("FN", title), name, Line::new("UID", uid), Line::new("KIND", "group")] {
                    self.group_line(line)?;
                }
            }
            self.group_line(Line::new("MEMBER", String::from_utf8_lossy(&entry.line)))?;
            if members.peek().is_none_or(|next| next.group != entry.group) {
                self.lines(end(), end())?;
            }
            open = Some(entry.group);
        }
        Ok(())
    }

    fn group_line(&mut self, line: Line) -> Result<()> {
        let (mut new, mut old) = (LineWriter::default(), LineWriter::default());
        new.logical(&line.text());
        old.logical(&older(line, true).text());
        self.lines(new, old)
    }

    fn lines(&mut self, new: LineWriter, old: LineWriter) -> Result<()> {
        self.new.1.write_all(new.into_text().as_bytes())?;
        Ok(self.old.1.write_all(old.into_text().as_bytes())?)
    }

    /// The first picture that a record has, if it is small enough for a card.
    fn photo(&self, record: &Record, desk: &mut Desk) -> Result<Option<(String, Vec<u8>)>> {
        for blob in &record.blobs {
            let kind = blob.media_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
            let plain = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.+-".contains(&byte));
            let Some((path, _)) = self.dataset.blob(blob).filter(|_| kind.starts_with("image/") && plain) else {
                continue;
            };
            if fs::metadata(&path)?.len() > MAX_PHOTO {
                desk.losses.part(&record.key, "/blobs", "a photo that is too large for a card: it stands beside")?;
                continue;
            }
            return Ok(Some((kind.to_ascii_lowercase(), fs::read(path)?)));
        }
        Ok(None)
    }
}

/// The parts of a name in the order in which they are spoken.
fn spoken(parts: &str) -> String {
    let parts: Vec<&str> = parts.split(';').collect();
    let spoken = [3, 1, 2, 0, 4].iter().filter_map(|place| parts.get(*place).filter(|part| !part.is_empty()));
    spoken.copied().collect::<Vec<_>>().join(" ")
}

/// An identity that is the same each time.
fn uuid(of: &[u8]) -> String {
    let digest = Digest::of(of).to_string();
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

/// How a group names a member; only addresses and UUIDs can be named.
fn member_of(uid: &str) -> Option<String> {
    let is_uuid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_uuid {
        return Some(format!("urn:uuid:{uid}"));
    }
    url::Url::parse(uid).is_ok().then(|| uid.to_owned())
}
