use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::scan::{OneLine, Scanner};
use crate::{Error, ErrorKind, Result};

/// Deepest nesting of a provider's JSON that is accepted.
pub const MAX_JSON_DEPTH: usize = 256;

/// One JSON value, token for token as it arrived.
///
/// Big integers, `1.10`, duplicate names, the order of members and unknown fields all survive, because nothing is
/// parsed into a tree. Only whitespace outside strings is removed, and only where the text holds a line break, so
/// that every value fits on one line. Cloning is cheap; a slice keeps its whole page in memory until it is dropped
/// (see [`Json::detach`]).
///
/// ```
/// use saas_backup_core::Json;
///
/// let json = Json::parse("{\"n\": 18446744073709551616,\r\n \"x\": 1.10, \"s\": \"a  b\"}")?;
/// assert_eq!(json.as_str(), "{\"n\":18446744073709551616,\"x\":1.10,\"s\":\"a  b\"}");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Bytes);

impl Json {
    /// Checks that the text is one JSON value, and puts it on one line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it is not JSON in UTF-8, [`ErrorKind::LimitExceeded`] if it nests deeper than
    /// [`MAX_JSON_DEPTH`].
    pub fn parse(text: impl Into<Bytes>) -> Result<Self> {
        let bytes = text.into();
        let mut scanner = Scanner::new(utf8(&bytes)?);
        let value = scanner.value_on_one_line(MAX_JSON_DEPTH)?;
        scanner.end()?;
        Ok(Self::cut(&bytes, &scanner.into_lines().into(), value))
    }

    /// Takes a value out of a page that was read, without copying it unless it holds a line break.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] if it nests deeper than [`MAX_JSON_DEPTH`].
    pub fn from_raw(page: &Bytes, raw: &RawValue) -> Result<Self> {
        let text = raw.get();
        if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
            let mut scanner = Scanner::new(text);
            let value = scanner.value_on_one_line(MAX_JSON_DEPTH)?;
            return Ok(Self::cut(page, &scanner.into_lines().into(), value));
        }
        check_depth(text.as_bytes())?;
        Ok(Self::cut(page, &Bytes::new(), OneLine::Slice(text)))
    }

    /// Takes a value from the page, or from the lines that were made of it.
    fn cut(page: &Bytes, lines: &Bytes, value: OneLine<'_>) -> Self {
        match value {
            OneLine::Line(range) => Self(lines.slice(range)),
            OneLine::Slice(text) if page.as_ptr_range().contains(&text.as_ptr()) => {
                Self(page.slice_ref(text.as_bytes()))
            }
            OneLine::Slice(text) => Self(Bytes::copy_from_slice(text.as_bytes())),
        }
    }

    /// Takes text that the caller has read to its end as one JSON value on one line, within [`MAX_JSON_DEPTH`].
    pub(crate) fn from_checked(text: Bytes) -> Self {
        Self(text)
    }

    /// Serialises a value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the value has no JSON form, such as a map with keys that are not text.
    pub fn from_value(value: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        check_depth(&bytes)?;
        Ok(Self(Bytes::from(bytes)))
    }

    /// The text as bytes: valid UTF-8 on one line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The shared bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Copies the value out of its page, for a value that outlives its batch.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Reads the value as a type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it does not have that form; the message does not quote the value.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        Ok(serde_json::from_slice(&self.0)?)
    }

    /// Reads the member at a dotted path, if it is there and not `null`.
    ///
    /// Where a name stands twice, the first one counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the member does not have the form of `T`.
    pub fn member<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match find(self.as_str(), path)? {
            None | Some("null") => Ok(None),
            Some(text) => Ok(Some(serde_json::from_str(text)?)),
        }
    }

    /// The items of the array at a dotted path, each a slice of this value; `""` is the value itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if there is no array at the path: a page whose list is missing is not an empty page.
    pub fn items(&self, path: &str) -> Result<Vec<Self>> {
        items(&self.0, path)
    }
}

/// Cuts the records out of a page: the items of the array at a dotted path, `""` for a page that is an array itself.
///
/// Nothing is copied unless a record holds a line break, and nothing is parsed beyond finding its end.
///
/// ```
/// use bytes::Bytes;
/// use saas_backup_core::page_items;
///
/// let page = Bytes::from_static(b"{\"data\": {\"list\": [{\"id\": 1.10}, {\"id\": 2}]}, \"more\": true}");
/// let records = page_items(&page, "data.list")?;
/// assert_eq!(records[0].as_str(), "{\"id\": 1.10}");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] if the page is not JSON or holds no array there.
pub fn page_items(page: &Bytes, path: &str) -> Result<Vec<Json>> {
    items(page, path)
}

fn items(page: &Bytes, path: &str) -> Result<Vec<Json>> {
    let names: Vec<&str> = names(path).collect();
    let (mut scanner, mut found) = (Scanner::new(utf8(page)?), None);
    walk(&mut scanner, &names, &mut |scanner| {
        if scanner.peek() != Some(b'[') {
            return scanner.value(MAX_JSON_DEPTH).map(drop);
        }
        let (mut items, mut first) = (Vec::new(), true);
        scanner.open(b'[')?;
        while scanner.next_entry(b']', &mut first)? {
            items.push(scanner.value_on_one_line(MAX_JSON_DEPTH)?);
        }
        found = Some(items);
        Ok(())
    })?;
    // A page that was cut behind its list is not a page.
    scanner.end()?;
    let found = found.ok_or_else(|| {
        Error::new(ErrorKind::InvalidData, "the page holds no list where one is expected").with_context("path", path)
    })?;
    let lines = scanner.into_lines().into();
    Ok(found.into_iter().map(|value| Json::cut(page, &lines, value)).collect())
}

/// Walks over one value, and stops by at the first member that the names lead to.
fn walk<'a>(
    scanner: &mut Scanner<'a>,
    names: &[&str],
    here: &mut impl FnMut(&mut Scanner<'a>) -> Result<()>,
) -> Result<()> {
    let Some((name, deeper)) = names.split_first() else { return here(scanner) };
    if scanner.peek() != Some(b'{') {
        return scanner.value(MAX_JSON_DEPTH).map(drop);
    }
    let (mut first, mut found) = (true, false);
    scanner.open(b'{')?;
    while scanner.next_entry(b'}', &mut first)? {
        if scanner.name_is(name)? && !found {
            found = true;
            walk(scanner, deeper, here)?;
        } else {
            scanner.value(MAX_JSON_DEPTH)?;
        }
    }
    Ok(())
}

/// The text of a member of a value that was checked: what stands behind it is not looked at.
fn find<'a>(text: &'a str, path: &str) -> Result<Option<&'a str>> {
    let mut here = text;
    for name in names(path) {
        let mut scanner = Scanner::new(here);
        if scanner.peek() != Some(b'{') {
            return Ok(None);
        }
        let Some(place) = scanner.find(name, MAX_JSON_DEPTH)? else { return Ok(None) };
        here = here.get(place..).unwrap_or_default();
    }
    Scanner::new(here).value(MAX_JSON_DEPTH).map(Some)
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|name| !name.is_empty())
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        Error::new(ErrorKind::InvalidData, "the JSON is not UTF-8").with_context("byte", error.valid_up_to())
    })
}

fn check_depth(text: &[u8]) -> Result<()> {
    // No value nests deeper than it has brackets: most records need no second look.
    let brackets = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets <= MAX_JSON_DEPTH {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_JSON_DEPTH {
                    return Err(Error::new(ErrorKind::LimitExceeded, "the JSON nests too deep")
                        .with_context("limit", MAX_JSON_DEPTH));
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get().to_owned()).map_err(serde::de::Error::custom)
    }
}

/// Prints the length only: a value is somebody's data.
impl fmt::Debug for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Json({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indented_page_gives_one_line_records() {
        let page =
            Bytes::from("{\n  \"files\": [\n    {\n      \"id\": \"a\\n\\\" b\",\n      \"n\": 1.10\n    }\n  ]\n}");
        let records = page_items(&page, "files").unwrap();
        assert_eq!(records[0].as_str(), r#"{"id":"a\n\" b","n":1.10}"#);
    }

    #[test]
    fn a_compact_record_keeps_every_byte_and_shares_the_page() {
        let page = Bytes::from(r#"[ {"b" : 1e400, "a":18446744073709551616, "a" : "\ud800"} ]"#);
        let records = page_items(&page, "").unwrap();
        assert_eq!(records[0].as_str(), r#"{"b" : 1e400, "a":18446744073709551616, "a" : "\ud800"}"#);
        assert!(page.as_ptr_range().contains(&records[0].as_bytes().as_ptr()));
    }

    #[test]
    fn a_page_that_was_cut_behind_its_list_is_refused() {
        for page in ["{\"a\":[1]", "{\"a\":[1],", "{\"a\":[1]}}", "[1]x", "{\"a\":[1],\"b\":nul}"] {
            let path = if page.starts_with('{') { "a" } else { "" };
            assert!(page_items(&Bytes::from(page), path).is_err(), "{page}");
        }
    }

    #[test]
    fn where_a_name_stands_twice_the_first_one_counts() {
        let page = Bytes::from_static(b"{\"\\ud800\":0,\"a\":{\"b\":[1]},\"\\u0061\":{\"b\":[2,3]}}");
        assert_eq!(page_items(&page, "a.b").unwrap().len(), 1);
        let json = Json::parse(page).unwrap();
        assert_eq!(json.member::<Vec<u8>>("a.b").unwrap(), Some(vec![1]));
        assert_eq!(json.items("a.b").unwrap().len(), 1);
    }

    #[test]
    fn a_page_without_its_list_is_an_error_and_not_an_empty_page() {
        let page = Bytes::from_static(b"{\"error\":\"oops\"}");
        assert_eq!(page_items(&page, "results").unwrap_err().kind(), ErrorKind::InvalidData);
        let page = Bytes::from_static(b"{\"results\":{}}");
        assert_eq!(page_items(&page, "results").unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn nesting_is_bounded_even_when_it_hides_brackets_in_strings() {
        let deep = format!("{}{}", "[".repeat(MAX_JSON_DEPTH + 1), "]".repeat(MAX_JSON_DEPTH + 1));
        assert_eq!(Json::parse(deep).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let text = format!("\"{}\"", "[\\\"".repeat(MAX_JSON_DEPTH * 2));
        assert!(Json::parse(text).is_ok());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert!(Json::parse(Bytes::from_static(b"\"\xff\"")).is_err());
        assert!(Json::parse(Bytes::from_static(b"{\"a\":1} x")).is_err());
    }

    #[test]
    fn members_are_found_by_path() {
        let json = Json::parse(r#"{"a":{"b":[1,2]},"c":null}"#).unwrap();
        assert_eq!(json.member::<Vec<u8>>("a.b").unwrap(), Some(vec![1, 2]));
        assert_eq!(json.member::<u8>("c").unwrap(), None);
        assert_eq!(json.member::<u8>("a.x").unwrap(), None);
    }
}
