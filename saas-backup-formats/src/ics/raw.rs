//! Events in a calendar that the provider gave.

use std::collections::BTreeMap;

use saas_backup_core::Digest;

use super::time::{When, zone_of};
use crate::content_line::{ContentLine, LineWriter, LogicalLines, unescape};

/// An event, a task or a note as it stood in its calendar.
#[derive(Debug, Default)]
pub(super) struct Component {
    pub(super) kind: String,
    pub(super) uid: Option<String>,
    pub(super) recurrence_id: String,
    /// The lines between `BEGIN` and `END` but for the `UID`, unfolded.
    lines: Vec<String>,
    has_stamp: bool,
    /// The zones that it names, and the year of its start.
    pub(super) zones: Vec<String>,
    pub(super) year: Option<i32>,
}

/// A calendar in its parts.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    pub(super) components: Vec<Component>,
    /// Descriptions of zones by their names, unfolded.
    zones: BTreeMap<String, Vec<String>>,
}

impl Calendar {
    /// Takes a calendar apart; `None` if it has nothing in it, or its parts are not closed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut calendar = Self::default();
        let mut open: Vec<String> = Vec::new();
        let mut component = Component::default();
        for line in LogicalLines::new(bytes) {
            let text = line.ok()?.text;
            let text = text.trim_start_matches('\u{feff}');
            let Some(parsed) = ContentLine::parse(text) else { continue };
            match parsed.name.as_str() {
                "BEGIN" => {
                    open.push(parsed.value.trim().to_ascii_uppercase());
                    if open.len() == 2 {
                        component = Component { kind: open.last()?.clone(), ..Component::default() };
                    } else if open.len() > 2 {
                        component.lines.push(text.to_owned());
                    }
                }
                "END" => {
                    if open.pop()? != parsed.value.trim().to_ascii_uppercase() {
                        return None;
                    }
                    match open.len() {
                        0 => {}
                        1 => calendar.take(std::mem::take(&mut component)),
                        _ => component.lines.push(text.to_owned()),
                    }
                }
                _ if open.len() >= 2 => component.take(&parsed, text, open.len() == 2),
                _ => {}
            }
        }
        (open.is_empty() && !calendar.components.is_empty()).then_some(calendar)
    }

    fn take(&mut self, component: Component) {
        match component.kind.as_str() {
            "VTIMEZONE" => {
                let name = component.lines.iter().find_map(|line| line.strip_prefix("TZID:"));
                if let Some(name) = name.map(str::to_owned) {
                    self.zones.entry(name).or_insert(component.lines);
                }
            }
            "VEVENT" | "VTODO" | "VJOURNAL" => self.components.push(component),
            _ => {}
        }
    }

    /// The provider's own descriptions of zones that no database has, each with a name of its own where the same name
    /// may mean something else elsewhere: what the name becomes, and the description.
    pub(super) fn own_zones(&self) -> BTreeMap<&str, (String, String)> {
        let own = self.zones.iter().filter(|(name, _)| zone_of(name).is_none());
        let named = own.map(|(name, lines)| {
            let digest = Digest::of(lines.join("\n").as_bytes()).to_string();
            let unique = format!("{name}~{}", digest.get(..6).unwrap_or(&digest));
            let mut writer = LineWriter::default();
            writer.line("BEGIN", "VTIMEZONE");
            for line in lines {
                match line.strip_prefix("TZID:") {
                    Some(_) => writer.line("TZID", &unique),
                    None => writer.logical(line),
                }
            }
            writer.line("END", "VTIMEZONE");
            (name.as_str(), (unique, writer.into_text()))
        });
        named.collect()
    }
}

impl Component {
    fn take(&mut self, line: &ContentLine<'_>, text: &str, own: bool) {
        if let Some(zone) = line.parameter("TZID") {
            self.zones.push(zone.to_owned());
        }
        match line.name.as_str() {
            "UID" if own => {
                self.uid = Some(unescape(line.value.trim())).filter(|uid| !uid.is_empty());
                return;
            }
            "RECURRENCE-ID" if own => line.value.trim().clone_into(&mut self.recurrence_id),
            "DTSTAMP" if own => self.has_stamp = true,
            "DTSTART" if own => {
                self.year = When::parse(line.value, None).map(super::event::year_of);
            }
            _ => {}
        }
        self.lines.push(text.to_owned());
    }

    /// The lines, folded anew; the names of zones are changed to those given.
    pub(super) fn text(&self, stamp: &str, zones: &BTreeMap<&str, (String, String)>) -> String {
        let mut writer = LineWriter::default();
        if !self.has_stamp {
            writer.line("DTSTAMP", stamp);
        }
        for line in &self.lines {
            let zone = ContentLine::parse(line).and_then(|line| line.parameter("TZID"));
            match zone.and_then(|name| Some((name, &zones.get(name)?.0))) {
                Some((name, unique)) => writer.logical(&renamed(line, name, unique)),
                None => writer.logical(line),
            }
        }
        writer.into_text()
    }
}

fn renamed(line: &str, name: &str, unique: &str) -> String {
    let quoted = format!("TZID=\"{name}\"");
    if line.contains(&quoted) {
        return line.replacen(&quoted, &format!("TZID=\"{unique}\""), 1);
    }
    line.replacen(&format!("TZID={name}"), &format!("TZID=\"{unique}\""), 1)
}
