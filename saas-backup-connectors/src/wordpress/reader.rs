use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use saas_backup_core::{
    CollectionName, Cursor, Done, Emitter, Error, ErrorKind, Event, Feed, Gap, Json, Key, PartitionId, ReadRequest,
    Record, Result, Scope, Seen, page_items,
};
use serde::{Deserialize, Serialize};

use super::model::Head;
use super::record::record;
use super::site::{Form, Sight, Site, SiteCollection};
use super::walk::{Position, Walk};

/// The form of [`Place`] as a cursor.
const CURSOR_VERSION: u32 = 1;

/// How far back comments are read again between full reads: their changes leave no trace in the API.
const COMMENT_WINDOW: TimeDelta = TimeDelta::days(30);

/// Every state that a post may be in. `any` would leave the trash out.
const STATES: &str = "publish,future,draft,pending,private,trash";
const MEDIA_STATES: &str = "inherit,private,trash";

/// Where a feed stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The site's time before the read that ended, or is under way, began.
    since: Option<DateTime<Utc>>,
    /// The end of the collection then: what is behind it is new.
    end: Position,
    /// A full read that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reading: Option<Position>,
    /// A sweep that is under way: the changes before it are delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sweeping: Option<Position>,
    /// The revisions of each post, as far as they are remembered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) revisions: BTreeMap<u64, Vec<u64>>,
}

/// Reads one feed.
pub(super) struct Reader {
    pub(super) site: Arc<Site>,
    pub(super) collection: SiteCollection,
    pub(super) lag: TimeDelta,
    pub(super) out: Emitter,
}

impl Reader {
    /// Reads what is asked for. A refusal of the whole collection is a gap: the other collections can be read. Where
    /// the user lacks rights it is none: the coverage says so.
    pub(super) async fn read(self, request: ReadRequest) -> Result<()> {
        let scope = request.feed.scope();
        let refused = match self.read_form(&request, &scope).await {
            Ok(done) => return self.out.emit(Event::Done(done)).await,
            Err(error) => error,
        };
        if !is_refusal(refused.kind()) {
            return Err(refused);
        }
        if self.collection.sight == Sight::All {
            let mut gap = Gap::collection(self.collection.name.clone(), &refused);
            gap.partition.clone_from(&scope.partition);
            self.out.emit(Event::Gap(gap)).await?;
        }
        self.out.emit(Event::Done(Done::changes(scope))).await
    }

    async fn read_form(&self, request: &ReadRequest, scope: &Scope) -> Result<Done> {
        if matches!(self.collection.sight, Sight::None(_)) || !request.only.wants(&self.collection.name) {
            return Ok(Done::changes(scope.clone()));
        }
        let place = match &request.from {
            Some(cursor) => cursor.decode(CURSOR_VERSION)?,
            None => Place::default(),
        };
        match self.collection.form {
            Form::Posts | Form::Media => self.read_posts(place, request.sweep, scope).await,
            Form::Comments => self.read_comments(place, request.sweep, scope).await,
            Form::Revisions => self.read_revisions(place, request, scope).await,
            Form::Whole | Form::List | Form::Document | Form::Styles => self.read_anew(scope).await,
        }
    }

    /// Reads a collection that says nothing about changes: in full, each time.
    async fn read_anew(&self, scope: &Scope) -> Result<Done> {
        match self.collection.form {
            Form::List => self.read_list().await?,
            Form::Document => self.read_document(&self.collection.path).await?,
            Form::Styles => {
                // Without it nobody has chosen styles.
                if let Some(path) = self.styles_path().await? {
                    self.read_document(&path).await?;
                }
            }
            _ => self.deliver(&mut self.walk(self.parameters(), Position::default()), &mut BTreeSet::new()).await?,
        }
        self.checkpoint(&Place::default()).await?;
        Ok(Done::full(scope.clone()))
    }

    async fn read_posts(&self, place: Place, sweep: bool, scope: &Scope) -> Result<Done> {
        let Some(since) = place.since.filter(|_| place.reading.is_none()) else {
            self.walk_in_full(place).await?;
            return Ok(Done::full(scope.clone()));
        };
        let mut place = place;
        if place.sweeping.is_none() {
            let end = self.read_changes(since, place.end).await?;
            place = Place { since: Some(end.0), end: end.1, ..Place::default() };
            if !sweep {
                self.checkpoint(&place).await?;
                return Ok(Done::changes(scope.clone()));
            }
        }
        let mut parameters = self.parameters();
        parameters.push(("_fields".to_owned(), "id".to_owned()));
        let mut walk = self.walk(parameters, place.sweeping.unwrap_or_default());
        while let Some(page) = walk.next().await? {
            for (id, _) in page.items {
                self.out.emit(Event::Seen(Seen::new(self.key(id.to_string())?))).await?;
            }
            self.checkpoint(&Place { sweeping: Some(page.position), ..place.clone() }).await?;
        }
        self.checkpoint(&Place { sweeping: None, ..place }).await?;
        Ok(Done::full(scope.clone()))
    }

    /// What changed since a time; gives the time and the end from which the next increment goes on.
    ///
    /// `modified_after` alone would miss what WordPress changes without touching the time of change: a new post with
    /// a date in the past takes that date for its change, too, and a scheduled post keeps its old time when it
    /// appears. So what stands behind the old end, and what is dated since, is read as well.
    async fn read_changes(&self, since: DateTime<Utc>, end: Position) -> Result<(DateTime<Utc>, Position)> {
        let (date, _) = self.end().await?;
        let from = self.lagging(since);
        let mut delivered = BTreeSet::new();
        let mut changed = self.walk(self.parameters_with("modified_after", &from), Position::default());
        self.deliver(&mut changed, &mut delivered).await?;
        let mut new = self.walk(self.parameters(), end);
        self.deliver(&mut new, &mut delivered).await?;
        let mut appeared = self.parameters_with("after", &from);
        if self.collection.form == Form::Posts && self.collection.sight.context() == "edit" {
            appeared.retain(|(name, _)| name != "status");
            appeared.push(("status".to_owned(), "publish,private".to_owned()));
            self.deliver(&mut self.walk(appeared, Position::default()), &mut delivered).await?;
        }
        let end = Position { last: new.position().last.max(end.last), next: new.position().next };
        Ok((date, end))
    }

    async fn read_comments(&self, place: Place, sweep: bool, scope: &Scope) -> Result<Done> {
        // A list of ids costs as many requests as the comments themselves.
        let Some(since) = place.since.filter(|_| !sweep && place.reading.is_none()) else {
            let place = if place.reading.is_some() { place } else { Place::default() };
            self.walk_in_full(place).await?;
            return Ok(Done::full(scope.clone()));
        };
        let (date, _) = self.end().await?;
        let mut recent = self.walk(self.parameters_with("after", &stamp(since - COMMENT_WINDOW)), Position::default());
        let mut delivered = BTreeSet::new();
        self.deliver(&mut recent, &mut delivered).await?;
        let mut new = self.walk(self.parameters(), place.end);
        self.deliver(&mut new, &mut delivered).await?;
        let end = Position { last: new.position().last.max(place.end.last), next: new.position().next };
        self.checkpoint(&Place { since: Some(date), end, ..Place::default() }).await?;
        Ok(Done::changes(scope.clone()))
    }

    /// Reads everything, from where an interrupted read stopped.
    async fn walk_in_full(&self, mut place: Place) -> Result<()> {
        if place.reading.is_none() {
            let (date, end) = self.end().await?;
            place = Place { since: Some(date), end, reading: Some(Position::default()), ..Place::default() };
        }
        let mut walk = self.walk(self.parameters(), place.reading.unwrap_or_default());
        while let Some(page) = walk.next().await? {
            let position = page.position;
            let _permit = page.permit;
            for (id, json) in page.items {
                self.put(&id.to_string(), json).await?;
            }
            self.checkpoint(&Place { reading: Some(position), ..place.clone() }).await?;
        }
        self.checkpoint(&Place { reading: None, ..place }).await
    }

    /// Delivers what a walk finds, each record once.
    async fn deliver(&self, walk: &mut Walk, delivered: &mut BTreeSet<u64>) -> Result<()> {
        while let Some(page) = walk.next().await? {
            let _permit = page.permit;
            for (id, json) in page.items {
                if delivered.insert(id) {
                    self.put(&id.to_string(), json).await?;
                }
            }
        }
        Ok(())
    }

    /// The site's time now, and the end of the collection.
    async fn end(&self) -> Result<(DateTime<Utc>, Position)> {
        let mut parameters = self.parameters();
        parameters.extend(
            [("_fields", "id"), ("orderby", "id"), ("order", "desc"), ("per_page", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let response = self.get(&self.collection.path, &parameters).await?;
        let date = response.date().ok_or_else(|| {
            Error::new(ErrorKind::InvalidData, "the site does not say what time it is: its answers have no Date")
        })?;
        let total = response.header("x-wp-total").and_then(|total| total.trim().parse().ok()).unwrap_or(0);
        let newest = page_items(response.body(), "")?.first().map(|item| item.member("id")).transpose()?.flatten();
        Ok((date, Position { last: newest.unwrap_or(0), next: total }))
    }

    async fn read_list(&self) -> Result<()> {
        let response = self.get(&self.collection.path, &self.parameters()).await?;
        let (body, _permit) = response.into_parts();
        for json in page_items(&body, "")? {
            let Some(id) = json.member::<String>("id")? else {
                return Err(Error::new(ErrorKind::InvalidData, "the site gives a record without an id"));
            };
            self.put(&id, json).await?;
        }
        Ok(())
    }

    async fn read_document(&self, path: &str) -> Result<()> {
        let response = self.get(path, &self.parameters()).await?;
        let json = Json::parse(response.body().clone())?;
        self.put(self.collection.name.as_str(), json).await
    }

    /// Where the styles of the theme in use are.
    pub(super) async fn styles_path(&self) -> Result<Option<String>> {
        let themes = self.site.api.get("wp/v2/themes", &[("status", "active")]).await?;
        let Some(theme) = page_items(themes.body(), "")?.into_iter().next() else { return Ok(None) };
        let theme: Head = theme.decode()?;
        let id =
            theme.links.user_global_styles.first().and_then(|link| link.href.rsplit('/').next()?.parse::<u64>().ok());
        Ok(id.map(|id| format!("wp/v2/global-styles/{id}")))
    }

    /// A record that does not fit the rules of the store, such as one with an id that is too long, is a gap.
    pub(super) async fn put(&self, id: &str, json: Json) -> Result<()> {
        match self.record(id, json) {
            Ok(record) => self.out.emit(Event::Put(Box::new(record))).await,
            Err(error) => match Key::parse(self.collection.name.as_str(), id) {
                Ok(key) => self.out.emit(Event::Gap(Gap::record(&key, &error))).await,
                Err(_) => self.out.emit(Event::Gap(Gap::collection(self.collection.name.clone(), &error))).await,
            },
        }
    }

    pub(super) fn record(&self, id: &str, json: Json) -> Result<Record> {
        record(&self.site, &self.collection, id, json)
    }

    pub(super) async fn checkpoint(&self, place: &Place) -> Result<()> {
        self.out.emit(Event::Checkpoint(Cursor::encode(CURSOR_VERSION, place)?)).await
    }

    pub(super) fn walk(&self, parameters: Vec<(String, String)>, from: Position) -> Walk {
        Walk::new(&self.site.api, &self.collection.path, parameters, from)
    }

    pub(super) async fn get(&self, path: &str, parameters: &[(String, String)]) -> Result<crate::http::Response> {
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.site.api.get(path, &parameters).await
    }

    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        parameters(&self.collection)
    }

    fn parameters_with(&self, name: &str, value: &str) -> Vec<(String, String)> {
        let mut parameters = self.parameters();
        parameters.push((name.to_owned(), value.to_owned()));
        parameters
    }

    /// The time from which changes are read again. WordPress compares local times: where clocks change, an hour comes
    /// twice.
    fn lagging(&self, since: DateTime<Utc>) -> String {
        let twice = if self.site.changes_clocks { TimeDelta::hours(1) } else { TimeDelta::zero() };
        stamp(since - self.lag - twice)
    }

    pub(super) fn key(&self, id: String) -> Result<Key> {
        Key::parse(self.collection.name.as_str(), id)
    }
}

/// What every request for a collection says.
pub(super) fn parameters(of: &SiteCollection) -> Vec<(String, String)> {
    let context = of.sight.context();
    let mut parameters = vec![("context".to_owned(), context.to_owned())];
    let states = match of.form {
        Form::Posts => STATES,
        Form::Media => MEDIA_STATES,
        Form::Comments => "any",
        _ => "",
    };
    if context == "edit" && !states.is_empty() {
        parameters.push(("status".to_owned(), states.to_owned()));
    }
    parameters
}

/// Whether the site says that it will not tell, rather than that it cannot.
pub(super) fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::NotFound)
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The feeds of a site: one a collection, and one a type for revisions.
pub(super) fn feeds(site: &Site) -> Result<Vec<Feed>> {
    let mut feeds = Vec::new();
    for collection in &site.collections {
        if collection.form != Form::Revisions {
            feeds.push(Feed::slice(collection.name.clone()));
            continue;
        }
        for parents in site.revised() {
            let id = saas_backup_core::FeedId::parse(format!("{}:{}", collection.name, parents.name))?;
            feeds.push(Feed::partition(id, collection.name.clone(), PartitionId::parse(parents.name.as_str())?));
        }
    }
    Ok(feeds)
}

/// The collection that a feed reads.
pub(super) fn collection_of(site: &Site, feed: &Feed) -> Result<SiteCollection> {
    let name: Option<&CollectionName> = feed.covers.first();
    name.and_then(|name| site.get(name)).cloned().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "the site has no such collection").with_context("feed", &feed.id)
    })
}
