use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use saas_backup_core::{Error, ErrorKind, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::node::{Node, Table, Value, located};

/// Longest text that a file or a command may give: keys and tokens are short.
const MAX_TEXT_BYTES: u64 = 1024 * 1024;

/// A configured text: written out, or where to find it.
///
/// `"…"`, `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["pass", "show", "x"] }`. A file or command is only
/// read when the text is needed; the line break at its end is dropped. Its `Debug` shows no text.
#[derive(Clone)]
#[non_exhaustive]
pub enum Text {
    /// Written out.
    Plain(SecretString),
    /// The value of an environment variable.
    Env(String),
    /// The content of a file; a relative path starts at the configuration file.
    File(String),
    /// The output of a command, without a shell.
    Command(Vec<String>),
}

impl Text {
    /// Finds the text. Reads a file or runs a command, and blocks meanwhile.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no such variable or file, or if the command does not end well.
    pub fn resolve(&self, base: &Path) -> Result<SecretString> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Env(name) => std::env::var(name).map(SecretString::from).map_err(|_| {
                Error::new(ErrorKind::Configuration, "the environment variable is not set or not text")
                    .with_context("variable", name)
            }),
            Self::File(path) => file(&base.join(path)),
            Self::Command(words) => command(words, base),
        }
    }

    /// A text that is written out and no secret.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text.expose_secret()),
            _ => None,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Plain(text.into())
    }
}

impl From<SecretString> for Text {
    fn from(text: SecretString) -> Self {
        Self::Plain(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => formatter.write_str("Plain(…)"),
            Self::Env(name) => write!(formatter, "Env({name:?})"),
            Self::File(path) => write!(formatter, "File({path:?})"),
            Self::Command(words) => write!(formatter, "Command({:?}, …)", words.first()),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, or a table with one of env, file, command")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let expected = &["env", "file", "command"];
        let name: Option<String> = map.next_key()?;
        let text = match name.as_deref() {
            Some("env") => Text::Env(map.next_value()?),
            Some("file") => Text::File(map.next_value()?),
            Some("command") => Text::Command(map.next_value()?),
            Some(other) => return Err(de::Error::unknown_field(other, expected)),
            None => return Err(de::Error::custom("the table is empty; it needs one of env, file, command")),
        };
        match map.next_key::<String>()? {
            None => Ok(text),
            Some(_) => Err(de::Error::custom("the table needs exactly one of env, file, command")),
        }
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |name: &str, schema: serde_json::Value, description: &str| {
            serde_json::json!({
                "type": "object", "properties": { name: schema }, "required": [name], "additionalProperties": false,
                "description": description,
            })
        };
        json_schema!({
            "description": "A text: written out, or where to find it.",
            "anyOf": [
                { "type": "string" },
                one("env", serde_json::json!({ "type": "string" }), "The value of an environment variable."),
                one("file", serde_json::json!({ "type": "string" }),
                    "The content of a file; a relative path starts at the configuration file."),
                one("command", serde_json::json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
                    "The output of a command, without a shell."),
            ],
        })
    }
}

/// Replaces every `{ env }`, `{ file }` and `{ command }` below a node by its text.
pub(crate) fn resolve_all(node: &Node, base: &Path) -> Result<Node> {
    let value = match &node.value {
        Value::Array(items) => Value::Array(items.iter().map(|item| resolve_all(item, base)).collect::<Result<_>>()?),
        Value::Table(table) if is_indirect(table) => {
            let text: Text = super::de::from_node(node)?;
            let text = text.resolve(base).map_err(|error| located(error, node.place))?;
            Value::Text(text.expose_secret().to_owned())
        }
        Value::Table(table) => {
            let member =
                |(name, (place, node)): (&String, &(_, Node))| Ok((name.clone(), (*place, resolve_all(node, base)?)));
            Value::Table(table.iter().map(member).collect::<Result<_>>()?)
        }
        other => other.clone(),
    };
    Ok(Node { value, place: node.place })
}

fn is_indirect(table: &Table) -> bool {
    table.len() == 1 && table.keys().all(|name| matches!(name.as_str(), "env" | "file" | "command"))
}

fn file(path: &Path) -> Result<SecretString> {
    let named = |error: Error| error.with_context("file", path.display());
    let wrong = |what: &'static str| named(Error::new(ErrorKind::Configuration, what));
    let length = std::fs::metadata(path)
        .map_err(|error| wrong("the file that the configuration names cannot be read").with_source(error))?
        .len();
    if length > MAX_TEXT_BYTES {
        return Err(wrong("the file that the configuration names is too large for a text"));
    }
    let bytes = std::fs::read(path)
        .map_err(|error| wrong("the file that the configuration names cannot be read").with_source(error))?;
    text_of(bytes).ok_or_else(|| wrong("the file that the configuration names is not UTF-8 text"))
}

fn command(words: &[String], base: &Path) -> Result<SecretString> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::new(ErrorKind::Configuration, "the command has no words"));
    };
    let wrong = |what: &'static str| Error::new(ErrorKind::Configuration, what).with_context("command", program);
    let output = Command::new(program)
        .args(arguments)
        .current_dir(if base.as_os_str().is_empty() { Path::new(".") } else { base })
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| wrong("the command that the configuration names cannot be started").with_source(error))?;
    if !output.status.success() {
        return Err(wrong("the command that the configuration names failed").with_context("status", output.status));
    }
    if output.stdout.len() as u64 > MAX_TEXT_BYTES {
        return Err(wrong("the command's output is too large for a text"));
    }
    text_of(output.stdout).ok_or_else(|| wrong("the command's output is not UTF-8 text"))
}

fn text_of(bytes: Vec<u8>) -> Option<SecretString> {
    let mut text = String::from_utf8(bytes).ok()?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::super::node;
    use super::*;

    fn resolved(text: &str, base: &Path) -> Result<Node> {
        resolve_all(&Node { value: Value::Table(node::parse(text)?), place: None }, base)
    }

    fn at(node: &Node, name: &str) -> String {
        let Value::Table(table) = &node.value else { panic!("not a table") };
        let Value::Text(text) = &table[name].1.value else { panic!("not a text") };
        text.clone()
    }

    #[test]
    fn a_text_comes_from_a_file_or_a_command_beside_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "s3cret\r\n").unwrap();
        let node =
            resolved("a = { file = 'token' }\nb = { command = ['cat', 'token'] }\nc = 'x'", folder.path()).unwrap();
        assert_eq!([at(&node, "a"), at(&node, "b"), at(&node, "c")], ["s3cret", "s3cret", "x"]);
    }

    #[test]
    fn what_cannot_be_found_says_where_it_was_named() {
        for text in [
            "\na = { env = 'SAAS_BACKUP_NO_SUCH_VARIABLE' }",
            "\na = { file = 'none' }",
            "\na = { command = ['false'] }",
        ] {
            let error = resolved(text, Path::new(".")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains("line: 2, column: 5"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_text() {
        let secrets = [Text::from("hunter2"), Text::Command(vec!["pass".to_owned(), "hunter2".to_owned()])];
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn a_table_with_two_ways_is_refused() {
        let table = node::parse("a = { env = 'A', file = 'b' }").unwrap();
        let error = super::super::de::from_node::<Text>(&table["a"].1).unwrap_err();
        assert!(error.to_string().contains("exactly one"), "{error}");
    }
}
