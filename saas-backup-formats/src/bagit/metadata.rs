use std::fmt::Write as _;

use saas_backup_core::Result;
use serde_json::{Value, json};

use crate::folder::pretty;

/// A file of records.
pub(super) struct Part {
    pub(super) path: String,
    pub(super) title: String,
    pub(super) records: u64,
}

/// What the payload is, in the words of [RO-Crate 1.1](https://www.researchobject.org/ro-crate/specification/1.1/).
pub(super) struct Crate<'a> {
    pub(super) name: &'a str,
    pub(super) parts: Vec<Part>,
    pub(super) newest: Option<String>,
    pub(super) blobs: u64,
}

impl Crate<'_> {
    /// The metadata document.
    pub(super) fn metadata(&self) -> Result<Vec<u8>> {
        // Paths start at the document, which lies in the payload.
        let local = |path: &str| percent_encoded(path.strip_prefix("data/").unwrap_or(path));
        let mut parts: Vec<Value> = self.parts.iter().map(|part| json!({ "@id": local(&part.path) })).collect();
        let files = self.parts.iter().map(|part| {
            json!({
                "@id": local(&part.path),
                "@type": "File",
                "name": part.title,
                "description": format!("{} records, one a line, sorted by id", part.records),
                "encodingFormat": "application/x-ndjson",
            })
        });
        let mut graph = vec![json!({
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": { "@id": "./" },
            "conformsTo": { "@id": "https://w3id.org/ro/crate/1.1" },
        })];
        let mut described: Vec<Value> = files.collect();
        if self.blobs > 0 {
            parts.push(json!({ "@id": "blobs/" }));
            described.push(json!({
                "@id": "blobs/",
                "@type": "Dataset",
                "name": "Attachments",
                "description": format!("{} files, each named by its SHA-256", self.blobs),
            }));
        }
        graph.push(json!({
            "@id": "./",
            "@type": "Dataset",
            "name": self.name,
            "description": "A copy of an account at one point in time: records, relationships, permissions, attachments",
            "datePublished": self.newest.as_deref().unwrap_or("1970-01-01"),
            "license": "The rights are those of the account's owner; this copy grants none",
            "hasPart": parts,
        }));
        graph.extend(described);
        pretty(&json!({ "@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph }))
    }
}

/// A path as a URI reference: RFC 3986, 3.3.
fn percent_encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
