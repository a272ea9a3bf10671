//! The index of the search: scripts that a page loads when somebody searches, because nothing else loads from a folder.
//!
//! ```text
//! _search/index.js      how many documents there are, and the first word of each file of words
//! _search/w<n>.js       words in order, each with its documents
//! _search/d<n>.js       title, address and beginning of documents
//! ```
//!
//! The documents of a word are a text: the distance from the last one with 36 digits in small letters, and a capital
//! that says how often it stands there: `A` to `I` in the text, `J` to `R` in the title.

use std::collections::{BTreeMap, HashMap};

use saas_backup_core::Result;
use serde::Serialize;

use super::words::words;
use crate::folder::Output;
use crate::spool::{SMALL, Spool};

pub(super) const FOLDER: &str = "_search";
/// Documents in one file.
const DOCUMENTS: u32 = 100;
/// Bytes after which a file of words ends.
const SHARD_BYTES: usize = 48 * 1024;
/// Bytes of words and their documents that memory holds.
const BATCH_BYTES: usize = 12 * 1024 * 1024;
/// Documents of one word that are told: a word that stands nearly everywhere finds nothing.
const MAX_DOCUMENTS: usize = 50_000;
/// How often a word counts.
const MAX_TIMES: u8 = 9;
/// Letters of a text that are shown.
const SNIPPET: usize = 160;
/// Bytes of one text that are searched.
const MAX_TEXT: usize = 4 * 1024 * 1024;

/// What the search finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) title: &'a str,
    /// Whether the title is its own: that of a comment is the one of what it belongs to.
    pub(super) is_titled: bool,
    /// Its address within the site.
    pub(super) link: &'a str,
    /// The number of its collection in the index.
    pub(super) collection: usize,
    pub(super) note: &'a str,
}

/// Takes documents and writes the index.
#[derive(Debug)]
pub(super) struct SearchWriter {
    spool: Spool,
    batch: HashMap<String, Vec<u8>>,
    weight: usize,
    batches: u32,
    documents: u32,
    shard: String,
}

#[derive(Serialize)]
struct Directory<'a> {
    documents: u32,
    #[serde(rename = "each")]
    documents_in_a_file: u32,
    collections: &'a [String],
    words: Vec<String>,
}

impl SearchWriter {
    pub(super) fn new(scratch: std::path::PathBuf) -> Self {
        Self {
            spool: Spool::with_limit(scratch, SMALL),
            batch: HashMap::new(),
            weight: 0,
            batches: 0,
            documents: 0,
            shard: String::new(),
        }
    }

    /// Takes a document; `texts` are searched besides its title.
    pub(super) fn add(&mut self, output: &mut Output, found: &Found<'_>, texts: &[&str]) -> Result<()> {
        let mut counts: HashMap<String, (u8, u8)> = HashMap::new();
        let mut count = |text: &str, in_title: bool| {
            let end = text.char_indices().map(|(index, _)| index).take_while(|index| *index <= MAX_TEXT).last();
            let text = if text.len() > MAX_TEXT { text.get(..end.unwrap_or(0)).unwrap_or_default() } else { text };
            words(text, |word| {
                let (times, titles) = counts.entry(word.to_owned()).or_default();
                let counter = if in_title { titles } else { times };
                *counter = counter.saturating_add(1);
            });
        };
        count(found.title, found.is_titled);
        for text in texts {
            count(text, false);
        }
        for (word, (times, titles)) in counts {
            let all = times.saturating_add(titles).clamp(1, MAX_TIMES) - 1;
            let weight = if titles > 0 { b'J' + all } else { b'A' + all };
            self.weight += 5 + if self.batch.contains_key(&word) { 0 } else { 80 + word.len() };
            let places = self.batch.entry(word).or_default();
            places.extend_from_slice(&self.documents.to_be_bytes());
            places.push(weight);
        }
        if self.weight > BATCH_BYTES {
            self.spill()?;
        }
        let snippet = snippet(texts.first().copied().unwrap_or_default());
        let entry = serde_json::to_string(&(found.title, found.link, found.collection, &snippet, found.note))?;
        self.shard.push_str(if self.shard.is_empty() { "[" } else { ",\n" });
        self.shard.push_str(&entry);
        self.documents += 1;
        if self.documents.is_multiple_of(DOCUMENTS) { self.end_documents(output) } else { Ok(()) }
    }

    /// Writes the words and the directory; says how many documents there are.
    pub(super) fn finish(mut self, output: &mut Output, collections: &[String]) -> Result<u32> {
        self.end_documents(output)?;
        self.spill()?;
        let mut firsts: Vec<String> = Vec::new();
        let mut shard = String::new();
        let mut entries = self.spool.finish()?.peekable();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let word = entry.group;
            let mut places = entry.line;
            while let Some(Ok(next)) = entries.peek() {
                if next.group != word {
                    break;
                }
                let Some(next) = entries.next() else { break };
                places.extend(next?.line);
            }
            if shard.is_empty() {
                firsts.push(word.clone());
            }
            shard.push_str(if shard.is_empty() { "[" } else { ",\n" });
            shard.push_str(&serde_json::to_string(&word)?);
            shard.push_str(",\"");
            push_places(&mut shard, &places);
            shard.push('"');
            if shard.len() >= SHARD_BYTES {
                write(output, &format!("w{}", firsts.len() - 1), &std::mem::take(&mut shard), "]")?;
            }
        }
        if !shard.is_empty() {
            write(output, &format!("w{}", firsts.len() - 1), &shard, "]")?;
        }
        let directory =
            Directory { documents: self.documents, documents_in_a_file: DOCUMENTS, collections, words: firsts };
        write(output, "index", &serde_json::to_string(&directory)?, "")?;
        Ok(self.documents)
    }

    fn end_documents(&mut self, output: &mut Output) -> Result<()> {
        if self.shard.is_empty() {
            return Ok(());
        }
        let number = (self.documents - 1) / DOCUMENTS;
        write(output, &format!("d{number}"), &std::mem::take(&mut self.shard), "]")
    }

    fn spill(&mut self) -> Result<()> {
        let sorted: BTreeMap<String, Vec<u8>> = self.batch.drain().collect();
        let batch = format!("{:08}", self.batches);
        for (word, places) in sorted {
            self.spool.push(&word, &batch, places)?;
        }
        self.batches += 1;
        self.weight = 0;
        Ok(())
    }
}

fn push_places(out: &mut String, places: &[u8]) {
    let mut before = 0;
    for place in places.chunks_exact(5).take(MAX_DOCUMENTS) {
        let [a, b, c, d, weight] = place else { continue };
        let document = u32::from_be_bytes([*a, *b, *c, *d]);
        push_base36(out, document - before);
        out.push(char::from(*weight));
        before = document;
    }
}

fn push_base36(out: &mut String, mut number: u32) {
    let mut digits = [0; 8];
    let mut start = digits.len();
    loop {
        start -= 1;
        let digit = char::from_digit(number % 36, 36).unwrap_or('0');
        if let Some(place) = digits.get_mut(start) {
            *place = digit as u8;
        }
        number /= 36;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(start).map(|digit| char::from(*digit)));
}

/// The beginning of a text, on one line.
fn snippet(text: &str) -> String {
    let mut out = String::new();
    let mut left = SNIPPET;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if length > left {
            out.push('…');
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        left = left.saturating_sub(length + 1);
    }
    out
}

fn write(output: &mut Output, name: &str, data: &str, end: &str) -> Result<()> {
    let script = format!("archiveShard(\"{name}\",{data}{end});\n");
    output.write(&format!("{FOLDER}/{name}.js"), script.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distances_with_a_capital() {
        let mut places = Vec::new();
        for (document, weight) in [(0_u32, b'A'), (35, b'J'), (71, b'I'), (1_000_000, b'B')] {
            places.extend_from_slice(&document.to_be_bytes());
            places.push(weight);
        }
        let mut out = String::new();
        push_places(&mut out, &places);
        assert_eq!(out, "0AzJ10IlfjtB");
    }

    #[test]
    fn a_snippet_ends_between_words() {
        assert_eq!(snippet(" a\n b "), "a b");
        assert_eq!(snippet(&"word ".repeat(99)).chars().count(), 160);
    }
}
