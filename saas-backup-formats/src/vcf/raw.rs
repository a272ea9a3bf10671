//! Cards that the provider gave.

use super::card::{Card, Line};
use super::version::newer;
use crate::content_line::{ContentLine, LineWriter, LogicalLines, escape};

/// A card as it stood in its file.
#[derive(Debug, Default)]
pub(super) struct Original {
    pub(super) card: Card,
    version: String,
    /// The lines between `BEGIN` and `END`, unfolded.
    lines: Vec<String>,
}

impl Original {
    /// Takes a file apart; nothing if it has no card, or one that is not closed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Self>> {
        let (mut found, mut open) = (Vec::new(), None::<Self>);
        let mut lines = LogicalLines::new(bytes);
        while let Some(line) = lines.next() {
            let mut text = line.ok()?.text;
            // What vCard 2.1 did before there were folds.
            while is_quoted_printable(&text) && text.ends_with('=') {
                text.pop();
                text.push_str(&lines.next()?.ok()?.text);
            }
            let Some(parsed) = ContentLine::parse(text.trim_start_matches('\u{feff}')) else { continue };
            match (parsed.name.as_str(), &mut open) {
                ("BEGIN", None) if parsed.value.trim().eq_ignore_ascii_case("VCARD") => open = Some(Self::default()),
                ("END", Some(_)) => found.extend(open.take()),
                ("VERSION", Some(card)) => {
                    parsed.value.trim().clone_into(&mut card.version);
                    card.lines.push(text);
                }
                (_, Some(card)) => {
                    card.card.push(newer(decoded(Line::from(parsed))));
                    card.lines.push(text);
                }
                (_, None) => {}
            }
        }
        (open.is_none() && !found.is_empty()).then_some(found)
    }

    /// The card as it stood, if it is one of this version that lacks nothing.
    pub(super) fn verbatim(&self, version: &str) -> Option<String> {
        let has = |name: &str| self.card.get(name).is_some();
        let whole = has("FN") && has("UID") && (version == "4.0" || has("N"));
        let first = self.lines.first().is_some_and(|line| line.to_ascii_uppercase().starts_with("VERSION"));
        if self.version != version || !whole || !first {
            return None;
        }
        let mut writer = LineWriter::default();
        writer.line("BEGIN", "VCARD");
        for line in &self.lines {
            writer.logical(line);
        }
        writer.line("END", "VCARD");
        Some(writer.into_text())
    }
}

fn is_quoted_printable(text: &str) -> bool {
    let head = text.split(':').next().unwrap_or_default().to_ascii_uppercase();
    head.contains("QUOTED-PRINTABLE")
}

fn decoded(mut line: Line) -> Line {
    let quoted = |(name, values): &(String, Vec<String>)| {
        matches!(name.as_str(), "ENCODING" | "TYPE")
            && values.iter().any(|value| value.eq_ignore_ascii_case("QUOTED-PRINTABLE"))
    };
    let Some(place) = line.parameters.iter().position(quoted) else { return line };
    line.parameters.remove(place);
    let mut bytes = Vec::new();
    let mut rest = line.value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = (*byte == b'=').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
        bytes.push(decoded.unwrap_or(*byte));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Semicolons set parts of names and addresses apart; line ends have to be escaped.
    line.value = text.split(';').map(|part| escape(&crate::content_line::unescape(part))).collect::<Vec<_>>().join(";");
    line
}
