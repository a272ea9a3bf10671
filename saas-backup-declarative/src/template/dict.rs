use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::Value;
use super::python::equal;

/// A map that a template wrote down; it keeps the order, as Python does.
#[derive(Clone, Debug, Default)]
pub(super) struct Dict(Vec<(Value, Value)>);

impl Dict {
    pub(super) fn set(&mut self, key: Value, value: Value) {
        match self.0.iter_mut().find(|(name, _)| equal(name, &key)) {
            Some((_, held)) => *held = value,
            None => self.0.push((key, value)),
        }
    }

    pub(super) fn remove(&mut self, key: &Value) {
        self.0.retain(|(name, _)| !equal(name, key));
    }
}

impl FromIterator<(Value, Value)> for Dict {
    fn from_iter<T: IntoIterator<Item = (Value, Value)>>(pairs: T) -> Self {
        let mut dict = Self::default();
        pairs.into_iter().for_each(|(key, value)| dict.set(key, value));
        dict
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::from_object(dict)
    }
}

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.iter().find(|(name, _)| equal(name, key)).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(key, _)| key.clone()).collect())
    }
}
