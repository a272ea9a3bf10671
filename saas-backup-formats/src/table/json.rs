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
    /// With its quotes.
    Text(&'a str),
    Object(&'a str),
    Array(&'a str),
}

impl<'a> Value<'a> {
    /// The value that a text is.
    pub(crate) fn of(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') | None => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::Text(text),
            Some(b'{') => Self::Object(text),
            Some(b'[') => Self::Array(text),
            Some(_) => Self::Number(text),
        }
    }
}

/// What stands between the quotes of a string; `None` if it holds half of a surrogate pair and is no text.
pub(crate) fn unquoted(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(quoted).ok().map(Cow::Owned),
    }
}

/// One member of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// The name as it is meant; with its quotes if it is no text.
    pub(crate) name: Cow<'a, str>,
    /// The name as it stands there.
    pub(crate) quoted: &'a str,
    /// The text of the value.
    pub(crate) text: &'a str,
}

/// The members of an object, in their order.
pub(crate) fn members(object: &str) -> impl Iterator<Item = Member<'_>> {
    let mut rest = Rest { text: object, at: 1 };
    std::iter::from_fn(move || {
        let quoted = rest.value()?;
        rest.pass(b':');
        let name = unquoted(quoted).unwrap_or(Cow::Borrowed(quoted));
        Some(Member { name, quoted, text: rest.value()? })
    })
}

/// The items of an array: the text of each.
pub(crate) fn items(array: &str) -> impl Iterator<Item = &str> {
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
        let passed = rest.iter().take_while(|byte| **byte == separator || byte.is_ascii_whitespace());
        self.at += passed.count();
    }

    /// The next value; `None` at a closing bracket.
    fn value(&mut self) -> Option<&'a str> {
        self.pass(b',');
        let (start, bytes) = (self.at, self.text.as_bytes().get(self.at..)?);
        self.at += match bytes.first()? {
            b'"' => string(bytes),
            b'{' | b'[' => container(bytes),
            b'}' | b']' => return None,
            _ => {
                let end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                bytes.iter().position(end).unwrap_or(bytes.len())
            }
        };
        self.text.get(start..self.at)
    }
}

/// The length of the string that begins here.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes.get(at - 1) == Some(&b'"') {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// The length of the object or array that begins here.
fn container(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string(bytes.get(at..).unwrap_or_default());
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
        let found: Vec<_> = found.iter().map(|member| (&*member.name, member.text)).collect();
        let list = r#"[ {"]":"}"} , [] ,null,true]"#;
        assert_eq!(found, [("a", "1.10"), ("b\"{", r#""x\\""#), ("c", list), (r#""\ud800""#, r#"{"d":{}}"#)]);
        assert_eq!(items(list).collect::<Vec<_>>(), [r#"{"]":"}"}"#, "[]", "null", "true"]);
        assert_eq!(items("[]").count() + items("[ ]").count() + members("{}").count() + members("{ }").count(), 0);
        assert_eq!(unquoted(r#""\ud800""#), None);
        assert_eq!(unquoted(r#""\u00e9\n""#).unwrap(), "é\n");
    }

    proptest::proptest! {
        #[test]
        fn every_value_is_found_again(names in proptest::collection::vec(".*", 0..5), deep in ".*") {
            let nested = serde_json::json!({ "x": [deep.clone(), { "y": deep }], "n": 1.5e10 });
            let object: serde_json::Map<String, serde_json::Value> =
                names.into_iter().map(|name| (name, nested.clone())).collect();
            let text = serde_json::to_string(&object).unwrap();
            let found: serde_json::Map<_, _> = members(&text)
                .map(|member| (member.name.into_owned(), serde_json::from_str(member.text).unwrap()))
                .collect();
            proptest::prop_assert_eq!(found, object);
        }
    }
}
