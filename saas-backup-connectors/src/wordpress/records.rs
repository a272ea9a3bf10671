use std::collections::BTreeSet;

use saas_backup_core::{Deletion, DeletionReason, Done, ErrorKind, Event, Gap, Json, Key, Result, Scope, page_items};

use super::reader::Reader;
use super::record::RevisionId;
use super::site::Form;

/// Ids in one request: more would make addresses that servers refuse.
const IDS_AT_ONCE: usize = 100;

impl Reader {
    /// Reads the current state of some records.
    pub(super) async fn read_records(&self, keys: &[Key], scope: Scope) -> Result<()> {
        let mine: Vec<&Key> = keys.iter().filter(|key| key.collection == self.collection.name).collect();
        match self.collection.form {
            Form::Posts | Form::Media | Form::Comments | Form::Whole => {
                for keys in mine.chunks(IDS_AT_ONCE) {
                    self.read_numbered(keys).await?;
                }
            }
            Form::List | Form::Revisions | Form::Document | Form::Styles => {
                for key in &mine {
                    self.read_one(key).await?;
                }
            }
        }
        self.out.emit(Event::Done(Done::changes(scope))).await
    }

    async fn read_numbered(&self, keys: &[&Key]) -> Result<()> {
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).filter(|id| id.parse::<u64>().is_ok()).collect();
        let mut parameters = self.parameters();
        parameters.extend([("include".to_owned(), ids.join(",")), ("per_page".to_owned(), IDS_AT_ONCE.to_string())]);
        let mut found = BTreeSet::new();
        if !ids.is_empty() {
            let response = self.get(&self.collection.path, &parameters).await?;
            let (body, _permit) = response.into_parts();
            for json in page_items(&body, "")? {
                let Some(id) = json.member::<u64>("id")? else { continue };
                found.insert(id.to_string());
                self.put_record(&id.to_string(), json).await?;
            }
        }
        // A list leaves out what the user may not see and what is gone: only one by one it says which.
        for key in keys.iter().filter(|key| !found.contains(key.id.as_str())) {
            self.read_one(key).await?;
        }
        Ok(())
    }

    async fn read_one(&self, key: &Key) -> Result<()> {
        let Some(path) = self.path_of(key).await? else {
            return self.gone(key, DeletionReason::Unknown).await;
        };
        let mut parameters = self.parameters();
        parameters.retain(|(name, _)| name != "status");
        match self.get(&path, &parameters).await {
            Ok(response) => self.put_record(key.id.as_str(), Json::parse(response.body().clone())?).await,
            Err(error) => match error.kind() {
                ErrorKind::NotFound => self.gone(key, DeletionReason::Deleted).await,
                ErrorKind::PermissionDenied => self.out.emit(Event::Gap(Gap::record(key, &error))).await,
                _ => Err(error),
            },
        }
    }

    /// Where the API has the record; `None` if it has no place for such an id.
    async fn path_of(&self, key: &Key) -> Result<Option<String>> {
        let id = key.id.as_str();
        let path = &self.collection.path;
        Ok(match self.collection.form {
            Form::Posts | Form::Media | Form::Comments | Form::Whole => {
                id.parse::<u64>().ok().map(|id| format!("{path}/{id}"))
            }
            Form::List => Some(format!("{path}/{}", encoded_path(id))),
            Form::Document | Form::Styles if id != key.collection.as_str() => None,
            Form::Document => Some(path.clone()),
            Form::Styles => self.styles_path().await?,
            Form::Revisions => RevisionId::parse(id).and_then(|revision| {
                let parents = self.site.revised().find(|of| of.name.as_str() == revision.parents)?;
                Some(format!("{}/{}/revisions/{}", parents.path, revision.parent, revision.id))
            }),
        })
    }

    async fn put_record(&self, id: &str, json: Json) -> Result<()> {
        self.out.emit(Event::Put(Box::new(self.record(id, json)?))).await
    }

    async fn gone(&self, key: &Key, reason: DeletionReason) -> Result<()> {
        self.out.emit(Event::Delete(Deletion::new(key.clone(), reason))).await
    }
}

/// An id as a part of an address: `theme//name` keeps its slashes.
fn encoded_path(id: &str) -> String {
    let parts: Vec<String> =
        id.split('/').map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect()).collect();
    parts.join("/")
}
