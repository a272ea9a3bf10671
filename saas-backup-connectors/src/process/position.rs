use saas_backup_core::{Cursor, Done, Error, ErrorKind, Event, Feed, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Stream;

/// The version of these cursors.
const VERSION: u32 = 1;

/// Where the reading of a collection stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// What the program said last of its state, as it said it.
    pub(crate) state: Option<Box<RawValue>>,
    /// A reading of everything is under way, and this is a point within it.
    whole: bool,
    /// The key by which records are told apart; with another one they are others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) key: Vec<String>,
    /// The version of the table that is live, for programs that count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<i64>,
}

impl Position {
    /// Where a cursor says that the last reading stopped; before everything without one, and in a collection that is read
    /// in full each time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CursorExpired`] if it is of another version.
    pub(crate) fn of(cursor: Option<&Cursor>, stream: &Stream) -> Result<Self> {
        let before: Option<Self> = cursor.map(|cursor| cursor.decode(VERSION)).transpose()?;
        let start = || Self { whole: true, key: stream.key.clone(), ..Self::default() };
        Ok(before.filter(|_| !stream.whole).unwrap_or_else(start))
    }

    /// That records are told apart as before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CursorExpired`] if they are not.
    pub(crate) fn expect_key(&self, key: &[String]) -> Result<()> {
        if self.key == key {
            return Ok(());
        }
        Err(Error::new(ErrorKind::CursorExpired, "the collection has another key than before"))
    }

    /// What a reading may go on from, if there is a state at all.
    pub(crate) fn checkpoint(&self) -> Result<Option<Event>> {
        self.state.is_some().then(|| Ok(Event::Checkpoint(Cursor::encode(VERSION, self)?))).transpose()
    }

    /// The end of a reading that came to it.
    pub(crate) fn end(mut self, stream: &Stream) -> Result<Vec<Event>> {
        let scope = Feed::slice(stream.name.clone()).scope();
        let done = if self.whole { Done::full(scope) } else { Done::changes(scope) };
        self.whole = false;
        Ok(self.checkpoint()?.into_iter().chain([Event::Done(done)]).collect())
    }
}
