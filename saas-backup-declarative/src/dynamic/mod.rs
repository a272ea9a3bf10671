//! Collections that only the settings or the provider can name: a template, and values for its places.

mod mapping;
mod source;

use futures::TryStreamExt as _;
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::Value;
use url::Url;

use crate::manifest::{Component, propagate_stream};
use crate::plan::Builder;
use crate::shared::Shared;
use crate::template::value_of;
use mapping::Mapping;
use source::{Source, Values};

/// Most collections that one template may give.
const MAX_COLLECTIONS: usize = 10_000;

/// A template of collections, and what tells which there are.
#[derive(Debug)]
pub(crate) struct Definition {
    /// What it is called where none of its collections is meant.
    pub(crate) name: String,
    template: Value,
    source: Source,
    mappings: Vec<Mapping>,
    /// Whether parameters further up count before those further down.
    outer_counts: bool,
    /// Hosts that the manifest itself names.
    homes: Vec<Url>,
}

impl Definition {
    pub(crate) fn name_of(component: &Component<'_>, index: usize) -> String {
        component.text("name").map_or_else(|| format!("dynamic_stream_{index}"), str::to_owned)
    }

    pub(crate) fn build(component: &Component<'_>, name: String, builder: &mut Builder) -> Result<Self> {
        if component.kind() != "DynamicDeclarativeStream" {
            return Err(component.unknown());
        }
        let template =
            component.get("stream_template").ok_or_else(|| component.wrong("stream_template is missing"))?.clone();
        let resolver = component.required("components_resolver")?;
        let source = Source::build(&resolver, &name, builder)?;
        let mappings = resolver.children("components_mapping")?;
        let mut homes = Vec::new();
        if source.is_asked() {
            for value in [component.get("components_resolver"), Some(&template)].into_iter().flatten() {
                addresses(value, &builder.shared, &mut homes);
            }
        }
        Ok(Self {
            name,
            template,
            mappings: mappings.iter().map(Mapping::build).collect::<Result<_>>()?,
            source,
            outer_counts: component.get("use_parent_parameters").is_none() || component.flag("use_parent_parameters"),
            homes,
        })
    }

    /// Whether its collections are in the manifest.
    pub(crate) fn is_known(&self) -> bool {
        self.source.is_given()
    }

    /// The component of a collection that stands for all of them: to see what they need.
    pub(crate) fn sample(&self) -> Value {
        let mut template = self.template.clone();
        if let Some(members) = template.as_object_mut() {
            members.insert("name".to_owned(), self.name.clone().into());
        }
        propagate_stream(template, self.outer_counts)
    }

    /// The components of the collections that the manifest or the settings name; none where the provider is asked.
    pub(crate) fn known(&self, shared: &Shared) -> Result<Vec<Value>> {
        self.source.known(shared)?.iter().map(|values| self.made(values, shared)).collect()
    }

    /// The component of each collection.
    ///
    /// # Errors
    ///
    /// What the provider refuses, or a gap in what it says: collections that are not named would seem to be gone.
    pub(crate) async fn components(&self, shared: &std::sync::Arc<Shared>) -> Result<Vec<Value>> {
        let mut components = self.known(shared)?;
        let mut asked = self.source.asked(shared);
        while let Some(values) = asked.try_next().await? {
            if components.len() >= MAX_COLLECTIONS {
                return Err(Error::new(ErrorKind::LimitExceeded, "there are too many collections")
                    .with_context("limit", MAX_COLLECTIONS));
            }
            components.push(self.made(&values, shared)?);
        }
        Ok(components)
    }

    fn made(&self, values: &Values, shared: &Shared) -> Result<Value> {
        let scope = shared
            .scope()
            .with("components_values", value_of(&values.components))
            .with("stream_slice", values.slice.clone())
            .with("stream_template_config", value_of(&self.template));
        let mut made = self.template.clone();
        for mapping in &self.mappings {
            mapping.apply(&mut made, &scope, self.source.reads_yaml())?;
        }
        let made = propagate_stream(made, self.outer_counts);
        if self.source.is_asked() {
            self.check_hosts(&made, shared)?;
        }
        Ok(made)
    }

    /// Refuses a collection that an answer put on a host of its own choice: the account's credentials would go there.
    fn check_hosts(&self, made: &Value, shared: &Shared) -> Result<()> {
        let mut found = Vec::new();
        addresses(made, shared, &mut found);
        for url in found {
            if !self.homes.iter().any(|home| home.host() == url.host()) {
                shared.check_host(&url, "")?;
            }
        }
        Ok(())
    }
}

/// The addresses of a component's requests, as far as they are known before a slice is.
fn addresses(value: &Value, shared: &Shared, found: &mut Vec<Url>) {
    match value {
        Value::Object(members) => {
            let component = Component::made(value, "");
            for name in ["url_base", "url", "token_refresh_endpoint"] {
                if let Ok(Some(expression)) = component.expression(name)
                    && let Ok(text) = expression.text(&shared.scope())
                    && let Ok(url) = text.trim().parse()
                {
                    found.push(url);
                }
            }
            members.values().for_each(|member| addresses(member, shared, found));
        }
        Value::Array(items) => items.iter().for_each(|item| addresses(item, shared, found)),
        _ => {}
    }
}
