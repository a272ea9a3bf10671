use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use saas_backup_core::{CheckReport, CollectionName, Result};

use super::form::Columns;
use super::part::part_path;
use crate::folder::{audit, contained};
use crate::form::{Manifest, Place};

/// Records that are read at once.
const BATCH: usize = 1024;

/// Reads every column of every file; counts records, whose ids have to be sorted and unique, looks for the file of every
/// attachment, and compares all files with their digests: pages of Parquet need not tell that a byte was changed.
///
/// # Errors
///
/// If there are no columns, or a file cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let manifest = Manifest::read::<Columns>(folder)?;
    let mut report = CheckReport::default();
    let audit = audit(folder)?;
    for (files, problem) in [
        (&audit.missing, "a file that is not there"),
        (&audit.changed, "a file that is not as it was written"),
        (&audit.foreign, "a file that the export does not know"),
    ] {
        for file in files {
            report.find(file, "", problem);
        }
    }
    for (collection, place) in &manifest.collections {
        let files = manifest.content.get("files").and_then(|files| files.get(collection.as_str()));
        let files = files.and_then(serde_json::Value::as_u64).unwrap_or(0);
        Look { folder, collection, place, last: None, records: 0, report: &mut report }.files(files);
    }
    Ok(report)
}

/// The files of one collection.
struct Look<'a> {
    folder: &'a Path,
    collection: &'a CollectionName,
    place: &'a Place,
    last: Option<String>,
    records: u64,
    report: &'a mut CheckReport,
}

impl Look<'_> {
    fn files(mut self, files: u64) {
        for number in 0..files {
            let path = part_path(&self.place.at, number);
            self.report.files += 1;
            if let Err(problem) = self.file(&path) {
                self.report.find(&path, "", format!("cannot be read: {problem}"));
            }
        }
        self.report.add("records", self.records);
        if self.records != self.place.records {
            let problem = format!("{} records of {}, which has {}", self.records, self.collection, self.place.records);
            self.report.find(&self.place.at, "", problem);
        }
    }

    fn file(&mut self, path: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let file = File::open(contained(self.folder, path)?)?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH).build()? {
            let batch = batch?;
            self.records += batch.num_rows() as u64;
            self.ids(path, &batch);
            self.attachments(path, &batch)?;
        }
        Ok(())
    }

    fn ids(&mut self, path: &str, batch: &RecordBatch) {
        let ids = batch.column_by_name("_id").and_then(|ids| ids.as_string_opt::<i32>());
        let Some(ids) = ids else { return self.report.find(path, "_id", "there is no such column of texts") };
        for id in ids {
            let id = id.map(str::to_owned);
            if id.is_none() || self.last >= id {
                self.report.find(path, id.clone().unwrap_or_default(), "an id that does not follow the one before");
            }
            self.last = id;
        }
    }

    fn attachments(&mut self, path: &str, batch: &RecordBatch) -> Result<()> {
        let lists = batch.column_by_name("_blobs").and_then(|blobs| blobs.as_list_opt::<i32>());
        let blobs = lists.and_then(|lists| lists.values().as_struct_opt());
        let files = blobs.and_then(|blobs| blobs.column_by_name("file")).and_then(|files| files.as_string_opt::<i32>());
        for file in files.into_iter().flatten().flatten() {
            self.report.add("attachments", 1);
            if !contained(self.folder, file)?.exists() {
                self.report.find(path, file, "the attachment is not there");
            }
        }
        Ok(())
    }
}
