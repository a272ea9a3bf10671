use std::sync::Arc;

use saas_backup_core::{Progress, ProgressEvent, Result};
use saas_backup_repository::{FollowOptions, FollowedPoint, FollowedSource, RepositoryOptions};
use tokio::sync::watch;

use super::Project;
use super::replicate::{Failure, Replicated, ReplicatedSource};
use super::store::Store;
use crate::config::ReplicaConfig;

impl Project {
    /// Lets a replica by records take over what it lacks.
    pub(super) async fn follow(
        &self,
        store: &Store,
        replica: &ReplicaConfig,
        at: RepositoryOptions,
        dry_run: bool,
        report: &mut Replicated,
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    ) -> Result<()> {
        let second = Store::open_follower(self.config(), replica, at, dry_run, self.clock()).await?;
        let (sender, mut moved) = watch::channel((0, 0));
        let options = FollowOptions::default().with_dry_run(dry_run).with_progress(Arc::new(Moved(sender)));
        let mut follow = std::pin::pin!(second.follow(store, &options));
        let followed = loop {
            tokio::select! {
                biased;
                followed = &mut follow => break followed?,
                Ok(()) = moved.changed() => {
                    let (records, bytes) = *moved.borrow_and_update();
                    progress(&report.replica, records, bytes);
                }
            }
        };
        report.complete = followed.is_complete();
        let sources = followed.sources.into_iter();
        let sources: Vec<ReplicatedSource> = sources.map(ReplicatedSource::new).collect();
        let sum = |of: fn(&FollowedPoint) -> u64| sources.iter().flat_map(|source| &source.points).map(of).sum();
        (report.objects, report.bytes) = (sum(|point| point.records), sum(|point| point.bytes_added));
        report.held = sources.iter().map(|source| source.held).sum();
        report.followed = Some(sources);
        Ok(())
    }
}

impl ReplicatedSource {
    fn new(followed: FollowedSource) -> Self {
        let FollowedSource { source, held, points, erasures, error, .. } = followed;
        Self { source, held, points, erasures, failure: error.as_ref().map(Failure::new) }
    }
}

/// Adds up the records and bytes of attachments that moved.
#[derive(Debug)]
struct Moved(watch::Sender<(u64, u64)>);

impl Progress for Moved {
    fn event(&self, event: &ProgressEvent) {
        self.0.send_if_modified(|(records, bytes)| match event {
            ProgressEvent::Advanced { counts, .. } => {
                *records += counts.written;
                true
            }
            ProgressEvent::BlobBytes { bytes: more, .. } => {
                *bytes += more;
                true
            }
            _ => false,
        });
    }
}
