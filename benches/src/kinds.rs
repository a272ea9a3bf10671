use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use saas_backup_core::{
    Account, BlobId, BlobRef, Body, ByteStream, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName,
    Connector, Coverage, Done, Error, ErrorKind, Event, EventStream, Feed, FeedStream, FieldMapping, Json, Key, Kind,
    Markup, ReadRequest, Record, RecordId, RefRule, Reference, Result, Scope, Sink, SinkOptions, Snapshot,
    SnapshotOptions, Visibility, async_trait,
};

use crate::workload::Random;

/// What a format is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Three documents to one comment, below one another and with links between them; a twentieth has an attachment.
    Documents,
    /// Events of twenty calendars.
    Events,
    /// Contacts of twenty groups.
    Contacts,
    /// Messages of twenty mailboxes.
    Messages,
    /// Files of a few hundred bytes, a hundred in a folder.
    Files,
    /// Repositories, each with 33 issues and 66 comments.
    Repositories,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Documents, Self::Events, Self::Contacts, Self::Messages, Self::Files, Self::Repositories];

    /// The collections, and how many records each has of so many.
    fn collections(self, records: u64) -> Vec<(&'static str, u64)> {
        let few = |name: &'static str, few: u64, rest| vec![(name, few), (rest, records - few)];
        match self {
            Self::Documents => vec![("documents", records * 3 / 4), ("comments", records - records * 3 / 4)],
            Self::Events => few("calendars", 20, "events"),
            Self::Contacts => few("groups", 20, "contacts"),
            Self::Messages => few("mailboxes", 20, "messages"),
            Self::Files => few("folders", records / 100, "files"),
            Self::Repositories => {
                let (repositories, issues) = (records / 100, records / 100 * 33);
                vec![("repositories", repositories), ("issues", issues), ("answers", records - repositories - issues)]
            }
        }
    }
}

/// A deterministic account of records of a few hundred bytes, of the kinds that formats are for. They are made while
/// they are read.
#[derive(Clone, Debug)]
pub struct KindsConnector {
    counts: Arc<Vec<(&'static str, u64)>>,
}

impl KindsConnector {
    /// An account with so many records, the same share of each part.
    pub fn new(parts: &[Part], records: u64) -> Self {
        let each = records / parts.len().max(1) as u64;
        Self { counts: Arc::new(parts.iter().flat_map(|part| part.collections(each)).collect()) }
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.iter().find(|(of, _)| *of == name).map_or(0, |(_, count)| *count)
    }

    fn record(&self, collection: &'static str, index: u64) -> Result<Record> {
        let mut random = Random::new(&[index, collection.len() as u64, u64::from(collection.as_bytes()[0])]);
        let (title, text) = (random.words(5), random.words(35));
        let (day, hour) = (random.below(28) + 1, random.below(24));
        let time = format!("2024-{:02}-{day:02}T{hour:02}:00:00", random.below(12) + 1);
        let person = random.below(5000);
        let to = |name: &'static str, index: u64| {
            Ok::<_, Error>(Reference::new(CollectionName::from_static(name), RecordId::parse(id(index))?))
        };
        let data = match collection {
            "documents" => format!(
                "{{\"title\":\"{title}\",\"link\":\"https://docs.example.com/{index}\",\"status\":\"{}\",\
                 \"content\":\"<p>{text}</p><p>See <a href=\\\"https://docs.example.com/{}\\\">this</a>.</p>\"}}",
                random.pick(&["draft", "published"]),
                random.below(self.count(collection)),
            ),
            "comments" | "answers" => format!("{{\"text\":\"{text}\",\"who\":\"Person {person}\"}}"),
            "events" => format!(
                "{{\"summary\":\"{title}\",\"description\":\"{text}\",\"start\":\"{time}Z\",\"end\":\"{time}Z\",\
                 \"location\":\"Room {person}\",\"attendees\":[{{\"email\":\"p{person}@example.com\"}}]}}"
            ),
            "contacts" => format!(
                "{{\"name\":\"{title}\",\"about\":\"{text}\",\"emails\":[\"p{index}@example.com\"],\
                 \"phones\":[{{\"type\":\"work\",\"value\":\"+49 30 {person}\"}}]}}"
            ),
            "messages" => format!(
                "{{\"subject\":\"{title}\",\"body\":\"{text}\",\"from\":\"p{person}@example.com\",\
                 \"to\":[\"me@example.com\"],\"date\":\"{time}Z\",\"messageId\":\"<{index}@example.com>\"}}"
            ),
            "issues" => format!("{{\"name\":\"{title}\",\"text\":\"{text}\"}}"),
            "files" => format!("{{\"name\":\"{title}.txt\"}}"),
            _ => format!("{{\"name\":\"{title}\"}}"),
        };
        let key = Key::new(CollectionName::from_static(collection), RecordId::parse(id(index))?);
        let record = Record::new(key, Json::parse(data)?);
        Ok(match collection {
            "documents" => {
                let record = if index > 10 { record.with_ref("parent", to(collection, index / 10)?) } else { record };
                if index.is_multiple_of(20) { record.with_blob(blob("document", index)?) } else { record }
            }
            "comments" => record.with_ref("document", to("documents", random.below(self.count("documents")))?),
            "events" => record.with_ref("calendar", to("calendars", index % 20)?),
            "contacts" => record.with_ref("group", to("groups", index % 20)?),
            "messages" => record.with_ref("mailbox", to("mailboxes", index % 20)?),
            "folders" if index > 0 => record.with_ref("parent", to(collection, index / 10)?),
            "files" => record.with_ref("parent", to("folders", index / 100)?).with_blob(blob("file", index)?),
            "repositories" => record.with_blob(blob("bundle", index)?),
            "issues" => record.with_ref("repository", to("repositories", index / 33)?),
            "answers" => record.with_ref("issue", to("issues", random.below(self.count("issues")))?),
            _ => record,
        })
    }

    fn events(&self, request: &ReadRequest) -> Result<BoxStream<'static, Result<Event>>> {
        let covered = request.feed.covers.first();
        let found = self.counts.iter().find(|(name, _)| covered.is_some_and(|covered| covered.as_str() == *name));
        let (name, count) = *found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such collection"))?;
        let this = self.clone();
        let records = (0..count).map(move |index| Ok(Event::Put(Box::new(this.record(name, index)?))));
        let end = Event::Done(Done::full(Scope::collection(CollectionName::from_static(name))));
        Ok(stream::iter(records.chain([Ok(end)])).boxed())
    }
}

fn id(index: u64) -> String {
    format!("{index:08}")
}

fn blob(role: &str, index: u64) -> Result<BlobRef> {
    let blob = BlobRef::new(BlobId::parse(format!("{role}-{index}"))?, role);
    Ok(if role == "document" { blob.with_name(format!("notes {index}.txt")) } else { blob })
}

/// A bundle with one reference and no objects, or a text; no two are the same.
fn bytes_of(id: &str) -> String {
    let (role, index) = id.split_once('-').unwrap_or_default();
    let index = index.parse().unwrap_or_default();
    if role == "bundle" {
        return format!("# v2 git bundle\n{index:040x} refs/heads/main\n\nPACK\0\0\0\u{2}\0\0\0\0");
    }
    format!("{id}\n{}\n", Random::new(&[index, 0xF11E]).words(40))
}

fn collection(name: &'static str) -> Collection {
    let static_name = CollectionName::from_static;
    let mut fields = FieldMapping::default();
    fields.title = Some("name".to_owned());
    let mut show = |names: &[&str]| {
        fields.properties.extend(names.iter().map(|name| {
            let path = if *name == "message_id" { "messageId" } else { name };
            ((*name).to_owned(), path.to_owned())
        }));
    };
    let (kind, title, body, parent) = match name {
        "documents" => {
            show(&["status"]);
            fields.url = Some("link".to_owned());
            (Kind::Document, "title", Some(("content", Markup::Html)), Some(("parent", "documents")))
        }
        "comments" => (Kind::Comment, "", Some(("text", Markup::Plain)), None),
        "answers" => (Kind::Comment, "", Some(("text", Markup::Plain)), Some(("issue", "issues"))),
        "events" => {
            show(&["start", "end", "location", "attendees"]);
            (Kind::Event, "summary", Some(("description", Markup::Plain)), Some(("calendar", "calendars")))
        }
        "contacts" => {
            show(&["emails", "phones"]);
            (Kind::Contact, "name", Some(("about", Markup::Plain)), None)
        }
        "messages" => {
            show(&["from", "to", "date", "message_id"]);
            (Kind::Message, "subject", Some(("body", Markup::Plain)), Some(("mailbox", "mailboxes")))
        }
        "issues" => (Kind::Issue, "name", Some(("text", Markup::Markdown)), None),
        "folders" => (Kind::Folder, "name", None, Some(("parent", "folders"))),
        "files" => (Kind::File, "name", None, Some(("parent", "folders"))),
        "repositories" => (Kind::Repository, "name", None, None),
        "groups" => (Kind::Group, "name", None, None),
        _ => (Kind::Other, "name", None, None),
    };
    fields.title = Some(title.to_owned()).filter(|title| !title.is_empty());
    fields.body = body.map(|(path, markup)| Body::new(path, markup));
    fields.parent = parent.map(|(rule, _)| rule.to_owned());
    if name == "contacts" {
        fields.labels.push("group".to_owned());
    }
    let collection = Collection::new(static_name(name), kind).with_fields(fields).with_blobs();
    let collection = match parent {
        Some((rule, to)) => collection.with_ref(RefRule::one(rule, static_name(to))),
        None => collection,
    };
    match name {
        "comments" => collection.with_ref(RefRule::one("document", static_name("documents")).required()),
        "contacts" => collection.with_ref(RefRule::one("group", static_name("groups"))),
        "issues" => collection.with_ref(RefRule::one("repository", static_name("repositories"))),
        _ => collection,
    }
}

#[async_trait]
impl Connector for KindsConnector {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.read, can.blobs) = (true, true);
        can
    }

    async fn check(&self) -> Result<Account> {
        Ok(Account::new("kinds", "kinds"))
    }

    async fn snapshot(&self, _: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(self.clone()))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "the account is only read"))
    }
}

#[async_trait]
impl Snapshot for KindsConnector {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::new(self.counts.iter().map(|(name, _)| collection(name)).collect()))
    }

    async fn coverage(&self) -> Result<Coverage> {
        Ok(self.counts.iter().fold(Coverage::default(), |coverage, (name, count)| {
            let all = CollectionCoverage::new(Visibility::All).with_count(*count, true);
            coverage.with(CollectionName::from_static(name), all)
        }))
    }

    fn feeds(&self) -> FeedStream {
        let feeds: Vec<_> =
            self.counts.iter().map(|(name, _)| Ok(Feed::slice(CollectionName::from_static(name)))).collect();
        stream::iter(feeds).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.events(&request).unwrap_or_else(|error| stream::iter([Err(error)]).boxed())
    }

    async fn open(&self, _: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let id = blob.id.as_ref().ok_or_else(|| Error::new(ErrorKind::NotFound, "no such attachment"))?;
        let bytes = Bytes::from(bytes_of(id.as_str()));
        let range = range.map_or(0..bytes.len(), |range| {
            let end = bytes.len().min(range.end as usize);
            (range.start as usize).min(end)..end
        });
        Ok(stream::iter([Ok(bytes.slice(range))]).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_has_what_its_collection_maps_and_names_only_records_that_are_there() {
        let account = KindsConnector::new(&Part::ALL, 60_000);
        assert_eq!(account.counts.iter().map(|(_, count)| count).sum::<u64>(), 60_000);
        for (name, count) in account.counts.iter() {
            let collection = collection(name);
            for index in [0, 11, 20, count - 1].into_iter().filter(|index| index < count) {
                let record = account.record(name, index).unwrap();
                let data: serde_json::Value = record.data.decode().unwrap();
                let fields = &collection.fields;
                let body = fields.body.as_ref().map(|body| &body.path);
                for path in fields.title.iter().chain(body).chain(fields.properties.values()) {
                    assert!(data.get(path).is_some(), "{name}: {path}");
                }
                for (rule, to) in &record.refs {
                    assert!(collection.refs.iter().any(|known| known.name == *rule), "{name}: {rule}");
                    let held =
                        |to: &Reference| to.id.as_str().parse::<u64>().unwrap() < account.count(to.collection.as_str());
                    assert!(to.iter().all(held), "{name} {index}: {rule}");
                }
            }
        }
    }
}
