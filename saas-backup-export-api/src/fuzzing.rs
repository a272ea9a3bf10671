//! What the targets in `fuzz/` call: the parsers of what consumers send, with their promises as assertions.
//!
//! No part of the public API.

use saas_backup_core::CollectionName;

use crate::CursorKey;
use crate::params::Params;

const ACCOUNT: &str = "ws_42";

/// Opens a cursor that somebody made up, and one whose sealed content is the input.
pub fn cursor(input: &[u8]) {
    let key = CursorKey::from_bytes([7; 32]);
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(key.open(ACCOUNT, text).is_err(), "nobody sealed this");
    }
    let Ok((generation, position)) = key.open(ACCOUNT, &key.seal_content(input)) else { return };
    // A cursor of our own content may be too long once it names its members; what is sealed opens as it was.
    if let Ok(again) = key.seal(ACCOUNT, &generation, &position) {
        assert_eq!(key.open(ACCOUNT, &again), Ok((generation, position)));
        assert!(key.open("ws_43", &again).is_err(), "a cursor is one account's");
    }
}

/// Reads the parameters of a request: nothing that is not known passes, and each only once.
pub fn params(input: &[u8]) {
    const KNOWN: [&str; 3] = ["limit", "collections", "cursor"];
    let Ok(query) = std::str::from_utf8(input) else { return };
    let collections = [CollectionName::from_static("notes"), CollectionName::from_static("a,b")];
    let strict = Params::parse(query, &KNOWN, false);
    let Ok(lenient) = Params::parse(query, &KNOWN, true) else {
        assert!(strict.is_err(), "what is refused in leniency is refused");
        return;
    };
    for params in strict.iter().chain([&lenient]) {
        assert!(params.limit(100).map_or(true, |limit| (1..=100).contains(&limit)));
        if let Ok(filter) = params.collections(&collections) {
            let names = filter.0.unwrap_or_default();
            assert!(names.iter().all(|name| collections.contains(name)));
        }
        assert_eq!(params.get("unknown"), None);
    }
}
