//! What was said about posts.

use saas_backup_core::{Record, Result};

use super::blog::BlogWriter;
use super::item::{Comment, html};
use super::own::OwnComment;
use crate::form::value::{author, key_text, reference_text, refs, text_at};

/// Bytes of the comments of a post; what goes beyond is in the source alone.
const MAX_ITEM: usize = 64 * 1024 * 1024;

impl BlogWriter<'_> {
    /// What was said about a record, by time.
    pub(super) fn comments(&mut self, record: &Record) -> Result<String> {
        let mut elements = String::new();
        let (collection, id) = (record.key.collection.as_str(), record.key.id.as_str());
        while let Some((order, entry)) = self.threads.next_up_to(collection, id)? {
            if order.is_lt() {
                self.orphan(entry.line)?;
                continue;
            }
            let comment = self.dataset.decode(entry.line)?;
            if elements.len() > MAX_ITEM {
                self.losses.part(&comment.key, "", "more comments than a post can carry: in the source alone")?;
                continue;
            }
            elements.push_str(&self.comment(&comment)?);
        }
        Ok(elements)
    }

    fn comment(&mut self, record: &Record) -> Result<String> {
        let Some(collection) = self.dataset.catalog.get(&record.key.collection) else { return Ok(String::new()) };
        let key = key_text(&record.key);
        let id = self.ids.give(&format!("comment\0{key}"), "")?;
        let answers = refs(record, collection.fields.parent.as_deref()).find_map(reference_text);
        let parent = match answers {
            Some(key) => self.ids.get(&format!("comment\0{key}"))?,
            None => None,
        };
        let by = match author(collection, record) {
            Some(author) => self.slugs.get(author)?.title,
            None => collection
                .fields
                .properties
                .get("author")
                .and_then(|path| text_at(&record.data, path))
                .unwrap_or_default(),
        };
        let user = match author(collection, record).and_then(reference_text) {
            Some(author) => self.ids.get(&format!("author\0{author}"))?,
            None => None,
        };
        let (text, markup) = self.text(record, collection)?;
        for _ in record.blobs.iter().take(1) {
            self.losses.part(&record.key, "/blobs", "attachments of comments: in the source alone")?;
        }
        let comment = Comment {
            id,
            author: &by,
            user: user.unwrap_or(0),
            content: html(&text, markup),
            created: record.created.or(record.modified),
            state: record.state,
            parent: parent.unwrap_or(0),
            own: OwnComment::of(record),
        };
        Ok(comment.element())
    }

    pub(super) fn orphan(&mut self, line: Vec<u8>) -> Result<()> {
        let record = self.dataset.decode(line)?;
        self.losses.part(&record.key, "", "what it belongs to is not here: in the source alone")
    }
}
