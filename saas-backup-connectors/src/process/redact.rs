use std::collections::BTreeSet;

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

/// Shortest setting that is taken for a secret, in bytes: shorter ones stand in every other word.
const MIN_SECRET_BYTES: usize = 6;
/// Most characters of a line that are shown.
const MAX_SHOWN: usize = 300;

/// Takes out of a program's words what must not stand in a log: settings, addresses, which carry tokens, and records.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// The longest first, so that none leaves a part of another.
    secrets: Vec<String>,
}

impl Redactor {
    /// Hides every text that stands in some values, as it is and as it looks in an address.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found = BTreeSet::new();
        values.into_iter().for_each(|value| collect(value, &mut found));
        let mut secrets: Vec<String> = found.into_iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// A line as it may be shown.
    pub(crate) fn shown(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in &self.secrets {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), "(hidden)");
            }
        }
        // Programs print records as mappings, in JSON or as Python does.
        if let Some(begin) = line.find('{') {
            line.replace_range(begin.., "…");
        }
        let words: Vec<&str> =
            line.split_whitespace().map(|word| if word.contains("://") { "(address)" } else { word }).collect();
        words.join(" ").chars().filter(|letter| !letter.is_control()).take(MAX_SHOWN).collect()
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redactor({} texts)", self.secrets.len())
    }
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() >= MIN_SECRET_BYTES => {
            found.insert(byte_serialize(text.as_bytes()).collect());
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => members.values().for_each(|member| collect(member, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_addresses_and_records_are_not_shown() {
        let config =
            json!({ "account": { "token": "tok/open+sesame" }, "keys": ["tok/open+sesame-longer"], "page": 5 });
        let redactor = Redactor::new([&config]);
        let line = "401 for url: https://x.example/?key=abc token=tok/open+sesame-longer, tok%2Fopen%2Bsesame\u{1b}[0m";
        let shown = redactor.shown(line);
        assert!(!shown.contains("sesame") && !shown.contains("x.example") && !shown.contains('\u{1b}'), "{shown}");
        assert!(shown.starts_with("401 for url: (address)"), "{shown}");
        assert_eq!(redactor.shown("ValueError: bad record {'name': 'Ada'} at 7"), "ValueError: bad record …");
        assert!(!format!("{redactor:?}").contains("sesame"));
        assert!(redactor.shown(&"long ".repeat(1000)).len() <= MAX_SHOWN);
    }
}
