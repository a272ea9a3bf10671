use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Key, Result, Scope};

use super::session::Session;
use crate::commit::PartKind;
use crate::object::Family;
use crate::read::{Bounds, Merge, effective};

impl Session {
    /// Calls `visit` with each key that the commits hold live in a scope, in order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if this writer neither remembers all keys nor can read records.
    pub(super) async fn each_live(&self, scope: &Scope, mut visit: impl FnMut(Key) + Send) -> Result<()> {
        let head = self.head();
        if head.at == 0 {
            return Ok(());
        }
        let family = if self.lock().tables.held.remembered {
            Family::Meta
        } else if self.shared.keyring.reads_data() {
            Family::Data
        } else if !holds_anything(&head.map) {
            return Ok(());
        } else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "what a full read did not see can only be told with the owner's identity: this writer reads no records and was not asked to remember them",
            ));
        };
        for collection in &scope.collections {
            let bounds = Bounds { family, collection: Some(collection.clone()), after: None, since: 0, at: head.at };
            let mut merge = Merge::open(Arc::clone(&self.shared.access), &head.map, bounds).await?;
            while let Some(group) = merge.next().await? {
                let live = effective(&group.lines).filter(|line| !line.deletion);
                if live.is_some_and(|line| scope.contains(collection, line.partition.as_ref())) {
                    visit(group.key);
                }
            }
        }
        Ok(())
    }
}

fn holds_anything(map: &crate::layout::Map) -> bool {
    map.segments.iter().any(|segment| segment.family == Family::Data)
        || map.parts.iter().any(|part| part.kind == PartKind::Delta)
}
