use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use saas_backup_core::{Collection, Digest, Key, Kind, Record, RecordId, RecordState, Result};
use serde::{Deserialize, Serialize};

use super::event::{Builder, stamp};
use super::raw::Calendar;
use super::time::zone_of;
use super::zone::describe;
use crate::beside::{Beside, Named, Properties, Titles, original, read_source, whole_files};
use crate::content_line::LineWriter;
use crate::dataset::Dataset;
use crate::folder::HashingWriter;
use crate::form::value::{key_text, refs};
use crate::form::{Desk, Form, Place};
use crate::import::{Import, Loading};
use crate::spool::Spool;

/// Longest name of a calendar's file, in bytes.
const CALENDAR_NAME: usize = 110;
/// What a blob must be to be an event in its original form.
const MEDIA_TYPES: [&str; 2] = ["text/calendar", "application/ics"];

/// The form of calendars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendars;

impl Form for Calendars {
    const FORMAT: &'static str = "saas-backup-ics";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let mut beside = Beside::create(dataset, desk)?;
        let mut titles = Titles::read(dataset, Kind::Event, "titles")?;
        for (collection, records) in dataset.collections() {
            if collection.kind != Kind::Event {
                for record in dataset.records(&collection.name)? {
                    beside.attachments(dataset, desk, &record?.0)?;
                }
                continue;
            }
            let folder = beside.folder(&collection.name);
            let mut events = Events { collection, dataset, entries: spool(dataset, &folder), zones: BTreeMap::new() };
            for record in dataset.records(&collection.name)? {
                events.take(&record?.0, &mut titles, &mut beside, desk)?;
            }
            events.write(&folder, &mut beside, desk)?;
            desk.output.create_folder(&folder)?;
            desk.place(&collection.name, Place::new(folder, records));
        }
        beside.finish(desk)
    }
}

impl Import for Calendars {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, whole_files)
    }
}

fn spool(dataset: &Dataset, folder: &str) -> Spool {
    Spool::new(dataset.scratch("events").join(folder))
}

/// The events of a collection, by calendar and identity.
struct Events<'a> {
    collection: &'a Collection,
    dataset: &'a Dataset,
    entries: Spool,
    /// The first year of each zone of each calendar.
    zones: BTreeMap<(String, String), (Tz, i32)>,
}

/// A part of a calendar while it waits for the others; in a calendar, zones come before all else.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    kind: String,
    uid: String,
    id: String,
    text: String,
}

impl Events<'_> {
    fn take(&mut self, record: &Record, titles: &mut Titles, beside: &mut Beside, desk: &mut Desk) -> Result<()> {
        let collection = self.collection;
        let files = beside.attachments(self.dataset, desk, record)?;
        if record.state == RecordState::Trashed {
            return desk.losses.part(&record.key, "", "in the trash: in the source alone");
        }
        if !record.access.is_empty() {
            desk.losses.part(&record.key, "/access", "permissions: in the source alone")?;
        }
        let calendar = refs(record, collection.fields.parent.as_deref()).find(|to| to.account.is_none());
        let calendar = match calendar {
            Some(reference) => format!("{}\0{}", key_text(&reference.key()), titles.of(reference)?),
            None => String::new(),
        };
        let properties = Properties::new(collection, record);
        if let Some(bytes) = original(self.dataset, desk, record, properties, &MEDIA_TYPES)? {
            if let Some(raw) = Calendar::parse(&bytes) {
                return self.raw(record, &calendar, &raw);
            }
            desk.losses.part(&record.key, "", "the original is no calendar: the event is built from the record")?;
        }
        let mut labels = Vec::new();
        for name in &collection.fields.labels {
            for reference in refs(record, Some(name)) {
                labels.push(titles.of(reference)?);
            }
        }
        let Some(built) = Builder::new(collection, record, desk).build(&labels, &files)? else { return Ok(()) };
        for (zone, year) in built.zones {
            self.zone(&calendar, zone.name(), zone, year);
        }
        self.part(record, &calendar, "VEVENT", built.uid, &built.recurrence_id, built.lines)
    }

    fn raw(&mut self, record: &Record, calendar: &str, raw: &Calendar) -> Result<()> {
        let own = raw.own_zones();
        for (unique, text) in own.values() {
            let part =
                Part { kind: "VTIMEZONE".to_owned(), uid: unique.clone(), id: String::new(), text: text.clone() };
            self.entries.push(calendar, &format!("0\0{unique}"), serde_json::to_vec(&part)?)?;
        }
        let stamp = stamp(record);
        for component in &raw.components {
            for name in &component.zones {
                if let Some(zone) = zone_of(name) {
                    self.zone(calendar, name, zone, component.year.unwrap_or(1970));
                }
            }
            let text = component.text(&stamp, &own);
            self.part(record, calendar, &component.kind, component.uid.clone(), &component.recurrence_id, text)?;
        }
        Ok(())
    }

    fn zone(&mut self, calendar: &str, name: &str, zone: Tz, year: i32) {
        let first = self.zones.entry((calendar.to_owned(), name.to_owned())).or_insert((zone, year));
        first.1 = first.1.min(year);
    }

    fn part(
        &mut self,
        record: &Record,
        calendar: &str,
        kind: &str,
        uid: Option<String>,
        recurrence_id: &str,
        text: String,
    ) -> Result<()> {
        let id = record.key.id.as_str();
        let uid = uid.unwrap_or_else(|| {
            let digest = Digest::of(record.key.to_string().as_bytes()).to_string();
            format!("{}@saas-backup.invalid", digest.get(..32).unwrap_or(&digest))
        });
        let order = format!("1\0{uid}\0{recurrence_id}\0{id}");
        let part = Part { kind: kind.to_owned(), uid, id: id.to_owned(), text };
        self.entries.push(calendar, &order, serde_json::to_vec(&part)?)
    }

    fn write(mut self, folder: &str, beside: &mut Beside, desk: &mut Desk) -> Result<()> {
        for ((calendar, name), (zone, year)) in std::mem::take(&mut self.zones) {
            let text = describe(&name, zone, year - 1);
            let part = Part { kind: "VTIMEZONE".to_owned(), uid: name.clone(), id: String::new(), text };
            self.entries.push(&calendar, &format!("0\0{name}"), serde_json::to_vec(&part)?)?;
        }
        let scratch = self.dataset.scratch("later");
        let mut open: Option<(String, Writing)> = None;
        for entry in self.entries.finish()? {
            let entry = entry?;
            if open.as_ref().is_none_or(|(group, _)| *group != entry.group) {
                if let Some((_, writing)) = open.take() {
                    writing.finish(beside, desk)?;
                }
                open = Some((
                    entry.group.clone(),
                    Writing::begin(self.collection, folder, &entry.group, &scratch, beside, desk)?,
                ));
            }
            let part: Part = serde_json::from_slice(&entry.line)?;
            if let Some((_, writing)) = &mut open {
                writing.part(&part, &entry.id, self.collection, desk)?;
            }
        }
        match open {
            Some((_, writing)) => writing.finish(beside, desk),
            None => Ok(()),
        }
    }
}

/// A calendar that is being written.
#[derive(Debug)]
struct Writing {
    path: String,
    named: Named,
    file: HashingWriter,
    /// Of the last part: what two must not share.
    last: String,
    /// Events that share their identity with another one: they follow when all of that identity are together.
    later: Option<File>,
    scratch: PathBuf,
}

impl Writing {
    fn begin(
        collection: &Collection,
        folder: &str,
        group: &str,
        scratch: &Path,
        beside: &mut Beside,
        desk: &Desk,
    ) -> Result<Self> {
        let own = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
        let mut parts = group.splitn(3, '\0');
        let (of, id, title) = match (parts.next(), parts.next(), parts.next()) {
            (Some(of), Some(id), Some(title)) => (of, Some(id.to_owned()), title),
            _ => (collection.name.as_str(), None, own),
        };
        let path = format!("{folder}/{}", beside.names.give(folder, title, ".ics", group, CALENDAR_NAME));
        let named = Named {
            file: path.clone(),
            collection: of.to_owned(),
            id,
            role: Some("calendar".to_owned()),
            name: Some(title.to_owned()),
            ..Named::default()
        };
        let mut writer = LineWriter::default();
        writer.line("BEGIN", "VCALENDAR");
        writer.line("VERSION", "2.0");
        writer.line("PRODID", "-//saas-backup//ics 1//EN");
        writer.line("CALSCALE", "GREGORIAN");
        writer.text("NAME", title);
        writer.text("X-WR-CALNAME", title);
        let mut file = desk.output.create(&path)?;
        file.write_all(writer.into_text().as_bytes())?;
        Ok(Self { path, named, file, last: String::new(), later: None, scratch: scratch.to_path_buf() })
    }

    fn part(&mut self, part: &Part, order: &str, collection: &Collection, desk: &mut Desk) -> Result<()> {
        let identity = order.rsplit_once('\0').map_or(order, |(identity, _)| identity);
        let repeated = identity == self.last;
        if part.kind == "VTIMEZONE" {
            let repeated = order == self.last;
            order.clone_into(&mut self.last);
            return if repeated { Ok(()) } else { Ok(self.file.write_all(part.text.as_bytes())?) };
        }
        identity.clone_into(&mut self.last);
        if repeated {
            let digest = Digest::of(part.id.as_bytes()).to_string();
            let uid = format!("{}~{}", part.uid, digest.get(..6).unwrap_or(&digest));
            let key = Key::new(collection.name.clone(), RecordId::parse(&part.id)?);
            desk.losses.part(
                &key,
                "uid",
                "another event of the calendar has the same identity: this one got its own",
            )?;
            let later = match &mut self.later {
                Some(later) => later,
                none => none.insert(File::options().read(true).append(true).create_new(true).open(&self.scratch)?),
            };
            return write_part(later, part, &uid);
        }
        write_part(&mut self.file, part, &part.uid)
    }

    fn finish(mut self, beside: &mut Beside, desk: &mut Desk) -> Result<()> {
        if let Some(mut later) = self.later {
            later.rewind()?;
            io::copy(&mut later, &mut self.file)?;
            fs::remove_file(&self.scratch)?;
        }
        self.file.write_all(b"END:VCALENDAR\r\n")?;
        beside.names_file.line(&self.named)?;
        desk.output.keep(&self.path, self.file)
    }
}

fn write_part(file: &mut impl io::Write, part: &Part, uid: &str) -> Result<()> {
    let mut writer = LineWriter::default();
    writer.line("BEGIN", &part.kind);
    writer.text("UID", uid);
    file.write_all(writer.into_text().as_bytes())?;
    file.write_all(part.text.as_bytes())?;
    Ok(write!(file, "END:{}\r\n", part.kind)?)
}
