//! A site of static pages: it opens from a folder in any browser, without a server and without a network.
//!
//! ```text
//! index.html                      what is here and what is not
//! missing.html                    what could not be read
//! <collection>/index.html         its pages or its records, 200 on a page
//! <collection>/tree.html          what stands below what
//! <collection>/<title>.html       a document; those below it stand in <collection>/<title>/
//! <collection>/_attachments/      images and files
//! _search/                        the index of the search, loaded piece by piece
//! _site/                          one style sheet, one script
//! _source/<collection>.jsonl      every record as its provider gave it
//! losses.ndjson                   what the pages do not hold, record by record
//! gaps.jsonl                      what is known to be missing, if anything is
//! names.json                      which file is which record or attachment
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! Nothing in a text can run or load anything: see `docs/formats.md` for what is shown and what is not.

mod allowed;
mod check;
mod clean;
mod config;
mod connector;
mod drafts;
mod escape;
mod frame;
mod front;
mod json;
mod media;
mod press;
mod record;
mod search;
mod site;
mod table;
mod thread;
mod time;
mod tree;
mod view;
mod words;

pub use check::check;
pub use config::HtmlConfig;
pub use connector::HtmlConnector;
