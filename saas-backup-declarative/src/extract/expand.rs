use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{Json, Result};
use serde_json::value::RawValue;

use super::path::{children, find_all, first_byte};
use super::{Fields, Item, find};
use crate::expression::Expression;
use crate::manifest::Component;
use crate::template::Scope;

/// Makes records of the items of a list that stands in a record.
#[derive(Debug)]
pub(super) struct Expander {
    path: Vec<Expression>,
    /// What of the record above is set in each item, and where.
    above: Vec<(Vec<Expression>, Vec<Expression>)>,
    /// Whether an item sees all members of the record above that it lacks.
    merges: bool,
    keeps_empty: bool,
}

impl Expander {
    pub(super) fn build(component: &Component<'_>) -> Result<Self> {
        if component.kind() != "RecordExpander"
            || component.get("truncated_list_retriever").is_some()
            || component.flag("remain_original_record")
        {
            return Err(component.unknown());
        }
        let above = component.children("parent_fields")?;
        Ok(Self {
            path: component.path("expand_records_from_field")?,
            above: above
                .iter()
                .map(|one| Ok((one.path("parent_path")?, one.path("record_path")?)))
                .collect::<Result<_>>()?,
            merges: component.flag("merge_parent"),
            keeps_empty: component.text("on_no_records") == Some("emit_parent"),
        })
    }

    /// The items of a record, each as it arrived; what is set in them is what the manifest sees.
    pub(super) fn expand(&self, page: &Bytes, record: &RawValue, scope: &Scope) -> Result<Vec<Item>> {
        let whole = |raw: &RawValue| -> Result<Item> { Ok(Item { raw: Json::from_raw(page, raw)?, fields: None }) };
        if first_byte(record.get()) != b'{' || self.path.is_empty() {
            return Ok(vec![whole(record)?]);
        }
        let texts = |path: &[Expression]| path.iter().map(|part| part.text(scope)).collect::<Result<Vec<String>>>();
        let path = texts(&self.path)?;
        let mut lists = Vec::new();
        find_all(record.get(), &path, &mut lists)?;
        let mut items = Vec::new();
        for list in lists.into_iter().filter(|list| first_byte(list.get()) == b'[') {
            for raw in children(list.get())? {
                let mut item = whole(raw)?;
                if self.merges || !self.above.is_empty() {
                    let is_mapping = first_byte(raw.get()) == b'{';
                    if !is_mapping {
                        item.raw = Json::parse(format!("{{\"value\":{}}}", raw.get()))?;
                    }
                    let mut fields = Fields::parse(item.raw.as_str())?;
                    if self.merges {
                        let mut base = Fields::parse(record.get())?;
                        base.remove(&path, &mut |_| Ok(true))?;
                        for (name, value) in base.0 {
                            fields.0.entry(name).or_insert(value);
                        }
                    }
                    for (from, to) in &self.above {
                        let value = match find(record.get(), &texts(from)?)? {
                            Some(found) => serde_json::from_str(found.get())?,
                            None => crate::template::Value::from(()),
                        };
                        fields.set(&texts(to)?, value);
                    }
                    item.fields = Some(Arc::new(fields));
                }
                items.push(item);
            }
        }
        if items.is_empty() && self.keeps_empty {
            items.push(whole(record)?);
        }
        Ok(items)
    }
}
