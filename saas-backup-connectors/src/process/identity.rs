use saas_backup_core::{Digest, Json, RecordId, Result};
use serde_json::Value;

/// Longest id that is not replaced by its digest, in bytes.
const MAX_ID_BYTES: usize = 512;

/// What tells a record from others: the members of its key, or the digest of all its bytes where there is no key. Records
/// without one that are equal are one record.
pub(crate) fn record_id(key: &[String], data: &Json) -> Result<RecordId> {
    let mut parts = Vec::with_capacity(key.len());
    for path in key {
        match data.member::<Value>(path)? {
            Some(Value::String(text)) => parts.push(text),
            Some(value) => parts.push(value.to_string()),
            None => parts.push(String::new()),
        }
    }
    let named = parts.iter().any(|part| !part.is_empty());
    let text = match parts.as_slice() {
        [part] => part.clone(),
        // Parts that hold the mark between them could meet those of another record.
        parts => {
            let escaped = parts.iter().map(|part| part.replace('%', "%25").replace('/', "%2F"));
            escaped.collect::<Vec<_>>().join("/")
        }
    };
    if named && text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control) {
        return RecordId::parse(text);
    }
    let digest = if named { Digest::of(&serde_json::to_vec(&parts)?) } else { Digest::of(data.as_bytes()) };
    RecordId::parse(format!("sha256:{}", digest.to_base64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &[&str], data: &str) -> String {
        let key: Vec<String> = key.iter().map(|&path| path.to_owned()).collect();
        record_id(&key, &Json::parse(data.to_owned()).unwrap()).unwrap().as_str().to_owned()
    }

    #[test]
    fn ids_come_of_the_key_and_differ_where_keys_differ() {
        assert_eq!(id(&["id"], r#"{"id": 7}"#), "7");
        assert_eq!(id(&["a.b", "c"], r#"{"a": {"b": "x"}, "c": true}"#), "x/true");
        assert_eq!(id(&["file", "line"], r#"{"file": "/50%.csv", "line": 2}"#), "%2F50%25.csv/2");
        assert_eq!(id(&["path"], r#"{"path": "/a"}"#), "/a");
        assert_ne!(id(&["a", "b"], r#"{"a": "x/y", "b": "z"}"#), id(&["a", "b"], r#"{"a": "x", "b": "y/z"}"#));
        assert_ne!(id(&["a", "b"], r#"{"a": "x", "b": null}"#), id(&["a", "b"], r#"{"a": null, "b": "x"}"#));
        for key in [&[][..], &["id"]] {
            assert!(id(key, r#"{"n": 1}"#).starts_with("sha256:"));
            assert_ne!(id(key, r#"{"n": 1}"#), id(key, r#"{"n": 2}"#));
        }
        assert!(id(&["id"], &format!(r#"{{"id": "{}"}}"#, "x".repeat(600))).starts_with("sha256:"));
    }
}
