use std::fmt::Write as _;

use saas_backup_core::Result;
use serde_json::value::RawValue;

/// The names that the page itself uses.
const OWN: [&str; 14] = [
    "title",
    "id",
    "collection",
    "source",
    "created",
    "modified",
    "time",
    "version",
    "state",
    "author",
    "parent",
    "tags",
    "summary",
    "lossy",
];
/// Names whose values direct how [Hugo](https://gohugo.io/content-management/front-matter/) builds a site: it refuses
/// some, and the address of the original as `url` is one.
const DIRECTIVES: [&str; 12] = [
    "aliases",
    "build",
    "cascade",
    "draft",
    "headless",
    "layout",
    "markup",
    "menus",
    "outputs",
    "resources",
    "type",
    "url",
];
/// Words that YAML 1.1 reads as a boolean or as nothing.
const RESERVED: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
/// Numbers with more digits lose some in readers that use floating point.
const MAX_NUMBER: usize = 15;

/// YAML front matter that reads the same in YAML 1.1 and 1.2: every text is quoted.
#[derive(Debug)]
pub(super) struct FrontMatter(String);

impl FrontMatter {
    pub(super) fn new() -> Self {
        Self("---\n".to_owned())
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name}: {}", quoted(value));
    }

    /// Adds a text if there is one.
    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Adds a list of texts, if it is not empty.
    pub(super) fn list<T: AsRef<str>>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        let values: Vec<String> = values.into_iter().map(|value| quoted(value.as_ref())).collect();
        if !values.is_empty() {
            let _ = writeln!(self.0, "{name}: [{}]", values.join(", "));
        }
    }

    /// Adds a value of the provider's data under a name that the catalog gives it.
    pub(super) fn property(&mut self, name: &str, value: &RawValue) -> Result<()> {
        let name = if OWN.contains(&name) || DIRECTIVES.contains(&name) {
            quoted(&format!("property {name}"))
        } else {
            key(name)
        };
        let _ = writeln!(self.0, "{name}: {}", scalar_or_list(value.get())?);
        Ok(())
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("---\n");
        self.0
    }
}

/// The name of a property, quoted where YAML could take it for something else.
fn key(name: &str) -> String {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'));
    let is_plain = is_word && !RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved));
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// A text in double quotes, with the escapes that JSON and YAML share.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Line breaks and marks of YAML's own, and what it does not let stand as it is.
            '\u{0}'..='\u{1F}'
            | '\u{7F}'..='\u{9F}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{FEFF}'
            | '\u{FFFE}'
            | '\u{FFFF}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

fn scalar_or_list(json: &str) -> Result<String> {
    if json.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json)?;
        let items: Vec<String> = items.into_iter().map(|item| scalar(item.get())).collect();
        return Ok(format!("[{}]", items.join(", ")));
    }
    Ok(scalar(json))
}

fn scalar(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => quoted(&serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())),
        Some(b't' | b'f' | b'n') => json.to_owned(),
        Some(b'-' | b'0'..=b'9') if json.len() <= MAX_NUMBER && !json.contains(['e', 'E']) => json.to_owned(),
        // Objects and numbers that a reader would damage stay as the text that they are.
        _ => quoted(json),
    }
}

/// What in a line of front matter readers of YAML 1.1 and 1.2 take for different things.
pub(super) fn fault_of(line: &str) -> Option<&'static str> {
    let mut quoted = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let (name, value) = match quoted.next().filter(|_| line.starts_with('"')) {
        Some(Ok(_)) => (None, line.get(quoted.byte_offset()..).and_then(|rest| rest.strip_prefix(": "))),
        _ => line.split_once(": ").map_or((None, None), |(name, value)| (Some(name), Some(value))),
    };
    let Some(value) = value else { return Some("a line that is no name and value") };
    if name.is_some_and(|name| key(name) != name) {
        return Some("a name without quotation marks that some readers take for something else");
    }
    let value = serde_json::from_str::<&RawValue>(value);
    let is_safe = value.is_ok_and(|value| is_scalar(value.get()) || is_list(value.get()));
    (!is_safe).then_some("a value without quotation marks that some readers take for something else")
}

fn is_scalar(json: &str) -> bool {
    json.starts_with('"') || (!json.starts_with(['[', '{']) && scalar(json) == json)
}

fn is_list(json: &str) -> bool {
    serde_json::from_str::<Vec<&RawValue>>(json).is_ok_and(|items| items.iter().all(|item| is_scalar(item.get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_so_that_no_reader_takes_them_for_something_else() {
        for text in
            ["NO", "~", "1e3", "a: b # c", "- x", "'", "\"quoted\"", "back\\slash", "tab\tbell\u{7}", "\u{2028}"]
        {
            let line = quoted(text);
            assert!(line.starts_with('"') && line.ends_with('"') && !line.contains(['\n', '\t', '\u{2028}']));
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text, "JSON reads it too");
        }
    }

    #[test]
    fn names_are_quoted_only_where_a_reader_could_take_them_for_something_else() {
        for plain in ["status", "menu_order", "format-2"] {
            assert_eq!(key(plain), plain);
        }
        for other in ["on", "No", "null", "2nd", "two words", "a: b", "é", "-x", ""] {
            assert_eq!(key(other), quoted(other));
        }
    }

    #[test]
    fn properties_keep_their_types_where_no_reader_damages_them() {
        let cases = [
            (r#""NO""#, r#""NO""#),
            ("true", "true"),
            ("null", "null"),
            ("1.10", "1.10"),
            ("18446744073709551616", r#""18446744073709551616""#),
            ("1e400", r#""1e400""#),
            (r#"[1,"a",{"b":2}]"#, r#"[1, "a", "{\"b\":2}"]"#),
            (r#"{"a":1}"#, r#""{\"a\":1}""#),
        ];
        for (json, yaml) in cases {
            assert_eq!(scalar_or_list(json).unwrap(), yaml);
        }
    }

    #[test]
    fn a_field_is_no_directive_for_a_site_generator() {
        let mut matter = FrontMatter::new();
        for name in ["url", "type", "title", "colour"] {
            matter.property(name, &RawValue::from_string(r#""x""#.to_owned()).unwrap()).unwrap();
        }
        let text = matter.finish();
        let names: Vec<&str> = text.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        assert_eq!(names, ["\"property url\"", "\"property type\"", "\"property title\"", "colour"]);
    }
}
