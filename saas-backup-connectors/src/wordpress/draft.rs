//! What is sent to the site for a record.

use std::collections::BTreeSet;

use saas_backup_core::{Error, ErrorKind, Key, Loss, Record, Result};
use serde_json::{Map, Value, json};

use super::site::{Form, SiteCollection};
use super::target::{Resolved, Target};
use super::translate::translate;

/// A record as the site takes it, and what of it has to wait or is lost.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) fields: Map<String, Value>,
    pub(super) waits: BTreeSet<Key>,
    pub(super) lost: Vec<Loss>,
    pub(super) guessed: Vec<(String, String)>,
    /// It is in the trash, where nothing can be made: it is made and then thrown away.
    pub(super) trash: bool,
}

struct Drafting<'a> {
    target: &'a Target,
    data: &'a Value,
    draft: Draft,
}

/// Translates a record.
pub(super) fn draft(target: &Target, of: &SiteCollection, record: &Record, data: &Value) -> Result<Draft> {
    let mut drafting = Drafting { target, data, draft: Draft::default() };
    match of.form {
        Form::Posts if of.slug == "nav_menu_item" => drafting.menu_item(),
        Form::Posts => drafting.post(of),
        Form::Media => drafting.media(),
        Form::Comments => drafting.comment(),
        Form::Whole if of.slug == "users" => drafting.user(),
        Form::Whole => drafting.term(of),
        Form::List => drafting.template(),
        Form::Document => drafting.settings(),
        Form::Styles | Form::Revisions => {
            return Err(Error::new(ErrorKind::Unsupported, "the site has no way to write these")
                .with_context("collection", &record.key.collection));
        }
    }
    Ok(drafting.draft)
}

impl Drafting<'_> {
    fn post(&mut self, of: &SiteCollection) {
        self.copy(&["slug", "date_gmt", "status", "comment_status", "ping_status", "password", "menu_order"]);
        self.copy_unless("template", "");
        self.copy_unless("format", "standard");
        self.copy_unless("sticky", false);
        self.copy_unless("wp_pattern_sync_status", "");
        self.meta();
        self.texts(&["title", "content", "excerpt"]);
        self.trashed();
        self.author();
        self.one("featured_media", |form, _| form == Form::Media);
        let slug = of.slug.clone();
        self.one("parent", move |_, other| other == slug);
        for (member, terms) in &of.taxonomies {
            self.terms(member, terms);
        }
    }

    /// What is said of a file once it is uploaded.
    fn media(&mut self) {
        self.copy(&["slug", "date_gmt", "comment_status", "ping_status", "alt_text"]);
        self.meta();
        self.texts(&["title", "caption", "description"]);
        self.author();
        self.one("post", |form, slug| form == Form::Posts && slug != "nav_menu_item");
    }

    fn comment(&mut self) {
        self.copy(&[
            "date_gmt",
            "author_name",
            "author_email",
            "author_url",
            "author_ip",
            "author_user_agent",
            "status",
        ]);
        self.draft.fields.retain(|_, value| value != "");
        self.meta();
        self.texts(&["content"]);
        if self.data.get("author").and_then(Value::as_u64).is_some_and(|id| id > 0) {
            self.author();
        }
        self.one("post", |form, _| matches!(form, Form::Posts | Form::Media));
        self.one("parent", |form, _| form == Form::Comments);
    }

    fn term(&mut self, of: &SiteCollection) {
        self.copy(&["name", "slug", "description"]);
        self.copy_unless("auto_add", false);
        if let Some(locations) =
            self.data.get("locations").filter(|places| places.as_array().is_some_and(|all| !all.is_empty()))
        {
            self.draft.fields.insert("locations".to_owned(), locations.clone());
        }
        self.meta();
        let slug = of.slug.clone();
        self.one("parent", move |_, other| other == slug);
    }

    fn user(&mut self) {
        self.copy(&[
            "username",
            "name",
            "first_name",
            "last_name",
            "email",
            "url",
            "description",
            "locale",
            "nickname",
            "slug",
            "roles",
        ]);
        self.meta();
        self.lose("/data/password", "passwords are not in the interface: the user sets a new one");
    }

    fn menu_item(&mut self) {
        self.copy(&["status", "type", "object", "menu_order", "target", "classes", "xfn", "attr_title", "description"]);
        self.texts(&["title"]);
        self.one("menus", |_, slug| slug == "nav_menu");
        self.one("parent", |_, slug| slug == "nav_menu_item");
        let text = |name: &str| self.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if matches!(text("type").as_str(), "post_type" | "taxonomy") {
            let object = text("object");
            self.one("object_id", move |_, slug| slug == object);
        } else {
            let url = text("url");
            self.text("url", &url);
        }
    }

    fn template(&mut self) {
        self.copy(&["slug", "theme", "description"]);
        self.copy_unless("area", "");
        self.texts(&["title", "content"]);
    }

    fn settings(&mut self) {
        if let Value::Object(settings) = self.data {
            self.draft.fields = settings.clone();
        }
        // What says which site it is stays as it is.
        for own in ["url", "email"] {
            self.draft.fields.remove(own);
        }
        for (name, form, slug) in [
            ("page_on_front", Form::Posts, "page"),
            ("page_for_posts", Form::Posts, "page"),
            ("site_logo", Form::Media, "attachment"),
            ("site_icon", Form::Media, "attachment"),
            ("default_category", Form::Whole, "category"),
        ] {
            self.draft.fields.remove(name);
            self.one(name, move |other, of| other == form && of == slug);
        }
    }

    fn copy(&mut self, names: &[&str]) {
        for name in names {
            if let Some(value) = self.data.get(name).filter(|value| !value.is_null()) {
                self.draft.fields.insert((*name).to_owned(), value.clone());
            }
        }
    }

    fn copy_unless(&mut self, name: &str, usual: impl Into<Value>) {
        let usual = usual.into();
        if self.data.get(name).is_some_and(|value| *value != usual) {
            self.copy(&[name]);
        }
    }

    /// An empty map arrives as a list.
    fn meta(&mut self) {
        if let Some(meta @ Value::Object(_)) = self.data.get("meta") {
            self.draft.fields.insert("meta".to_owned(), meta.clone());
        }
    }

    fn texts(&mut self, names: &[&str]) {
        for name in names {
            let Some(text) = self.data.get(name) else { continue };
            let stored = text.get("raw").and_then(Value::as_str);
            if stored.is_none() && text.get("rendered").is_some() {
                self.lose(&format!("/data/{name}"), "only what visitors see is in the copy");
            }
            let shown = || text.get("rendered").and_then(Value::as_str).or_else(|| text.as_str());
            if let Some(text) = stored.or_else(shown) {
                self.text(name, text);
            }
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        let translated = translate(self.target, text, &format!("/data/{name}"));
        self.draft.waits.extend(translated.waits);
        self.draft.lost.extend(translated.lost);
        self.draft.guessed.extend(translated.guessed);
        self.draft.fields.insert(name.to_owned(), translated.text.into());
    }

    fn trashed(&mut self) {
        if self.data.get("status").and_then(Value::as_str) != Some("trash") {
            return;
        }
        self.draft.trash = true;
        self.draft.fields.insert("status".to_owned(), json!("draft"));
        let slug = self.data.get("slug").and_then(Value::as_str).unwrap_or_default();
        // WordPress adds it when it throws a post away.
        let slug = slug.strip_suffix("__trashed").unwrap_or(slug).to_owned();
        self.draft.fields.insert("slug".to_owned(), slug.into());
    }

    fn author(&mut self) {
        self.one("author", |_, slug| slug == "users");
    }

    /// A member that holds the id of one record in the collections that pass.
    fn one(&mut self, name: &str, passes: impl Fn(Form, &str) -> bool) {
        let Some(id) = self.data.get(name).and_then(Value::as_u64) else { return };
        if id == 0 {
            self.draft.fields.insert(name.to_owned(), json!(0));
            return;
        }
        let collections = self.target.site.collections.iter().filter(|of| passes(of.form, &of.slug));
        match self.target.resolve_any(collections, id) {
            Resolved::New(new) => {
                self.draft.fields.insert(name.to_owned(), number(&new));
            }
            Resolved::Later(keys) => self.draft.waits.extend(keys),
            Resolved::Gone => self.lose(&format!("/data/{name}"), "a reference to a record that is not in the copy"),
        }
    }

    fn terms(&mut self, member: &str, of: &saas_backup_core::CollectionName) {
        let Some(ids) = self.data.get(member).and_then(Value::as_array) else { return };
        let mut new = Vec::new();
        for id in ids.iter().filter_map(Value::as_u64) {
            let collections = self.target.site.collections.iter().filter(|collection| &collection.name == of);
            match self.target.resolve_any(collections, id) {
                Resolved::New(id) => new.push(number(&id)),
                Resolved::Later(keys) => self.draft.waits.extend(keys),
                Resolved::Gone => {
                    self.lose(&format!("/data/{member}"), "a reference to a record that is not in the copy");
                }
            }
        }
        self.draft.fields.insert(member.to_owned(), new.into());
    }

    fn lose(&mut self, path: &str, reason: &str) {
        let loss = Loss { path: path.to_owned(), reason: reason.to_owned() };
        if !self.draft.lost.contains(&loss) {
            self.draft.lost.push(loss);
        }
    }
}

fn number(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| json!(id), Value::from)
}

/// What the site stored otherwise than it was sent.
pub(super) fn differences(sent: &Map<String, Value>, stored: &Value) -> Vec<Loss> {
    let mut lost = Vec::new();
    for (name, sent) in sent {
        // What the API does not give back cannot be compared.
        let Some(stored) = stored.get(name) else { continue };
        let stored = stored.get("raw").filter(|_| sent.is_string()).unwrap_or(stored);
        let same = match (sent, stored) {
            (Value::Array(sent), Value::Array(stored)) => {
                sent.len() == stored.len() && sent.iter().all(|item| stored.contains(item))
            }
            (Value::Object(sent), Value::Object(stored)) => {
                sent.iter().all(|(name, value)| stored.get(name) == Some(value))
            }
            // An id of nothing comes back as nothing.
            (sent, Value::Null) => *sent == json!(0) || *sent == json!(""),
            (sent, stored) => sent == stored,
        };
        if !same {
            lost.push(Loss { path: format!("/data/{name}"), reason: "the site stored another value".to_owned() });
        }
    }
    lost
}
