use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use saas_backup_core::{Digest, PartitionId, Result};
use serde_json::Map;

use super::Window;
use crate::template::Value;

/// Longest text of a partition that is its id; a longer one is known by its digest.
const MAX_ID_BYTES: usize = 512;

/// An independent part of a collection: one value of each router, and what came with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partition {
    pub(crate) fields: Vec<(String, Value)>,
    pub(crate) extra: Vec<(String, Value)>,
}

impl Partition {
    pub(crate) fn is_whole(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The fields as a mapping: what an Airbyte state calls the partition.
    pub(crate) fn value(&self) -> Value {
        mapping(&self.fields)
    }

    /// Its id, the same from run to run.
    pub(crate) fn id(&self) -> Result<PartitionId> {
        // Values with a slash in them stay apart from two values.
        let values = self.values()?.into_iter().map(|value| value.replace('%', "%25").replace('/', "%2F"));
        let text = values.collect::<Vec<String>>().join("/");
        if !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control) {
            return PartitionId::parse(text);
        }
        PartitionId::parse(format!("sha256:{}", Digest::of(text.as_bytes()).to_base64()))
    }

    fn to_json(&self) -> Result<serde_json::Value> {
        let members = self.fields.iter().map(|(name, value)| Ok((name.clone(), serde_json::to_value(value)?)));
        Ok(members.collect::<Result<Map<_, _>>>()?.into())
    }

    /// The values that tell it from others, from the outermost in, for ids of records.
    pub(crate) fn values(&self) -> Result<Vec<String>> {
        let mut values = Vec::new();
        collect_values(&self.to_json()?, &mut values);
        Ok(values)
    }
}

fn collect_values(partition: &serde_json::Value, values: &mut Vec<String>) {
    let Some(members) = partition.as_object() else { return };
    if let Some(parent) = members.get(PARENT) {
        collect_values(parent, values);
    }
    for (_, value) in members.iter().filter(|(name, _)| *name != PARENT) {
        values.push(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
}

/// The member of a partition that holds the parent's.
pub(super) const PARENT: &str = "parent_slice";

pub(super) fn mapping(fields: &[(String, Value)]) -> Value {
    fields.iter().cloned().collect::<std::collections::BTreeMap<String, Value>>().into()
}

/// A partition and a window of it, as templates see them.
#[derive(Debug)]
pub(crate) struct SliceView {
    pub(crate) partition: Arc<Partition>,
    pub(crate) window: Option<Arc<Window>>,
}

impl SliceView {
    fn bounds(&self) -> Vec<(String, Value)> {
        self.window.iter().flat_map(|window| window.fields()).collect()
    }
}

impl Object for SliceView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let bound = self.window.as_ref().and_then(|window| window.get(name));
        bound.or_else(|| self.partition.get(name).cloned()).or_else(|| match name {
            "extra_fields" => Some(mapping(&self.partition.extra)),
            "partition" => Some(self.partition.value()),
            "cursor_slice" => Some(mapping(&self.bounds())),
            _ => None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let fields = self.partition.fields.iter().map(|(name, _)| name.clone());
        let names = fields.chain(self.bounds().into_iter().map(|(name, _)| name));
        Enumerator::Values(names.map(Value::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_have_short_ids_and_none_has_anothers() {
        let of = |value: &str, above: &[(&str, &str)]| {
            let above: Vec<(String, Value)> =
                above.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
            let fields = vec![("id".to_owned(), Value::from(value)), (PARENT.to_owned(), mapping(&above))];
            Partition { fields, extra: Vec::new() }.id().unwrap().as_str().to_owned()
        };
        assert_eq!(of("7", &[("project", "3")]), "3/7");
        assert_ne!(of("b/c", &[("project", "a")]), of("c", &[("project", "a/b")]));
        assert_ne!(of("b%2Fc", &[]), of("b/c", &[]));
        assert!(of(&"x".repeat(2000), &[]).starts_with("sha256:"));
    }
}
