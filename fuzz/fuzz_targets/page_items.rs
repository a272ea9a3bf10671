#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use saas_backup_core::page_items;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    let page = Bytes::copy_from_slice(input);
    for path in ["", "a", "data.list"] {
        let Ok(items) = page_items(&page, path) else { continue };
        for item in &items {
            assert!(!item.as_str().contains(['\n', '\r']));
            serde_json::from_str::<&RawValue>(item.as_str()).expect("an item is one JSON value");
        }
        if path.is_empty() {
            let whole: Vec<&RawValue> = serde_json::from_slice(input).expect("a page that is a list");
            assert_eq!(whole.len(), items.len());
            for (raw, item) in whole.iter().zip(&items) {
                assert!(tokens(raw.get()).eq(tokens(item.as_str())));
            }
        }
    }
});

/// The text without whitespace outside strings.
fn tokens(text: &str) -> impl Iterator<Item = char> {
    let (mut in_string, mut escaped) = (false, false);
    text.chars().filter(move |letter| {
        if in_string {
            in_string = escaped || *letter != '"';
            escaped = !escaped && *letter == '\\';
            return true;
        }
        in_string = *letter == '"';
        !matches!(letter, ' ' | '\t' | '\r' | '\n')
    })
}
