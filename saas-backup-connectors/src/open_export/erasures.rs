use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Cursor, ErasureEvent, ErasureReceipt, Erasures, Error, ErrorKind, Result};

use super::LazyApi;
use super::page::{Page, Rest};
use super::position::text_of;
use super::reader::goes_on;
use crate::http::PageGuard;

/// The version of a cursor's form.
const VERSION: u32 = 1;
const PROFILE: &str = "erasure";

/// What the service asks copies to erase.
#[derive(Debug)]
pub(super) struct OpenExportErasures {
    api: Arc<LazyApi>,
}

/// Reads the log of requests page by page.
struct Reading {
    api: Arc<LazyApi>,
    /// The next page; `None` at the end.
    next: Option<At>,
    guard: PageGuard,
}

enum At {
    Beginning,
    Cursor(String),
}

impl At {
    fn cursor(&self) -> Option<&str> {
        match self {
            Self::Beginning => None,
            Self::Cursor(cursor) => Some(cursor),
        }
    }
}

impl OpenExportErasures {
    pub(super) fn new(api: Arc<LazyApi>) -> Self {
        Self { api }
    }
}

#[async_trait]
impl Erasures for OpenExportErasures {
    /// A service that does not pass requests on gives none.
    fn requests(&self, from: Option<Cursor>) -> BoxStream<'static, Result<ErasureEvent>> {
        let api = Arc::clone(&self.api);
        let pages = stream::once(async move {
            let next = match from {
                Some(cursor) => At::Cursor(cursor.decode(VERSION)?),
                None => At::Beginning,
            };
            let reading = Reading { api, next: Some(next), guard: PageGuard::default() };
            Ok::<_, Error>(stream::try_unfold(reading, |mut reading| async move {
                Ok::<_, Error>(reading.page().await?.map(|events| (events, reading)))
            }))
        });
        pages.try_flatten().map_ok(|events| stream::iter(events.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn receipt(&self, receipt: &ErasureReceipt) -> Result<()> {
        let api = self.api.get().await?;
        if !api.offers(PROFILE) {
            return Err(Error::new(ErrorKind::Unsupported, "the service takes no receipts"));
        }
        api.receipt(receipt).await
    }
}

impl Reading {
    async fn page(&mut self) -> Result<Option<Vec<ErasureEvent>>> {
        let Some(at) = self.next.take() else { return Ok(None) };
        let api = self.api.get().await?;
        if !api.offers(PROFILE) {
            return Ok(None);
        }
        let since = at.cursor();
        let (body, _held) = api.erasures(since).await?;
        let mut page = Page::read_erasures(body)?;
        self.guard.advance(since.unwrap_or_default(), &page.mark())?;
        if page.start.account != api.account_id() {
            return Err(Error::new(ErrorKind::InvalidData, "the service answered for another account"));
        }
        let mut events = std::mem::take(&mut page.events);
        let cursor = match &page.rest {
            Rest::Whole(end) if !end.more => end.cursor.as_ref().map(text_of).transpose()?,
            _ => {
                let cursor = goes_on(page)?;
                self.next = cursor.clone().map(At::Cursor);
                cursor
            }
        };
        if let Some(cursor) = cursor {
            events.push(ErasureEvent::Checkpoint(Cursor::encode(VERSION, &cursor)?));
        }
        Ok(Some(events))
    }
}
