//! Checks of write sessions.

mod blobs;
mod extents;
mod records;
mod runs;
mod target;

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::report::Report;
use crate::{Connector, Result};
use target::Target;

/// Runs checks, each on an empty target of its own.
macro_rules! checks {
    ($report:ident, $maker:ident, $($name:literal, $reason:literal, $check:path;)+) => {
        $($report.check($name, $reason, async { $check(&Target::fresh(&$maker).await?).await }).await;)+
    };
}

/// Checks the write sessions of a connector that takes any collection; `empty` makes an empty target, again and again.
///
/// What is checked follows from the capabilities: cursors, gaps and full reads where it mirrors, what reads back where
/// nothing is lost, points in time, atomicity, dry runs. It needs a tokio runtime with time; a check that is stuck
/// fails after two minutes.
///
/// ```
/// use std::sync::Arc;
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{Connector, testkit};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let empty = async || Ok(Arc::new(MemoryConnector::new(MemoryStore::new())) as Arc<dyn Connector>);
/// testkit::sink(empty).await.assert_passed();
/// # });
/// ```
pub async fn sink(empty: impl AsyncFn() -> Result<Arc<dyn Connector>>) -> Report {
    let mut report = Report::default();
    let empty = &empty;
    let maker = || -> LocalBoxFuture<'_, Result<Arc<dyn Connector>>> { empty().boxed_local() };
    checks! { report, maker,
        "one-outcome-for-each-event", "the engine counts what became of each record", records::outcomes;
        "what-is-written-reads-back", "a copy that is almost the same is no copy", records::lossless;
        "writing-twice-is-harmless", "delivery is at least once", records::twice;
        "the-last-event-of-a-record-wins", "events of one record come in the order of its changes", records::in_order;
        "deleting-the-unknown-is-harmless", "delivery is at least once", records::unknown_delete;
        "a-moved-record-outlives-its-old-partition", "partitions report in any order", records::moved;
        "each-partition-speaks-for-itself", "the one that a record left may be written last", records::held_twice;
        "modes-do-what-they-say", "a restore must not touch what it was not asked to", records::modes;
        "a-target-is-replaced-whole", "an export that keeps what is gone shows what is not there", records::whole;
        "new-ids-are-mapped-and-kept", "a second try of a restore must add nothing twice", records::ids;
    }
    checks! { report, maker,
        "a-new-target-knows-nothing", "a position in an empty copy loses everything before it", runs::empty;
        "cursors-come-back", "a run goes on where the last one stopped", runs::cursors;
        "an-unflushed-cursor-is-not-kept", "a cursor must never be ahead of durable data", runs::unflushed;
        "coverage-and-reviews-come-back", "less access than before stops deletions", runs::remembered;
        "counts-come-back", "completeness compares what is held with what exists", runs::counts;
        "gaps-stay-open-until-they-are-filled", "a hole that is forgotten is never filled", runs::gaps;
        "a-reset-drops-the-slices-positions", "what a log cannot tell must be read in full", runs::reset;
        "an-aborted-run-goes-on", "what was flushed is not read again", runs::aborted;
        "a-killed-run-goes-on", "nobody aborts when the power fails", runs::killed;
        "nothing-is-visible-before-commit", "half a run is no point in time", runs::atomic;
        "an-earlier-point-stays", "history is what tells a backup from a copy", runs::history;
        "an-empty-run-writes-nothing", "the cost of an increment follows the change", runs::quiet;
        "rivals-lose-nothing", "two runs may start at once: one is told, or both are kept", runs::rivals;
        "a-dry-run-changes-nothing", "that is its promise", runs::dry;
    }
    checks! { report, maker,
        "a-full-read-finds-what-is-gone", "deletions that nobody reports are found only so", extents::finds;
        "what-a-gap-names-is-not-gone", "it exists and could not be read", extents::gap_is_seen;
        "a-sweep-fills-no-gap", "seeing that a record exists is not reading it", extents::sweep_keeps_gaps;
        "a-resumed-full-read-keeps-what-it-saw", "else its first half is taken for deleted", extents::resumed;
        "another-full-read-begins-anew", "what an old one saw may be gone since", extents::anew;
        "an-extent-keeps-to-its-scope", "one partition says nothing of the others", extents::scope;
        "a-partition-that-is-gone-is-forgotten", "it would be judged again in every run", extents::gone;
        "a-partition-is-known-before-its-records", "a log tells of it before a list names it", extents::before_records;
        "kept-candidates-stay", "the deletion guard would be for nothing", extents::kept;
        "a-restarted-extent-forgets-its-position", "what was not believed is read again", extents::restarted;
        "only-mirrors-delete-what-was-not-seen", "a restore of a part must not delete the rest", extents::only_mirrors;
    }
    checks! { report, maker,
        "a-held-blob-is-not-wanted-again", "attachments are fetched once", blobs::held;
        "an-aborted-blob-leaves-nothing", "half an attachment must not look like a whole one", blobs::aborted;
        "blobs-read-back", "a record without its attachment is half a record", blobs::read_back;
    }
    report
}
