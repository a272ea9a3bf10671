use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use saas_backup_core::{Error, ErrorKind, Record, Result};

use super::column::{Object, failed};
use super::envelope::Envelope;
use crate::dataset::Dataset;
use crate::folder::{HashingWriter, Output};
use crate::form::Losses;
use crate::table::Surveyed;

/// Records in a row group at most.
const GROUP_RECORDS: usize = 128 * 1024;
/// Bytes in a row group at most, as they are encoded.
const GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of JSON that are turned into columns at once.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Records that are turned into columns at once.
const BATCH_RECORDS: usize = 16 * 1024;

/// The files of one collection.
pub(super) struct Parts<'a> {
    folder: &'a str,
    most: u64,
    envelope: Envelope,
    data: Object,
    schema: SchemaRef,
    /// The file that is being written, and how many records it has.
    file: Option<(ArrowWriter<HashingWriter>, u64)>,
    pub(super) files: u64,
    /// Records and bytes that wait to be written.
    waiting: (usize, usize),
}

impl<'a> Parts<'a> {
    pub(super) fn new(surveyed: &Surveyed, folder: &'a str, most: u64) -> Self {
        let (envelope, data) = (Envelope::new(surveyed), Object::new(&surveyed.shape, "/data"));
        let fields: Vec<_> = envelope.fields().into_iter().chain(data.fields()).collect();
        Self {
            folder,
            most,
            envelope,
            data,
            schema: Arc::new(Schema::new(fields)),
            file: None,
            files: 0,
            waiting: (0, 0),
        }
    }

    pub(super) fn record(
        &mut self,
        record: &Record,
        dataset: &Dataset,
        output: &mut Output,
        losses: &mut Losses,
    ) -> Result<()> {
        let mut twice = Vec::new();
        self.envelope.take(record, dataset, losses)?;
        let data = record.data.as_str();
        self.data.take(if data.starts_with('{') { data } else { "{}" }, &mut twice);
        for name in twice {
            let reason = format!("the name {name:?} stands twice in one object: its first value is kept");
            losses.part(&record.key, "/data", &reason)?;
        }
        self.waiting = (self.waiting.0 + 1, self.waiting.1 + data.len());
        let written = self.file.as_ref().map_or(0, |(_, records)| *records);
        let whole = written + self.waiting.0 as u64 >= self.most;
        if whole || self.waiting.0 >= BATCH_RECORDS || self.waiting.1 >= BATCH_BYTES {
            self.batch(output)?;
        }
        if whole { self.end(output) } else { Ok(()) }
    }

    /// Ends the files; a collection without records has one without rows.
    pub(super) fn finish(mut self, output: &mut Output) -> Result<u64> {
        if self.waiting.0 > 0 || self.files == 0 {
            self.batch(output)?;
        }
        self.end(output)?;
        Ok(self.files)
    }

    fn batch(&mut self, output: &Output) -> Result<()> {
        let mut arrays = self.envelope.finish()?;
        arrays.extend(self.data.arrays()?);
        self.data.restart();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(failed)?;
        if self.file.is_none() {
            self.file = Some((self.begin(output)?, 0));
            self.files += 1;
        }
        if let Some((writer, records)) = &mut self.file {
            writer.write(&batch).map_err(broken)?;
            *records += self.waiting.0 as u64;
        }
        self.waiting = (0, 0);
        Ok(())
    }

    fn begin(&self, output: &Output) -> Result<ArrowWriter<HashingWriter>> {
        let properties = WriterProperties::builder()
            .set_created_by("saas-backup".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(GROUP_RECORDS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .build();
        let file = output.create(&part_path(self.folder, self.files))?;
        ArrowWriter::try_new(file, Arc::clone(&self.schema), Some(properties)).map_err(broken)
    }

    fn end(&mut self, output: &mut Output) -> Result<()> {
        let Some((writer, _)) = self.file.take() else { return Ok(()) };
        output.keep(&part_path(self.folder, self.files - 1), writer.into_inner().map_err(broken)?)
    }
}

/// The path of a file of a collection.
pub(super) fn part_path(folder: &str, number: u64) -> String {
    format!("{folder}/part-{number:04}.parquet")
}

pub(super) fn broken(error: parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => (*error).into(),
            Err(source) => Error::new(ErrorKind::Unexpected, "a file of columns cannot be written").with_source(source),
        },
        error => Error::new(ErrorKind::InvalidData, "a file of columns is not Parquet").with_source(error),
    }
}
