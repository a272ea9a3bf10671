//! What was said about a record: on its page, or on a page for each day of a conversation.

use std::collections::BTreeSet;

use saas_backup_core::{Record, Result};

use super::front_matter::FrontMatter;
use super::vault::VaultWriter;
use crate::form::value::key_text;
use crate::pages::{Placed, day_of};
use crate::text::{inline, relative};

/// Bytes of what is said on one page; what goes beyond is in the source alone.
const MAX_PAGE: usize = 32 * 1024 * 1024;

/// What was said about a record.
#[derive(Debug, Default)]
pub(super) struct Thread {
    /// On its own page, by time.
    pub(super) comments: Vec<Record>,
    /// Links to the pages of the days, with the number of messages on each.
    pub(super) days: Vec<(String, String, u64)>,
    bytes: usize,
}

/// The page of a day, as far as it is written.
#[derive(Debug)]
struct Day {
    name: String,
    path: String,
    text: String,
    messages: u64,
    reached: BTreeSet<String>,
}

impl VaultWriter<'_> {
    /// What was said about a record; what was said about records that do not exist is listed on the way.
    pub(super) fn thread(&mut self, record: &Record, placed: &Placed) -> Result<Thread> {
        let (collection, id) = (record.key.collection.as_str(), record.key.id.as_str());
        let (mut thread, mut day): (Thread, Option<Day>) = (Thread::default(), None);
        while let Some((order, entry)) = self.threads.next_up_to(collection, id)? {
            if order.is_lt() {
                self.orphan(entry.line)?;
                continue;
            }
            let said = self.dataset.decode(entry.line)?;
            let on = self.renderer.linker.place_of(&key_text(&said.key))?.map_or_else(String::new, |on| on.path);
            if on == placed.path {
                thread.bytes += said.weight();
                if thread.bytes <= MAX_PAGE {
                    thread.comments.push(said);
                } else {
                    self.too_much(&said)?;
                }
                continue;
            }
            if day.as_ref().is_some_and(|day| day.path != on) {
                self.end_day(record, placed, day.take(), &mut thread)?;
            }
            let name = self.renderer.catalog.get(&said.key.collection).map(|of| day_of(of, &said)).unwrap_or_default();
            let new = || Day { name, path: on, text: String::new(), messages: 0, reached: BTreeSet::new() };
            let day = day.get_or_insert_with(new);
            day.messages += 1;
            if day.text.len() > MAX_PAGE {
                self.too_much(&said)?;
            } else {
                day.reached.append(&mut self.renderer.comment(&said, &day.path, &mut day.text)?);
            }
        }
        self.end_day(record, placed, day, &mut thread)?;
        Ok(thread)
    }

    fn too_much(&mut self, said: &Record) -> Result<()> {
        self.renderer.losses.part(&said.key, "", "more comments than a page can carry: in the source alone")
    }

    fn end_day(&mut self, record: &Record, placed: &Placed, day: Option<Day>, thread: &mut Thread) -> Result<()> {
        let Some(Day { name, path, text, messages, reached }) = day else { return Ok(()) };
        let title = format!("{}, {name}", placed.title);
        let mut matter = FrontMatter::new();
        matter.text("title", &title);
        matter.text("collection", record.key.collection.as_str());
        matter.text("time", &name);
        matter.text("parent", &placed.title);
        let above = format!("[{}]({})", inline(&placed.title), placed.link(&path));
        let page = format!("{}\n# {}\n\n{above}\n{text}", matter.finish(), inline(&title));
        self.output.write(&path, page.as_bytes())?;
        self.edges.tell_reached(&key_text(&record.key), &title, &relative("", &path), reached)?;
        thread.days.push((name, relative(&placed.path, &path), messages));
        Ok(())
    }
}
