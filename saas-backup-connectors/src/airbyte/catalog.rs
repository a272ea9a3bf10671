use saas_backup_core::{CollectionName, Result};
use serde_json::{Value, json};

use super::message::{CatalogMessage, Descriptor, DiscoveredStream};
use crate::process::Stream;

/// What a source can read.
#[derive(Debug)]
pub(super) struct SourceCatalog {
    /// As it describes them, in the order of `streams`.
    described: Vec<Value>,
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) streams: Vec<Stream>,
}

impl SourceCatalog {
    pub(super) fn new(message: CatalogMessage) -> Result<Self> {
        let (mut described, mut descriptors, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        for value in message.streams {
            let one: DiscoveredStream = serde_json::from_value(value.clone())?;
            let key = one.source_defined_primary_key.unwrap_or_default();
            let has_cursor = one.source_defined_cursor == Some(true)
                || one.default_cursor_field.is_some_and(|field| !field.is_empty());
            streams.push(Stream {
                name: CollectionName::parse(one.descriptor.collection())?,
                key: key.iter().map(|path| path.join(".")).collect(),
                schema: one.json_schema.filter(Value::is_object),
                whole: !(has_cursor && one.supported_sync_modes.iter().any(|mode| mode == "incremental")),
            });
            descriptors.push(one.descriptor);
            described.push(value);
        }
        Ok(Self { described, descriptors, streams })
    }

    /// The catalog with which a source reads one stream and no other.
    pub(super) fn selecting(&self, at: usize) -> Value {
        let (Some(described), Some(stream)) = (self.described.get(at), self.streams.get(at)) else {
            return json!({ "streams": [] });
        };
        let of = |name: &str| described.get(name).cloned().unwrap_or_else(|| json!([]));
        json!({ "streams": [{
            "stream": described,
            "sync_mode": if stream.whole { "full_refresh" } else { "incremental" },
            "destination_sync_mode": "append",
            "cursor_field": of("default_cursor_field"),
            "primary_key": of("source_defined_primary_key"),
        }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_followed_only_where_the_source_can_say_from_where() {
        let streams = json!([
            {"name": "users", "json_schema": {"type": "object"}, "supported_sync_modes": ["full_refresh", "incremental"],
             "source_defined_cursor": true, "default_cursor_field": ["updated"], "source_defined_primary_key": [["id"]],
             "is_resumable": true},
            {"name": "rows", "namespace": "public", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"],
             "source_defined_primary_key": [["a", "b"], ["c"]]},
            {"name": "plain", "json_schema": {}, "supported_sync_modes": ["full_refresh"], "default_cursor_field": ["x"]},
        ]);
        let message = serde_json::from_value(json!({ "streams": streams })).unwrap();
        let catalog = SourceCatalog::new(message).unwrap();
        let found: Vec<(&str, String, bool)> =
            catalog.streams.iter().map(|one| (one.name.as_str(), one.key.join(","), one.whole)).collect();
        let wanted = [("users", "id", false), ("public.rows", "a.b,c", true), ("plain", "", true)]
            .map(|(a, b, c)| (a, b.to_owned(), c));
        assert_eq!(found, wanted);
        let selecting = catalog.selecting(0);
        assert_eq!(selecting["streams"][0]["stream"], streams[0], "what we do not look at goes back, too");
        assert_eq!(selecting["streams"][0]["sync_mode"], "incremental");
        assert_eq!(catalog.selecting(1)["streams"][0]["sync_mode"], "full_refresh");
    }
}
