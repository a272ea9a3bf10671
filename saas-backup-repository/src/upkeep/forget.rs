//! Giving up points.

use std::collections::BTreeSet;

use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::{Maintainer, said};
use crate::commit::Maintenance;
use crate::source::Source;

/// What forgetting did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forgotten {
    /// The points that are no more, by their sequence numbers.
    pub points: Vec<u64>,
}

impl Source {
    /// Gives up points, by their sequence numbers. What only they needed goes with the next
    /// [`compact`](Self::compact) and [`collect`](Self::collect). Cancel safe: it happens or does not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such point; [`ErrorKind::Configuration`] for the newest point, which nothing
    /// may take away; [`ErrorKind::PermissionDenied`] without the owner's identity; [`ErrorKind::Conflict`] if another
    /// maintainer was faster.
    pub async fn forget(&self, points: &BTreeSet<u64>) -> Result<Forgotten> {
        let maintainer = Maintainer::open(self).await?;
        let map = maintainer.map();
        if let Some(unknown) = points.iter().find(|point| map.points.iter().all(|(known, ..)| known != *point)) {
            return Err(
                Error::new(ErrorKind::NotFound, "there is no such point in time").with_context("point", unknown)
            );
        }
        if map.points.last().is_some_and(|(newest, ..)| points.contains(newest)) {
            return Err(Error::new(ErrorKind::Configuration, "the newest point is not forgotten"));
        }
        let forgets: Vec<u64> = points.iter().copied().collect();
        if forgets.is_empty() {
            return Ok(Forgotten::default());
        }
        let maintenance = Maintenance { forgets: forgets.clone(), ..Maintenance::default() };
        maintainer.commit(said(maintainer.header(), maintenance, &[]), &[]).await?;
        Ok(Forgotten { points: forgets })
    }
}
