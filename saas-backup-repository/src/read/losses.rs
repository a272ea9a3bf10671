use saas_backup_core::{Error, ErrorKind, FeedId, Gap, OpenGap, Result, RunReport, RunStatus};

use super::PointSnapshot;
use crate::commit::PartKind;
use crate::upkeep::{LossNote, LostCount};

impl PointSnapshot {
    /// Adds to the report of this point what was lost of it since.
    pub(crate) async fn tell_losses(&self, report: &mut RunReport) -> Result<()> {
        for part in self.map.parts.iter().filter(|part| part.kind == PartKind::Lost) {
            let note: LossNote = serde_json::from_slice(&self.shared.access.part(part).await?)
                .map_err(|_| Error::new(ErrorKind::Integrity, "what is said of losses is damaged"))?;
            if self.at < note.from || self.at >= note.until {
                continue;
            }
            report.status = report.status.max(RunStatus::Incomplete);
            for (collection, lost) in note.collections {
                let LostCount { records, attachments, .. } = lost;
                let error =
                    Error::new(ErrorKind::NotFound, "objects of the repository are lost, and what they held with them")
                        .with_context("records", records)
                        .with_context("attachments", attachments);
                if let Some(held) = report.completeness.collections.get_mut(&collection) {
                    held.complete = false;
                    held.missing_records += records;
                    held.missing_blobs += attachments;
                    // What was counted then is not there any more.
                    held.held = None;
                    held.reasons.push(error.to_string());
                }
                let feed = FeedId::parse(collection.as_str())?;
                report.gaps.push(OpenGap::new(feed, Gap::collection(collection, &error), report.run));
            }
        }
        Ok(())
    }
}
