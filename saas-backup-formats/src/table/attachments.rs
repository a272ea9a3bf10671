use std::collections::BTreeSet;

use saas_backup_core::{Digest, Result};

use super::rows::blob_file;
use crate::dataset::Dataset;
use crate::folder::Output;

/// Puts every attachment into the export, once: where the tables say that it is.
pub(crate) fn copy_blobs(dataset: &Dataset, output: &mut Output) -> Result<()> {
    let held: BTreeSet<&Digest> = dataset.records.values().flat_map(|lines| &lines.blobs).collect();
    for digest in held {
        let path = dataset.blobs.path(digest);
        if let Ok(metadata) = path.metadata() {
            output.copy(&path, &blob_file(&digest.to_string()), (*digest, metadata.len()))?;
        }
    }
    Ok(())
}
