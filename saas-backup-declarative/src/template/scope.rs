use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use saas_backup_core::Clock;

use super::Value;
use crate::time::Moment;

/// What templates can name. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scope {
    now: Arc<dyn Clock>,
    roots: Vec<(Cow<'static, str>, Value)>,
}

/// Shows the names alone: what they hold may be secret.
impl Debug for Scope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.roots.iter().map(|(name, _)| name)).finish()
    }
}

impl Scope {
    pub(crate) fn new(now: Arc<dyn Clock>) -> Self {
        Self { now, roots: Vec::with_capacity(8) }
    }

    /// Gives a name a value, in place of one that it had.
    pub(crate) fn with(mut self, name: impl Into<Cow<'static, str>>, value: Value) -> Self {
        let name = name.into();
        match self.roots.iter_mut().find(|(root, _)| *root == name) {
            Some((_, held)) => *held = value,
            None => self.roots.push((name, value)),
        }
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let name = match name {
            "stream_interval" | "stream_partition" => "stream_slice",
            name => name,
        };
        self.roots.iter().find(|(root, _)| *root == name).map(|(_, value)| value)
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from(self.now.now())
    }
}
