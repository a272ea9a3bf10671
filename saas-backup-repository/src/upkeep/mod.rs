//! Upkeep: merging what was written, forgetting points, and removing what nobody needs.
//!
//! Each piece of work ends in one commit of the timeline that says what it changes about earlier ones. So the order of
//! backups and upkeep is the order of commits, whoever does them and wherever: nothing is locked.

mod collect;
mod compact;
mod drop;
mod erasing;
mod forget;
mod keep;
mod ledger;
mod lock;
mod losses;
mod merging;
mod plan;
mod references;
mod repack;
mod rewrite;
mod unfinished;

use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Result, RunId};

pub(crate) use self::collect::collected_through;
pub use self::collect::{CollectOptions, Collected};
pub use self::compact::{CompactOptions, Compacted};
pub use self::drop::GivenUp;
pub(crate) use self::drop::{Change, LossNote, is_loss};
pub use self::forget::Forgotten;
pub use self::lock::{LockOptions, Locked};
pub use self::losses::LostCount;
use crate::commit::{CommitHeader, Maintenance, PartRef};
use crate::committer::{Committer, Sealed};
use crate::crypto::NamingKey;
use crate::layout::Map;
use crate::source::{Shared, Source, WritingKeys};

/// What a compaction would merge.
pub(crate) fn due(map: &Map) -> Compacted {
    let plan = plan::Plan::of(map, &CompactOptions::default());
    let due = !plan.merges.is_empty();
    Compacted { due, base: plan.whole, commits: plan.commits(map), ..Compacted::default() }
}

/// Makes the commits of upkeep.
#[derive(Debug)]
pub(crate) struct Maintainer {
    pub(crate) committer: Committer,
}

impl Maintainer {
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity.
    pub(crate) async fn open(source: &Source) -> Result<Self> {
        let shared = Arc::clone(&source.shared);
        let (keys, map) = Self::look(&shared).await?;
        Ok(Self { committer: Committer::open(shared, keys, map).await? })
    }

    /// One for a source whose naming key is lost, with another.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    async fn with_naming(source: &Source, naming: NamingKey) -> Result<Self> {
        let shared = Arc::clone(&source.shared);
        let (keys, map) = Self::look(&shared).await?;
        Ok(Self { committer: Committer::with_naming(shared, keys, map, naming)? })
    }

    async fn look(shared: &Shared) -> Result<(WritingKeys, Arc<Map>)> {
        // What a maintainer builds on, and later removes, must not rest on what a writer says of others' commits.
        let map = shared.loader.load_maintained().await?;
        Ok((shared.maintaining_keys().await?, map))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.committer.shared
    }

    pub(crate) fn map(&self) -> Arc<Map> {
        self.committer.map()
    }

    /// A commit that says nothing yet.
    pub(crate) fn header(&self) -> CommitHeader {
        self.committer.header(RunId::new(self.shared().clock.now()))
    }

    /// Says nothing, so that another layout can be written.
    async fn say_nothing(&self) -> Result<()> {
        self.commit(said(self.header(), Maintenance::default(), &[]), &[]).await
    }

    /// Makes the commit, and a layout after it: readers should not have to read what it does away with.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if another maintainer was faster.
    pub(crate) async fn commit(&self, header: CommitHeader, parts: &[Sealed]) -> Result<()> {
        self.commit_if(header, parts, may_follow).await
    }

    /// Makes the commit if nothing came since the source was read, no backup either.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if something did.
    pub(crate) async fn commit_next(&self, header: CommitHeader, parts: &[Sealed]) -> Result<()> {
        let refused = |_: &Map, known| {
            Err(Error::new(ErrorKind::Conflict, "a backup was made in the meantime; try again")
                .with_context("commit", known))
        };
        self.commit_if(header, parts, refused).await
    }

    async fn commit_if(
        &self,
        header: CommitHeader,
        parts: &[Sealed],
        accept: impl Fn(&Map, u64) -> Result<()>,
    ) -> Result<()> {
        self.committer.commit(header, parts, |_, after, known| accept(after, known)).await?;
        self.committer.write_layout().await;
        self.shared().remember(&self.map());
        Ok(())
    }
}

impl Source {
    /// Writes a layout of all commits, after a new one if that is asked for; its name.
    pub(crate) async fn write_layout(&self, after_another: bool) -> Result<String> {
        let maintainer = Maintainer::open(self).await?;
        if after_another {
            maintainer.say_nothing().await?;
        } else {
            maintainer.committer.write_layout().await;
        }
        let head = maintainer.map().head.as_ref().map_or(0, |head| head.sequence);
        Ok(self.shared.names.layout(head))
    }
}

/// A commit with what it says of earlier ones, and its parts.
pub(crate) fn said(mut header: CommitHeader, maintenance: Maintenance, parts: &[Sealed]) -> CommitHeader {
    header.maintenance = Some(maintenance);
    header.parts = parts.iter().map(PartRef::of).collect();
    header
}

/// Backups may come in between; what other upkeep changed was not looked at.
fn may_follow(after: &Map, known: u64) -> Result<()> {
    if after.upkeep.last < known {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "the source was maintained by somebody else in the meantime; try again")
        .with_context("commit", after.upkeep.last))
}
