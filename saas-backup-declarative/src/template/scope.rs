use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use saas_backup_core::Clock;

use super::Value;

/// The variables of a template, and what time it is. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Scope(Arc<Variables>);

#[derive(Clone, Debug)]
struct Variables {
    clock: Arc<dyn Clock>,
    /// What was set last stands last.
    values: Vec<(Box<str>, Value)>,
}

/// The variable that holds the clock; no template can name it.
pub(super) const CLOCK: &str = "\u{0}clock";

impl Scope {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Variables { clock, values: Vec::new() }))
    }

    /// Sets a variable.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        let variables = Arc::make_mut(&mut self.0);
        match variables.values.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, old)) => *old = value,
            None => variables.values.push((name.into(), value)),
        }
        self
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.find(name).is_some()
    }

    pub(super) fn context(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.0))
    }
}

impl Variables {
    fn find(&self, name: &str) -> Option<&Value> {
        let name = match name {
            "stream_interval" | "stream_partition" => "stream_slice",
            name => name,
        };
        self.values.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
    }
}

impl Object for Variables {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == CLOCK {
            return Some(super::datetime::value(self.clock.now().into()));
        }
        self.find(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.values.iter().map(|(name, _)| Value::from(&**name)).collect())
    }
}
