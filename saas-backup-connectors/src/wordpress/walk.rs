use std::collections::VecDeque;

use saas_backup_core::{Error, ErrorKind, Json, Permit, Result, page_items};
use serde::{Deserialize, Serialize};

use super::client::Api;
use crate::http::PageGuard;

/// Pages of one walk, steps back included.
const MAX_PAGES: u64 = 1_000_000;

/// Where a walk over a collection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The highest id that was delivered.
    pub(super) last: u64,
    /// How many rows stood before the next one, when it was last looked.
    pub(super) next: u64,
}

/// Walks over a collection in the order of its ids.
///
/// WordPress pages by number, not by key: a row that is deleted during the walk moves all rows behind it one place
/// up, and a walk that just counts on skips one that it never saw. So each page begins with the last row of the page
/// before it. If that row is not there, rows have moved, and the walk steps back until it finds one that it knows.
/// Rows that are added have higher ids and come at the end.
///
/// A user who may not see everything gets pages with holes, and the row that should be repeated may be one of them.
/// Then half a page is repeated, and a page without a known row is believed if the site still counts as many rows.
#[derive(Debug)]
pub(super) struct Walk {
    api: Api,
    path: String,
    parameters: Vec<(String, String)>,
    rows: u64,
    position: Position,
    /// Rows that the next page repeats.
    overlap: u64,
    /// How many rows the site counted, and whether the last page had holes.
    seen: Option<Seen>,
    guard: PageGuard,
    fetched: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    total: u64,
    holes: bool,
}

/// A page of a walk: what was not delivered before.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: VecDeque<(u64, Json)>,
    /// Where the walk stands once the items are delivered.
    pub(super) position: Position,
    /// The page's share of the byte budget; kept as long as its items are.
    pub(super) permit: Option<Permit>,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

impl Walk {
    pub(super) fn new(api: &Api, path: &str, parameters: Vec<(String, String)>, position: Position) -> Self {
        Self {
            // One row of each page is repeated, so a page must have two.
            rows: u64::from(api.page_size.max(2)),
            api: api.clone(),
            path: path.to_owned(),
            parameters,
            position,
            overlap: 1,
            seen: None,
            guard: PageGuard::new(MAX_PAGES),
            fetched: 0,
        }
    }

    /// Where the walk stands.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The next page; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        loop {
            if self.seen.is_some_and(|seen| self.position.next >= seen.total) {
                return Ok(None);
            }
            let offset = self.position.next.saturating_sub(self.overlap);
            let (items, total, permit) = self.fetch(offset).await?;
            if offset > 0 && (total <= offset || !self.is_connected(&items, total)) {
                tracing::debug!(path = %self.path, offset, total, "rows have moved: stepping back");
                (self.position.next, self.overlap, self.seen) = (offset.saturating_sub(self.rows - 1), 0, None);
                continue;
            }
            let holes = (items.len() as u64) < self.rows.min(total - offset.min(total));
            let last = self.position.last;
            let items: VecDeque<(u64, Json)> = items.into_iter().filter(|(id, _)| *id > last).collect();
            self.position =
                Position { last: items.back().map_or(last, |(id, _)| *id), next: (offset + self.rows).min(total) };
            self.overlap = if holes { self.rows / 2 } else { 1 };
            self.seen = Some(Seen { total, holes });
            return Ok(Some(Page { items, position: self.position, permit }));
        }
    }

    /// Whether nothing can stand between the page before and this one.
    fn is_connected(&self, items: &[(u64, Json)], total: u64) -> bool {
        let known = items.first().is_some_and(|(id, _)| *id <= self.position.last);
        known || self.seen.is_some_and(|seen| seen.holes && seen.total == total)
    }

    async fn fetch(&mut self, offset: u64) -> Result<(Vec<(u64, Json)>, u64, Option<Permit>)> {
        let (offset_text, rows_text) = (offset.to_string(), self.rows.to_string());
        let mut parameters: Vec<(&str, &str)> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        parameters.extend([
            ("orderby", "id"),
            ("order", "asc"),
            ("per_page", rows_text.as_str()),
            ("offset", offset_text.as_str()),
        ]);
        let response = self.api.get(&self.path, &parameters).await?;
        let total = response.header("x-wp-total").and_then(|total| total.trim().parse().ok());
        let (body, permit) = response.into_parts();
        let mut items = Vec::new();
        for json in page_items(&body, "")? {
            let Id { id } = json.decode()?;
            items.push((id, json));
        }
        if items.len() as u64 == self.rows {
            // A site that passes the offset over gives its first page for ever. An offset itself may come back.
            self.fetched += 1;
            self.guard.advance(&self.fetched.to_string(), &body)?;
        }
        if items.windows(2).any(|pair| matches!(pair, [(first, _), (second, _)] if first >= second)) {
            return Err(Error::new(ErrorKind::InvalidData, "the site does not order records by id"));
        }
        // A list without its length is whole only if it is shorter than it may be.
        let total = match total {
            Some(total) => total,
            None if offset == 0 && (items.len() as u64) < self.rows => items.len() as u64,
            None => return Err(Error::new(ErrorKind::InvalidData, "the site does not say how many records there are")),
        };
        Ok((items, total, permit))
    }
}
