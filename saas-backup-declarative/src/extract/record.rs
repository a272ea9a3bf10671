use std::sync::Arc;

use saas_backup_core::{Json, Result};

use super::{Fields, find};
use crate::template::Value;

/// A record: as it arrived and, where the manifest filters or transforms, as it sees it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) raw: Json,
    pub(crate) fields: Option<Arc<Fields>>,
}

impl Item {
    /// The value at a path, as the manifest sees it.
    pub(crate) fn get(&self, path: &[String]) -> Result<Option<Value>> {
        if let Some(fields) = &self.fields {
            return Ok(fields.get(path));
        }
        match find(self.raw.as_str(), path)? {
            Some(found) => Ok(Some(serde_json::from_str(found.get())?)),
            None => Ok(None),
        }
    }

    /// All of it, as templates see it.
    pub(crate) fn value(&self) -> Result<Value> {
        match &self.fields {
            Some(fields) => Ok(Value::from_dyn_object(Arc::clone(fields))),
            None => Ok(serde_json::from_str(self.raw.as_str())?),
        }
    }
}
