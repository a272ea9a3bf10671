use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many are kept before all are forgotten.
const MAX_KEPT: usize = 128;

/// What was made of texts, for templates that say the same text for each record.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<BTreeMap<String, Arc<T>>>);

impl<T> Kept<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub(super) fn get<E>(&self, text: &str, make: impl FnOnce(&str) -> Result<T, E>) -> Result<Arc<T>, E> {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held().get(text) {
            return Ok(Arc::clone(found));
        }
        let fresh = Arc::new(make(text)?);
        let mut kept = held();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(text.to_owned(), Arc::clone(&fresh));
        Ok(fresh)
    }
}
