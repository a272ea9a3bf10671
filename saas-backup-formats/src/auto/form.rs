use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use saas_backup_core::{Collection, CollectionName, Result};

use super::fit::{Fit, fitted, with_their_own};
use crate::dataset::Dataset;
use crate::form::{Desk, Form, Place, fill};
use crate::text::inline;
use crate::{csv, files, git, ics, mail, markdown, vcf};

/// The form of forms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Auto;

impl Form for Auto {
    const FORMAT: &'static str = "saas-backup-auto";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let fitted = fitted(&dataset.catalog)?;
        for (fit, collections) in &fitted {
            let part = Part { fit: *fit, dataset, collections };
            match fit {
                Fit::Documents => part.write(&markdown::Vault, desk)?,
                Fit::Tables => part.write(&csv::Tables::default(), desk)?,
                Fit::Calendars => part.write(&ics::Calendars, desk)?,
                Fit::Contacts => part.write(&vcf::Contacts, desk)?,
                Fit::Mail => part.write(&mail::Eml, desk)?,
                Fit::Files => part.write(&files::Files, desk)?,
                Fit::Repositories => part.write(&git::Repositories, desk)?,
            }
        }
        desk.output.write("README.md", readme(dataset, &fitted).as_bytes())
    }
}

/// One folder.
struct Part<'a> {
    fit: Fit,
    dataset: &'a Dataset,
    collections: &'a BTreeSet<CollectionName>,
}

impl Part<'_> {
    fn write(&self, form: &impl Form, desk: &mut Desk) -> Result<()> {
        let folder = self.fit.folder();
        let wanted = with_their_own(&self.dataset.catalog, self.collections);
        let dataset = self.dataset.only(&wanted, folder)?;
        let output = fill(form, &dataset, desk.output.part(folder, &dataset.scratch))?;
        desk.output.join(folder, output)?;
        for name in self.collections {
            desk.place(name, Place::new(folder, self.dataset.count(name)));
        }
        Ok(())
    }
}

/// The page for the person who opens the folder.
fn readme(dataset: &Dataset, fitted: &BTreeMap<Fit, BTreeSet<CollectionName>>) -> String {
    let title = dataset.account.as_ref().map_or("Export", |account| &account.name);
    let mut page = format!(
        "# {}\n\nA copy at one point in time. Each kind of thing is in the form that its programs open.\n\n\
         | Folder | What is in it | What opens it |\n| --- | --- | --- |\n",
        inline(title)
    );
    for (fit, collections) in fitted {
        let of = |collection: &Collection| {
            let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
            format!("{} ({})", inline(title), dataset.count(&collection.name))
        };
        let held = dataset.catalog.collections.iter().filter(|collection| collections.contains(&collection.name));
        let held: Vec<String> = held.map(of).collect();
        let _ = writeln!(page, "| [{0}]({0}) | {1} | {2} |", fit.folder(), held.join(", "), fit.opens());
    }
    page.push_str(
        "\nEach folder also has what its records refer to. `losses.ndjson` in a folder lists what its form does not hold; \
         `sha256sum --check --quiet SHA256SUMS` proves that nothing has changed.\n",
    );
    page
}
