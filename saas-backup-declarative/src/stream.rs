use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::json;

use crate::extract::Selector;
use crate::job::Jobs;
use crate::manifest::Component;
use crate::paginate::Paginator;
use crate::plan::Builder;
use crate::request::{QueryProperties, Requester};
use crate::schema::Schema;
use crate::shared::Shared;
use crate::slice::{DatetimeCursor, Partition, Partitions, Router};
use crate::time::{Moment, Period};
use crate::upload::Uploader;

/// A collection of a manifest, ready to be read.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    /// The paths that make the key of a record.
    pub(crate) key: Vec<Vec<String>>,
    pub(crate) schema: Schema,
    pub(crate) requester: Requester,
    /// What has the records prepared before they are fetched.
    pub(crate) jobs: Option<Jobs>,
    pub(crate) properties: Option<QueryProperties>,
    pub(crate) selector: Selector,
    pub(crate) paginator: Option<Paginator>,
    pub(crate) router: Option<Arc<Router>>,
    pub(crate) cursor: Option<DatetimeCursor>,
    /// Whether only the first page's request names the slice.
    pub(crate) slice_once: bool,
    /// What reads the changes, where that is done in another way than reading everything.
    pub(crate) changes: Option<Box<Changes>>,
    /// Records after which pages are counted anew, from the latest time that was seen: more of one list the provider does
    /// not give.
    pub(crate) reset_after: Option<usize>,
    /// How the file of each record is fetched, if each has one.
    pub(crate) uploader: Option<Uploader>,
}

/// How the changes of a collection are read that is otherwise read in another way.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) stream: Arc<Stream>,
    /// How long the provider tells them; what is older is read in full.
    pub(crate) kept_for: Option<Period>,
}

impl Stream {
    pub(crate) fn build(component: &Component<'_>, builder: &mut Builder, is_parent: bool) -> Result<Self> {
        match component.kind() {
            "DeclarativeStream" => {}
            "StateDelegatingStream" => return Self::delegating(component, builder, is_parent),
            _ => return Err(component.unknown()),
        }
        let shared = Arc::clone(&builder.shared);
        let scope = shared.scope();
        let name = component.expression("name")?.ok_or_else(|| component.wrong("name is missing"))?.text(&scope)?;
        let retriever = component.required("retriever")?;
        let cursor = match component.child("incremental_sync")? {
            Some(cursor) => Some(DatetimeCursor::build(&cursor, &shared)?),
            None => None,
        };
        let routers = retriever.children("partition_router")?;
        let transforms = component.children("transformations")?;
        let filters = cursor.as_ref().is_some_and(|cursor| cursor.filters);
        let Fetching { requester, jobs, selector, paginator } =
            Fetching::build(&retriever, &transforms, filters, &shared)?;
        let provider = jobs.as_ref().map_or(&requester, Jobs::requester);
        let uploader = component.child("file_uploader")?;
        let uploader = uploader.map(|uploader| Uploader::build(&uploader, provider, &shared)).transpose()?;
        let properties = match retriever.child("requester")? {
            Some(requester) => QueryProperties::build(&requester, &name, builder)?,
            None => None,
        };
        Ok(Self {
            key: key_paths(component)?,
            schema: Schema::build(component, &name, builder)?,
            requester: requester.with_cache(is_parent && jobs.is_none()),
            jobs,
            properties,
            selector,
            paginator,
            router: Router::build(&routers, builder)?,
            cursor,
            slice_once: retriever.flag("ignore_stream_slicer_parameters_on_paginated_requests"),
            changes: None,
            reset_after: reset_after(&retriever)?,
            uploader,
            name,
        })
    }

    /// One that is read in full in one way, and for its changes in another.
    fn delegating(component: &Component<'_>, builder: &mut Builder, is_parent: bool) -> Result<Self> {
        let whole = Self::build(&component.required("full_refresh_stream")?, builder, is_parent)?;
        let changes = Self::build(&component.required("incremental_stream")?, builder, is_parent)?;
        if whole.router.is_some() || changes.router.is_some() || changes.cursor.is_none() {
            return Err(component.wrong("changes can only be read of what has no partitions, and from a cursor on"));
        }
        let kept_for = component.text("api_retention_period").map(|text| {
            Period::parse(text).ok_or_else(|| component.wrong("api_retention_period is no duration of ISO 8601"))
        });
        let changes = Changes { stream: Arc::new(changes), kept_for: kept_for.transpose()? };
        Ok(Self { changes: Some(Box::new(changes)), ..whole })
    }

    /// What reads from a point in time on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CursorExpired`] if the provider no longer tells what changed since then.
    pub(crate) fn since(self: &Arc<Self>, since: Option<i64>, shared: &Shared) -> Result<Arc<Self>> {
        let (Some(changes), Some(since)) = (&self.changes, since) else { return Ok(Arc::clone(self)) };
        let oldest = changes.kept_for.as_ref().and_then(|period| Moment::from(shared.clock.now()).minus(period));
        if oldest.is_some_and(|oldest| since < oldest.micros()) {
            return Err(Error::new(ErrorKind::CursorExpired, "the provider does not keep its changes so long"));
        }
        Ok(Arc::clone(&changes.stream))
    }

    /// What a retriever alone gives, all of it.
    pub(crate) fn of_retriever(name: String, retriever: &Component<'_>, builder: &mut Builder) -> Result<Self> {
        let Fetching { requester, jobs, selector, paginator } =
            Fetching::build(retriever, &[], false, &builder.shared)?;
        Ok(Self {
            name,
            key: Vec::new(),
            schema: Schema::default(),
            requester: requester.with_cache(jobs.is_none()),
            jobs,
            properties: None,
            selector,
            paginator,
            router: Router::build(&retriever.children("partition_router")?, builder)?,
            cursor: None,
            slice_once: false,
            changes: None,
            reset_after: None,
            uploader: None,
        })
    }

    /// What the account's credentials are sent with.
    pub(crate) fn provider(&self) -> &Requester {
        self.jobs.as_ref().map_or(&self.requester, Jobs::requester)
    }

    /// Its name, and those of the collections whose records its partitions are.
    #[cfg(feature = "replay")]
    pub(crate) fn names(&self) -> std::collections::BTreeSet<String> {
        let above = self.router.iter().flat_map(|router| router.parents());
        above.flat_map(|parent| parent.stream.names()).chain([self.name.clone()]).collect()
    }

    /// Its partitions; one that is the whole where it is not cut.
    pub(crate) fn partitions(self: Arc<Self>, shared: Arc<Shared>) -> Partitions {
        use futures::StreamExt as _;
        match &self.router {
            Some(router) => Arc::clone(router).partitions(shared),
            None => futures::stream::iter([Ok(Partition::default())]).boxed(),
        }
    }
}

/// How pages of records are asked for and read.
struct Fetching {
    requester: Requester,
    jobs: Option<Jobs>,
    selector: Selector,
    paginator: Option<Paginator>,
}

impl Fetching {
    fn build(
        retriever: &Component<'_>,
        transforms: &[Component<'_>],
        transform_first: bool,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let selector = retriever.required("record_selector")?;
        match retriever.kind() {
            "SimpleRetriever" => Ok(Self {
                requester: Requester::build(&retriever.required("requester")?, shared)?,
                jobs: None,
                selector: Selector::build(&selector, retriever.child("decoder")?, transforms, transform_first)?,
                paginator: Paginator::build(retriever.child("paginator")?, shared)?,
            }),
            "AsyncRetriever" => {
                let jobs = Jobs::build(retriever, shared)?;
                let requester = Requester::build(&retriever.required("download_requester")?, shared)?;
                let mut made = selector.to_value();
                let table = json!({ "type": "GzipDecoder", "decoder": { "type": "CsvDecoder" } });
                let (extractor, decoder) = match retriever.child("download_extractor")? {
                    Some(extractor) if extractor.kind() == "ResponseToFileExtractor" => {
                        (None, Some(Component::made(&table, "download_extractor")))
                    }
                    Some(extractor) => (Some(extractor.to_value()), retriever.child("download_decoder")?),
                    None => (None, retriever.child("download_decoder")?),
                };
                let whole = || json!({ "type": "DpathExtractor", "field_path": [] });
                if let Some(members) = made.as_object_mut() {
                    members.insert("extractor".to_owned(), extractor.unwrap_or_else(whole));
                }
                let made = Component::made(&made, "download_extractor");
                Ok(Self {
                    requester: requester.with_links(jobs.requester()),
                    jobs: Some(jobs),
                    selector: Selector::build(&made, decoder, transforms, transform_first)?,
                    paginator: Paginator::build(retriever.child("download_paginator")?, shared)?,
                })
            }
            _ => Err(retriever.unknown()),
        }
    }
}

fn reset_after(retriever: &Component<'_>) -> Result<Option<usize>> {
    let Some(reset) = retriever.child("pagination_reset")? else { return Ok(None) };
    if reset.text("action") != Some("SPLIT_USING_CURSOR") {
        return Err(reset.wrong("no other action than SPLIT_USING_CURSOR is known"));
    }
    Ok(reset.child("limits")?.and_then(|limits| limits.count("number_of_records")))
}

fn key_paths(component: &Component<'_>) -> Result<Vec<Vec<String>>> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let wrong = || component.wrong("primary_key is no path");
    match component.get("primary_key") {
        None => Ok(Vec::new()),
        Some(serde_json::Value::String(name)) if name.is_empty() => Ok(Vec::new()),
        Some(serde_json::Value::String(name)) => Ok(vec![vec![name.clone()]]),
        Some(serde_json::Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                serde_json::Value::String(name) => Ok(vec![name.clone()]),
                serde_json::Value::Array(path) => path.iter().map(|part| text(part).ok_or_else(wrong)).collect(),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}
