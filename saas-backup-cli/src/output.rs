use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use chrono::{DateTime, Utc};
use saas_backup::core::{Error, ErrorKind, Period, Result};
use serde::Serialize;

/// Where results go: JSON or text on stdout, everything else on stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    /// A result: an object for programs, or lines for people.
    pub(crate) fn result<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        if self.json { self.object(value) } else { self.text(&text(value)) }
    }

    /// One JSON object on a line.
    pub(crate) fn object(self, value: &impl Serialize) -> Result<()> {
        self.raw(serde_json::to_vec(value)?)
    }

    /// JSON that is text already.
    #[expect(clippy::unused_self, reason = "callers need not know which form looks at the settings")]
    pub(crate) fn raw(self, mut line: Vec<u8>) -> Result<()> {
        line.push(b'\n');
        written(io::stdout().lock().write_all(&line))
    }

    /// Text for people on stdout.
    #[expect(clippy::unused_self, reason = "callers need not know which form looks at the settings")]
    pub(crate) fn text(self, text: &str) -> Result<()> {
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(end.as_bytes())))
    }

    /// A remark for people on stderr. That nobody reads it is no failure.
    pub(crate) fn note(self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Whether bars can be drawn.
    pub(crate) fn draws(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// A reader that went away, such as `head`, has all it wanted.
fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(hung_up()),
        other => Ok(other?),
    }
}

const HUNG_UP: &str = "the reader of stdout went away";

fn hung_up() -> Error {
    Error::new(ErrorKind::Cancelled, HUNG_UP)
}

pub(crate) fn is_hung_up(error: &Error) -> bool {
    error.kind() == ErrorKind::Cancelled && error.message() == HUNG_UP
}

/// Lines with columns; the last column is not padded.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let last = row.len().saturating_sub(1);
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if index < last {
                text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A number as people read it, or a dash.
pub(crate) fn number(value: Option<u64>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// Bytes as people read them.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if value < 1024 { format!("{value} {unit}") } else { format!("{scaled:.1} {unit}") }
}

/// An age to the minute, or to the second below one.
pub(crate) fn coarse(age: Period) -> Period {
    let seconds = age.0.as_secs();
    let rounded = if seconds < 60 { seconds } else { seconds - seconds % 60 };
    Period(std::time::Duration::from_secs(rounded))
}

/// A time to the second, in UTC.
pub(crate) fn time(value: DateTime<Utc>) -> String {
    value.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Text from outside on one line of a terminal: control characters are shown, and what is long is cut.
pub(crate) fn short(text: &str, limit: usize) -> String {
    let mut shown: String =
        text.chars().take(limit).map(|letter| if letter.is_control() { '␦' } else { letter }).collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

/// The word for a value that serialises as one.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bbb".to_owned(), String::new()]];
        assert_eq!(table(&["x", "long"], &rows), "x    long\na    1\nbbb\n");
    }

    #[test]
    fn a_record_cannot_move_the_cursor_of_a_terminal() {
        assert_eq!(short("\u{1b}[2Jhello\nworld", 8), "␦[2Jhell…");
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(1 << 50)], ["0 B", "1023 B", "1.5 KiB", "1024.0 TiB"]);
    }
}
