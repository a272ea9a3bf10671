//! Paths into JSON that is not parsed: only what a path leads through is looked at.

use std::borrow::Cow;
use std::fmt;

use saas_backup_core::{Error, ErrorKind, Result};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The value at a path of names and indexes in a text of JSON that begins without spaces, if it is there. Where a name stands twice the last one counts, as in Python.
pub(crate) fn find<'a>(text: &'a str, path: &[String]) -> Result<Option<&'a RawValue>> {
    let Some((first, rest)) = path.split_first() else { return Ok(Some(serde_json::from_str(text)?)) };
    let mut current = member(text, first)?;
    for name in rest {
        let Some(found) = current else { break };
        current = member(found.get(), name)?;
    }
    Ok(current)
}

/// All values at a path in which `*` stands for any name or index.
pub(crate) fn find_all<'a>(text: &'a str, path: &[String], found: &mut Vec<&'a RawValue>) -> Result<()> {
    let Some((name, rest)) = path.split_first() else {
        found.push(serde_json::from_str(text)?);
        return Ok(());
    };
    let below = if name == "*" { children(text)? } else { member(text, name)?.into_iter().collect() };
    for child in below {
        if rest.is_empty() {
            found.push(child);
        } else {
            find_all(child.get(), rest, found)?;
        }
    }
    Ok(())
}

/// What kind of value it is, by its first byte.
pub(crate) fn first_byte(text: &str) -> u8 {
    text.as_bytes().first().copied().unwrap_or_default()
}

/// The items of an array or the values of an object.
pub(crate) fn children(text: &str) -> Result<Vec<&RawValue>> {
    match first_byte(text) {
        b'[' => Ok(serde_json::from_str(text)?),
        b'{' => {
            let mut values = Vec::new();
            each_member(text, |_, value| values.push(value))?;
            Ok(values)
        }
        _ => Ok(Vec::new()),
    }
}

/// Calls for each member of an object.
pub(crate) fn each_member<'a>(text: &'a str, mut call: impl FnMut(Cow<'a, str>, &'a RawValue)) -> Result<()> {
    struct All<F>(F);
    impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for All<F> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(Name(name)) = map.next_key()? {
                (self.0)(name, map.next_value()?);
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(All(&mut call)).map_err(malformed)
}

fn member<'a>(text: &'a str, name: &str) -> Result<Option<&'a RawValue>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match first_byte(text) {
        b'{' => Member(name).deserialize(&mut deserializer).map_err(malformed),
        b'[' => match name.parse() {
            Ok(index) => At(index).deserialize(&mut deserializer).map_err(malformed),
            Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::InvalidData, "the provider's answer is no JSON").with_source(error)
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Name(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct At(usize);

impl<'de> DeserializeSeed<'de> for At {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for At {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut index) = (None, 0);
        while let Some(item) = items.next_element()? {
            if index == self.0 {
                found = Some(item);
            }
            index += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_names_indexes_and_wildcards() {
        let page = r#"{"a": [{"b": 1}, {"b": 1.10, "b": 2}], "c": {"x": {"d": 3}, "y": {"d": 4}}}"#;
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(find(page, &path("a.1.b")).unwrap().unwrap().get(), "2");
        assert!(find(page, &path("a.7.b")).unwrap().is_none());
        assert!(find(page, &path("c.x.d.e")).unwrap().is_none());
        let mut found = Vec::new();
        find_all(page, &path("c.*.d"), &mut found).unwrap();
        assert_eq!(found.iter().map(|raw| raw.get()).collect::<Vec<_>>(), ["3", "4"]);
    }
}
