use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use super::rule;
use super::time::{When, zone_of};
use crate::beside::{check_names, is_of_form};
use crate::content_line::{ContentLine, LogicalLines};
use crate::folder::contained;
use crate::names::short_hash;

/// Looks through all calendars below a folder for faults that parsers forgive and programs trip over: zones that are
/// named and not described, ends before starts, lines that do not end with CRLF or are too long, what must be there and
/// is not, two events of one identity, rules that are none. Compares `names.json` with what is there, too.
///
/// # Errors
///
/// If a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let files = check_names(folder, &[], &mut report)?;
    for file in files.iter().filter(|file| is_of_form(file, "ics")) {
        let lines = LogicalLines::new(BufReader::new(File::open(contained(folder, file)?)?));
        Checker::new(file, &mut report).run(lines)?;
    }
    Ok(report)
}

/// A component that is open.
#[derive(Debug, Default)]
struct Open {
    kind: String,
    number: u64,
    seen: BTreeSet<String>,
    uid: String,
    recurrence_id: String,
    times: BTreeMap<String, (String, When)>,
}

struct Checker<'a> {
    file: &'a str,
    report: &'a mut CheckReport,
    open: Vec<Open>,
    described: BTreeSet<String>,
    /// Zones that are named, and the first line that does.
    named: BTreeMap<String, u64>,
    identities: HashSet<u64>,
    uids: HashSet<u64>,
    last_uid: String,
    calendars: u64,
}

impl<'a> Checker<'a> {
    fn new(file: &'a str, report: &'a mut CheckReport) -> Self {
        Self {
            file,
            report,
            open: Vec::new(),
            described: BTreeSet::new(),
            named: BTreeMap::new(),
            identities: HashSet::new(),
            uids: HashSet::new(),
            last_uid: String::new(),
            calendars: 0,
        }
    }

    fn find(&mut self, number: u64, problem: impl Into<String>) {
        self.report.find(self.file, format!("line {number}"), problem);
    }

    fn run(mut self, lines: LogicalLines<BufReader<File>>) -> Result<()> {
        let mut last = 0;
        for line in lines {
            let line = line?;
            last = line.number;
            for fault in &line.faults {
                self.find(line.number, fault.text());
            }
            match ContentLine::parse(&line.text) {
                Some(parsed) => self.line(&parsed, line.number),
                None => self.find(line.number, "a line that is no property"),
            }
        }
        if !self.open.is_empty() || self.calendars == 0 {
            self.find(last, "the calendar does not end");
        }
        for (zone, number) in std::mem::take(&mut self.named) {
            if !self.described.contains(&zone) {
                self.find(number, format!("the time zone `{zone}` is named and not described"));
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &ContentLine<'_>, number: u64) {
        match line.name.as_str() {
            "BEGIN" => {
                self.open.push(Open { kind: line.value.to_ascii_uppercase(), number, ..Open::default() });
                return;
            }
            "END" => {
                match self.open.pop() {
                    Some(open) if open.kind.eq_ignore_ascii_case(line.value) => self.end(&open, number),
                    _ => self.find(number, "an end of what did not begin"),
                }
                return;
            }
            _ => {}
        }
        let Some(open) = self.open.last_mut() else { return self.find(number, "a line outside of the calendar") };
        open.seen.insert(line.name.clone());
        let in_zone = matches!(open.kind.as_str(), "VTIMEZONE" | "STANDARD" | "DAYLIGHT");
        match line.name.as_str() {
            "UID" => line.value.clone_into(&mut open.uid),
            "RECURRENCE-ID" => line.value.clone_into(&mut open.recurrence_id),
            "TZID" if open.kind == "VTIMEZONE" => {
                self.described.insert(line.value.to_owned());
            }
            _ => {}
        }
        let zone = line.parameter("TZID");
        if let Some(zone) = zone {
            self.named.entry(zone.to_owned()).or_insert(number);
        }
        match line.name.as_str() {
            "DTSTART" | "DTEND" | "RECURRENCE-ID" | "EXDATE" | "DUE" => self.time(line, zone, number),
            "RRULE" | "EXRULE" => {
                if let Some(fault) = rule::fault_of(line.value) {
                    self.find(number, format!("a rule that is none: {fault}"));
                } else if !in_zone {
                    self.report.add("rules", 1);
                }
            }
            _ => {}
        }
    }

    fn time(&mut self, line: &ContentLine<'_>, zone: Option<&str>, number: u64) {
        for value in line.value.split(',') {
            let is_date = line.parameter("VALUE").is_some_and(|kind| kind.eq_ignore_ascii_case("DATE"));
            let when = When::parse(value, zone.and_then(zone_of)).filter(|when| when.is_date() == is_date);
            match (when, self.open.last_mut()) {
                (Some(when), Some(open)) => {
                    let form = format!("{is_date} {}", zone.unwrap_or_default());
                    open.times.entry(line.name.clone()).or_insert((form, when));
                }
                _ => self.find(number, "a time that is none, or of another form than it says"),
            }
        }
    }

    fn end(&mut self, open: &Open, number: u64) {
        let needed: &[&str] = match open.kind.as_str() {
            "VCALENDAR" => &["PRODID", "VERSION"],
            "VEVENT" => &["UID", "DTSTAMP", "DTSTART"],
            "VTODO" | "VJOURNAL" => &["UID", "DTSTAMP"],
            "VTIMEZONE" => &["TZID"],
            "STANDARD" | "DAYLIGHT" => &["DTSTART", "TZOFFSETFROM", "TZOFFSETTO"],
            "VALARM" => &["ACTION", "TRIGGER"],
            _ => &[],
        };
        for name in needed.iter().filter(|name| !open.seen.contains(**name)) {
            self.find(open.number, format!("{} without {name}", open.kind));
        }
        match open.kind.as_str() {
            "VCALENDAR" => self.calendars += 1,
            "VTIMEZONE" => self.report.add("time zones", 1),
            "VEVENT" | "VTODO" | "VJOURNAL" => self.event(open, number),
            _ => {}
        }
    }

    fn event(&mut self, open: &Open, number: u64) {
        self.report.add("events", 1);
        if let (Some((form, start)), Some((end_form, end))) = (open.times.get("DTSTART"), open.times.get("DTEND")) {
            if end.is_before(*start) {
                self.find(open.number, "an end before the start");
            } else if form.starts_with("true") != end_form.starts_with("true") {
                self.find(open.number, "a day and a time as start and end");
            } else if (start.is_floating() && form.ends_with(' ')) != (end.is_floating() && end_form.ends_with(' ')) {
                // A zone that its sender alone knows is a zone, too.
                self.find(open.number, "a start and an end of which one alone has a zone");
            }
        }
        if let (Some((form, _)), Some((other, _))) = (open.times.get("DTSTART"), open.times.get("EXDATE"))
            && form != other
        {
            self.find(open.number, "an exception in another form or zone than the start");
        }
        if open.uid.is_empty() {
            return;
        }
        if !self.identities.insert(short_hash(format!("{}\0{}", open.uid, open.recurrence_id).as_bytes())) {
            self.find(number, "another event has the same UID, and no RECURRENCE-ID tells them apart");
        }
        if !self.uids.insert(short_hash(open.uid.as_bytes())) && self.last_uid != open.uid {
            self.find(number, "an event stands apart from others of the same UID");
        }
        open.uid.clone_into(&mut self.last_uid);
    }
}
