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

/// A kind of content or of terms: `/wp/v2/types`, `/wp/v2/taxonomies`.
#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) slug: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) rest_base: String,
    #[serde(default = "core_namespace")]
    pub(super) rest_namespace: String,
    /// Of a kind of content: the taxonomies that apply to it.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) taxonomies: Vec<String>,
    /// Of a kind of content: what its records have.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) supports: BTreeMap<String, serde_json::Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) capabilities: BTreeMap<String, String>,
}

fn core_namespace() -> String {
    "wp/v2".to_owned()
}

/// Structs of which every member may be absent or of another form.
macro_rules! lenient {
    ($($(#[$about:meta])* struct $name:ident {
        $($(#[$attribute:meta])* $member:ident: $type:ty,)*
    })*) => {$(
        $(#[$about])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name {
            $($(#[$attribute])* #[serde(deserialize_with = "lenient")] pub(super) $member: $type,)*
        }
    )*};
}

lenient! {
    /// What the connector reads of a record, whatever its kind.
    struct Head {
        date_gmt: Option<String>,
        modified_gmt: Option<String>,
        registered_date: Option<String>,
        status: Option<String>,
        password: Option<String>,
        author: Option<u64>,
        parent: Option<u64>,
        featured_media: Option<u64>,
        post: Option<u64>,
        menus: Option<u64>,
        #[serde(rename = "type")]
        kind: Option<String>,
        object: Option<String>,
        object_id: Option<u64>,
        content: Text,
        source_url: Option<String>,
        mime_type: Option<String>,
        media_details: MediaDetails,
        #[serde(rename = "_links")]
        links: Links,
    }

    /// A text as it is stored and as it is shown.
    struct Text {
        raw: Option<String>,
        rendered: Option<String>,
    }

    /// The files of a media record.
    struct MediaDetails {
        filesize: Option<u64>,
        /// The upload's own file where WordPress shows a smaller one instead.
        original_image: Option<String>,
        sizes: BTreeMap<String, MediaSize>,
    }

    struct MediaSize {
        source_url: Option<String>,
        mime_type: Option<String>,
        filesize: Option<u64>,
    }

    struct Links {
        up: Vec<UpLink>,
        #[serde(rename = "version-history")]
        version_history: Vec<VersionHistory>,
        #[serde(rename = "predecessor-version")]
        predecessor_version: Vec<Predecessor>,
        #[serde(rename = "wp:user-global-styles")]
        user_global_styles: Vec<Link>,
    }

    /// What a comment belongs to.
    struct UpLink {
        post_type: Option<String>,
    }

    struct VersionHistory {
        count: u64,
    }

    /// The newest revision.
    struct Predecessor {
        id: u64,
    }

    struct Link {
        href: String,
    }
}

impl Text {
    /// The stored form where the user may see it, else the shown one.
    pub(super) fn best(&self) -> &str {
        self.raw.as_deref().or(self.rendered.as_deref()).unwrap_or_default()
    }
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
