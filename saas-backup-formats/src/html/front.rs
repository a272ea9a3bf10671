//! The first page: what is here, and what is not.

use std::collections::BTreeMap;

use minijinja::context;
use saas_backup_core::{CollectionName, Result};

use super::frame::{Frame, give};
use super::media::size_text;
use super::press::title_of_collection;
use super::site::Summary;
use super::time::time_view;
use crate::dataset::Dataset;
use crate::form::Desk;
use crate::form::value::time_text;
use crate::pages::{AttachmentTotals, CollectionPages};

/// Writes `index.html`.
pub(super) fn front_page(
    dataset: &Dataset,
    places: &BTreeMap<CollectionName, CollectionPages>,
    desk: &mut Desk,
    summary: &Summary,
    attachments: AttachmentTotals,
) -> Result<()> {
    let mut missing: BTreeMap<CollectionName, u64> = BTreeMap::new();
    for gap in dataset.gaps()? {
        *missing.entry(gap?.collection).or_default() += 1;
    }
    let (mut full, mut versions, mut empty, mut records) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for collection in &dataset.catalog.collections {
        let Some(place) = places.get(&collection.name) else { continue };
        let are_versions = collection.fields.version_of.is_some();
        records += if are_versions { 0 } else { place.records };
        let coverage = dataset.coverage.collections.get(&collection.name);
        let gaps = missing.get(&collection.name).copied().unwrap_or(0);
        let entry = context! {
            title => title_of_collection(collection),
            href => crate::text::relative("index.html", &format!("{}/index.html", place.folder)),
            tree => summary.trees.get(collection.name.as_str()).map(|tree| crate::text::relative("index.html", tree)),
            kind => give(&collection.kind), records => place.records, coverage => give(&coverage), gaps,
        };
        if are_versions && place.records > 0 && gaps == 0 {
            versions.push(entry);
        } else if place.records > 0 || gaps > 0 || coverage.is_some_and(|coverage| coverage.hidden.unwrap_or(0) > 0) {
            full.push(entry);
        } else {
            empty.push(entry);
        }
    }
    let frame = Frame::new(dataset)?;
    let account = dataset.account.as_ref().map(|account| {
        let facts: Vec<(String, String)> = account
            .facts
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().trim_matches('"').to_owned()))
            .collect();
        context! { id => &account.id, facts => give(&facts), scopes => give(&account.scopes) }
    });
    let context = context! {
        account, full, versions, empty, records,
        newest => give(&summary.newest.map(|time| time_view(&time_text(time)))),
        attachments => attachments.count, attachment_bytes => size_text(attachments.bytes),
        gaps => desk.losses.gaps, lost => give(&summary.lost), losses => desk.losses.count,
        searchable => summary.searchable,
    };
    let heading = frame.archive.clone();
    frame.page(&mut desk.output, "front.html", "index.html", &heading, context)
}
