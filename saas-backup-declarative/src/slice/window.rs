use crate::template::Value;
use crate::time::Moment;

/// A span of time that one walk over pages reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) start: Moment,
    pub(crate) end: Moment,
    /// The bounds as the manifest writes them, and the names that templates know them by.
    pub(crate) written: [(String, String); 2],
}

impl Window {
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        self.written.iter().find(|(known, _)| known == name).map(|(_, text)| Value::from(text.as_str()))
    }

    pub(super) fn fields(&self) -> Vec<(String, Value)> {
        self.written.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect()
    }
}
