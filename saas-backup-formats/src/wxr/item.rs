//! Posts, attachments and comments as elements.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use saas_backup_core::{Markup, Record, RecordState};

use super::authors::Called;
use super::own::{OwnComment, OwnPost};
use super::xml::{Xml, cdata, text};
use crate::text::markdown_to_html;

/// States that WordPress knows.
const STATES: [&str; 5] = ["publish", "draft", "pending", "private", "future"];

/// A post, a page or an attachment.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) id: u32,
    pub(super) post_type: String,
    pub(super) title: String,
    pub(super) slug: String,
    pub(super) link: String,
    /// Its old address, by which links to it are found.
    pub(super) guid: String,
    pub(super) author: String,
    pub(super) content: String,
    pub(super) excerpt: String,
    pub(super) created: Option<DateTime<Utc>>,
    pub(super) modified: Option<DateTime<Utc>>,
    pub(super) parent: u32,
    pub(super) status: String,
    /// What WordPress itself says of it.
    pub(super) own: Option<OwnPost>,
    pub(super) attachment_url: Option<String>,
    /// Taxonomy and term.
    pub(super) terms: Vec<(&'static str, Called)>,
    pub(super) meta: Vec<(String, String)>,
    /// Elements of comments.
    pub(super) comments: String,
}

impl Item {
    pub(super) fn element(&self) -> String {
        let mut xml = Xml::default();
        xml.cdata("title", &self.title);
        xml.text("link", &self.link);
        if let Some(created) = self.created {
            xml.text("pubDate", &created.to_rfc2822());
        }
        xml.cdata("dc:creator", &self.author);
        let _ = writeln!(xml.0, "<guid isPermaLink=\"false\">{}</guid>", text(&self.guid));
        xml.text("description", "");
        xml.cdata("content:encoded", &self.content);
        xml.cdata("excerpt:encoded", &self.excerpt);
        xml.text("wp:post_id", &self.id.to_string());
        let own = self.own.as_ref();
        dates(&mut xml, "wp:post_date", own.and_then(OwnPost::dates).or_else(|| utc(self.created)));
        dates(&mut xml, "wp:post_modified", utc(self.modified.or(self.created)));
        xml.cdata("wp:comment_status", own.and_then(|own| own.comment_status.as_deref()).unwrap_or("open"));
        xml.cdata("wp:ping_status", own.and_then(|own| own.ping_status.as_deref()).unwrap_or("closed"));
        xml.cdata("wp:post_name", &self.slug);
        xml.cdata("wp:status", &self.status);
        xml.text("wp:post_parent", &self.parent.to_string());
        xml.text("wp:menu_order", &own.and_then(|own| own.menu_order).unwrap_or(0).to_string());
        xml.cdata("wp:post_type", &self.post_type);
        xml.cdata("wp:post_password", own.and_then(|own| own.password.as_deref()).unwrap_or_default());
        xml.text("wp:is_sticky", if own.and_then(|own| own.sticky) == Some(true) { "1" } else { "0" });
        if let Some(url) = &self.attachment_url {
            xml.cdata("wp:attachment_url", url);
        }
        for (taxonomy, called) in &self.terms {
            let (nicename, title) = (text(&called.slug), cdata(&called.title));
            let _ = writeln!(xml.0, "<category domain=\"{taxonomy}\" nicename=\"{nicename}\">{title}</category>");
        }
        for (key, value) in &self.meta {
            xml.meta("wp:postmeta", key, value);
        }
        xml.0.push_str(&self.comments);
        format!("<item>\n{}</item>\n", xml.0)
    }
}

/// A comment.
#[derive(Debug)]
pub(super) struct Comment<'a> {
    pub(super) id: u32,
    pub(super) author: &'a str,
    /// The number of the person who wrote it; 0 for a guest.
    pub(super) user: u32,
    pub(super) content: String,
    pub(super) created: Option<DateTime<Utc>>,
    pub(super) state: RecordState,
    pub(super) parent: u32,
    /// What WordPress itself says of it.
    pub(super) own: Option<OwnComment>,
}

impl Comment<'_> {
    pub(super) fn element(&self) -> String {
        let own = self.own.as_ref();
        let said = |text: fn(&OwnComment) -> Option<&str>| own.and_then(text).unwrap_or_default();
        let shown = if self.state == RecordState::Trashed { "trash" } else { "1" };
        let mut xml = Xml::default();
        xml.text("wp:comment_id", &self.id.to_string());
        xml.cdata("wp:comment_author", own.map_or(self.author, |own| &own.author_name));
        xml.cdata("wp:comment_author_email", said(|own| own.author_email.as_deref()));
        xml.text("wp:comment_author_url", said(|own| own.author_url.as_deref()));
        xml.cdata("wp:comment_author_IP", said(|own| own.author_ip.as_deref()));
        dates(&mut xml, "wp:comment_date", own.and_then(OwnComment::dates).or_else(|| utc(self.created)));
        xml.cdata("wp:comment_content", &self.content);
        xml.cdata("wp:comment_approved", own.map_or(shown, OwnComment::approved));
        xml.cdata("wp:comment_type", own.map_or("comment", |own| &own.comment_type));
        xml.text("wp:comment_parent", &self.parent.to_string());
        xml.text("wp:comment_user_id", &self.user.to_string());
        format!("<wp:comment>\n{}</wp:comment>\n", xml.0)
    }
}

/// Local time and UTC. What zone a site will be in is not known.
fn utc(time: Option<DateTime<Utc>>) -> Option<(String, String)> {
    let time = time?.format("%Y-%m-%d %H:%M:%S").to_string();
    Some((time.clone(), time))
}

fn dates(xml: &mut Xml, name: &str, times: Option<(String, String)>) {
    let Some((local, utc)) = times else { return };
    xml.cdata(name, &local);
    xml.cdata(&format!("{name}_gmt"), &utc);
}

/// A text as WordPress keeps texts: HTML.
pub(super) fn html(text_of: &str, markup: Markup) -> String {
    match markup {
        Markup::Html => text_of.to_owned(),
        Markup::Markdown => markdown_to_html(text_of),
        // WordPress makes paragraphs of empty lines itself.
        _ => text(text_of),
    }
}

/// The state of a post, by the record's own word for it where WordPress has that.
pub(super) fn status(record: &Record, mapped: Option<&str>) -> String {
    let word = match record.state {
        RecordState::Trashed => "trash",
        RecordState::Archived => "private",
        _ => mapped.filter(|mapped| STATES.contains(mapped)).unwrap_or("publish"),
    };
    word.to_owned()
}
