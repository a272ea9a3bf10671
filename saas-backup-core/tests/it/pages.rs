//! Records that are cut out of pages.

use bytes::Bytes;
use proptest::prelude::*;
use saas_backup_core::{Json, page_items};
use serde_json::Value;
use serde_json::value::RawValue;

/// Some value, with strings and numbers of every length that matters to a reader of whole words.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~\n\té\u{2028}]{0,60}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[ -~☃]{0,40}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whitespace as somebody writes it: none, like a printer does it, or anything.
fn whitespace() -> impl Strategy<Value = Vec<String>> {
    let any = || prop::collection::vec("[ \t\r\n]{0,3}", 1..8);
    let indented = (0..40_usize, prop::sample::select(vec!["\n", "\r\n"]))
        .prop_map(|(depth, end)| vec![format!("{end}{}", " ".repeat(depth)), " ".to_owned()]);
    prop_oneof![Just(vec![String::new()]), Just(vec![" ".to_owned()]), indented, any()]
}

/// The text with this whitespace, in turn, before and behind each token that is not a word.
fn spread(text: &str, whitespace: &[String]) -> String {
    let (mut out, mut spaces) = (String::new(), whitespace.iter().cycle());
    outside(text, |letter, inside| {
        let splits = !inside && matches!(letter, '{' | '}' | '[' | ']' | ':' | ',');
        if splits {
            out.push_str(spaces.next().unwrap());
        }
        out.push(letter);
        if splits {
            out.push_str(spaces.next().unwrap());
        }
    });
    out
}

/// The text without whitespace outside strings.
fn squeezed(text: &str) -> String {
    let mut out = String::new();
    outside(text, |letter, inside| {
        if inside || !matches!(letter, ' ' | '\t' | '\r' | '\n') {
            out.push(letter);
        }
    });
    out
}

/// Goes over the letters, and says of each whether it stands in a string.
fn outside(text: &str, mut each: impl FnMut(char, bool)) {
    let (mut inside, mut escaped) = (false, false);
    for letter in text.chars() {
        each(letter, inside);
        if inside {
            inside = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else {
            inside = letter == '"';
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_lose_the_whitespace_of_broken_lines_and_no_other_byte(
        records in prop::collection::vec((value(), whitespace()), 0..5),
    ) {
        let texts: Vec<String> = records.iter().map(|(value, spaces)| spread(&value.to_string(), spaces)).collect();
        let page = Bytes::from(format!("{{\n  \"list\" : [ {} ]\n}}\n", texts.join(" ,\n  ")));
        let items = page_items(&page, "list").unwrap();
        prop_assert_eq!(items.len(), texts.len());
        for (item, text) in items.iter().zip(&texts) {
            // What stands around a value is not a part of it.
            let text = text.trim_matches([' ', '\t', '\r', '\n']);
            let expected = if text.contains(['\n', '\r']) { squeezed(text) } else { text.to_owned() };
            prop_assert_eq!(item.as_str(), &expected);
            let alone = Json::parse(text.to_owned()).unwrap();
            prop_assert_eq!(alone.as_str(), &expected);
        }
    }

    #[test]
    fn a_page_that_was_damaged_is_refused_exactly_when_it_is_not_json(
        value in value(),
        spaces in whitespace(),
        place in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[]:,0-.eEtfnu \n\x00\x1f\x7f".to_vec())],
    ) {
        let mut page = format!("[{}]", spread(&value.to_string(), &spaces)).into_bytes();
        let place = place.index(page.len());
        page[place] = byte;
        // A page that is no list is refused although it is JSON.
        let theirs = serde_json::from_slice::<Vec<&RawValue>>(&page);
        let ours = page_items(&Bytes::from(page.clone()), "");
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", String::from_utf8_lossy(&page));
        for (ours, theirs) in ours.unwrap_or_default().iter().zip(theirs.unwrap_or_default()) {
            prop_assert_eq!(squeezed(ours.as_str()), squeezed(theirs.get()));
            prop_assert!(!ours.as_str().contains(['\n', '\r']));
        }
    }
}

#[test]
fn a_page_of_indented_records_is_copied_once() {
    let page = Bytes::from("[\n  {\n    \"a\": 1\n  },\n  {\n    \"a\": 2\n  }\n]");
    let items = page_items(&page, "").unwrap();
    let ends = items[0].as_bytes().as_ptr_range().end;
    assert_eq!(ends, items[1].as_bytes().as_ptr());
}

#[test]
fn nesting_is_bounded_in_indented_pages_too() {
    let nested = |depth| Bytes::from(format!("[{}{}]", "[\n ".repeat(depth), " \n]".repeat(depth)));
    assert_eq!(page_items(&nested(256), "").unwrap()[0].as_str().len(), 512);
    assert!(page_items(&nested(257), "").is_err());
}
