//! Looks through the parts of a message as it passes by.

use super::headers::Headers;

/// Parts within parts that are followed.
const MAX_DEPTH: usize = 32;
/// Longest headers of a part, in lines.
const MAX_LINES: u64 = 10_000;

/// Takes the lines of a message.
#[derive(Debug)]
pub(super) struct Parts {
    /// The headers that are being read.
    headers: Option<(Headers, u64)>,
    /// Those of the message itself.
    pub(super) first: Option<Headers>,
    /// The boundaries that are open, and whether a part began.
    open: Vec<(String, bool)>,
    faults: Vec<&'static str>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { headers: Some((Headers::default(), 0)), first: None, open: Vec::new(), faults: Vec::new() }
    }
}

impl Parts {
    /// Takes a line, or the beginning of a long one.
    pub(super) fn line(&mut self, line: &[u8]) {
        if let Some((headers, lines)) = &mut self.headers {
            *lines += 1;
            if *lines < MAX_LINES && headers.line(line) {
                return;
            }
            self.headers_end();
            return;
        }
        let Some(rest) = line.strip_prefix(b"--") else { return };
        let rest = rest.trim_ascii_end();
        let is_of = |boundary: &str| rest.strip_prefix(boundary.as_bytes()).filter(|it| matches!(*it, b"" | b"--"));
        let found = self.open.iter().rposition(|(boundary, _)| is_of(boundary).is_some());
        let Some(place) = found else { return };
        let ends = self.open.get(place).and_then(|(boundary, _)| is_of(boundary)) == Some(b"--");
        if self.open.len() > place + 1 {
            self.faults.push("a part that does not end");
            self.open.truncate(place + 1);
        }
        if ends {
            self.open.truncate(place);
        } else if let Some((_, began)) = self.open.get_mut(place) {
            *began = true;
            self.headers = Some((Headers::default(), 0));
        }
    }

    fn headers_end(&mut self) {
        let Some((headers, _)) = self.headers.take() else { return };
        match headers.boundary() {
            Some(boundary) if boundary.is_empty() => self.faults.push("parts without a boundary"),
            Some(boundary) if self.open.len() < MAX_DEPTH => self.open.push((boundary, false)),
            _ => {}
        }
        if self.first.is_none() {
            self.first = Some(headers);
        }
    }

    /// What is wrong with the message.
    pub(super) fn finish(mut self) -> Vec<&'static str> {
        self.headers_end();
        if self.open.iter().any(|(_, began)| !began) {
            self.faults.push("a boundary that never comes");
        }
        if self.open.iter().any(|(_, began)| *began) {
            self.faults.push("a part that does not end");
        }
        let first = self.first.unwrap_or_default();
        match first.get("date") {
            None => self.faults.push("a message without a date"),
            Some(date) if super::message::parse_date(date).is_none() => self.faults.push("a date that is none"),
            Some(_) => {}
        }
        if first.get("from").is_none() {
            self.faults.push("a message without a sender");
        }
        self.faults.dedup();
        self.faults
    }
}
