//! An event that is built from the fields of its record.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use saas_backup_core::{Collection, Record, Result};
use serde_json::Value;
use url::Url;

use super::rule;
use super::time::{When, zone_of};
use crate::beside::{Person, Properties, member_of, readable_body, text_of};
use crate::content_line::{ContentLine, LineWriter, parameter};
use crate::form::Desk;
use crate::form::value::{text_at, url_of};

/// What goes into a calendar: the lines between `BEGIN` and `END` but for the `UID`, and what they need beside them.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) uid: Option<String>,
    pub(super) recurrence_id: String,
    pub(super) lines: String,
    pub(super) zones: Vec<(Tz, i32)>,
}

/// Builds an event; what it cannot hold is noted.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) collection: &'a Collection,
    pub(super) record: &'a Record,
    pub(super) desk: &'a mut Desk,
    writer: LineWriter,
    zones: Vec<(Tz, i32)>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(collection: &'a Collection, record: &'a Record, desk: &'a mut Desk) -> Self {
        Self { collection, record, desk, writer: LineWriter::default(), zones: Vec::new() }
    }

    /// The event; `None` if it has no start, without which no calendar takes it.
    pub(super) fn build(mut self, labels: &[String], files: &[String]) -> Result<Option<Built>> {
        let properties = Properties::new(self.collection, self.record);
        let zone = self.zone(properties)?;
        let Some(start) = self.start(properties, zone) else {
            self.lost("start", "no start that can be read: the event is in the source alone")?;
            return Ok(None);
        };
        self.writer.line("DTSTAMP", &stamp(self.record));
        let recurrence_id = match properties.value("recurrence_id").map(|value| When::read(&value, zone)) {
            Some(Some(when)) => {
                self.when("RECURRENCE-ID", when);
                when.value()
            }
            Some(None) => {
                self.lost("recurrence_id", "a time that cannot be read")?;
                String::new()
            }
            None => String::new(),
        };
        self.when("DTSTART", start);
        self.end(properties, start, zone)?;
        self.recurrence(properties, start, zone)?;
        self.texts(properties)?;
        self.people(properties)?;
        if !labels.is_empty() {
            let labels: Vec<String> = labels.iter().map(|label| crate::content_line::escape(label)).collect();
            self.writer.line("CATEGORIES", &labels.join(","));
        }
        self.times();
        for blob in &self.record.blobs {
            if let Some(url) = blob.external_url.as_deref().and_then(web) {
                let kind = blob.media_type.as_deref().map_or_else(String::new, |kind| parameter("FMTTYPE", kind));
                self.writer.line(&format!("ATTACH{kind}"), &url);
            }
        }
        for file in files {
            self.writer.text("X-SAAS-BACKUP-FILE", file);
        }
        self.reminders(properties)?;
        let uid = properties.text("uid");
        Ok(Some(Built { uid, recurrence_id, lines: self.writer.into_text(), zones: self.zones }))
    }

    fn lost(&mut self, property: &str, reason: &str) -> Result<()> {
        let path = self.collection.fields.properties.get(property).map_or(property, String::as_str);
        self.desk.losses.part(&self.record.key, path, reason)
    }

    fn zone(&mut self, properties: Properties<'_>) -> Result<Option<Tz>> {
        let Some(name) = properties.text("time_zone") else { return Ok(None) };
        let zone = zone_of(&name);
        if zone.is_none() {
            self.lost("time_zone", "a time zone that nobody knows")?;
        }
        Ok(zone)
    }

    fn start(&self, properties: Properties<'_>, zone: Option<Tz>) -> Option<When> {
        let mapped = || text_at(&self.record.data, self.collection.fields.time.as_deref()?);
        let start = match properties.value("start") {
            Some(start) => When::read(&start, zone)?,
            None => When::parse(&mapped()?, zone)?,
        };
        Some(if properties.is_true("all_day") { When::Date(start.local().date()) } else { start })
    }

    fn end(&mut self, properties: Properties<'_>, start: When, zone: Option<Tz>) -> Result<()> {
        let Some(value) = properties.value("end") else { return Ok(()) };
        let Some(mut end) = When::read(&value, zone) else { return self.lost("end", "a time that cannot be read") };
        if start.is_date() {
            end = When::Date(end.local().date());
        } else if end.is_date() {
            return self.lost("end", "a day as the end of an event that begins at an hour");
        }
        if end.is_floating() != start.is_floating() {
            end = end.like(start);
        }
        if end.is_before(start) {
            return self.lost("end", "an end before the start");
        }
        // A day that ends on itself is one day; that it does is what calendars take for granted.
        if start.is_before(end) {
            self.when("DTEND", end);
        }
        Ok(())
    }

    fn when(&mut self, name: &str, when: When) {
        self.zones.extend(when.zone().map(|zone| (zone, year_of(when))));
        self.writer.line(&format!("{name}{}", when.parameters()), &when.value());
    }

    fn recurrence(&mut self, properties: Properties<'_>, start: When, zone: Option<Tz>) -> Result<()> {
        for item in properties.items("recurrence") {
            let Some(text) = text_of(&item) else {
                self.lost("recurrence", "a rule in another form than that of calendars")?;
                continue;
            };
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                self.recurrence_line(line, start, zone)?;
            }
        }
        for item in properties.items("exceptions") {
            match When::read(&item, zone) {
                Some(when) => self.when("EXDATE", when.like(start)),
                None => self.lost("exceptions", "a time that cannot be read")?,
            }
        }
        Ok(())
    }

    fn recurrence_line(&mut self, line: &str, start: When, zone: Option<Tz>) -> Result<()> {
        let whole = if line.contains(':') { line.to_owned() } else { format!("RRULE:{line}") };
        let Some(parsed) = ContentLine::parse(&whole) else { return self.lost("recurrence", "a line that is none") };
        match parsed.name.as_str() {
            name @ ("RRULE" | "EXRULE") => match rule::fault_of(parsed.value) {
                None => self.writer.line(name, &rule::fitted(parsed.value, start)),
                Some(fault) => self.lost("recurrence", &format!("a rule that is none: {fault}"))?,
            },
            name @ ("RDATE" | "EXDATE") => {
                let zone = parsed.parameter("TZID").and_then(zone_of).or(zone);
                for value in parsed.value.split(',') {
                    match When::parse(value, zone) {
                        Some(when) => self.when(name, when.like(start)),
                        None => self.lost("recurrence", "a time that cannot be read")?,
                    }
                }
            }
            _ => self.lost("recurrence", "a line that is no rule of repetition")?,
        }
        Ok(())
    }

    fn texts(&mut self, properties: Properties<'_>) -> Result<()> {
        let fields = &self.collection.fields;
        let data = &self.record.data;
        if let Some(title) = fields.title.as_deref().and_then(|path| text_at(data, path)) {
            self.writer.text("SUMMARY", &title);
        }
        if let Some(text) = readable_body(self.collection, self.record, self.desk)? {
            self.writer.text("DESCRIPTION", &text);
        }
        if let Some(location) = properties.value("location") {
            let text = text_of(&location).or_else(|| member_of(&location, &["displayName", "name", "address"]));
            match text {
                Some(text) => self.writer.text("LOCATION", &text),
                None if location.as_object().is_some_and(serde_json::Map::is_empty) => {}
                None => self.lost("location", "a place without a name")?,
            }
        }
        if let Some(status) = properties.text("status") {
            match status.to_ascii_uppercase().as_str() {
                "CANCELED" => self.writer.line("STATUS", "CANCELLED"),
                known @ ("TENTATIVE" | "CONFIRMED" | "CANCELLED") => self.writer.line("STATUS", known),
                _ => self.lost("status", "a status that calendars do not have")?,
            }
        }
        if let Some(sequence) = properties.text("sequence").filter(|text| text.parse::<u32>().is_ok()) {
            self.writer.line("SEQUENCE", &sequence);
        }
        let url = properties.text("url").or_else(|| url_of(self.collection, self.record));
        if let Some(url) = url.as_deref().and_then(web) {
            self.writer.line("URL", &url);
        }
        Ok(())
    }

    fn people(&mut self, properties: Properties<'_>) -> Result<()> {
        if let Some(organizer) = properties.value("organizer").and_then(|value| Person::read(&value)) {
            self.person("ORGANIZER", &organizer, "");
        }
        for attendee in properties.items("attendees") {
            match Person::read(&attendee) {
                Some(person) => self.person("ATTENDEE", &person, &part_of(&attendee)),
                None => self.lost("attendees", "somebody without name and address")?,
            }
        }
        Ok(())
    }

    fn person(&mut self, name: &str, person: &Person, more: &str) {
        let common = person.name.as_deref().map_or_else(String::new, |name| parameter("CN", name));
        let plain = |address: &&str| !address.contains(|it: char| it.is_whitespace() || it.is_control());
        // What stands where an address must stand and there is none.
        let address = person.address.as_deref().filter(plain);
        let address = address.map_or_else(|| "invalid:nomail".to_owned(), |address| format!("mailto:{address}"));
        self.writer.line(&format!("{name}{common}{more}"), &address);
    }

    fn times(&mut self) {
        for (name, time) in [("CREATED", self.record.created), ("LAST-MODIFIED", self.record.modified)] {
            if let Some(time) = time.and_then(instant) {
                self.writer.line(name, &time);
            }
        }
    }

    fn reminders(&mut self, properties: Properties<'_>) -> Result<()> {
        for reminder in properties.items("reminders") {
            let minutes = match &reminder {
                Value::Object(_) => member_of(&reminder, &["minutes", "minutesBefore", "trigger"]),
                other => text_of(other),
            };
            let trigger = minutes.and_then(|text| match text.parse::<i32>() {
                Ok(minutes) if minutes < 0 => Some(format!("PT{}M", minutes.unsigned_abs())),
                Ok(minutes) => Some(format!("-PT{minutes}M")),
                Err(_) => Some(text.to_ascii_uppercase()).filter(|text| is_duration(text)),
            });
            let Some(trigger) = trigger else {
                self.lost("reminders", "a reminder without a time")?;
                continue;
            };
            for (name, value) in [
                ("BEGIN", "VALARM"),
                ("ACTION", "DISPLAY"),
                ("DESCRIPTION", "Reminder"),
                ("TRIGGER", &trigger),
                ("END", "VALARM"),
            ] {
                self.writer.line(name, value);
            }
        }
        Ok(())
    }
}

/// When the event was last touched: calendars ask for it, and a time of our own would make every export another one.
pub(super) fn stamp(record: &Record) -> String {
    record.modified.or(record.created).and_then(instant).unwrap_or_else(|| "19700101T000000Z".to_owned())
}

pub(super) fn year_of(when: When) -> i32 {
    chrono::Datelike::year(&when.local())
}

fn instant(time: DateTime<Utc>) -> Option<String> {
    let four_digits = (1..=9999).contains(&chrono::Datelike::year(&time));
    four_digits.then(|| time.format("%Y%m%dT%H%M%SZ").to_string())
}

/// An address of the web, as it may stand in a line.
fn web(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.to_string())
}

/// What somebody answered, and whether they have to come.
fn part_of(attendee: &Value) -> String {
    let answer = member_of(attendee, &["responseStatus", "response_status", "status.response", "status", "partstat"]);
    let answer = answer.map(|answer| answer.to_ascii_lowercase().replace(['_', '-', ' '], ""));
    let status = match answer.as_deref() {
        Some("accepted" | "yes" | "organizer") => ";PARTSTAT=ACCEPTED",
        Some("declined" | "no") => ";PARTSTAT=DECLINED",
        Some("tentative" | "tentativelyaccepted" | "maybe") => ";PARTSTAT=TENTATIVE",
        Some("delegated") => ";PARTSTAT=DELEGATED",
        Some("needsaction" | "none" | "notresponded") => ";PARTSTAT=NEEDS-ACTION",
        _ => "",
    };
    let is = |name: &str| attendee.get(name) == Some(&Value::Bool(true));
    let kind = member_of(attendee, &["type", "role"]).unwrap_or_default().to_ascii_lowercase();
    let role = if is("resource") || kind == "resource" {
        ";CUTYPE=RESOURCE;ROLE=NON-PARTICIPANT"
    } else if is("optional") || kind.starts_with("opt") {
        ";ROLE=OPT-PARTICIPANT"
    } else {
        ""
    };
    format!("{role}{status}")
}

/// A length of time, such as `-PT15M`.
fn is_duration(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    let Some(rest) = text.strip_prefix('P') else { return false };
    let digits = rest.bytes().any(|byte| byte.is_ascii_digit());
    digits
        && rest.ends_with(['W', 'D', 'H', 'M', 'S'])
        && rest.bytes().all(|it| it.is_ascii_digit() || b"WDTHMS".contains(&it))
}
