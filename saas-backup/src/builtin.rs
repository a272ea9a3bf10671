use crate::registry::Registry;

/// All connectors and formats that this build has.
impl Default for Registry {
    fn default() -> Self {
        Self::empty()
    }
}
