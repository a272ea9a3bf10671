use std::collections::BTreeMap;
use std::fmt;

use saas_backup_core::{Error, ErrorKind, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configured value that remembers where it stands. Its `Debug` shows no text: any text may be a secret.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Option<Place>,
}

#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Array(Vec<Node>),
    Table(Table),
}

/// The members of a table, by name, each with the place of its name.
pub(crate) type Table = BTreeMap<String, (Option<Place>, Node)>;

/// Where something stands in a file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Node {
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a text",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => formatter.write_str("null"),
            Value::Boolean(value) => value.fmt(formatter),
            Value::Integer(value) => value.fmt(formatter),
            Value::Float(value) => value.fmt(formatter),
            Value::Text(_) => formatter.write_str("\"…\""),
            Value::Array(items) => formatter.debug_list().entries(items).finish(),
            Value::Table(table) => {
                formatter.debug_map().entries(table.iter().map(|(name, (_, node))| (name, node))).finish()
            }
        }
    }
}

impl From<serde_json::Value> for Node {
    fn from(value: serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Boolean(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(integer) => Value::Integer(integer),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(items) => Value::Array(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => {
                Value::Table(members.into_iter().map(|(name, value)| (name, (None, Self::from(value)))).collect())
            }
        };
        Self { value, place: None }
    }
}

/// Reads a TOML document.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] with line and column, and without the text at that place.
pub(crate) fn parse(text: &str) -> Result<Table> {
    let places = Places::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let place = error.span().map(|span| places.at(span.start));
        located(Error::new(ErrorKind::Configuration, error.message().to_owned()), place)
    })?;
    convert_table(table.into_inner(), &places)
}

/// Adds line and column.
pub(crate) fn located(error: Error, place: Option<Place>) -> Error {
    match place {
        Some(place) => error.with_context("line", place.line).with_context("column", place.column),
        None => error,
    }
}

fn convert_table(table: DeTable<'_>, places: &Places<'_>) -> Result<Table> {
    let member = |(name, node): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        let place = places.at(name.span().start);
        Ok((name.into_inner().into_owned(), (Some(place), convert(node, places)?)))
    };
    table.into_iter().map(member).collect()
}

fn convert(node: Spanned<DeValue<'_>>, places: &Places<'_>) -> Result<Node> {
    let place = Some(places.at(node.span().start));
    let malformed = |what: &'static str| located(Error::new(ErrorKind::Configuration, what), place);
    let value = match node.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| malformed("the integer does not fit 64 bits"))?,
        ),
        DeValue::Float(number) => {
            Value::Float(number.as_str().parse().map_err(|_| malformed("the number cannot be read"))?)
        }
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|item| convert(item, places)).collect::<Result<_>>()?)
        }
        DeValue::Table(table) => Value::Table(convert_table(table, places)?),
    };
    Ok(Node { value, place })
}

/// Turns offsets into places.
struct Places<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1);
        Self { text, lines: std::iter::once(0).chain(starts).collect() }
    }

    fn at(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_in_characters() {
        let text = "a = 1\n[t]\n\"ä\" = \"é\"\n";
        let table = parse(text).unwrap();
        let (_, node) = &table["t"];
        let Value::Table(inner) = &node.value else { panic!("not a table") };
        let (name, value) = &inner["ä"];
        assert_eq!(*name, Some(Place { line: 3, column: 1 }));
        assert_eq!(value.place, Some(Place { line: 3, column: 7 }));
    }

    #[test]
    fn a_syntax_error_says_where_and_does_not_quote() {
        let error = parse("[source]\npassword = \"hunter2\n").unwrap_err();
        assert!(error.to_string().contains("line: 2"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn debug_shows_no_text() {
        let (_, node) = parse("a = { b = [\"hunter2\", 1] }").unwrap().remove("a").unwrap();
        assert_eq!(format!("{node:?}"), "{\"b\": [\"…\", 1]}");
    }
}
