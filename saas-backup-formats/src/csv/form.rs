use saas_backup_core::Result;

use super::package::{PACKAGE, Package};
use super::sheet::Files;
use crate::dataset::Dataset;
use crate::folder::pretty;
use crate::form::{Desk, Form, Place};
use crate::table::{Plan, RowWriter, Survey, Table, copy_blobs};

/// The form of tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tables {
    /// As in [`CsvConfig`](super::CsvConfig).
    pub(crate) spreadsheet: bool,
}

impl Form for Tables {
    const FORMAT: &'static str = "saas-backup-csv";
    const VERSION: u32 = 1;
    const KEEPS_LINES: bool = false;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let survey = Survey::new(dataset)?;
        let Plan { tables, mut collections, .. } = Plan::new(&survey, true);
        let mut resources: Vec<_> = tables.iter().map(|_| None).collect();
        for (number, surveyed) in survey.collections.iter().enumerate() {
            let of_it = |table: &Table| table.collection == surveyed.name;
            let mut files = Files::create(&tables, of_it, &desk.output, self.spreadsheet)?;
            let mut writer = RowWriter::new(dataset, &survey.keys, &mut desk.losses, &mut files, true);
            for record in dataset.records(&surveyed.name)? {
                if let Some(layout) = collections.get_mut(number) {
                    writer.record(layout, &record?.0)?;
                }
            }
            files.finish(&mut desk.output, &mut resources)?;
            let name = tables.get(number).map_or("", |table| &table.name);
            desk.place(&surveyed.name, Place::new(format!("{name}.csv"), surveyed.records));
        }
        copy_blobs(dataset, &mut desk.output)?;
        let package = Package::new(dataset.account.as_ref(), resources.into_iter().flatten().collect());
        desk.output.write(PACKAGE, &pretty(&package)?)
    }
}
