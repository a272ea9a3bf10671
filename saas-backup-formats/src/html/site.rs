use std::collections::BTreeMap;
use std::path::Path;

use saas_backup_core::Result;

use super::drafts::Drafter;
use super::front::front_page;
use super::press::Press;
use crate::dataset::Dataset;
use crate::form::{Desk, Form};
use crate::import::{Import, Loading};
use crate::pages::{Style, Survey, read_sources};

/// The folder of the style sheet and of the script.
pub(super) const ASSETS: &str = "_site";

pub(super) const STYLE: Style = Style {
    extension: ".html",
    reserved: &[ASSETS, super::search::FOLDER, "missing.html"],
    reserved_below: &["tree.html"],
    rows: 200,
    anchors: true,
    fragments: "t-",
    browsed: true,
    days: false,
    plain_names: false,
};

/// The form of a site.
///
/// Everything is read twice: the survey finds places for records and attachments, then each record becomes a draft.
/// What leads to a record is known when all are drafted, so that pages are printed from drafts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site;

impl Form for Site {
    const FORMAT: &'static str = "saas-backup-html";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let (mut survey, mut names_file) = Survey::of(dataset, STYLE, desk)?;
        survey.place(&mut names_file)?;
        names_file.finish(&mut desk.output)?;
        let attachments = survey.attachments;
        let drafts = Drafter::new(dataset, &mut survey, desk)?.run()?;
        let links = drafts.links;
        let summary = Press::new(dataset, &mut survey, &mut desk.output)?.run(drafts)?;
        front_page(dataset, &survey.collections, desk, &summary, attachments)?;
        desk.content.insert("attachments".to_owned(), serde_json::to_value(attachments)?);
        desk.content.insert("links".to_owned(), serde_json::to_value(links)?);
        desk.content.insert("searchable".to_owned(), summary.searchable.into());
        for (name, content) in super::frame::ASSET_FILES {
            desk.output.write(&format!("{ASSETS}/{name}"), content.as_bytes())?;
        }
        Ok(())
    }
}

impl Import for Site {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_sources::<Self>(folder, STYLE.extension, into)
    }
}

/// What is known when all pages are printed.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Documents that the search finds.
    pub(super) searchable: u32,
    /// The newest time of a change.
    pub(super) newest: Option<chrono::DateTime<chrono::Utc>>,
    /// How often each thing did not arrive.
    pub(super) lost: BTreeMap<String, u64>,
    /// The first page of each collection's hierarchy, where it has one.
    pub(super) trees: BTreeMap<String, String>,
}
