use saas_backup_core::Result;
use serde_json::Value;

use super::config::Options;
use crate::Manifest;

/// A connector that comes with this crate.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BuiltIn {
    /// Its name in a configuration.
    pub name: &'static str,
    /// The provider's name.
    pub title: &'static str,
    pub(super) manifest: &'static str,
    pub(super) overlay: &'static str,
}

impl BuiltIn {
    /// The JSON Schema of all its settings: what its manifest asks for, and how requests are sent.
    pub fn schema(&self) -> Value {
        let mut schema = schemars::schema_for!(Options).to_value();
        let asked = self.settings().unwrap_or_default();
        let members = asked.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(members);
        }
        if let (Some(object), Some(required)) = (schema.as_object_mut(), asked.get("required")) {
            object.insert("required".to_owned(), required.clone());
            object.insert("title".to_owned(), self.title.into());
        }
        schema
    }

    /// The JSON Schema of the settings that its manifest asks for.
    ///
    /// # Errors
    ///
    /// None that a test of this crate would not have found.
    pub fn settings(&self) -> Result<Value> {
        Ok(Manifest::parse(self.manifest)?.settings().cloned().unwrap_or_default())
    }
}

macro_rules! built_in {
    ($($name:literal, $title:literal;)*) => {
        /// The connectors that come with this crate, each a manifest of our own and how its records are read.
        pub const BUILT_IN: &[BuiltIn] = &[$(BuiltIn {
            name: $name,
            title: $title,
            manifest: include_str!(concat!("../../manifests/", $name, "/manifest.yaml")),
            overlay: include_str!(concat!("../../manifests/", $name, "/overlay.yaml")),
        }),*];
    };
}

built_in! {
    "airtable", "Airtable bases";
    "asana", "Asana workspaces";
    "clickup", "ClickUp workspaces";
    "discourse", "Discourse forums";
    "freshdesk", "Freshdesk accounts";
    "hubspot", "HubSpot accounts";
    "kinto", "Kinto record stores";
    "linear", "Linear workspaces";
    "mailchimp", "Mailchimp audiences";
    "mastodon", "Mastodon accounts";
    "matrix", "Matrix rooms";
    "mediawiki", "MediaWiki wikis";
    "pipedrive", "Pipedrive companies";
    "redmine", "Redmine trackers";
    "shopify", "Shopify shops";
    "todoist", "Todoist accounts";
    "trello", "Trello boards";
    "zendesk", "Zendesk Support accounts";
}
