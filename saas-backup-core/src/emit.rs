use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use crate::{Error, ErrorKind, Event, EventStream, Result};

/// Makes a stream of events from code that pushes them, which is easier to write than a stream.
///
/// At most `capacity` events wait to be taken. Nothing is spawned: the code runs while the stream is polled, and
/// dropping the stream drops the code at the await where it stands. Its error, if it ends with one, is the last item.
///
/// ```
/// use futures::TryStreamExt as _;
/// use saas_backup_core::{CollectionName, Done, Event, Json, Key, Record, Scope, events};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> saas_backup_core::Result<()> {
/// let stream = events(1, |out| async move {
///     for id in ["1", "2"] {
///         let record = Record::new(Key::parse("notes", id)?, Json::parse("{}")?);
///         out.emit(Event::Put(Box::new(record))).await?;
///     }
///     out.emit(Event::Done(Done::full(Scope::collection(CollectionName::from_static("notes"))))).await
/// });
/// assert_eq!(stream.try_collect::<Vec<_>>().await?.len(), 3);
/// # Ok(())
/// # }
/// ```
pub fn events<Produce, Running>(capacity: usize, produce: Produce) -> EventStream
where
    Produce: FnOnce(Emitter) -> Running,
    Running: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let running = produce(Emitter(sender));
    Pushed { receiver, running: Some(Box::pin(running)), error: None }.boxed()
}

/// Takes the events of [`events`].
#[derive(Clone, Debug)]
pub struct Emitter(mpsc::Sender<Event>);

impl Emitter {
    /// Hands one event over; waits while as many as the capacity are not taken. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`] if nobody reads any more.
    pub async fn emit(&self, event: Event) -> Result<()> {
        self.0.send(event).await.map_err(|_| Error::new(ErrorKind::Cancelled, "nobody reads any more"))
    }
}

struct Pushed {
    receiver: mpsc::Receiver<Event>,
    running: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    error: Option<Error>,
}

impl Stream for Pushed {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(Some(event)) = self.receiver.poll_recv(context) {
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(running) = &mut self.running
            && let Poll::Ready(result) = running.as_mut().poll(context)
        {
            self.running = None;
            self.error = result.err();
        }
        match self.receiver.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            // An emitter that outlives the code has nobody behind it who still emits.
            _ if self.running.is_none() => Poll::Ready(self.error.take().map(Err)),
            _ => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CollectionName, Done, Scope};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn done() -> Event {
        Event::Done(Done::changes(Scope::collection(CollectionName::from_static("notes"))))
    }

    #[tokio::test]
    async fn an_error_comes_after_everything_that_was_emitted() {
        let mut stream = events(8, |out| async move {
            out.emit(done()).await?;
            out.emit(done()).await?;
            Err(Error::new(ErrorKind::Unavailable, "cut"))
        });
        assert!(stream.next().await.unwrap().is_ok() && stream.next().await.unwrap().is_ok());
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn the_code_runs_no_further_than_the_capacity() {
        let emitted = Arc::new(AtomicU32::new(0));
        let mut stream = events(2, {
            let emitted = Arc::clone(&emitted);
            |out| async move {
                for _ in 0..100 {
                    out.emit(done()).await?;
                    emitted.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        });
        stream.next().await.unwrap().unwrap();
        assert!(emitted.load(Ordering::Relaxed) <= 3);
        assert_eq!(stream.count().await, 99);
    }

    #[tokio::test]
    async fn an_emitter_that_is_kept_does_not_hang_the_stream() {
        let mut kept = None;
        let stream = events(1, |out| {
            kept = Some(out.clone());
            async move { out.emit(done()).await }
        });
        assert_eq!(stream.count().await, 1);
        assert!(kept.is_some());
    }
}
