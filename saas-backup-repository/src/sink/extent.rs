use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Key, PartitionId, Result, Scope};

use super::session::Session;
use crate::commit::PartKind;
use crate::object::{Family, LineMeta};
use crate::read::{Bounds, Merge, PointSnapshot};

impl Session {
    /// The source as the last commit left it, once a line that was flushed and that `matters` waits for no commit.
    pub(super) async fn head_with(self: &Arc<Self>, matters: impl Fn(&LineMeta) -> bool) -> Result<PointSnapshot> {
        loop {
            {
                // While a commit is made, what was pending is neither here nor there.
                let _committing = self.committing.lock().await;
                if !self.lock().pending.lines.iter().any(&matters) {
                    return Ok(self.head());
                }
            }
            self.commit_step(None).await?;
        }
    }

    /// Calls `visit` with each key that a partition in the scope holds at the head, and all partitions that hold it, in
    /// the order of keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if this writer neither remembers all keys nor can read records.
    pub(super) async fn each_held(
        &self,
        head: &PointSnapshot,
        scope: &Scope,
        mut visit: impl FnMut(Key, &[Option<&PartitionId>]) + Send,
    ) -> Result<()> {
        if head.at == 0 {
            return Ok(());
        }
        let family = if self.lock().tables.held.remembered {
            Family::Meta
        } else if self.shared().keyring.reads_data() {
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
            let bounds = Bounds { collection: Some(collection.clone()), ..Bounds::all(family, head.at) };
            let mut merge = Merge::open(Arc::clone(&self.shared().access), &head.map, bounds).await?;
            while let Some(group) = merge.next().await? {
                let holders = group.holders();
                let partitions: Vec<_> = holders.iter().map(|line| line.says.partition.as_ref()).collect();
                if partitions.iter().any(|partition| scope.contains(collection, *partition)) {
                    visit(group.key.clone(), &partitions);
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
