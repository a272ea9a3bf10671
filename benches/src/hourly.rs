use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream;
use saas_backup_core::{
    Account, BlobRef, ByteStream, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName, Connector,
    Coverage, Cursor, Deletion, DeletionReason, Done, Error, ErrorKind, Event, EventStream, Feed, FeedStream, Json,
    Key, Kind, Only, ReadRequest, Record, RecordId, Result, Scope, Sink, SinkOptions, Snapshot, SnapshotOptions,
    Visibility, async_trait,
};

use crate::workload::Random;

const CURSOR_VERSION: u32 = 1;

/// A deterministic account that changes a little every hour: records of some 300 bytes, of which most changes replace
/// one, a twentieth adds one, and another twentieth deletes one.
///
/// Clones are the same account. A read from the hour before gives what the last hour changed; one without a cursor gives
/// everything.
#[derive(Clone, Debug)]
pub struct HourlyAccount(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    hour: u32,
    /// Of each record, one more than the hour of its last change; 0 if it is gone.
    versions: Vec<u32>,
    changed: Vec<u32>,
    /// Changes of a thousand hours.
    rate: u64,
}

impl HourlyAccount {
    /// An account of so many records, of which each day changes so many percent.
    pub fn new(records: u32, percent_a_day: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate that is positive")]
        let rate = (f64::from(records) * percent_a_day / 100.0 * 1000.0 / 24.0) as u64;
        let versions = vec![1; records as usize];
        Self(Arc::new(Mutex::new(State { hour: 0, versions, changed: Vec::new(), rate })))
    }

    /// Lets an hour pass; gives how many records it changed.
    pub fn pass_hour(&self) -> usize {
        let mut state = self.lock();
        state.hour += 1;
        let hour = u64::from(state.hour);
        let count = hour * state.rate / 1000 - (hour - 1) * state.rate / 1000;
        state.changed.clear();
        let mut random = Random::new(&[hour, 0x4001]);
        for _ in 0..count {
            let (kind, hour) = (random.below(20), state.hour);
            let id = match kind {
                0 => {
                    state.versions.push(0);
                    state.versions.len() - 1
                }
                _ => loop {
                    let id = random.below(state.versions.len() as u64) as usize;
                    if state.versions.get(id).is_some_and(|version| *version > 0) {
                        break id;
                    }
                },
            };
            if let Some(version) = state.versions.get_mut(id) {
                *version = if kind == 1 { 0 } else { hour + 1 };
            }
            state.changed.push(id as u32);
        }
        state.changed.sort_unstable();
        state.changed.dedup();
        state.changed.len()
    }

    /// Lets hours pass until so many did.
    pub fn pass_hours_to(&self, hour: u32) {
        while self.lock().hour < hour {
            self.pass_hour();
        }
    }

    /// How many records there are.
    pub fn live(&self) -> u64 {
        self.lock().versions.iter().filter(|version| **version > 0).count() as u64
    }

    /// A record that is there.
    pub fn some(&self) -> Option<Key> {
        let state = self.lock();
        let middle = state.versions.len() / 2;
        let place = state.versions.iter().skip(middle).position(|version| *version > 0)?;
        key((middle + place) as u32).ok()
    }

    /// Whether a record is what it is now.
    pub fn holds(&self, record: &Record) -> bool {
        let place: Option<u32> = record.key.id.as_str().parse().ok();
        let version = place.and_then(|place| self.lock().versions.get(place as usize).copied());
        let (Some(place), Some(version @ 1..)) = (place, version) else { return false };
        record.key.collection == collection() && record.data.as_str() == text(place, version)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, place: u32) -> Result<Event> {
        let version = self.lock().versions.get(place as usize).copied().unwrap_or(0);
        if version == 0 {
            return Ok(Event::Delete(Deletion::new(key(place)?, DeletionReason::Deleted)));
        }
        Ok(Event::Put(Box::new(Record::new(key(place)?, Json::parse(text(place, version))?))))
    }

    fn events(&self, request: &ReadRequest) -> Result<EventStream> {
        if !matches!(request.only, Only::All) || request.sweep {
            return Err(Error::new(ErrorKind::Unsupported, "the account is read as a whole"));
        }
        let from = request.from.as_ref().map(|cursor| cursor.decode::<u32>(CURSOR_VERSION)).transpose()?;
        let (hour, places, done) = {
            let state = self.lock();
            let everything = || {
                let live = state.versions.iter().enumerate().filter(|(_, version)| **version > 0);
                live.map(|(place, _)| place as u32).collect()
            };
            match from {
                None => (state.hour, everything(), Done::full(Scope::collection(collection()))),
                Some(from) if from == state.hour => {
                    (state.hour, Vec::new(), Done::changes(Scope::collection(collection())))
                }
                Some(from) if from + 1 == state.hour => {
                    (state.hour, state.changed.clone(), Done::changes(Scope::collection(collection())))
                }
                Some(_) => return Err(Error::new(ErrorKind::CursorExpired, "the account tells of one hour alone")),
            }
        };
        let account = self.clone();
        let end = [Cursor::encode(CURSOR_VERSION, &hour).map(Event::Checkpoint), Ok(Event::Done(done))];
        let records = stream::iter(places).map(move |place| account.event(place));
        Ok(records.chain(stream::iter(end)).boxed())
    }
}

fn collection() -> CollectionName {
    CollectionName::from_static("tickets")
}

fn key(place: u32) -> Result<Key> {
    Ok(Key::new(collection(), RecordId::parse(format!("{place:08}"))?))
}

/// What a version of a record says: all of its words are other ones than before.
fn text(place: u32, version: u32) -> String {
    let mut random = Random::new(&[u64::from(place), u64::from(version)]);
    let status = random.pick(&["open", "pending", "solved", "closed"]);
    let (account, number) = (random.below(4000), random.next());
    let (subject, body) = (random.words(6), random.words(22));
    format!(
        r#"{{"id":"{place:08}","revision":{version},"status":"{status}","account_id":"acc_{account:06}","reference":"{number:016x}","subject":"{subject}","body":"{body}"}}"#
    )
}

#[async_trait]
impl Connector for HourlyAccount {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.read, can.incremental, can.reports_deletions) = (true, true, true);
        can
    }

    async fn check(&self) -> Result<Account> {
        Ok(Account::new("hourly", "hourly"))
    }

    async fn snapshot(&self, _: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(self.clone()))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "the account is only read"))
    }
}

#[async_trait]
impl Snapshot for HourlyAccount {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::new(vec![Collection::new(collection(), Kind::Record)]))
    }

    async fn coverage(&self) -> Result<Coverage> {
        let all = CollectionCoverage::new(Visibility::All).with_count(self.live(), true);
        Ok(Coverage::default().with(collection(), all))
    }

    fn feeds(&self) -> FeedStream {
        stream::iter([Ok(Feed::slice(collection()))]).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.events(&request).unwrap_or_else(|error| stream::iter([Err(error)]).boxed())
    }

    async fn open(&self, _: &Key, _: &BlobRef, _: Option<std::ops::Range<u64>>) -> Result<ByteStream> {
        Err(Error::new(ErrorKind::NotFound, "the account has no attachments"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_hours_make_the_same_account() {
        let [one, other] = [HourlyAccount::new(1000, 10.0), HourlyAccount::new(1000, 10.0)];
        let changed: usize = (0..240).map(|_| one.pass_hour()).sum();
        assert!((950..=1000).contains(&changed), "{changed}");
        for _ in 0..240 {
            other.pass_hour();
        }
        assert_eq!(one.lock().versions, other.lock().versions);
        assert!(one.live() > 900 && one.lock().versions.len() > 1000);
        let place = one.lock().versions.iter().position(|version| *version > 1).unwrap() as u32;
        let Event::Put(record) = one.event(place).unwrap() else { panic!("a record") };
        assert!(other.holds(&record));
        assert!((200..500).contains(&record.data.as_bytes().len()), "{}", record.data.as_str());
        assert!(!HourlyAccount::new(1000, 10.0).holds(&record));
    }
}
