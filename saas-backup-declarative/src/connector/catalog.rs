use std::sync::Arc;

use saas_backup_core::{Catalog, Collection, CollectionName, Json, Kind, RefRule, Result};

use super::DeclarativeOverlay;
use crate::plan::Plan;
use crate::shared::Shared;

/// The collections of a manifest, as its schemas and its overlay describe them. One that cannot be read is among them.
///
/// Asks the provider where it describes its records itself.
pub(super) async fn catalog(plan: &Plan, overlay: &DeclarativeOverlay, shared: &Arc<Shared>) -> Result<Catalog> {
    let mut collections = Vec::new();
    for planned in &plan.streams {
        let name = CollectionName::parse(planned.name.clone())?;
        let mut collection = Collection::new(name, Kind::Other);
        collection.title = planned.name.replace(['_', '-'], " ");
        collection.key = Vec::new();
        if let Ok(stream) = &planned.stream {
            collection.key = stream.key.iter().map(|path| path.join(".")).collect();
            if let Some(schema) = stream.schema.load(shared).await {
                collection = collection.with_schema(Json::from_value(&schema)?);
            }
            for parent in stream.router.iter().flat_map(|router| router.parents()) {
                if plan.get(&parent.stream.name).is_some() {
                    collection = collection.with_ref(RefRule::one(
                        &parent.stream.name,
                        CollectionName::parse(parent.stream.name.clone())?,
                    ));
                }
            }
        }
        let uploads = planned.stream.as_ref().is_ok_and(|stream| stream.uploader.is_some());
        collection.blobs = uploads || overlay.records.get(&planned.name).is_some_and(|rules| !rules.blobs.is_empty());
        collections.push(collection);
    }
    let mut catalog = Catalog::new(collections);
    let mut known = overlay.overlay.clone();
    // A manifest of another version may lack what the overlay speaks of.
    known.collections.retain(|name, _| catalog.get(name).is_some());
    known.apply(&mut catalog)?;
    Ok(catalog)
}
