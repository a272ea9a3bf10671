use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use saas_backup_core::{CheckReport, Result};

use crate::beside::{check_names, is_of_form};
use crate::content_line::{ContentLine, LogicalLines};
use crate::folder::contained;
use crate::names::short_hash;

/// Looks through all address books below a folder for faults that parsers forgive: cards without a name, of version 3.0
/// without its parts, of version 4.0 that say so too late, lines that do not end with CRLF or are too long, encodings of
/// another version, two cards of one identity, and twins that do not have the same contacts. Compares `names.json` with
/// what is there, too.
///
/// # Errors
///
/// If a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let files = check_names(folder, &[], &mut report)?;
    let mut books: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_of_form(file, "vcf")) {
        let lines = LogicalLines::new(BufReader::new(File::open(contained(folder, file)?)?));
        let mut checker = Checker { file, report: &mut report, open: None, uids: HashSet::new(), contacts: (0, 0) };
        checker.run(lines)?;
        books.entry(file.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default().push(checker.contacts);
    }
    for (folder, books) in books {
        if books.windows(2).any(|pair| pair.first() != pair.last()) {
            report.find(folder, "", "the address books of this folder do not have the same contacts");
        }
    }
    Ok(report)
}

/// A card that is open.
#[derive(Debug, Default)]
struct Open {
    number: u64,
    lines: u64,
    version: String,
    names: HashSet<String>,
    uid: String,
}

struct Checker<'a> {
    file: &'a str,
    report: &'a mut CheckReport,
    open: Option<Open>,
    uids: HashSet<u64>,
    /// How many there are, and all their identities in one number.
    contacts: (u64, u64),
}

impl Checker<'_> {
    fn find(&mut self, number: u64, problem: impl Into<String>) {
        self.report.find(self.file, format!("line {number}"), problem);
    }

    fn run(&mut self, lines: LogicalLines<BufReader<File>>) -> Result<()> {
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
        if self.open.is_some() {
            self.find(last, "the last card does not end");
        }
        Ok(())
    }

    fn line(&mut self, line: &ContentLine<'_>, number: u64) {
        match (line.name.as_str(), self.open.take()) {
            ("BEGIN", None) if line.value.eq_ignore_ascii_case("VCARD") => {
                self.open = Some(Open { number, ..Open::default() });
            }
            ("END", Some(open)) if line.value.eq_ignore_ascii_case("VCARD") => self.end(&open),
            ("BEGIN" | "END", _) => self.find(number, "a card that begins or ends within another one"),
            (_, None) => self.find(number, "a line outside of a card"),
            (name, Some(mut open)) => {
                open.lines += 1;
                open.names.insert(name.to_owned());
                match name {
                    "VERSION" => {
                        line.value.clone_into(&mut open.version);
                        if line.value == "4.0" && open.lines > 1 {
                            self.find(number, "version 4.0 has to be said in the second line");
                        }
                    }
                    "UID" => line.value.clone_into(&mut open.uid),
                    _ => self.encoding(line, &open.version, number),
                }
                self.open = Some(open);
            }
        }
    }

    fn encoding(&mut self, line: &ContentLine<'_>, version: &str, number: u64) {
        let is_data =
            matches!(line.name.as_str(), "PHOTO" | "LOGO" | "SOUND" | "KEY") && line.value.starts_with("data:");
        match version {
            "4.0" if line.parameter("ENCODING").is_some() => self.find(number, "version 4.0 knows no encodings"),
            "4.0" if line.parameter("CHARSET").is_some() => self.find(number, "version 4.0 is always UTF-8"),
            "3.0" if is_data => self.find(number, "version 3.0 knows no data addresses"),
            _ => {}
        }
    }

    fn end(&mut self, open: &Open) {
        self.report.add("cards", 1);
        match open.version.as_str() {
            "4.0" => {}
            "3.0" if open.names.contains("N") => {}
            "3.0" => self.find(open.number, "version 3.0 without the parts of the name"),
            _ => self.find(open.number, "a card of no version that is known"),
        }
        if !open.names.contains("FN") {
            self.find(open.number, "a card without a name");
        }
        let identity = short_hash(open.uid.as_bytes());
        self.contacts = (self.contacts.0 + 1, self.contacts.1 ^ identity);
        if !open.uid.is_empty() && !self.uids.insert(identity) {
            self.find(open.number, "another card has the same UID");
        }
    }
}
