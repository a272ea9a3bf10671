//! Finds a record on the site that is the one at hand.

use saas_backup_core::{ErrorKind, Key, Record, RecordId, Result, page_items};
use serde_json::Value;

use super::reader::parameters;
use super::site::{Form, SiteCollection};
use super::target::{Resolved, Target};

/// A record that the site has.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) data: Value,
}

impl Target {
    /// The record on the site that is this one, if `from` or a later id; by its id on its own site, else by what makes
    /// it recognisable.
    pub(super) async fn find(
        &self,
        of: &SiteCollection,
        record: &Record,
        data: &Value,
        from: u64,
    ) -> Result<Option<Found>> {
        if self.is_same_site()
            && let Some(found) = self.find_by_id(of, record).await?
        {
            return Ok(Some(found));
        }
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let question: Vec<(&str, String)> = match of.form {
            Form::Posts if of.slug == "nav_menu_item" => {
                match self.resolve_member(data, "menus", |of| of.slug == "nav_menu") {
                    Some(menu) => vec![("menus", menu)],
                    None => return Ok(None),
                }
            }
            Form::Posts | Form::Media if !text("slug").is_empty() => vec![("slug", text("slug"))],
            Form::Comments => {
                match self.resolve_member(data, "post", |of| matches!(of.form, Form::Posts | Form::Media)) {
                    Some(post) => vec![("post", post)],
                    None => return Ok(None),
                }
            }
            Form::Whole if of.slug == "users" && !text("email").is_empty() => vec![("search", text("email"))],
            Form::Whole => vec![("search", text("name"))],
            _ => return Ok(None),
        };
        for item in self.ask(of, &question).await? {
            let Some(id) = item.get("id").and_then(Value::as_u64).filter(|id| *id >= from) else { continue };
            if self.is_same(of, data, &item) {
                let key = Key::new(of.name.clone(), RecordId::parse(id.to_string())?);
                return Ok(Some(Found { key, data: item }));
            }
        }
        Ok(None)
    }

    async fn find_by_id(&self, of: &SiteCollection, record: &Record) -> Result<Option<Found>> {
        let path = format!("{}/{}", of.path, record.key.id);
        match self.site.api.get(&path, &[("context", "edit")]).await {
            Ok(response) => Ok(Some(Found { key: record.key.clone(), data: response.json()? })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, of: &SiteCollection, question: &[(&str, String)]) -> Result<Vec<Value>> {
        let mut parameters = parameters(of);
        parameters.push(("per_page".to_owned(), "100".to_owned()));
        parameters.extend(question.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = self.site.api.get(&of.path, &parameters).await?;
        page_items(response.body(), "")?.iter().map(saas_backup_core::Json::decode).collect()
    }

    fn is_same(&self, of: &SiteCollection, old: &Value, here: &Value) -> bool {
        let equal = |path: &str| old.pointer(path) == here.pointer(path);
        match of.form {
            Form::Posts if of.slug == "nav_menu_item" => {
                equal("/title/raw") && equal("/type") && equal("/object") && equal("/menu_order")
            }
            Form::Posts | Form::Media => equal("/slug") && equal("/date_gmt"),
            Form::Comments => equal("/date_gmt") && equal("/author_name") && equal("/content/raw"),
            Form::Whole if of.slug == "users" => equal("/email") || equal("/username"),
            // Names are unique below one parent.
            Form::Whole => {
                let parent = self.resolve_member(old, "parent", |other| other.slug == of.slug);
                let here_below = here.get("parent").and_then(Value::as_u64).unwrap_or(0).to_string();
                equal("/name") && parent.unwrap_or_else(|| "0".to_owned()) == here_below
            }
            _ => false,
        }
    }

    fn resolve_member(&self, data: &Value, name: &str, passes: impl Fn(&SiteCollection) -> bool) -> Option<String> {
        let id = data.get(name).and_then(Value::as_u64).filter(|id| *id > 0)?;
        match self.resolve_any(self.site.collections.iter().filter(|of| passes(of)), id) {
            Resolved::New(id) => Some(id),
            _ => None,
        }
    }
}
