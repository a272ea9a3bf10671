use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use saas_backup_core::{Catalog, CollectionName, Digest, Receipt, Result, RunReport};

use super::manifest::{BlobTotals, CollectionFile, FORMAT, FileDigest, Manifest, VERSION};
use crate::dataset::Dataset;
use crate::folder::{HashingWriter, Marker, REPORT, SumsWriter, create_parents, pretty, write_json};
use crate::names::{MAX_NAME_BYTES, Names};
use crate::session::Open;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const GAPS: &str = "gaps.jsonl";
pub(crate) const MARKER: Marker = Marker { file: MANIFEST, format: FORMAT };
const README: &str = include_str!("readme.md");

/// Turns what a session holds into an archive.
pub(crate) struct Assembly<'a> {
    folder: &'a Path,
    dataset: &'a Dataset,
    totals: BlobTotals,
    collections: BTreeMap<CollectionName, CollectionFile>,
    files: BTreeMap<String, FileDigest>,
}

impl Assembly<'_> {
    pub(crate) fn write(open: Open, report: &RunReport) -> Result<Receipt> {
        let (dataset, staging) = Dataset::settle(open, report)?;
        let folder = staging.folder();
        let mut assembly = Assembly {
            folder,
            dataset: &dataset,
            totals: BlobTotals::default(),
            collections: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        assembly.records()?;
        assembly.blobs()?;
        assembly.schemas(&dataset.catalog, &dataset.schemas)?;
        if let Some(gaps) = &dataset.gaps {
            assembly.move_in(&gaps.path, GAPS, gaps.written()?)?;
        }
        assembly.text("README.md", README.as_bytes())?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            account: dataset.account.clone(),
            catalog: dataset.catalog.clone(),
            coverage: dataset.coverage.clone(),
            collections: std::mem::take(&mut assembly.collections),
            blobs: assembly.totals,
            gaps: dataset.gaps.as_ref().map_or(0, |gaps| gaps.count),
            files: assembly.files.clone(),
        };
        assembly.text(MANIFEST, &pretty(&manifest)?)?;
        let (_, report_bytes) = write_json(&folder.join(REPORT), report, true)?;
        let sums_bytes = assembly.sums()?;

        let mut receipt = Receipt::default();
        receipt.written = true;
        let bytes = assembly.files.values().map(|file| file.bytes).sum::<u64>();
        receipt.bytes_added = bytes + assembly.totals.bytes + report_bytes + sums_bytes;
        receipt.objects_added = assembly.files.len() as u64 + assembly.totals.count + 2;
        if dataset.scratch.exists() {
            fs::remove_dir_all(&dataset.scratch)?;
        }
        staging.publish()?;
        Ok(receipt)
    }

    /// Moves the lines of each collection into the archive.
    fn records(&mut self) -> Result<()> {
        let (dataset, mut names) = (self.dataset, Names::new());
        for (name, lines) in &dataset.records {
            let path = records_path(&mut names, name);
            self.move_in(&lines.path, &path, lines.written()?)?;
            self.collections.insert(name.clone(), CollectionFile::new(path, lines.count));
        }
        for name in dataset.catalog.names().filter(|name| !dataset.records.contains_key(*name)) {
            let path = records_path(&mut names, name);
            self.text(&path, b"")?;
            self.collections.insert(name.clone(), CollectionFile::new(path, 0));
        }
        Ok(())
    }

    /// Moves the blobs of all records into the archive.
    fn blobs(&mut self) -> Result<()> {
        for digest in self.dataset.held()? {
            let digest = digest?;
            let from = self.dataset.blobs.path(&digest);
            let bytes = fs::metadata(&from)?.len();
            let to = self.folder.join(blob_path(&digest));
            create_parents(&to)?;
            fs::rename(from, to)?;
            self.totals.count += 1;
            self.totals.bytes += bytes;
        }
        Ok(())
    }

    fn move_in(&mut self, from: &Path, path: &str, written: (Digest, u64)) -> Result<()> {
        let to = self.folder.join(path);
        create_parents(&to)?;
        fs::rename(from, to)?;
        self.files.insert(path.to_owned(), FileDigest::new(written));
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
        self.files.insert(path.to_owned(), FileDigest::new(writer.finish(true)?));
        Ok(())
    }

    fn sums(&self) -> Result<u64> {
        let mut sums = SumsWriter::new(self.folder)?;
        let blobs = "blobs".to_owned();
        for (path, file) in self.files.range(..blobs.clone()) {
            sums.add(path, file.sha256)?;
        }
        for digest in self.dataset.held()? {
            let digest = digest?;
            sums.add(&blob_path(&digest), digest)?;
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
