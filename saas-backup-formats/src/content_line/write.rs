use std::fmt::Write as _;

/// Longest line without its end, in octets.
pub(super) const MAX_OCTETS: usize = 75;

/// Writes content lines, folded and with CRLF at their ends.
#[derive(Debug, Default)]
pub(crate) struct LineWriter {
    text: String,
}

impl LineWriter {
    /// A line whose value needs no escapes.
    pub(crate) fn line(&mut self, name: &str, value: &str) {
        self.logical(&format!("{name}:{value}"));
    }

    /// A line whose value is a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.line(name, &escape(value));
    }

    /// A line that has everything already but its folds.
    pub(crate) fn logical(&mut self, line: &str) {
        let mut rest = line;
        let mut room = MAX_OCTETS;
        while rest.len() > room {
            let mut end = room;
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (here, next) = rest.split_at(end);
            self.text.push_str(here);
            self.text.push_str("\r\n ");
            rest = next;
            // The space counts.
            room = MAX_OCTETS - 1;
        }
        self.text.push_str(rest);
        self.text.push_str("\r\n");
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Escapes a text; control characters have no place in one and vanish.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(character);
            }
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' => out.push_str("\\n"),
            '\t' => out.push('\t'),
            _ if character.is_control() => {}
            _ => out.push(character),
        }
    }
    out
}

/// A parameter with its semicolon, quoted where it must be, with the escapes of RFC 6868.
pub(crate) fn parameter(name: &str, value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '^' => text.push_str("^^"),
            '"' => text.push_str("^'"),
            '\n' => text.push_str("^n"),
            _ if character.is_control() => {}
            _ => text.push(character),
        }
    }
    let mut parameter = String::new();
    let plain = !text.contains([':', ';', ',', '^', ' ']) && !text.is_empty();
    let _ = if plain { write!(parameter, ";{name}={text}") } else { write!(parameter, ";{name}=\"{text}\"") };
    parameter
}
