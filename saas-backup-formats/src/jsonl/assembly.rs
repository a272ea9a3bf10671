use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use saas_backup_core::{
    BlobStatus, Catalog, Collection, CollectionName, Digest, Error, ErrorKind, Gap, Kind, Line, LineCodec, Receipt,
    Record, Result, RunReport,
};

use super::manifest::{BlobTotals, CollectionFile, FORMAT, FileDigest, Manifest, VERSION};
use crate::folder::{HashingWriter, Marker, SumsWriter, create_parents};
use crate::names::{MAX_NAME_BYTES, Names};
use crate::session::{BlobStore, Open, SCRATCH};
use crate::spool::{Intake, OrderedFile};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const GAPS: &str = "gaps.jsonl";
pub(super) const MARKER: Marker = Marker { file: MANIFEST, format: FORMAT };
const README: &str = include_str!("readme.md");

/// Turns what a session holds into an archive.
pub(super) struct Assembly<'a> {
    folder: &'a Path,
    codec: LineCodec,
    blobs: &'a BlobStore,
    held: BTreeSet<Digest>,
    totals: BlobTotals,
    collections: BTreeMap<CollectionName, CollectionFile>,
    files: BTreeMap<String, FileDigest>,
    gaps: Option<HashingWriter>,
    gap_count: u64,
}

impl Assembly<'_> {
    pub(super) fn write(open: Open, report: &RunReport) -> Result<Receipt> {
        let Open { staging, start, intake, blobs, schemas, codec } = open;
        let folder = staging.folder();
        let mut assembly = Assembly {
            folder,
            codec,
            blobs: &blobs,
            held: BTreeSet::new(),
            totals: BlobTotals::default(),
            collections: BTreeMap::new(),
            files: BTreeMap::new(),
            gaps: None,
            gap_count: 0,
        };
        let (account, mut catalog, coverage) = match start {
            Some(start) => (start.account, start.catalog, start.coverage),
            None => (None, Catalog::default(), report.coverage.clone()),
        };
        assembly.records(intake, &mut catalog)?;
        assembly.schemas(&catalog, &schemas)?;
        let gaps = assembly.gaps.take();
        assembly.keep(GAPS, gaps)?;
        assembly.text("README.md", README.as_bytes())?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            account,
            catalog,
            coverage,
            collections: std::mem::take(&mut assembly.collections),
            blobs: assembly.totals,
            gaps: assembly.gap_count,
            files: assembly.files.clone(),
        };
        assembly.text(MANIFEST, &pretty(&manifest)?)?;
        let mut report_file = HashingWriter::create(&folder.join("report.json"))?;
        report_file.write_all(&pretty(report)?)?;
        let (_, report_bytes) = report_file.finish(true)?;
        let sums_bytes = assembly.sums()?;

        let mut receipt = Receipt::default();
        receipt.written = true;
        let bytes = assembly.files.values().map(|file| file.bytes).sum::<u64>();
        receipt.bytes_added = bytes + assembly.totals.bytes + report_bytes + sums_bytes;
        receipt.objects_added = assembly.files.len() as u64 + assembly.totals.count + 2;
        let scratch = folder.join(SCRATCH);
        if scratch.exists() {
            fs::remove_dir_all(scratch)?;
        }
        staging.publish()?;
        Ok(receipt)
    }

    fn records(&mut self, mut intake: Intake, catalog: &mut Catalog) -> Result<()> {
        let mut names = Names::new();
        let mut file: Option<(CollectionName, HashingWriter, u64)> = None;
        let mut ordered = intake.take_ordered()?;
        for settled in intake.settle(self.codec)? {
            let settled = settled?;
            let name = settled.name()?;
            if file.as_ref().is_none_or(|(current, ..)| current != &name) {
                self.end_collection(file.take())?;
                // Names are given in the order of the collections, however their records came.
                let later = ordered.split_off(&name);
                self.adopt_collections(&mut names, std::mem::replace(&mut ordered, later))?;
                file = Some(self.begin_collection(&mut names, name.clone())?);
            }
            if let (Some((record, line)), Some((_, writer, count))) = (&settled.record, &mut file) {
                writer.write_all(line)?;
                writer.write_all(b"\n")?;
                *count += 1;
                for gap in self.blobs_of(record, &settled.gaps)? {
                    self.gap(gap)?;
                }
            }
            for gap in settled.gaps {
                self.gap(gap)?;
            }
        }
        self.end_collection(file)?;
        self.adopt_collections(&mut names, ordered)?;
        for name in catalog.names() {
            if !self.collections.contains_key(name) {
                let empty = self.begin_collection(&mut names, name.clone())?;
                self.end_collection(Some(empty))?;
            }
        }
        let unknown: Vec<_> = self.collections.keys().filter(|name| catalog.get(name).is_none()).cloned().collect();
        catalog.collections.extend(unknown.into_iter().map(|name| Collection::new(name, Kind::Other)));
        Ok(())
    }

    fn begin_collection(
        &mut self,
        names: &mut Names,
        name: CollectionName,
    ) -> Result<(CollectionName, HashingWriter, u64)> {
        let path = records_path(names, &name);
        let writer = HashingWriter::create(&self.folder.join(&path))?;
        self.collections.insert(name.clone(), CollectionFile::new(path, 0));
        Ok((name, writer, 0))
    }

    fn end_collection(&mut self, file: Option<(CollectionName, HashingWriter, u64)>) -> Result<()> {
        let Some((name, writer, count)) = file else { return Ok(()) };
        let Some(entry) = self.collections.get_mut(&name) else { return Ok(()) };
        entry.records = count;
        let path = entry.file.clone();
        self.keep(&path, Some(writer))
    }

    /// Moves the files of whole collections into the archive, with the blobs of their records.
    fn adopt_collections(&mut self, names: &mut Names, ordered: BTreeMap<CollectionName, OrderedFile>) -> Result<()> {
        for (name, file) in ordered {
            let path = records_path(names, &name);
            let to = self.folder.join(&path);
            create_parents(&to)?;
            fs::rename(file.path, to)?;
            for digest in file.blobs {
                self.adopt(digest)?;
            }
            self.files.insert(path.clone(), FileDigest::new(file.written));
            self.collections.insert(name, CollectionFile::new(path, file.records));
        }
        Ok(())
    }

    /// Moves a record's blobs into the archive; gives gaps for those that it should have and that never came.
    fn blobs_of(&mut self, record: &Record, known: &[Gap]) -> Result<Vec<Gap>> {
        let mut missing = Vec::new();
        for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
            let held = match blob.digest {
                Some(digest) => self.adopt(digest)?,
                None => false,
            };
            if let (false, Some(id)) = (held, &blob.id)
                && !known.iter().any(|gap| gap.blob.as_ref() == Some(id))
            {
                let error = Error::new(ErrorKind::NotFound, "the bytes were not handed over");
                missing.push(Gap::blob(&record.key, id.clone(), &error));
            }
        }
        Ok(missing)
    }

    fn adopt(&mut self, digest: Digest) -> Result<bool> {
        if self.held.contains(&digest) {
            return Ok(true);
        }
        let from = self.blobs.path(&digest);
        let Ok(metadata) = fs::metadata(&from) else { return Ok(false) };
        let to = self.folder.join(blob_path(&digest));
        create_parents(&to)?;
        fs::rename(from, to)?;
        self.held.insert(digest);
        self.totals.count += 1;
        self.totals.bytes += metadata.len();
        Ok(true)
    }

    fn gap(&mut self, gap: Gap) -> Result<()> {
        if self.gaps.is_none() {
            self.gaps = Some(HashingWriter::create(&self.folder.join(GAPS))?);
        }
        let mut line = Vec::new();
        self.codec.encode(&Line::Gap(gap), &mut line)?;
        line.push(b'\n');
        if let Some(writer) = &mut self.gaps {
            writer.write_all(&line)?;
        }
        self.gap_count += 1;
        Ok(())
    }

    fn schemas(&mut self, catalog: &Catalog, changes: &BTreeMap<Digest, saas_backup_core::Json>) -> Result<()> {
        let mut names = Names::new();
        for collection in &catalog.collections {
            if let Some(schema) = &collection.schema {
                let name = collection.name.as_str();
                let file = names.give("schemas", name, ".json", name, MAX_NAME_BYTES);
                self.text(&format!("schemas/{file}"), schema.as_bytes())?;
            }
        }
        for (digest, document) in changes {
            self.text(&format!("schemas/{digest}.json"), document.as_bytes())?;
        }
        Ok(())
    }

    fn text(&mut self, path: &str, text: &[u8]) -> Result<()> {
        let mut writer = HashingWriter::create(&self.folder.join(path))?;
        writer.write_all(text)?;
        self.keep(path, Some(writer))
    }

    fn keep(&mut self, path: &str, writer: Option<HashingWriter>) -> Result<()> {
        if let Some(writer) = writer {
            self.files.insert(path.to_owned(), FileDigest::new(writer.finish(true)?));
        }
        Ok(())
    }

    fn sums(&self) -> Result<u64> {
        let mut sums = SumsWriter::new(self.folder)?;
        let blobs = "blobs".to_owned();
        for (path, file) in self.files.range(..blobs.clone()) {
            sums.add(path, file.sha256)?;
        }
        for digest in &self.held {
            sums.add(&blob_path(digest), *digest)?;
        }
        for (path, file) in self.files.range(blobs..) {
            sums.add(path, file.sha256)?;
        }
        sums.finish()
    }
}

fn records_path(names: &mut Names, collection: &CollectionName) -> String {
    let name = collection.as_str();
    format!("records/{}", names.give("records", name, ".jsonl", name, MAX_NAME_BYTES))
}

pub(super) fn blob_path(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("blobs/{}/{hex}", hex.get(..2).unwrap_or_default())
}

fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}
