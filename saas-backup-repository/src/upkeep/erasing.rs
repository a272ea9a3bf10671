//! What a rewrite changes where something was erased.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use saas_backup_core::{Key, OpenGap, Result, Review, RunId, RunReport};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::object::StoredLine;
use crate::read::{BlobPart, BlobRow, Erased};
use crate::reserved::{self, ReportRow};

/// Where parts of attachments lie from now on: by the object and the place in it where they lay before.
pub(super) type Moved = HashMap<(String, u64), BlobPart>;

/// Leaves out what is erased, and every mention of it in rows of the store's own.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    pub(super) erased: Arc<Erased>,
    pub(super) moved: Moved,
}

impl Erasing {
    /// The lines of a key as they are to be; `None` if they stay what they are.
    pub(super) fn change(&self, before: &[StoredLine]) -> Result<Option<Vec<StoredLine>>> {
        let Some(newest) = before.first() else { return Ok(None) };
        if self.erased.is_empty() || !(newest.key.collection.is_reserved() || self.erased.names(&newest.key)) {
            return Ok(None);
        }
        let mut lines = before.to_vec();
        self.erased.leave_out(&mut lines);
        let mut is_changed = lines.len() < before.len();
        for line in lines.iter_mut().filter(|line| !line.is_deletion()) {
            let text = match line.key.collection.as_str() {
                reserved::BLOBS => self.place(line)?,
                reserved::REPORT => self.change_report(line)?,
                reserved::REVIEWS => changed(line, |review| self.scrub_review(review))?,
                _ => None,
            };
            if let Some(text) = text {
                (line.text, is_changed) = (text, true);
            }
        }
        Ok(is_changed.then_some(lines))
    }

    fn place(&self, line: &StoredLine) -> Result<Option<Bytes>> {
        if self.moved.is_empty() {
            return Ok(None);
        }
        changed(line, |row: &mut BlobRow| {
            for part in &mut row.parts {
                if let Some(moved) = self.moved.get(&(part.object.clone(), part.at)) {
                    part.clone_from(moved);
                }
            }
        })
    }

    fn change_report(&self, line: &StoredLine) -> Result<Option<Bytes>> {
        let before: ReportRow = reserved::value(&line.text)?;
        // What the row leaves out stays out.
        let mut report =
            before.clone().into_report(&RunReport::new(RunId::new(DateTime::UNIX_EPOCH), DateTime::UNIX_EPOCH))?;
        self.scrub_report(&mut report);
        let after = ReportRow::new(&report)?;
        (before != after).then(|| reserved::line(line.key.clone(), &after)).transpose()
    }

    fn scrub_report(&self, report: &mut RunReport) {
        report.gaps.retain(|open: &OpenGap| {
            let key = open.gap.id.clone().map(|id| Key::new(open.gap.collection.clone(), id));
            !key.is_some_and(|key| self.erased.names(&key))
        });
        report.refused.retain(|refusal| !self.erased.names(&refusal.key));
        report.reviews.iter_mut().for_each(|review| self.scrub_review(review));
    }

    fn scrub_review(&self, review: &mut Review) {
        review.candidates.sample.retain(|key| !self.erased.names(key));
    }
}

/// The line with what became of its value; `None` if that stayed the same.
fn changed<T>(line: &StoredLine, change: impl FnOnce(&mut T)) -> Result<Option<Bytes>>
where
    T: DeserializeOwned + Serialize + Clone + PartialEq,
{
    let before: T = reserved::value(&line.text)?;
    let mut after = before.clone();
    change(&mut after);
    (before != after).then(|| reserved::line(line.key.clone(), &after)).transpose()
}

#[cfg(test)]
mod tests {
    use saas_backup_core::{Error, ErrorKind, FeedId, Gap, Problem, Refusal};

    use super::*;
    use crate::object::Says;

    fn line(collection: &'static str, value: &impl Serialize) -> StoredLine {
        let key = reserved::key(collection, reserved::ONLY).unwrap();
        let text = reserved::line(key.clone(), value).unwrap();
        StoredLine { key, says: Says::put(None), sequence: 3, ordinal: 0, text }
    }

    /// Reports outlive what they tell of.
    #[test]
    fn reports_do_not_name_what_is_erased() {
        let time = chrono::DateTime::UNIX_EPOCH;
        let (gone, stays) = (Key::parse("people", "ada").unwrap(), Key::parse("people", "grace").unwrap());
        let mut report = RunReport::new(RunId::new(time), time);
        let error = Error::new(ErrorKind::NotFound, "not there");
        for key in [&gone, &stays] {
            report.gaps.push(OpenGap::new(FeedId::from_static("f"), Gap::record(key, &error), report.run));
            report.refused.push(Refusal::new(key.clone(), true, Problem::from(&error)));
        }
        let mut candidates =
            saas_backup_core::Candidates::none(saas_backup_core::Scope::collection(gone.collection.clone()));
        candidates.sample = vec![gone.clone(), stays.clone()];
        let review = Review::new(FeedId::from_static("f"), candidates, "many", report.run);
        report.reviews.push(review.clone());
        let erasing = Erasing { erased: Arc::new(Erased::of([(gone, 9)])), moved: Moved::new() };
        let row = ReportRow::new(&report).unwrap();
        for line in [line(reserved::REPORT, &row), line(reserved::REVIEWS, &review)] {
            let after = erasing.change(&[line]).unwrap().unwrap();
            let text = String::from_utf8(after[0].text.to_vec()).unwrap();
            assert!(!text.contains("ada") && text.contains("grace"), "{text}");
        }
        let other = line(reserved::COVERAGE, &report);
        assert!(erasing.change(&[other]).unwrap().is_none());
    }
}
