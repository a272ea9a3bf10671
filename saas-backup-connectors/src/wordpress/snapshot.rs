use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::{StreamExt as _, stream};
use saas_backup_core::{
    BlobRef, ByteStream, Catalog, CollectionCoverage, Coverage, EventStream, FeedStream, Key, Only, ReadRequest,
    Result, Snapshot, Visibility, events,
};

use super::catalog::catalog;
use super::reader::{Reader, collection_of, feeds, is_refusal, parameters};
use super::record::blob_url;
use super::site::{Form, Sight, Site, SiteCollection};
use crate::http::Request;

/// A site now.
#[derive(Debug)]
pub(super) struct SiteSnapshot {
    pub(super) site: Arc<Site>,
    pub(super) lag: TimeDelta,
}

#[async_trait]
impl Snapshot for SiteSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(catalog(&self.site))
    }

    async fn coverage(&self) -> Result<Coverage> {
        let mut coverage = Coverage::default();
        for collection in &self.site.collections {
            coverage = coverage.with(collection.name.clone(), self.coverage_of(collection).await?);
        }
        Ok(coverage)
    }

    fn feeds(&self) -> FeedStream {
        match feeds(&self.site) {
            Ok(feeds) => stream::iter(feeds.into_iter().map(Ok)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (site, lag) = (Arc::clone(&self.site), self.lag);
        // One event waits at most, so that a page's memory is given back when its last record is taken.
        events(1, move |out| async move {
            let collection = collection_of(&site, &request.feed)?;
            let reader = Reader { site, collection, lag, out };
            match &request.only {
                Only::Records(keys) => reader.read_records(keys, request.feed.scope()).await,
                _ => reader.read(request).await,
            }
        })
    }

    async fn open(&self, _owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.site.api.client().download(Request::get(blob_url(blob)?), range).await
    }
}

impl SiteSnapshot {
    async fn coverage_of(&self, of: &SiteCollection) -> Result<CollectionCoverage> {
        let visible = match of.sight {
            Sight::All => Visibility::All,
            Sight::Partly(_) | Sight::Public(_) => Visibility::Partial,
            Sight::None(_) => Visibility::None,
        };
        let mut coverage = CollectionCoverage::new(visible);
        if let Some(right) = of.sight.lacks() {
            coverage.grant = Some(right.to_owned());
            coverage = coverage.with_reason(match of.sight {
                Sight::Partly(_) => "drafts and private records of others may be hidden",
                Sight::Public(_) => "only what visitors see",
                Sight::All | Sight::None(_) => "the user may not see it",
            });
        }
        let counted = matches!(of.form, Form::Posts | Form::Media | Form::Comments | Form::Whole);
        if !counted || visible == Visibility::None {
            return Ok(coverage);
        }
        match self.count(of).await {
            // A user who does not see every record is told how many there are for those who do.
            Ok(Some(count)) => Ok(coverage.with_count(count, of.sight == Sight::All)),
            Ok(None) => Ok(coverage),
            Err(error) if is_refusal(error.kind()) => {
                Ok(CollectionCoverage::new(Visibility::None).with_reason(error.message().to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn count(&self, of: &SiteCollection) -> Result<Option<u64>> {
        let mut parameters = parameters(of);
        parameters.extend([("per_page".to_owned(), "1".to_owned()), ("_fields".to_owned(), "id".to_owned())]);
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = self.site.api.get(&of.path, &parameters).await?;
        Ok(response.header("x-wp-total").and_then(|total| total.trim().parse().ok()))
    }
}
