//! A look at JSON that was checked before: members, items and scalars as slices of the text.

use std::borrow::Cow;

use memchr::memchr2;

/// A value, and the text that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The token.
    Number(&'a str),
    Text(Quoted<'a>),
    Object(&'a str),
    Array(&'a str),
}

impl<'a> Value<'a> {
    /// The value that a text is.
    pub(crate) fn of(text: &'a str) -> Self {
        let escaped = || memchr::memchr(b'\\', text.as_bytes()).is_some();
        match text.as_bytes().first() {
            Some(b'"') => Self::Text(Quoted { text, escaped: escaped() }),
            Some(b'{') => Self::Object(text),
            Some(b'[') => Self::Array(text),
            _ => Self::plain(text),
        }
    }

    /// The value that a text is that has neither quotes nor brackets.
    fn plain(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') | None => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(_) => Self::Number(text),
        }
    }

    /// The text of the value.
    pub(crate) fn text(self) -> &'a str {
        match self {
            Self::Null => "null",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Text(quoted) => quoted.text,
            Self::Number(text) | Self::Object(text) | Self::Array(text) => text,
        }
    }
}

/// A string with its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted<'a> {
    text: &'a str,
    escaped: bool,
}

impl<'a> Quoted<'a> {
    /// What stands between the quotes; `None` if it holds half of a surrogate pair and is no text.
    pub(crate) fn content(self) -> Option<Cow<'a, str>> {
        if self.escaped {
            return serde_json::from_str(self.text).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default()))
    }

    /// Whether it holds an escape: without one it has neither a control character nor a backslash.
    pub(crate) fn is_escaped(self) -> bool {
        self.escaped
    }
}

/// One member of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// The name as it is meant; with its quotes if it is no text.
    pub(crate) name: Cow<'a, str>,
    /// The name as it stands there.
    pub(crate) quoted: &'a str,
    /// The value.
    pub(crate) value: Value<'a>,
}

/// The members of an object, in their order.
pub(crate) fn members(object: &str) -> impl Iterator<Item = Member<'_>> {
    let mut rest = Rest { text: object, at: 1 };
    std::iter::from_fn(move || {
        let Value::Text(quoted) = rest.value()? else { return None };
        rest.pass(b':');
        let name = quoted.content().unwrap_or(Cow::Borrowed(quoted.text));
        Some(Member { name, quoted: quoted.text, value: rest.value()? })
    })
}

/// The items of an array.
pub(crate) fn items(array: &str) -> impl Iterator<Item = Value<'_>> {
    let mut rest = Rest { text: array, at: 1 };
    std::iter::from_fn(move || rest.value())
}

struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    /// Passes over whitespace and one separator.
    fn pass(&mut self, separator: u8) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| **byte == separator || **byte <= b' ').count();
    }

    /// The next value; `None` at a closing bracket.
    fn value(&mut self) -> Option<Value<'a>> {
        self.pass(b',');
        let rest = self.text.get(self.at..)?;
        let bytes = rest.as_bytes();
        let first = *bytes.first()?;
        let (length, escaped) = match first {
            b'"' => string(bytes),
            b'{' | b'[' => (container(bytes), false),
            b'}' | b']' => return None,
            _ => {
                let end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || *byte <= b' ';
                (bytes.iter().position(end).unwrap_or(bytes.len()), false)
            }
        };
        self.at += length;
        let text = rest.get(..length)?;
        Some(match first {
            b'"' => Value::Text(Quoted { text, escaped }),
            b'{' => Value::Object(text),
            b'[' => Value::Array(text),
            _ => Value::plain(text),
        })
    }
}

/// The length of the string that begins here, and whether it holds an escape.
fn string(bytes: &[u8]) -> (usize, bool) {
    let (mut at, mut escaped) = (1, false);
    while let Some(found) = bytes.get(at..).and_then(quote_or_backslash) {
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return (at, escaped);
        }
        escaped = true;
        at += 1;
    }
    (bytes.len(), escaped)
}

/// The place of the first quote or backslash.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    /// Most names and values end within these words: to call a search that is made for long texts costs more.
    const NEAR: usize = 4;
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, _) = bytes.as_chunks::<8>();
    let mut passed = 0;
    for word in words.iter().take(NEAR) {
        let word = u64::from_le_bytes(*word);
        let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
        let found = has_zero(word ^ (ONES * u64::from(b'"'))) | has_zero(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(passed + found.trailing_zeros() as usize / 8);
        }
        passed += 8;
    }
    memchr2(b'"', b'\\', bytes.get(passed..)?).map(|found| passed + found)
}

/// The length of the object or array that begins here.
fn container(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string(bytes.get(at..).unwrap_or_default()).0;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_where_they_end() {
        let text = r#"{ "a" : 1.10 , "b\"{":"x\\" ,"c":[ {"]":"}"} , [] ,null,true],"\ud800":{"d":{}} }"#;
        let found: Vec<_> = members(text).collect();
        let found: Vec<_> = found.iter().map(|member| (&*member.name, member.value.text())).collect();
        let list = r#"[ {"]":"}"} , [] ,null,true]"#;
        assert_eq!(found, [("a", "1.10"), ("b\"{", r#""x\\""#), ("c", list), (r#""\ud800""#, r#"{"d":{}}"#)]);
        assert_eq!(items(list).map(Value::text).collect::<Vec<_>>(), [r#"{"]":"}"}"#, "[]", "null", "true"]);
        assert_eq!(items("[]").count() + items("[ ]").count() + members("{}").count() + members("{ }").count(), 0);
        let content = |text: &'static str| {
            items(text).find_map(|item| match item {
                Value::Text(quoted) => Some(quoted.content()),
                _ => None,
            })
        };
        assert_eq!(content(r#"["\ud800"]"#), Some(None));
        assert_eq!(content(r#"["\u00e9\n"]"#), Some(Some("é\n".into())));
    }

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_stands() {
        for length in 0..80 {
            for (start, escaped) in [("", false), ("\\\"", true), ("é\u{80}\u{7f}", false)] {
                for end in ["", "\\\\"] {
                    let text = format!("\"{start}{}{end}\"", "x".repeat(length));
                    let escaped = escaped || !end.is_empty();
                    assert_eq!(string(format!("{text},\"\\\"xxxxxxxx").as_bytes()), (text.len(), escaped), "{text}");
                    assert_eq!(string(text.as_bytes()), (text.len(), escaped), "{text}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn every_value_is_found_again(names in proptest::collection::vec(".*", 0..5), deep in ".*") {
            let nested = serde_json::json!({ "x": [deep.clone(), { "y": deep }], "n": 1.5e10 });
            let object: serde_json::Map<String, serde_json::Value> =
                names.into_iter().map(|name| (name, nested.clone())).collect();
            let text = serde_json::to_string(&object).unwrap();
            let found: serde_json::Map<_, _> = members(&text)
                .map(|member| (member.name.into_owned(), serde_json::from_str(member.value.text()).unwrap()))
                .collect();
            proptest::prop_assert_eq!(found, object);
        }
    }
}
