use std::collections::BTreeSet;

use saas_backup_core::{CollectionName, Line, Result};

use crate::dataset::{Dataset, LinesWriter};

impl Dataset {
    /// Some of the collections, with what is missing of them; `name` tells what is kept for it while it is written.
    pub(crate) fn only(&self, wanted: &BTreeSet<CollectionName>, name: &str) -> Result<Self> {
        let scratch = self.scratch(name);
        let mut gaps = LinesWriter::new(scratch.join("gaps"), true);
        for gap in self.gaps()?.filter(|gap| gap.as_ref().map_or(true, |gap| wanted.contains(&gap.collection))) {
            let mut line = Vec::new();
            self.codec.encode(&Line::Gap(gap?), &mut line)?;
            gaps.line(&line)?;
        }
        let mut part = Self {
            account: self.account.clone(),
            catalog: self.catalog.clone(),
            coverage: self.coverage.clone(),
            schemas: self.schemas.clone(),
            codec: self.codec,
            scratch,
            blobs: self.blobs.another(),
            records: self.records.clone(),
            gaps: gaps.finish()?,
        };
        part.catalog.collections.retain(|collection| wanted.contains(&collection.name));
        part.coverage.collections.retain(|name, _| wanted.contains(name));
        part.records.retain(|name, _| wanted.contains(name));
        Ok(part)
    }
}
