//! The walks behind the answers, and how their lines become a body.

mod changes;
mod erasures;
mod frame;
mod records;
mod snapshot;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use saas_backup_core::{Result, Start};

pub(crate) use self::changes::ChangesWalk;
pub(crate) use self::erasures::ErasuresWalk;
pub(crate) use self::frame::Frame;
pub(crate) use self::records::RecordsWalk;
pub(crate) use self::snapshot::SnapshotWalk;

/// A body: pieces of whole lines. A failure ends it without an `end` line, which tells the reader that it was cut.
pub(crate) type LineStream = BoxStream<'static, Bytes>;

/// Most rows that a source is asked for at once: a checkpoint follows each page, well inside the protocol's 1,000 lines.
const PAGE_ROWS: usize = 256;
/// Bytes after which a checkpoint is written within a page; half of what the protocol allows.
const CHECKPOINT_BYTES: usize = 8 * 1024 * 1024;
/// The protocol asks for a sign of life every 15 seconds.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Writes an answer page by page: what waits for the source is apart from what writes, so that a slow source can be
/// bridged by heartbeats.
pub(crate) trait Walk: Send + Sized + 'static {
    type Page: Send + 'static;

    /// The first line.
    fn start(&self) -> Result<Start>;

    /// Asks the source for the next page.
    fn fetch(&mut self) -> impl Future<Output = Result<Self::Page>> + Send;

    /// Writes a page; `false` once the last line is written.
    fn write(&mut self, page: Self::Page, frame: &mut Frame) -> Result<bool>;
}

/// Reads the first page, so that what goes wrong there is still answered with a problem, and streams the rest.
pub(crate) async fn lines<W: Walk>(mut walk: W, mut frame: Frame) -> Result<LineStream> {
    let page = walk.fetch().await?;
    frame.start(walk.start()?)?;
    let more = walk.write(page, &mut frame)?;
    let first = futures::stream::once(std::future::ready(frame.take()));
    if !more {
        return Ok(first.boxed());
    }
    let rest = futures::stream::unfold(Some((fetch(walk), frame)), |state| async {
        let (fetching, frame) = state?;
        match advance(fetching, frame).await {
            Ok(next) => Some(next),
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "an export was cut: its source failed");
                None
            }
        }
    });
    // What codes a body asks again after its end.
    Ok(first.chain(rest).fuse().boxed())
}

type Fetching<W> = BoxFuture<'static, (W, Result<<W as Walk>::Page>)>;

fn fetch<W: Walk>(mut walk: W) -> Fetching<W> {
    async move {
        let page = walk.fetch().await;
        (walk, page)
    }
    .boxed()
}

/// The next piece of the body, and how to go on after it.
async fn advance<W: Walk>(
    mut fetching: Fetching<W>,
    mut frame: Frame,
) -> Result<(Bytes, Option<(Fetching<W>, Frame)>)> {
    let Ok((mut walk, page)) = tokio::time::timeout(HEARTBEAT, &mut fetching).await else {
        frame.heartbeat()?;
        return Ok((frame.take(), Some((fetching, frame))));
    };
    let more = walk.write(page?, &mut frame)?;
    let piece = frame.take();
    Ok((piece, more.then(|| (fetch(walk), frame))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use saas_backup_core::{Digest, Error, ErrorKind, Line, LineCodec, StreamCheck, StreamKind};

    /// A source that takes its time for the second page.
    struct Slow {
        pages: usize,
        fails: bool,
    }

    impl Walk for Slow {
        type Page = ();

        fn start(&self) -> Result<Start> {
            Ok(Start::new(StreamKind::Changes, "ws_1", "g0", Digest::of(b"schema"), DateTime::UNIX_EPOCH))
        }

        async fn fetch(&mut self) -> Result<()> {
            self.pages += 1;
            if self.pages == 2 {
                tokio::time::sleep(Duration::from_secs(35)).await;
                if self.fails {
                    return Err(Error::new(ErrorKind::Unavailable, "gone"));
                }
            }
            Ok(())
        }

        fn write(&mut self, (): (), frame: &mut Frame) -> Result<bool> {
            if self.pages == 1 {
                frame.checkpoint("c")?;
                return Ok(true);
            }
            frame.end(Some("d"), false, None)?;
            Ok(false)
        }
    }

    async fn read(fails: bool) -> (Vec<String>, Vec<Duration>) {
        let started = tokio::time::Instant::now();
        let mut stream = lines(Slow { pages: 0, fails }, Frame::new(10_000)).await.unwrap();
        let (mut text, mut times) = (Vec::new(), Vec::new());
        while let Some(piece) = stream.next().await {
            times.push(started.elapsed());
            text.extend(std::str::from_utf8(&piece).unwrap().lines().map(str::to_owned));
        }
        (text, times)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_source_is_bridged_by_heartbeats() {
        let (text, times) = read(false).await;
        let mut check = StreamCheck::new(LineCodec::wire());
        let lines: Vec<Line> = text.into_iter().map(|line| check.decode(&Bytes::from(line)).unwrap()).collect();
        check.finish().unwrap();
        assert_eq!(lines.iter().filter(|line| matches!(line, Line::Heartbeat)).count(), 3);
        assert!(times.windows(2).all(|pair| pair[1] <= pair[0] + Duration::from_secs(15)), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_have_ended_stay_ended() {
        for fails in [false, true] {
            let mut stream = lines(Slow { pages: 0, fails }, Frame::new(10_000)).await.unwrap();
            while stream.next().await.is_some() {}
            assert!(stream.next().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_later_ends_the_lines_without_an_end() {
        let (text, _) = read(true).await;
        assert!(text.iter().any(|line| line.contains("ckpt")) && !text.iter().any(|line| line.contains("end\"")));
    }
}
