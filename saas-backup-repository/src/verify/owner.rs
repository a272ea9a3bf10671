//! Checking what the owner signed beside the sources: who writes, and who reads.

use saas_backup_core::{Error, ErrorKind, Result};

use super::VerifyReport;
use crate::repository::Repository;
use crate::roles::statements;
use crate::writers::{self, read_writer, writer_id};

/// What is wrong with the objects that the owner signed.
#[derive(Debug, Default)]
pub(crate) struct SignedProblems {
    /// Objects of writers that are damaged, and the owner's own where it is gone.
    pub(crate) writers: Vec<(String, Error)>,
    /// Statements that do not count, although one before them does: they may have said something else.
    pub(crate) newest: Vec<(String, Error)>,
    /// Statements that do not count, and would not if they were whole.
    pub(crate) outdated: Vec<(String, Error)>,
}

impl SignedProblems {
    pub(crate) async fn of(repository: &Repository) -> Result<Self> {
        let mut found = Self::default();
        let Some(root) = repository.root_key() else { return Ok(found) };
        let store = &**repository.store();
        let mut ids = writers::ids(store).await?;
        ids.extend(repository.own_writer().map(|own| writer_id(&own)).filter(|own| !ids.contains(own)));
        for id in ids {
            match read_writer(store, &root, &id).await {
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::PermissionDenied) => {
                    found.writers.push((writers::object_name(&id), error));
                }
                read => drop(read?),
            }
        }
        for (name, read) in statements(store, repository.id(), &root).await? {
            match read {
                // What was passed over before it is of no concern any more.
                Ok(()) => found.outdated.append(&mut found.newest),
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {
                    found.newest.push((name, error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Notes all of it.
    pub(crate) fn tell(self, report: &mut VerifyReport) {
        let said = |what: &'static str, error: Error| Error::new(ErrorKind::Integrity, what).with_source(error);
        for (object, error) in self.writers {
            let what = "the owner vouches for no writer by this object, and what that one wrote is not believed: \
                        fetch it from a copy with repair --from, or add the writer again with its key";
            report.problem(&object, &said(what, error));
        }
        for (object, error) in self.newest {
            let what = "a statement of who reads and writes cannot be believed, and the one before it counts: \
                        fetch it from a copy with repair --from, or state again what holds with repair --drop";
            report.problem(&object, &said(what, error));
        }
        for (object, error) in self.outdated {
            let what = "a statement of who reads and writes cannot be believed; a newer one counts";
            report.problem(&object, &said(what, error));
        }
    }
}
