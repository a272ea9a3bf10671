//! What the formats share that make a folder of files, pages or tables: each is a [`Form`], and [`publish`] adds what
//! all folders have: `manifest.json`, `losses.ndjson`, `report.json` and `SHA256SUMS`.

mod losses;
mod manifest;
mod part;
mod records;
mod store;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use saas_backup_core::{Account, CollectionName, Receipt, Result, RunReport, Sink, SinkOptions};
use serde_json::{Map, Value};

use crate::dataset::Dataset;
use crate::folder::{Marker, Output, REPORT, SUMS, pretty, write_json};
use crate::session::{FolderSink, Keeping, Open, Session, blocking};

pub(crate) use losses::{LOSSES, Losses};
pub use manifest::{Manifest, Place};
pub(crate) use records::lines;
pub(crate) use store::Store;

/// What a folder says about itself.
const MANIFEST: &str = "manifest.json";

/// The names that every folder takes for itself.
pub(crate) const RESERVED: [&str; 5] = [MANIFEST, LOSSES, GAPS, REPORT, SUMS];

/// What is known to be missing, in lines of the stored profile; not there if nothing is.
pub(crate) const GAPS: &str = "gaps.jsonl";

/// Makes files of a dataset: the part in which formats differ.
pub(crate) trait Form: Debug + Send + Sync + 'static {
    /// The `format` member of the manifest: `saas-backup-` and the name.
    const FORMAT: &'static str;
    /// The version of the format that is written.
    const VERSION: u32;
    /// Whether the lines of records are a part of the export: their digests are worked out then.
    const KEEPS_LINES: bool = true;
    /// How its folders are told from others.
    const MARKER: Marker = Marker { file: MANIFEST, format: Self::FORMAT };

    /// Writes the files. What they cannot hold goes to [`Desk::losses`], where gaps are already.
    ///
    /// The same dataset must give the same bytes: nothing may depend on the time, on a map's order or on threads.
    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()>;
}

/// Where a form writes to.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The files; the names of [`RESERVED`] are taken.
    pub(crate) output: Output,
    /// What the files do not hold.
    pub(crate) losses: Losses,
    /// Where each collection is, for the manifest.
    pub(crate) places: BTreeMap<CollectionName, Place>,
    /// What else the manifest tells.
    pub(crate) content: Map<String, Value>,
}

impl Desk {
    /// Notes where a collection is.
    pub(crate) fn place(&mut self, collection: &CollectionName, place: Place) {
        self.places.insert(collection.clone(), place);
    }
}

/// Opens a sink that writes a folder in this form.
pub(crate) async fn sink<F: Form>(form: F, path: &Path, options: SinkOptions) -> Result<Box<dyn Sink>> {
    let path = path.to_path_buf();
    let session = blocking(move || {
        Session::open(&path, F::MARKER, &options, Keeping { carry_over: false, lines: F::KEEPS_LINES })
    })
    .await?;
    Ok(Box::new(FolderSink::new(session, move |open, report| publish(&form, open, report))))
}

/// The account of a folder in this form: the folder itself, because a copy has none of its own.
pub(crate) fn account<F: Form>(path: &Path) -> Account {
    Account::new(F::FORMAT, path.display().to_string())
}

/// Ends a session: the form writes its files, and the folder takes its place when it is whole.
pub(crate) fn publish<F: Form>(form: &F, open: Open, report: &RunReport) -> Result<Receipt> {
    let (dataset, staging) = Dataset::settle(open, report)?;
    let folder = staging.folder();
    let output = fill(form, &dataset, Output::new(folder, &dataset.scratch))?;
    let (_, report_bytes) = write_json(&folder.join(REPORT), report, false)?;
    let (files, bytes) = output.finish()?;
    if dataset.scratch.exists() {
        fs::remove_dir_all(&dataset.scratch)?;
    }
    staging.publish()?;

    let mut receipt = Receipt::default();
    receipt.written = true;
    receipt.bytes_added = bytes + report_bytes;
    receipt.objects_added = files + 1;
    Ok(receipt)
}

/// Writes the files of a form, its losses and its manifest.
pub(crate) fn fill<F: Form>(form: &F, dataset: &Dataset, output: Output) -> Result<Output> {
    let losses = Losses::create(&output)?;
    let mut desk = Desk { output, losses, places: BTreeMap::new(), content: Map::new() };
    for gap in dataset.gaps()? {
        desk.losses.gap(&gap?)?;
    }
    if let Some(gaps) = &dataset.gaps {
        desk.output.copy(&gaps.path, GAPS, gaps.written()?)?;
    }
    form.write(dataset, &mut desk)?;
    let Desk { mut output, losses, places, content } = desk;
    let manifest = Manifest {
        format: F::FORMAT.to_owned(),
        version: F::VERSION,
        account: dataset.account.clone(),
        catalog: dataset.catalog.clone(),
        coverage: dataset.coverage.clone(),
        collections: places,
        content,
        losses: losses.count,
        gaps: losses.gaps,
    };
    losses.finish(&mut output)?;
    output.write(MANIFEST, &pretty(&manifest)?)?;
    Ok(output)
}
