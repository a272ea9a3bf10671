use bytes::Bytes;
use saas_backup_core::{Emitter, Error, ErrorKind, Event, Result};
use serde::Deserialize;

use super::{Line, Running};

/// What the lines of a program mean: one reading of one collection.
pub(crate) trait Protocol {
    /// What a message means, in order.
    ///
    /// # Errors
    ///
    /// Whatever makes the reading one that cannot be believed.
    fn message(&mut self, kind: &str, line: &Bytes) -> Result<Vec<Event>>;

    /// What is left to say once the program ended well.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it did not say all that it should have.
    fn end(self) -> Result<Vec<Event>>;
}

/// Reads a program to its end. Its states are given out only after every record that came before them; what the
/// protocol says at the end is left to the caller.
///
/// # Errors
///
/// Those of the program and of the protocol; the last checkpoint that was given out stands.
pub(crate) async fn drive<P: Protocol>(mut running: Running, mut protocol: P, out: &Emitter) -> Result<P> {
    let mut noise = 0_u64;
    while let Some(line) = running.next().await? {
        let events = match kind(&line) {
            Ok(Some(kind)) => protocol.message(&kind, &line.bytes),
            Ok(None) => {
                noise += u64::from(!line.bytes.is_empty());
                continue;
            }
            Err(error) => Err(error),
        };
        for event in events.map_err(|error| running.explain(error))? {
            out.emit(event).await?;
        }
    }
    if noise > 0 {
        tracing::info!(lines = noise, "the program wrote lines that are no messages");
    }
    running.finish().await?;
    Ok(protocol)
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

/// The type of a message; `None` for what is no message, such as a line that a library prints.
fn kind(line: &Line) -> Result<Option<String>> {
    match serde_json::from_slice::<Typed>(&line.bytes) {
        Ok(typed) => Ok(Some(typed.kind)),
        Err(_) if !line.ended && !line.bytes.is_empty() => {
            Err(Error::new(ErrorKind::Unavailable, "the program ended within a line"))
        }
        // A record that another line was written into must not be passed over.
        Err(_) if memchr::memmem::find(&line.bytes, b"\"RECORD\"").is_some() => {
            Err(Error::new(ErrorKind::InvalidData, "a record of the program is damaged: it is no JSON"))
        }
        Err(_) => Ok(None),
    }
}
