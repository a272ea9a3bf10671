/// A line that was unfolded, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentLine<'a> {
    /// What stands before a dot before the name: address cards group lines so.
    pub(crate) group: Option<&'a str>,
    /// In upper case.
    pub(crate) name: String,
    /// Names in upper case, values as they stand, without quotation marks.
    pub(crate) parameters: Vec<(String, Vec<&'a str>)>,
    /// As it stands, with its escapes.
    pub(crate) value: &'a str,
}

impl<'a> ContentLine<'a> {
    /// Takes a line apart; `None` if it is no content line.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let mut quoted = false;
        let colon = line.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == b':' && !quoted
        })?;
        let (head, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        let mut parts = split(head, ';');
        let name = parts.next()?;
        let (group, name) = match name.split_once('.') {
            Some((group, name)) => (Some(group), name),
            None => (None, name),
        };
        let valid = |name: &str| !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
        if !valid(name) {
            return None;
        }
        let mut parameters = Vec::new();
        for part in parts {
            // A type without a name is how vCard 2.1 wrote it.
            let (name, values) = part.split_once('=').unwrap_or(("TYPE", part));
            let values = split(values, ',').map(|value| value.trim_matches('"')).collect();
            parameters.push((name.to_ascii_uppercase(), values));
        }
        Some(Self { group, name: name.to_ascii_uppercase(), parameters, value })
    }

    /// The first value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        let found = self.parameters.iter().find(|(parameter, _)| parameter == name)?;
        found.1.first().copied()
    }
}

/// Splits where a separator stands outside quotation marks.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

/// Resolves the escapes of a text.
pub(crate) fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n' | 'N') => out.push('\n'),
            Some(escaped @ ('\\' | ';' | ',' | ':')) => out.push(escaped),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::write::{LineWriter, escape, parameter};
    use super::*;
    use crate::content_line::LogicalLines;

    #[test]
    fn a_line_is_taken_apart() {
        let line = ContentLine::parse("item1.Attendee;CN=\"Doe; Jane: x\";role=a,\"b,c\":mailto:a@b:c").unwrap();
        assert_eq!(line.group, Some("item1"));
        assert_eq!(line.name, "ATTENDEE");
        assert_eq!(line.parameter("CN"), Some("Doe; Jane: x"));
        assert_eq!(line.parameters[1].1, ["a", "b,c"]);
        assert_eq!(line.value, "mailto:a@b:c");
        for line in ["", "no colon", ":x", "A B:x", "X;CN=\"open:x"] {
            assert_eq!(ContentLine::parse(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(text: String) {
            let kept: String = text.replace("\r\n", "\n").chars().map(|it| if it == '\r' { '\n' } else { it })
                .filter(|it| !it.is_control() || matches!(it, '\n' | '\t')).collect();
            assert_eq!(unescape(&escape(&text)), kept);
            let mut writer = LineWriter::default();
            writer.text("X-A", &text);
            let written = writer.into_text();
            assert!(written.split("\r\n").all(|line| line.len() <= 75));
            let mut lines = LogicalLines::new(written.as_bytes());
            let line = lines.next().unwrap().unwrap();
            assert_eq!(line.faults, []);
            assert_eq!(unescape(ContentLine::parse(&line.text).unwrap().value), kept);
            assert!(lines.next().is_none());
        }

        #[test]
        fn any_parameter_stays_one(text: String) {
            let line = format!("X{}:y", parameter("CN", &text));
            let line = ContentLine::parse(&line).unwrap();
            assert_eq!(line.parameters.len(), 1);
            assert_eq!(line.value, "y");
        }
    }
}
