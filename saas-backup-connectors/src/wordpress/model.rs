//! What the REST API sends, as far as the connector looks into it.
//!
//! Plugins change types at will (an empty map becomes a list, an id becomes text): a member that does not have the
//! form that the handbook says counts as absent, and the record is kept as it is.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// The root of the API.
#[derive(Debug, Deserialize)]
pub(super) struct Root {
    #[serde(default)]
    pub(super) name: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) home: String,
    pub(super) namespaces: Vec<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) timezone_string: String,
}

/// `/wp/v2/users/me`.
#[derive(Debug, Deserialize)]
pub(super) struct Me {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) roles: Vec<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) capabilities: BTreeMap<String, bool>,
}

/// `/wp/v2/types`.
#[derive(Debug, Deserialize)]
pub(super) struct PostType {
    pub(super) slug: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) rest_base: String,
    #[serde(default = "core_namespace")]
    pub(super) rest_namespace: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) taxonomies: Vec<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) supports: BTreeMap<String, serde_json::Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) capabilities: BTreeMap<String, String>,
}

/// `/wp/v2/taxonomies`.
#[derive(Debug, Deserialize)]
pub(super) struct Taxonomy {
    pub(super) slug: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) rest_base: String,
    #[serde(default = "core_namespace")]
    pub(super) rest_namespace: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) capabilities: BTreeMap<String, String>,
}

fn core_namespace() -> String {
    "wp/v2".to_owned()
}

/// What the connector reads of a record, whatever its kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    #[serde(deserialize_with = "lenient")]
    pub(super) date_gmt: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) modified_gmt: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) registered_date: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) status: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) password: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) author: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) parent: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) featured_media: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) post: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) menus: Option<u64>,
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub(super) kind: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) object: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) object_id: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    pub(super) content: Text,
    #[serde(deserialize_with = "lenient")]
    pub(super) source_url: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) mime_type: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) media_details: MediaDetails,
    #[serde(rename = "_links", deserialize_with = "lenient")]
    pub(super) links: Links,
}

/// A text as it is stored and as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Text {
    #[serde(deserialize_with = "lenient")]
    pub(super) raw: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) rendered: Option<String>,
}

impl Text {
    /// The stored form where the user may see it, else the shown one.
    pub(super) fn best(&self) -> &str {
        self.raw.as_deref().or(self.rendered.as_deref()).unwrap_or_default()
    }
}

/// The files of a media record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MediaDetails {
    #[serde(deserialize_with = "lenient")]
    pub(super) filesize: Option<u64>,
    /// The upload's own file where WordPress shows a smaller one instead.
    #[serde(deserialize_with = "lenient")]
    pub(super) original_image: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) sizes: BTreeMap<String, MediaSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MediaSize {
    #[serde(deserialize_with = "lenient")]
    pub(super) source_url: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) mime_type: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) filesize: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Links {
    #[serde(deserialize_with = "lenient")]
    pub(super) up: Vec<UpLink>,
    #[serde(rename = "version-history", deserialize_with = "lenient")]
    pub(super) version_history: Vec<VersionHistory>,
    #[serde(rename = "predecessor-version", deserialize_with = "lenient")]
    pub(super) predecessor_version: Vec<Predecessor>,
    #[serde(rename = "wp:user-global-styles", deserialize_with = "lenient")]
    pub(super) user_global_styles: Vec<Link>,
}

/// What a comment belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct UpLink {
    #[serde(deserialize_with = "lenient")]
    pub(super) post_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VersionHistory {
    #[serde(deserialize_with = "lenient")]
    pub(super) count: u64,
}

/// The newest revision.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Predecessor {
    #[serde(deserialize_with = "lenient")]
    pub(super) id: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    #[serde(deserialize_with = "lenient")]
    pub(super) href: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_form_counts_as_absent() {
        let head: Head = serde_json::from_str(
            r#"{"author":"seven","parent":0,"media_details":[],"content":"text","_links":{"up":{}},"status":"trash"}"#,
        )
        .unwrap();
        assert_eq!((head.author, head.parent, head.status.as_deref()), (None, Some(0), Some("trash")));
        assert!(head.media_details.sizes.is_empty() && head.content.best().is_empty());
    }
}
