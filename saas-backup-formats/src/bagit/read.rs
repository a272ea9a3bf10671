use std::path::Path;

use saas_backup_core::{Error, ErrorKind, Result};

use super::form::{Bag, blob_path};
use crate::folder::{audit, contained};
use crate::import::{Import, Loading};

impl Import for Bag {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        let audit = audit(folder)?;
        if let Some(file) = audit.changed.first().or_else(|| audit.missing.first()) {
            return Err(Error::new(
                ErrorKind::Integrity,
                "the bag is damaged: a file is missing, or not as it was written",
            )
            .with_context("file", file));
        }
        let manifest = into.manifest::<Self>(folder)?;
        for place in manifest.collections.values() {
            into.source(&contained(folder, &place.at)?, |digest| Ok(Some(contained(folder, &blob_path(digest))?)))?;
        }
        Ok(())
    }
}
