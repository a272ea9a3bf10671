use std::collections::BTreeMap;

use saas_backup_core::{
    ErasureEnd, ErasureEvent, ErasureRequest, ErasureTarget, Error, ErrorKind, Key, Result, async_trait,
};

use super::{MemoryAccount, MemorySource};
use crate::{ErasureLog, ErasurePage, FiledReceipt, Grant, Watermark};

/// The requests of an account, and what was said about them.
#[derive(Debug, Default)]
pub(super) struct Erasures {
    log: Vec<ErasureEvent>,
    receipts: BTreeMap<String, BTreeMap<String, FiledReceipt>>,
}

impl Erasures {
    fn page(&self, after: Option<&Watermark>, limit: usize) -> Result<ErasurePage> {
        let malformed = |_| Error::new(ErrorKind::InvalidData, "the watermark is not one of this source");
        let after = after.map_or(Ok(0), |after| after.as_str().parse::<usize>().map_err(malformed))?;
        let entries: Vec<_> = (after + 1..)
            .zip(self.log.iter().skip(after).take(limit))
            .map(|(position, event)| (Watermark::new(position.to_string()), event.clone()))
            .collect();
        let next = after + entries.len();
        Ok(ErasurePage::new(entries, Watermark::new(next.to_string()), next < self.log.len()))
    }

    fn receipts_of(&mut self, erasure: &str) -> Result<&mut BTreeMap<String, FiledReceipt>> {
        let known = self.log.iter().any(|event| matches!(event, ErasureEvent::Erase(request) if request.id == erasure));
        if !known {
            return Err(Error::new(ErrorKind::NotFound, "there is no such request"));
        }
        Ok(self.receipts.entry(erasure.to_owned()).or_default())
    }
}

impl MemoryAccount {
    /// Erases what a request targets here, and asks copies to do the same. Parts of records (`paths`) stay as they are.
    pub fn erase(&self, request: ErasureRequest) {
        let now = self.source.clock.now();
        self.act(|account| {
            let concerned: Vec<Key> = account.keys_of(|record| {
                request.targets.iter().filter(|target| target.paths.is_empty()).any(|target| concerns(target, record))
            });
            for key in concerned {
                account.erase(key, now);
            }
            account.erasures.log.push(ErasureEvent::Erase(request));
        });
    }

    /// What the holders of copies said about a request; nothing about one that does not exist.
    pub fn receipts(&self, erasure: &str) -> Vec<FiledReceipt> {
        self.act(|account| {
            account.erasures.receipts.get(erasure).into_iter().flat_map(BTreeMap::values).cloned().collect()
        })
    }

    /// Withdraws a request to erase.
    pub fn cancel_erasure(&self, id: impl Into<String>) {
        let end = ErasureEnd::new(id, self.source.clock.now());
        self.act(|account| account.erasures.log.push(ErasureEvent::Cancel(end)));
    }

    /// Asks copies to keep something until the hold is released.
    pub fn hold(&self, request: ErasureRequest) {
        self.act(|account| account.erasures.log.push(ErasureEvent::Hold(request)));
    }

    /// Ends a hold.
    pub fn release_hold(&self, id: impl Into<String>) {
        let end = ErasureEnd::new(id, self.source.clock.now());
        self.act(|account| account.erasures.log.push(ErasureEvent::Release(end)));
    }
}

fn concerns(target: &ErasureTarget, record: &saas_backup_core::Record) -> bool {
    let key = &record.key;
    let there = target.collection.as_ref().is_none_or(|name| *name == key.collection)
        && target.id.as_ref().is_none_or(|id| *id == key.id);
    let person = target.subject.as_ref().is_none_or(|person| {
        record.by.as_ref() == Some(person) || (person.collection == key.collection && person.id == key.id)
    });
    let blob = target.blob.as_ref();
    there && person && blob.is_none_or(|blob| record.blobs.iter().any(|held| held.id.as_ref() == Some(blob)))
}

#[async_trait]
impl ErasureLog for MemorySource {
    async fn requests(&self, grant: &Grant, after: Option<&Watermark>, limit: usize) -> Result<ErasurePage> {
        self.with_account(&grant.account, |account| account.erasures.page(after, limit))?
    }

    async fn receive(&self, grant: &Grant, receipt: &FiledReceipt) -> Result<()> {
        self.with_account(&grant.account, |account| {
            let receipts = account.erasures.receipts_of(&receipt.receipt.id)?;
            receipts.insert(receipt.consumer.clone(), receipt.clone());
            Ok(())
        })?
    }

    async fn receipts(&self, grant: &Grant, erasure: &str) -> Result<Vec<FiledReceipt>> {
        self.with_account(&grant.account, |account| {
            Ok(account.erasures.receipts_of(erasure)?.values().cloned().collect())
        })?
    }
}
