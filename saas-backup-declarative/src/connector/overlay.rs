use std::collections::BTreeMap;

use saas_backup_core::{Catalog, Error, ErrorKind, Json, Overlay, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::attachments::likely;
use crate::manifest::parse_yaml;

/// How the records of a manifest are read by people, and how their envelopes are filled.
///
/// What core's overlay says of a collection, and beside it a member `record`.
#[derive(Clone, Debug, Default)]
pub(super) struct DeclarativeOverlay {
    pub(super) overlay: Overlay,
    pub(super) records: BTreeMap<String, RecordRules>,
    /// Whether primary keys tell records apart in whole collections, not only in a partition.
    pub(super) global_ids: bool,
}

/// Where in a record stands what its envelope says: dotted paths, `*` for each item of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RecordRules {
    /// What tells a record from all others of the collection, wherever it stands.
    pub(super) id: Vec<String>,
    pub(super) created: Option<String>,
    pub(super) modified: Option<String>,
    /// What is true for a record in the trash.
    pub(super) trashed: Option<String>,
    /// What is true for a record that was put away.
    pub(super) archived: Option<String>,
    pub(super) by: Option<ByRule>,
    /// The ids that a relationship points to, by its name.
    pub(super) refs: BTreeMap<String, String>,
    pub(super) blobs: Vec<BlobRule>,
}

/// Who made a record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByRule {
    pub(super) path: String,
    pub(super) to: String,
}

/// Where attachments are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobRule {
    pub(super) url: String,
    pub(super) name: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) size: Option<String>,
    pub(super) role: Option<String>,
    /// Whether the download needs the account's credentials.
    #[serde(default)]
    pub(super) authorize: bool,
}

impl BlobRule {
    fn at(url: String) -> Self {
        Self { url, name: None, media_type: None, size: None, role: None, authorize: false }
    }
}

impl DeclarativeOverlay {
    /// Reads an overlay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with what is not understood.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut document = parse_yaml(text)?;
        let global_ids = match document.as_object_mut().and_then(|members| members.remove("ids")) {
            None => false,
            Some(ids) if ids == "global" => true,
            Some(_) => {
                let error = Error::new(ErrorKind::Configuration, "the overlay says something that is not known");
                return Err(error.with_context("place", "ids"));
            }
        };
        let mut records = BTreeMap::new();
        let collections = document.get_mut("collections").and_then(Value::as_object_mut);
        for (name, collection) in collections.into_iter().flatten() {
            let Some(rules) = collection.as_object_mut().and_then(|members| members.remove("record")) else { continue };
            let rules = serde_json::from_value(rules).map_err(|error| {
                Error::new(ErrorKind::Configuration, "the overlay says something that is not known")
                    .with_context("place", format!("collections.{name}.record"))
                    .with_source(error)
            })?;
            records.insert(name.clone(), rules);
        }
        Ok(Self { overlay: Overlay::parse(&document)?, records, global_ids })
    }

    /// Adds rules for what is likely to be a file where there are none, and says so in the catalog.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if a schema is no JSON.
    pub(super) fn guess(&mut self, catalog: &mut Catalog) -> Result<()> {
        for collection in &mut catalog.collections {
            let schema: Option<Value> = collection.schema.as_ref().map(Json::decode).transpose()?;
            let guessed: Vec<BlobRule> = schema.iter().flat_map(likely).map(BlobRule::at).collect();
            let rules = &mut self.records.entry(collection.name.as_str().to_owned()).or_default().blobs;
            if rules.is_empty() {
                *rules = guessed;
                collection.blobs = !rules.is_empty();
            }
        }
        Ok(())
    }
}
