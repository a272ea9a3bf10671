use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, ErrorKind, Result};

const KIB: usize = 1024;

/// The bounds that all readers of one account share: requests in flight, and bytes of pages in memory.
///
/// A connector takes a permit for each request and for each page that it holds, and drops it when the page's last
/// event was taken. Cloning gives another handle on the same budget.
#[derive(Clone, Debug)]
pub struct Budget {
    requests: Arc<Semaphore>,
    // Counted in KiB, so that a budget above 4 GiB still fits the semaphore's u32 permits.
    pages: Arc<Semaphore>,
    page_kib: usize,
}

/// Holds a part of a [`Budget`] until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of so many requests in flight and so many bytes of pages in memory; at least one of each.
    pub fn new(requests: usize, bytes: usize) -> Self {
        let page_kib = bytes.div_ceil(KIB).clamp(1, u32::MAX as usize);
        Self {
            requests: Arc::new(Semaphore::new(requests.clamp(1, Semaphore::MAX_PERMITS))),
            pages: Arc::new(Semaphore::new(page_kib)),
            page_kib,
        }
    }

    /// Waits until another request may be in flight. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`] after [`close`](Self::close).
    pub async fn request(&self) -> Result<Permit> {
        let permit = Arc::clone(&self.requests).acquire_owned().await.map_err(|_| closed())?;
        Ok(Permit { _permit: permit })
    }

    /// Waits until `bytes` more may be held; more than the whole budget counts as the whole budget, so that one page
    /// can always be read. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`] after [`close`](Self::close).
    pub async fn bytes(&self, bytes: usize) -> Result<Permit> {
        let kib = bytes.div_ceil(KIB).clamp(1, self.page_kib);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.pages).acquire_many_owned(kib).await.map_err(|_| closed())?;
        Ok(Permit { _permit: permit })
    }

    /// Ends all waiting: whoever waits, and whoever asks later, is told that the run was cancelled.
    pub fn close(&self) {
        self.requests.close();
        self.pages.close();
    }
}

/// Eight requests in flight, 64 MiB of pages.
impl Default for Budget {
    fn default() -> Self {
        Self::new(8, 64 * KIB * KIB)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn a_page_larger_than_the_budget_gets_all_of_it_and_no_second_one() {
        let budget = Budget::new(1, 10 * KIB);
        let held = budget.bytes(1024 * KIB).await.unwrap();
        assert!(budget.bytes(1).now_or_never().is_none());
        drop(held);
        assert!(budget.bytes(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn closing_ends_all_waiting() {
        let budget = Budget::new(1, KIB);
        let _held = budget.request().await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.request().await.map(drop) }
        });
        budget.close();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
