use std::io::{self, BufRead};

/// Longest headers that are looked at, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The headers of a message or of a part of one, unfolded.
#[derive(Debug, Default)]
pub(super) struct Headers {
    fields: Vec<(String, String)>,
}

impl Headers {
    /// Reads to the empty line.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let (mut headers, mut left) = (Self::default(), MAX_BYTES);
        loop {
            let mut line = Vec::new();
            let length = io::Read::take(&mut *from, left).read_until(b'\n', &mut line)?;
            left -= length as u64;
            if length == 0 || !headers.line(&line) {
                return Ok(headers);
            }
        }
    }

    /// Takes a line; `false` at the empty one.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return false;
        }
        if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = self.fields.last_mut() {
                value.push_str(text);
            }
        } else if let Some((name, value)) = text.split_once(':') {
            self.fields.push((name.trim_end().to_ascii_lowercase(), value.to_owned()));
        }
        true
    }

    /// The first header of a name, in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.trim())
    }

    /// The boundary of the parts, if there are any; an empty one if it is missing.
    pub(super) fn boundary(&self) -> Option<String> {
        let kind = self.get("content-type")?;
        if !kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
            return None;
        }
        let lower = kind.to_ascii_lowercase();
        let Some(start) = lower.find("boundary=") else { return Some(String::new()) };
        let value = kind.get(start + 9..).unwrap_or_default();
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => value.split([';', ' ', '\t']).next().unwrap_or_default(),
        };
        Some(value.to_owned())
    }
}
