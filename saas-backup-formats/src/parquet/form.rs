use saas_backup_core::Result;
use serde_json::json;

use super::part::Parts;
use crate::dataset::Dataset;
use crate::form::{Desk, Form, Place};
use crate::table::{Identifiers, Survey, copy_blobs, root_names};

/// The form of columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// As in [`ParquetConfig`](super::ParquetConfig).
    pub(super) part_records: u64,
}

impl Form for Columns {
    const FORMAT: &'static str = "saas-backup-parquet";
    const VERSION: u32 = 1;
    const KEEPS_LINES: bool = false;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let survey = Survey::new(dataset)?;
        let mut names = Identifiers::default();
        // The folder of the attachments.
        names.give("blobs", "");
        let folders = root_names(&survey, &mut names);
        let mut files = serde_json::Map::new();
        for (surveyed, folder) in survey.collections.iter().zip(&folders) {
            let mut parts = Parts::new(surveyed, folder, self.part_records);
            for record in dataset.records(&surveyed.name)? {
                parts.record(&record?.0, dataset, &mut desk.output, &mut desk.losses)?;
            }
            files.insert(surveyed.name.as_str().to_owned(), json!(parts.finish(&mut desk.output)?));
            desk.place(&surveyed.name, Place::new(folder.clone(), surveyed.records));
        }
        copy_blobs(dataset, &mut desk.output)?;
        desk.content.insert("files".to_owned(), files.into());
        Ok(())
    }
}
