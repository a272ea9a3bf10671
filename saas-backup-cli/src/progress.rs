use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use saas_backup::core::{Counts, FeedId, Progress, ProgressEvent};

use crate::output::{Output, bytes, word};

/// How often a run that nobody watches says something.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a run: a bar on a terminal, lines elsewhere.
#[derive(Debug)]
pub(crate) struct Console {
    output: Output,
    name: String,
    bar: Option<ProgressBar>,
    state: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    counts: Counts,
    of_feeds: BTreeMap<FeedId, Counts>,
    blob_bytes: u64,
    at_work: BTreeSet<FeedId>,
    expected: Option<u64>,
    last_line: Instant,
}

impl Console {
    pub(crate) fn start(output: Output, name: &str) -> Arc<Self> {
        let bar = output.draws().then(|| {
            let bar = ProgressBar::new_spinner().with_prefix(name.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Arc::new(Self { output, name: name.to_owned(), bar, state: Mutex::new(Shown::new()) })
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Shows how far it is: on the bar at once, as a line now and then.
    pub(crate) fn show(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            return;
        }
        let mut state = self.state();
        if state.last_line.elapsed() >= LINE_EVERY {
            state.last_line = Instant::now();
            drop(state);
            self.output.note(format_args!("{}: {text}", self.name));
        }
    }

    fn state(&self) -> MutexGuard<'_, Shown> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something above the bar, or as a line.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }
}

impl Shown {
    fn new() -> Self {
        Self {
            counts: Counts::default(),
            of_feeds: BTreeMap::new(),
            blob_bytes: 0,
            at_work: BTreeSet::new(),
            expected: None,
            last_line: Instant::now(),
        }
    }

    fn advance(&mut self, feed: &FeedId, counts: &Counts) {
        self.counts = self.counts.plus(counts);
        let of_feed = self.of_feeds.entry(feed.clone()).or_default();
        *of_feed = of_feed.plus(counts);
    }

    /// What a feed came to.
    fn end(&mut self, feed: &FeedId, status: &str) -> String {
        self.at_work.remove(feed);
        let counts = self.of_feeds.remove(feed).unwrap_or_default();
        format!("{feed} {status}: {}", counted(&counts, None))
    }

    fn summary(&self) -> String {
        let mut text = counted(&self.counts, self.expected);
        if self.blob_bytes > 0 {
            let _ = write!(text, ", {}", bytes(self.blob_bytes));
        }
        let feeds: Vec<&str> = self.at_work.iter().take(3).map(FeedId::as_str).collect();
        if !feeds.is_empty() {
            let _ = write!(text, "  {}", feeds.join(" "));
        }
        text
    }
}

fn counted(counts: &Counts, expected: Option<u64>) -> String {
    let Counts { read, deleted, blobs, gaps, .. } = *counts;
    let mut text = match expected {
        Some(expected) => format!("{read} records of about {expected}"),
        None => format!("{read} records"),
    };
    for (count, what) in [(deleted, "deleted"), (blobs, "attachments"), (gaps, "missing")] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

impl Progress for Console {
    fn event(&self, event: &ProgressEvent) {
        let mut state = self.state();
        match event {
            ProgressEvent::Started { expected, .. } => state.expected = *expected,
            ProgressEvent::FeedStarted { feed, .. } => {
                state.at_work.insert(feed.id.clone());
            }
            ProgressEvent::Advanced { feed, counts } => state.advance(feed, counts),
            ProgressEvent::BlobBytes { bytes, .. } => state.blob_bytes += bytes,
            ProgressEvent::Waiting { feed, wait } => {
                let text = format!("{}: {feed} did not answer; waits {} s and tries again", self.name, wait.as_secs());
                drop(state);
                self.say(&text);
                return;
            }
            ProgressEvent::FeedFinished { feed, status } => {
                let ended = state.end(feed, &word(status));
                if self.bar.is_none() {
                    let text = format!("{}: {ended}", self.name);
                    state.last_line = Instant::now();
                    drop(state);
                    self.say(&text);
                    return;
                }
            }
            _ => {}
        }
        let text = state.summary();
        drop(state);
        self.show(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feed_is_told_with_its_own_counts() {
        let (mut shown, counted) = (Shown::new(), |read| {
            let mut counts = Counts::default();
            counts.read = read;
            counts
        });
        let (notes, log) = (FeedId::from_static("notes"), FeedId::from_static("changes:log"));
        shown.advance(&notes, &counted(3));
        shown.advance(&notes, &counted(4));
        assert_eq!(shown.end(&notes, "full"), "notes full: 7 records");
        assert_eq!(shown.end(&log, "changes"), "changes:log changes: 0 records");
        assert_eq!(shown.summary(), "7 records");
    }
}
