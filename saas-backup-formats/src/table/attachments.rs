use std::path::PathBuf;

use saas_backup_core::{Digest, Result};

use crate::dataset::Dataset;
use crate::folder::Output;

/// Where attachments lie in an export.
pub(crate) fn blob_file(digest: &str) -> String {
    format!("blobs/{}/{digest}", digest.get(..2).unwrap_or_default())
}

/// The attachments that are held, each once: digest, file, and length in bytes.
pub(crate) fn held_blobs(dataset: &Dataset) -> Result<impl Iterator<Item = Result<(Digest, PathBuf, u64)>>> {
    Ok(dataset.held()?.map(|digest| {
        let digest = digest?;
        let path = dataset.blobs.path(&digest);
        let bytes = path.metadata()?.len();
        Ok((digest, path, bytes))
    }))
}

/// Puts every attachment into the export, once: where the tables say that it is.
pub(crate) fn copy_blobs(dataset: &Dataset, output: &mut Output) -> Result<()> {
    for blob in held_blobs(dataset)? {
        let (digest, path, bytes) = blob?;
        output.copy(&path, &blob_file(&digest.to_string()), (digest, bytes))?;
    }
    Ok(())
}
