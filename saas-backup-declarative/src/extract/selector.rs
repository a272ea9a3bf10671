use std::sync::Arc;

use saas_backup_core::{Json, Result};
use serde_json::value::RawValue;

use super::expand::Expander;
use super::path::{children, find_all, first_byte};
use super::transform::Transform;
use super::{Decoder, Fields, Item, find};
use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::Answer;
use crate::template::{Scope, Value};

/// Finds the records in an answer, filters and transforms them.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) decoder: Decoder,
    path: Vec<Expression>,
    expander: Option<Expander>,
    filter: Option<Expression>,
    transforms: Vec<Transform>,
    transform_first: bool,
}

/// What an answer holds.
#[derive(Debug)]
pub(crate) struct Selected {
    /// The records that pass.
    pub(crate) items: Vec<Item>,
    /// How many there were before the filter.
    pub(crate) extracted: usize,
    /// Whether the place where records should be is not there.
    pub(crate) missing: bool,
}

impl Selector {
    pub(crate) fn build(
        component: &Component<'_>,
        decoder: Option<Component<'_>>,
        transforms: &[Component<'_>],
        transform_first: bool,
    ) -> Result<Self> {
        if component.kind() != "RecordSelector" {
            return Err(component.unknown());
        }
        let extractor = component.required("extractor")?;
        if extractor.kind() != "DpathExtractor" {
            return Err(extractor.unknown());
        }
        let filter = match component.child("record_filter")? {
            Some(filter) if filter.kind() == "RecordFilter" => filter.expression("condition")?,
            Some(filter) => return Err(filter.unknown()),
            None => None,
        };
        let transform_first = match component.get("transform_before_filtering") {
            Some(_) => component.flag("transform_before_filtering"),
            None => transform_first,
        };
        Ok(Self {
            decoder: Decoder::build(decoder)?,
            path: extractor.path("field_path")?,
            expander: extractor.child("record_expander")?.map(|expander| Expander::build(&expander)).transpose()?,
            filter,
            transforms: transforms.iter().map(Transform::build).collect::<Result<_>>()?,
            transform_first,
        })
    }

    /// The records of an answer. `scope` knows the settings, the slice and the token of the page.
    pub(crate) fn select(&self, answer: &Answer, scope: &Scope) -> Result<Selected> {
        let text = self.decoder.text(answer)?;
        let path = self.path.iter().map(|part| part.text(scope)).collect::<Result<Vec<String>>>()?;
        let mut selected = Selected { items: Vec::new(), extracted: 0, missing: false };
        for body in self.decoder.bodies(&text)? {
            for raw in extract(body, &path, &mut selected.missing)? {
                let found = match &self.expander {
                    Some(expander) => expander.expand(&text, raw, scope)?,
                    None => vec![Item { raw: Json::from_raw(&text, raw)?, fields: None }],
                };
                for item in found {
                    selected.extracted += 1;
                    selected.items.extend(self.item(item, scope)?);
                }
            }
        }
        Ok(selected)
    }

    fn item(&self, item: Item, scope: &Scope) -> Result<Option<Item>> {
        let passive = self.filter.is_none() && self.transforms.is_empty();
        if passive || item.raw.as_bytes().first() != Some(&b'{') {
            return Ok(Some(item));
        }
        let raw = item.raw;
        let mut fields = match item.fields {
            Some(fields) => fields,
            None => Arc::new(Fields::parse(raw.as_str())?),
        };
        if self.transform_first {
            self.transform(&mut fields, scope)?;
        }
        if let Some(filter) = &self.filter {
            let scope = scope.clone().with("record", Value::from_dyn_object(Arc::clone(&fields)));
            if !filter.truth(&scope)? {
                return Ok(None);
            }
        }
        if !self.transform_first {
            self.transform(&mut fields, scope)?;
        }
        Ok(Some(Item { raw, fields: Some(fields) }))
    }

    fn transform(&self, fields: &mut Arc<Fields>, scope: &Scope) -> Result<()> {
        self.transforms.iter().try_for_each(|transform| transform.apply(fields, scope))
    }
}

/// The records at a path: the items of a list, or one value that is something.
fn extract<'a>(body: &'a RawValue, path: &[String], missing: &mut bool) -> Result<Vec<&'a RawValue>> {
    if path.iter().any(|part| part == "*") {
        let mut found = Vec::new();
        find_all(body.get(), path, &mut found)?;
        return Ok(found);
    }
    let found = if path.is_empty() { Some(body) } else { find(body.get(), path)? };
    let Some(found) = found else {
        *missing = true;
        return Ok(Vec::new());
    };
    match first_byte(found.get()) {
        b'[' => children(found.get()),
        b'{' if is_empty(found) => Ok(Vec::new()),
        b'n' | b'f' => Ok(Vec::new()),
        _ if matches!(found.get(), "0" | "\"\"" | "0.0") => Ok(Vec::new()),
        _ => Ok(vec![found]),
    }
}

fn is_empty(object: &RawValue) -> bool {
    object.get().bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}")
}
