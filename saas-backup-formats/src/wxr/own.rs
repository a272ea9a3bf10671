//! What a record of WordPress says of itself, in the words of WordPress's own API.
//!
//! WXR carries more than any field mapping names: passwords of posts, whether people may comment, local times. Where the
//! records come from WordPress all of it stands in them, and is taken as it stands.

use chrono::NaiveDateTime;
use saas_backup_core::Record;
use serde::Deserialize;

/// Longest name of a type of posts that WordPress keeps.
const MAX_TYPE: usize = 20;

/// A post of any type, a file or a template.
#[derive(Debug, Deserialize)]
pub(super) struct OwnPost {
    #[serde(rename = "type")]
    pub(super) post_type: String,
    pub(super) slug: String,
    pub(super) status: String,
    pub(super) title: Texts,
    pub(super) guid: Option<Texts>,
    date: Option<String>,
    date_gmt: Option<String>,
    pub(super) password: Option<String>,
    pub(super) comment_status: Option<String>,
    pub(super) ping_status: Option<String>,
    pub(super) menu_order: Option<i64>,
    pub(super) sticky: Option<bool>,
    pub(super) alt_text: Option<String>,
    /// What a file is attached to.
    pub(super) post: Option<u64>,
    pub(super) theme: Option<String>,
    pub(super) area: Option<String>,
    /// 0 where a template lies in a file of its theme.
    wp_id: Option<u64>,
}

/// A text as it was written, and as visitors see it.
#[derive(Debug, Deserialize)]
pub(super) struct Texts {
    pub(super) raw: Option<String>,
    rendered: Option<String>,
}

impl OwnPost {
    pub(super) fn of(record: &Record) -> Option<Self> {
        let own: Self = record.data.decode().ok()?;
        let is_word = |text: &str| text.chars().all(|one| matches!(one, 'a'..='z' | '0'..='9' | '_' | '-'));
        let is_type = !own.post_type.is_empty() && own.post_type.len() <= MAX_TYPE && is_word(&own.post_type);
        let is_own = (own.date_gmt.is_some() && own.guid.is_some()) || own.theme.is_some();
        (is_own && is_type && !own.status.is_empty() && is_word(&own.status)).then_some(own)
    }

    /// Where a template lies in a file of its theme: a site that has the theme has the template.
    pub(super) fn is_of_theme(&self) -> bool {
        self.theme.is_some() && self.wp_id.is_none_or(|id| id == 0)
    }

    pub(super) fn dates(&self) -> Option<(String, String)> {
        dates(self.date.as_deref(), self.date_gmt.as_deref())
    }

    /// The terms by which WordPress finds a template.
    pub(super) fn terms(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("wp_theme", &self.theme), ("wp_template_part_area", &self.area)]
            .into_iter()
            .filter_map(|(taxonomy, name)| Some((taxonomy, name.as_deref()?)))
    }
}

impl Texts {
    pub(super) fn any(&self) -> Option<&str> {
        self.raw.as_deref().or(self.rendered.as_deref())
    }
}

/// A comment.
#[derive(Debug, Deserialize)]
pub(super) struct OwnComment {
    pub(super) author_name: String,
    status: String,
    date: String,
    date_gmt: String,
    #[serde(rename = "type")]
    pub(super) comment_type: String,
    pub(super) author_email: Option<String>,
    pub(super) author_url: Option<String>,
    pub(super) author_ip: Option<String>,
}

impl OwnComment {
    pub(super) fn of(record: &Record) -> Option<Self> {
        record.data.decode().ok()
    }

    pub(super) fn dates(&self) -> Option<(String, String)> {
        dates(Some(&self.date), Some(&self.date_gmt))
    }

    /// Whether it is shown, as WXR says it. A word that is not known is nobody's consent.
    pub(super) fn approved(&self) -> &'static str {
        match self.status.as_str() {
            "approved" => "1",
            "spam" => "spam",
            "trash" => "trash",
            _ => "0",
        }
    }
}

/// A person.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OwnUser {
    pub(super) username: String,
    pub(super) email: String,
    #[serde(default)]
    pub(super) first_name: String,
    #[serde(default)]
    pub(super) last_name: String,
}

impl OwnUser {
    pub(super) fn of(record: &Record) -> Option<Self> {
        record.data.decode().ok().filter(|own: &Self| !own.username.is_empty())
    }
}

/// Local time and UTC, as WXR writes them.
fn dates(local: Option<&str>, utc: Option<&str>) -> Option<(String, String)> {
    let written = |time: &str| {
        let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S").ok()?;
        Some(time.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    Some((written(local?)?, written(utc?)?))
}
