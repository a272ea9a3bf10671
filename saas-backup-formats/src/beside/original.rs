use std::fs::{self, File};
use std::io::Read as _;

use saas_backup_core::{BlobRef, Record, Result};

use super::Properties;
use crate::dataset::Dataset;
use crate::form::Desk;

/// Largest original that is taken into another file, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What a provider gave in the very format that is written: a blob of this media type, or the text property `raw`.
pub(crate) fn original(
    dataset: &Dataset,
    desk: &mut Desk,
    record: &Record,
    properties: Properties<'_>,
    media_types: &[&str],
) -> Result<Option<Vec<u8>>> {
    let held = record.blobs.iter().filter(|blob| is_of(blob, media_types));
    for (path, _) in held.filter_map(|blob| dataset.blob(blob)) {
        let bytes = fs::metadata(&path)?.len();
        if bytes > MAX_BYTES {
            desk.losses.part(&record.key, "/blobs", "the original is too large: it stands beside as a file")?;
            continue;
        }
        let mut original = Vec::with_capacity(bytes as usize);
        File::open(&path)?.read_to_end(&mut original)?;
        return Ok(Some(original));
    }
    Ok(properties.text("raw").map(String::into_bytes))
}

/// Whether a blob is of one of these media types, whatever their parameters.
pub(crate) fn is_of(blob: &BlobRef, media_types: &[&str]) -> bool {
    let media_type = blob.media_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    media_types.iter().any(|known| known.eq_ignore_ascii_case(media_type))
}
