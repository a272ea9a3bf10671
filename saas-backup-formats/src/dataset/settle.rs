use std::path::PathBuf;

use saas_backup_core::{
    BlobStatus, Catalog, Collection, CollectionName, Digest, Error, ErrorKind, Gap, Kind, Line, Record, Result,
    RunReport,
};

use super::{Dataset, Lines, Owned};
use crate::folder::{LineFile, Staging};
use crate::session::{Open, SCRATCH};

impl Dataset {
    /// Settles what a session holds; the folder is still to be filled.
    pub(crate) fn settle(open: Open, report: &RunReport) -> Result<(Self, Staging)> {
        let Open { staging, keeps_lines, start, mut intake, blobs, schemas, codec } = open;
        let (account, catalog, coverage) = match start {
            Some(start) => (start.account, start.catalog, start.coverage),
            None => (None, Catalog::default(), report.coverage.clone()),
        };
        let records = intake.take_ordered()?;
        let scratch = staging.folder().join(SCRATCH);
        let mut dataset = Self { account, catalog, coverage, schemas, codec, scratch, blobs, records, gaps: None };
        let mut gaps = LinesWriter::new(dataset.scratch("gaps"), true);
        let mut current: Option<(CollectionName, LinesWriter)> = None;
        for settled in intake.settle(codec)? {
            let settled = settled?;
            let name = settled.name()?;
            if let Some((record, line)) = &settled.record {
                if current.as_ref().is_none_or(|(current, _)| current != &name) {
                    dataset.end(current.take())?;
                    let path = dataset.scratch("settled").join(dataset.records.len().to_string());
                    current = Some((name, LinesWriter::new(path, keeps_lines)));
                }
                let (held, missing) = dataset.blobs_of(record, &settled.gaps);
                if let Some((_, writer)) = &mut current {
                    writer.line(line)?;
                    for digest in &held {
                        writer.blobs.add(digest)?;
                    }
                }
                for gap in missing {
                    gaps.line(&dataset.gap_line(gap)?)?;
                }
            }
            for gap in settled.gaps {
                gaps.line(&dataset.gap_line(gap)?)?;
            }
        }
        dataset.end(current)?;
        dataset.gaps = gaps.finish()?;
        let unknown = dataset.records.keys().filter(|name| dataset.catalog.get(name).is_none());
        let unknown: Vec<_> = unknown.map(|name| Collection::new(name.clone(), Kind::Other)).collect();
        dataset.catalog.collections.extend(unknown);
        Ok((dataset, staging))
    }

    fn end(&mut self, current: Option<(CollectionName, LinesWriter)>) -> Result<()> {
        if let Some((name, writer)) = current
            && let Some(lines) = writer.finish()?
        {
            self.records.insert(name, lines);
        }
        Ok(())
    }

    /// The blobs of a record that are held, and gaps for those that it should have and that never came.
    fn blobs_of(&self, record: &Record, known: &[Gap]) -> (Vec<Digest>, Vec<Gap>) {
        let (mut held, mut missing) = (Vec::new(), Vec::new());
        for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
            match (self.blob(blob), &blob.id) {
                (Some((_, digest)), _) => held.push(digest),
                (None, Some(id)) if !known.iter().any(|gap| gap.blob.as_ref() == Some(id)) => {
                    let error = Error::new(ErrorKind::NotFound, "the bytes were not handed over");
                    missing.push(Gap::blob(&record.key, id.clone(), &error));
                }
                (None, _) => {}
            }
        }
        (held, missing)
    }

    fn gap_line(&self, gap: Gap) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        self.codec.encode(&Line::Gap(gap), &mut line)?;
        Ok(line)
    }
}

/// Writes lines to a file that begins with the first one.
pub(crate) struct LinesWriter {
    path: PathBuf,
    kept: bool,
    writer: Option<LineFile>,
    count: u64,
    blobs: Owned,
}

impl LinesWriter {
    /// Lines that are `kept` as a part of the export have a digest.
    pub(crate) fn new(path: PathBuf, kept: bool) -> Self {
        let blobs = Owned::new(path.with_extension("blobs"));
        Self { path, kept, writer: None, count: 0, blobs }
    }

    pub(crate) fn line(&mut self, line: &[u8]) -> Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(LineFile::create(&self.path, self.kept)?),
        };
        writer.line(line)?;
        self.count += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Option<Lines>> {
        let Some(writer) = self.writer else { return Ok(None) };
        let blobs = self.blobs.finish()?;
        let (digest, bytes) = writer.finish(true)?;
        Ok(Some(Lines {
            path: self.path,
            digest,
            bytes,
            count: self.count,
            blobs,
            #[cfg(feature = "_table")]
            looked: None,
        }))
    }
}
