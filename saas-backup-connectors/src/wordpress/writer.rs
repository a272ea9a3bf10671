use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use http::Method;
use saas_backup_core::{
    Cursor, Error, ErrorKind, Event, Feed, Key, Loss, Outcome, Problem, Record, RecordId, Result, WriteMode, Writer,
    Written,
};
use serde_json::{Map, Value, json};

use super::catalog::is_restorable;
use super::draft::{Draft, differences, draft};
use super::site::{Form, SiteCollection};
use super::target::{Guess, Target};
use crate::http::Request;

/// Writes the records of one collection.
#[derive(Debug)]
pub(super) struct SiteWriter {
    pub(super) target: Arc<Target>,
    pub(super) feed: Feed,
}

#[async_trait]
impl Writer for SiteWriter {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for event in batch {
            outcomes.push(match event {
                Event::Put(record) => match self.target.put(&record).await {
                    Ok(outcome) => outcome,
                    Err(error) => rejected(error)?,
                },
                Event::Delete(_) => skipped("not-deleted", "a restore deletes nothing"),
                _ => Outcome::Unchanged,
            });
        }
        Ok(outcomes)
    }

    /// Each record is on the site, and its new id durable, once it is written.
    async fn flush(&mut self, _cursor: Option<&Cursor>) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.target.finish(&self.feed.covers);
        Ok(())
    }
}

fn skipped(kind: &str, title: &str) -> Outcome {
    Outcome::Skipped(Box::new(Problem::new(kind, title)))
}

/// What is wrong with one record ends that record; what is wrong with the site ends the run.
fn rejected(error: Error) -> Result<Outcome> {
    match error.kind() {
        ErrorKind::Unauthenticated
        | ErrorKind::Unavailable
        | ErrorKind::RateLimited
        | ErrorKind::StorageFull
        | ErrorKind::Cancelled => Err(error),
        _ => Ok(Outcome::Rejected(Box::new(Problem::from(&error)))),
    }
}

/// What a dry run says of a record: it waits as it would, so that what points nowhere is found.
fn rehearsed(draft: Draft, key: Option<Key>, replaced: bool) -> Outcome {
    if !draft.waits.is_empty() {
        return Outcome::Deferred(draft.waits.into_iter().collect());
    }
    let mut written = Written::default();
    (written.key, written.lost, written.replaced) = (key, draft.lost, replaced);
    Outcome::Written(Box::new(written))
}

/// The code that WordPress gave with a refusal.
fn code(error: &Error) -> Option<&str> {
    error.context().find_map(|(name, value)| (name == "code").then_some(value))
}

impl Target {
    async fn put(&self, record: &Record) -> Result<Outcome> {
        self.learn_base(record);
        let Some(of) = self.site.get(&record.key.collection) else {
            return Ok(skipped("no-such-collection", "the site has no such collection"));
        };
        if !is_restorable(of) {
            return Ok(skipped("not-restorable", "the interface of WordPress has no way to write these"));
        }
        let data: Value = record.data.decode()?;
        match of.form {
            Form::List => self.put_template(of, record, &data).await,
            Form::Document => self.put_settings(of, record, &data).await,
            _ => self.put_numbered(of, record, &data).await,
        }
    }

    async fn put_numbered(&self, of: &SiteCollection, record: &Record, data: &Value) -> Result<Outcome> {
        if let Some(new) = self.ids.get(&record.key) {
            return self.update(of, record, data, &new, false).await;
        }
        let from = match self.mode {
            // Nothing that was there is looked at: only what an earlier try of this restore has made.
            WriteMode::Create => self.made_before.get(&of.name).copied(),
            _ => Some(0),
        };
        if let Some(from) = from
            && let Some(found) = self.find(of, record, data, from).await?
        {
            return self.meet(of, record, data, found.key, &found.data).await;
        }
        if self.dry_run {
            self.found(&record.key, record.key.clone());
            return Ok(rehearsed(draft(self, of, record, data)?, None, false));
        }
        match self.create(of, record, data).await {
            Err(error) if error.kind() == ErrorKind::Conflict => match self.find(of, record, data, 0).await? {
                Some(found) => self.meet(of, record, data, found.key, &found.data).await,
                None => Err(error),
            },
            outcome => outcome,
        }
    }

    /// What happens to a record that the site has already.
    async fn meet(
        &self,
        of: &SiteCollection,
        record: &Record,
        old: &Value,
        here: Key,
        data: &Value,
    ) -> Result<Outcome> {
        self.learn_addresses(old, data);
        let made_by_us = self
            .made_before
            .get(&of.name)
            .is_some_and(|from| here.id.as_str().parse::<u64>().is_ok_and(|id| id >= *from));
        if self.mode != WriteMode::Overwrite && !(self.mode == WriteMode::Create && made_by_us) {
            self.found(&record.key, here);
            return Ok(skipped("exists", "the site has it already"));
        }
        if self.dry_run {
            self.found(&record.key, here.clone());
        } else {
            self.made(&record.key, here.clone()).await?;
        }
        self.update(of, record, old, &here, !made_by_us).await
    }

    async fn create(&self, of: &SiteCollection, record: &Record, data: &Value) -> Result<Outcome> {
        self.upload_inline(record).await?;
        let draft = draft(self, of, record, data)?;
        if of.form == Form::Comments && !draft.fields.contains_key("post") {
            if draft.waits.is_empty() {
                return Err(Error::new(ErrorKind::NotFound, "the post of the comment was not restored"));
            }
            return Ok(Outcome::Deferred(draft.waits.into_iter().collect()));
        }
        let mut draft = draft;
        let created = match of.form {
            Form::Media => self.upload(record, data).await?,
            Form::Comments => self.send_comment(of, record, &mut draft).await?,
            _ => {
                let mut fields = draft.fields.clone();
                if of.slug == "users" {
                    fields.insert("password".to_owned(), throwaway_password()?.into());
                }
                self.send(&of.path, fields, &mut draft.lost, false).await?
            }
        };
        let id = created
            .get("id")
            .and_then(Value::as_u64)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "the site made a record and does not say which"))?;
        let new = Key::new(of.name.clone(), RecordId::parse(id.to_string())?);
        self.made(&record.key, new.clone()).await?;
        self.learn_addresses(data, &created);
        let path = format!("{}/{id}", of.path);
        let stored = if of.form == Form::Media {
            self.send(&path, draft.fields.clone(), &mut draft.lost, true).await?
        } else {
            created
        };
        self.conclude(&path, draft, data, stored, new, false).await
    }

    async fn update(
        &self,
        of: &SiteCollection,
        record: &Record,
        data: &Value,
        new: &Key,
        replaced: bool,
    ) -> Result<Outcome> {
        if !self.dry_run {
            self.upload_inline(record).await?;
        }
        let mut draft = draft(self, of, record, data)?;
        if of.slug == "users" {
            draft.fields.remove("username");
            // Whoever restores must not lose the right to while at it.
            if new.id.as_str() == self.site.user.to_string() {
                draft.fields.remove("roles");
            }
        }
        if of.form == Form::Media && replaced {
            draft.lost.push(Loss {
                path: "/blobs".to_owned(),
                reason: "the site does not take other bytes for a file that it has".to_owned(),
            });
        }
        if self.dry_run {
            return Ok(rehearsed(draft, Some(new.clone()), replaced));
        }
        let path = format!("{}/{}", of.path, new.id);
        let stored = self.send(&path, draft.fields.clone(), &mut draft.lost, true).await?;
        self.wrote();
        self.learn_addresses(data, &stored);
        self.conclude(&path, draft, data, stored, new.clone(), replaced).await
    }

    /// Throws away what was in the trash, and says how the record arrived.
    async fn conclude(
        &self,
        path: &str,
        draft: Draft,
        data: &Value,
        stored: Value,
        new: Key,
        replaced: bool,
    ) -> Result<Outcome> {
        let Draft { fields, waits, mut lost, guessed, trash } = draft;
        lost.extend(differences(&fields, &stored));
        if trash {
            self.request(Method::DELETE, path, None).await?;
        }
        let changed = |value: &Value| value.get("modified_gmt").and_then(Value::as_str).map(str::to_owned);
        if changed(data).is_some() && changed(data) != changed(&stored) {
            lost.push(Loss {
                path: "/data/modified_gmt".to_owned(),
                reason: "the site sets the time of change".to_owned(),
            });
        }
        if !guessed.is_empty() {
            self.guess(Guess { path: path.to_owned(), addresses: guessed });
        }
        if !waits.is_empty() {
            return Ok(Outcome::Deferred(waits.into_iter().collect()));
        }
        lost.sort();
        lost.dedup();
        let mut written = Written::new(new);
        (written.lost, written.replaced) = (lost, replaced);
        Ok(Outcome::Written(Box::new(written)))
    }

    /// Sends fields; one that the site refuses is left out, once, and noted.
    pub(super) async fn send(
        &self,
        path: &str,
        mut fields: Map<String, Value>,
        lost: &mut Vec<Loss>,
        idempotent: bool,
    ) -> Result<Value> {
        let error = match self.post(path, &fields, idempotent).await {
            Err(error) if error.kind() == ErrorKind::InvalidData => error,
            sent => return sent,
        };
        let refused: Vec<String> = error
            .context()
            .filter(|(name, _)| *name == "fields")
            .flat_map(|(_, fields)| fields.split(' ').map(str::to_owned))
            .collect();
        let mut removed = false;
        for name in refused {
            if fields.remove(&name).is_some() {
                removed = true;
                let reason = "the site refuses the value".to_owned();
                lost.push(Loss { path: format!("/data/{name}"), reason });
            }
        }
        if removed { self.post(path, &fields, idempotent).await } else { Err(error) }
    }

    async fn post(&self, path: &str, fields: &Map<String, Value>, idempotent: bool) -> Result<Value> {
        let request = Request::post(self.site.api.url(path).await?).query("context", "edit").json(fields)?;
        let request = if idempotent { request.idempotent() } else { request };
        self.site.api.client().send(request).await?.json()
    }

    pub(super) async fn request(&self, method: Method, path: &str, fields: Option<&Value>) -> Result<Value> {
        let request = Request::new(method, self.site.api.url(path).await?).idempotent();
        let request = match fields {
            Some(fields) => request.json(fields)?,
            None => request,
        };
        self.site.api.client().send(request).await?.json()
    }

    /// Comments of a post that takes none any more need it open for a moment.
    async fn send_comment(&self, of: &SiteCollection, record: &Record, draft: &mut Draft) -> Result<Value> {
        let sent = self.send(&of.path, draft.fields.clone(), &mut draft.lost, false).await;
        let Err(error) = &sent else { return sent };
        let post = record.refs.get("post").and_then(|post| post.iter().next());
        let parent =
            post.and_then(|post| self.site.get(&post.collection)).zip(draft.fields.get("post").and_then(Value::as_u64));
        let Some((parent, id)) = parent.filter(|_| code(error) == Some("rest_comment_closed")) else { return sent };
        let path = format!("{}/{id}", parent.path);
        self.request(Method::POST, &path, Some(&json!({"comment_status": "open"}))).await?;
        let sent = self.send(&of.path, draft.fields.clone(), &mut draft.lost, false).await;
        self.request(Method::POST, &path, Some(&json!({"comment_status": "closed"}))).await?;
        sent
    }

    /// Templates that somebody changed; the others come with the theme.
    async fn put_template(&self, of: &SiteCollection, record: &Record, data: &Value) -> Result<Outcome> {
        if data.get("source").and_then(Value::as_str) != Some("custom") {
            return Ok(skipped("comes-with-the-theme", "the template comes with the theme"));
        }
        let path = format!("{}/{}", of.path, record.key.id);
        let here = match self.site.api.get(&path, &[("context", "edit")]).await {
            Ok(response) => Some(response.json::<Value>()?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_custom = here.as_ref().is_some_and(|here| here.get("source").and_then(Value::as_str) == Some("custom"));
        let ours = self.ids.get(&record.key).is_some();
        if is_custom && !ours && self.mode != WriteMode::Overwrite {
            return Ok(skipped("exists", "the site has changed this template itself"));
        }
        let mut draft = draft(self, of, record, data)?;
        if self.dry_run {
            return Ok(rehearsed(draft, None, is_custom));
        }
        let path = if here.is_some() { path } else { of.path.clone() };
        let stored = self.send(&path, draft.fields.clone(), &mut draft.lost, here.is_some()).await?;
        let id = stored.get("id").and_then(Value::as_str).unwrap_or(record.key.id.as_str());
        let new = Key::new(of.name.clone(), RecordId::parse(id)?);
        self.made(&record.key, new.clone()).await?;
        self.conclude(&format!("{}/{id}", of.path), draft, data, stored, new, is_custom && !ours).await
    }

    async fn put_settings(&self, of: &SiteCollection, record: &Record, data: &Value) -> Result<Outcome> {
        if self.mode != WriteMode::Overwrite {
            return Ok(skipped("exists", "the site has settings of its own"));
        }
        let mut draft = draft(self, of, record, data)?;
        if self.dry_run {
            return Ok(rehearsed(draft, Some(record.key.clone()), true));
        }
        let stored = self.send(&of.path, draft.fields.clone(), &mut draft.lost, true).await?;
        self.wrote();
        self.conclude(&of.path, draft, data, stored, record.key.clone(), true).await
    }

    /// Puts the right addresses where they were guessed and the site has chosen others.
    pub(super) async fn correct(&self, guess: Guess) -> Result<()> {
        let mut wrong = Vec::new();
        for (old, guessed) in guess.addresses {
            wrong.extend(self.new_address(&old).filter(|known| *known != guessed).map(|known| (guessed, known)));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let response = self.site.api.get(&guess.path, &[("context", "edit")]).await?;
        let stored: Value = response.json()?;
        let mut fields = Map::new();
        for name in ["content", "excerpt", "description", "url"] {
            let text = stored.get(name).map(|text| text.get("raw").unwrap_or(text)).and_then(Value::as_str);
            let Some(text) = text else { continue };
            let corrected = wrong.iter().fold(text.to_owned(), |text, (guessed, known)| text.replace(guessed, known));
            if corrected != text {
                fields.insert(name.to_owned(), corrected.into());
            }
        }
        if !fields.is_empty() {
            self.post(&guess.path, &fields, true).await?;
        }
        Ok(())
    }
}

/// A password that nobody knows.
fn throwaway_password() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| Error::new(ErrorKind::Unexpected, "the machine has no random numbers"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}
