//! Which members of records are likely to hold the address of a file, by what a schema and their names say.

use serde_json::Value;

/// What files are called.
const FILES: [&str; 24] = [
    "attachment",
    "attachments",
    "audio",
    "avatar",
    "document",
    "documents",
    "download",
    "file",
    "files",
    "icon",
    "image",
    "images",
    "logo",
    "media",
    "pdf",
    "photo",
    "photos",
    "picture",
    "pictures",
    "recording",
    "screenshot",
    "thumbnail",
    "video",
    "videos",
];
/// What addresses are called.
const ADDRESSES: [&str; 5] = ["href", "link", "src", "uri", "url"];
/// How deep members are looked at.
const MAX_DEPTH: usize = 8;
/// Most members of a collection that are found.
const MAX_FOUND: usize = 50;

/// Paths of members that a schema or their names make likely to hold the address of a file; `*` stands for each item of a
/// list.
pub(crate) fn likely(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    members(schema, &mut Vec::new(), &mut found);
    found
}

fn members(schema: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    if path.len() > MAX_DEPTH || found.len() >= MAX_FOUND {
        return;
    }
    if let Some(items) = schema.get("items") {
        path.push("*".to_owned());
        member(items, path, found);
        path.pop();
    }
    for (name, one) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        // A path cannot name these.
        if name.contains('.') || name.contains('*') {
            continue;
        }
        path.push(name.clone());
        member(one, path, found);
        path.pop();
    }
}

fn member(schema: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    if is_text(schema) && names_a_file(schema, path) {
        found.push(path.join("."));
    } else {
        members(schema, path, found);
    }
}

fn is_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    }
}

/// An address, as its schema or its name says, of something that is called like a file, or stands in it.
fn names_a_file(schema: &Value, path: &[String]) -> bool {
    let mut named = path.iter().rev().filter(|part| *part != "*").map(|part| words(part));
    let (Some(own), above) = (named.next(), named.next().unwrap_or_default()) else { return false };
    let has = |words: &[String], known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let told = matches!(schema.get("format").and_then(Value::as_str), Some("uri" | "url"));
    (told || has(&own, &ADDRESSES)) && (has(&own, &FILES) || has(&above, &FILES))
}

/// The words of a name in whatever case it is written.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let begins = !letter.is_alphanumeric() || letter.is_uppercase() && before.is_lowercase();
        if begins {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_of_files_are_told_from_other_addresses_and_other_texts() {
        let text = || json!({ "type": ["null", "string"] });
        let schema = json!({ "properties": {
            "avatar_url": text(),
            "downloadUrl": text(),
            "url": text(),
            "profile_url": text(),
            "image": { "type": "string", "format": "uri" },
            "file_name": text(),
            "image_url_count": { "type": "integer" },
            "attachments": { "type": "array", "items": { "properties": { "href": text(), "title": text() } } },
            "files": { "type": "array", "items": { "type": "string", "format": "uri" } },
            "owner": { "properties": { "photo": { "properties": { "link": text() } }, "website": text() } },
        } });
        let mut found = likely(&schema);
        found.sort();
        let wanted = ["attachments.*.href", "avatar_url", "downloadUrl", "files.*", "image", "owner.photo.link"];
        assert_eq!(found, wanted);
    }
}
