//! Record ids from the columns of a key, and back.

use std::fmt::Write as _;

use saas_backup_core::{Digest, RecordId, Result};

/// Longest id that holds its values; a longer one is a digest of them.
const MAX_BYTES: usize = 1000;

/// The id of a row: the texts of its key's columns, joined by commas.
///
/// Control characters, commas and percent signs are written as `%` and two hexadecimal digits a byte, an empty text alone
/// as `%`. What would be too long is `%#` and its SHA-256: it names the row, and does not lead back to it.
pub(super) fn encode<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<RecordId> {
    let mut id = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            id.push(',');
        }
        if !part.contains(|letter: char| letter.is_control() || matches!(letter, ',' | '%')) {
            id.push_str(part);
            continue;
        }
        for letter in part.chars() {
            if letter.is_control() || matches!(letter, ',' | '%') {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    write!(id, "%{byte:02x}").ok();
                }
            } else {
                id.push(letter);
            }
        }
    }
    if id.is_empty() {
        id.push('%');
    }
    if id.len() > MAX_BYTES {
        id = format!("%#{}", Digest::of(id.as_bytes()));
    }
    RecordId::parse(id)
}

/// The texts that an id was made of; `None` for a digest, or what is no id of a key with so many columns.
pub(super) fn decode(id: &str, columns: usize) -> Option<Vec<String>> {
    if id.starts_with("%#") {
        return None;
    }
    let id = if id == "%" { "" } else { id };
    let parts: Vec<String> = id.split(',').map(part).collect::<Option<_>>()?;
    (parts.len() == columns).then_some(parts)
}

fn part(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(escaped.get(..2)?, 16).ok()?);
        rest = escaped.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_read_as_the_keys_that_they_are() {
        for (parts, id) in [
            (vec!["42"], "42"),
            (vec!["a", "b"], "a,b"),
            (vec!["a,b"], "a%2cb"),
            (vec!["", ""], ","),
            (vec![""], "%"),
            (vec!["100%\n"], "100%25%0a"),
            (vec!["\u{85}"], "%c2%85"),
        ] {
            assert_eq!(encode(parts.iter().copied()).unwrap().as_str(), id);
            assert_eq!(decode(id, parts.len()).unwrap(), parts);
        }
        assert_eq!(decode("a,b", 1), None);
        let long = encode(["x".repeat(2000).as_str()]).unwrap();
        assert!(long.as_str().starts_with("%#") && decode(long.as_str(), 1).is_none());
    }

    proptest! {
        #[test]
        fn different_keys_have_different_ids(
            one in prop::collection::vec(".{0,6}|[,%a]{0,3}", 2),
            other in prop::collection::vec(".{0,6}|[,%a]{0,3}", 2),
        ) {
            let id = encode(one.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(decode(id.as_str(), 2).unwrap(), one.clone());
            let second = encode(other.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(id == second, one == other);
        }
    }
}
