//! Reads types from nodes. Errors carry the place of the innermost value and never quote a text.

use std::fmt;

use saas_backup_core::{Error, ErrorKind};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer as _, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Node, Place, Table, Value, located};

/// Reads a type from a node.
pub(crate) fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Error> {
    T::deserialize(node).map_err(|error| {
        let place = error.place.or(node.place);
        located(Error::new(ErrorKind::Configuration, error.message), place)
    })
}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    place: Option<Place>,
}

impl Failure {
    fn at(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place);
        self
    }
}

fn found(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        Unexpected::Unit | Unexpected::Option => "nothing",
        _ => "something else",
    }
}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {}", found(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {} that is not", found(unexpected)))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown value; the known ones are {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown key `{field}`; the known ones are {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` stands twice"))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Table(table) => visitor.visit_map(Members::of(table)),
        };
        value.map_err(|error| error.at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self).map_err(|error| error.at(self.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let value = match &self.value {
            Value::Text(name) => visitor.visit_enum(Choice { name, content: None }),
            Value::Table(table) => match table.iter().next() {
                Some((name, (_, content))) if table.len() == 1 => {
                    visitor.visit_enum(Choice { name, content: Some(content) })
                }
                _ => Err(de::Error::custom("expected a table with one key")),
            },
            _ => Err(de::Error::custom(format_args!("expected a text, found {}", self.kind()))),
        };
        value.map_err(|error| error.at(self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        self.0.next().map(|node| seed.deserialize(node).map_err(|error| error.at(node.place))).transpose()
    }
}

struct Members<'de> {
    members: std::collections::btree_map::Iter<'de, String, (Option<Place>, Node)>,
    node: Option<&'de Node>,
}

impl<'de> Members<'de> {
    fn of(table: &'de Table) -> Self {
        Self { members: table.iter(), node: None }
    }
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some((name, (place, node))) = self.members.next() else { return Ok(None) };
        self.node = Some(node);
        let name: StrDeserializer<'_, Failure> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at(*place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let node = self.node.take().ok_or_else(|| de::Error::custom("a value was read before its key"))?;
        seed.deserialize(node).map_err(|error| error.at(node.place))
    }
}

struct Choice<'de> {
    name: &'de str,
    content: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Failure;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'de>), Failure> {
        let name: StrDeserializer<'_, Failure> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.content)))
    }
}

struct Content<'de>(Option<&'de Node>);

impl<'de> Content<'de> {
    fn node(&self) -> Result<&'de Node, Failure> {
        self.0.ok_or_else(|| de::Error::custom("this value needs a table with its settings"))
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(de::Error::custom("this value takes no settings")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.node()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.node()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.node()?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::node;
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Fast,
        Slow { factor: f64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        url: String,
        pages: Option<u32>,
        mode: Mode,
        other: Option<Mode>,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        map: BTreeMap<String, bool>,
    }

    fn read(text: &str) -> Result<Settings, Error> {
        from_node(&Node { value: Value::Table(node::parse(text).unwrap()), place: None })
    }

    #[test]
    fn reads_every_form() {
        let text = "url='u'\npages=3\nmode='fast'\nother.slow={factor=1.5}\nnames=['a']\nmap={x=true}";
        let expected = Settings {
            url: "u".to_owned(),
            pages: Some(3),
            mode: Mode::Fast,
            other: Some(Mode::Slow { factor: 1.5 }),
            names: vec!["a".to_owned()],
            map: BTreeMap::from([("x".to_owned(), true)]),
        };
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn says_where_and_what_without_the_value() {
        for (text, message, line, column) in [
            ("url='u'\nmode='fast'\nulr='x'", "unknown key `ulr`; the known ones are url, pages", 3, 1),
            ("url='u'\nmode='fast'\npages = 'hunter2'", "expected u32, found a text", 3, 9),
            ("url='u'\nmode='fast'\npages=-1", "expected u32, found an integer that is not", 3, 7),
            ("url='u'\n mode = 'hunter2'", "unknown value; the known ones are fast, slow", 2, 9),
            ("url='u'\nmode='fast'\nnames=['a',\n  5]", "expected a string, found an integer", 4, 3),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(error.contains(&format!("line: {line}, column: {column}")), "{error}");
            assert!(!error.contains("hunter2"));
        }
        assert_eq!(read("mode='fast'").unwrap_err().message(), "the key `url` is missing");
    }
}
