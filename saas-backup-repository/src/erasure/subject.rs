use std::collections::BTreeSet;
use std::fmt::{self, Display};

use memchr::memmem::Finder;
use saas_backup_core::{
    BlobId, CollectionName, ErasureRequest, ErasureTarget, Error, ErrorKind, Json, Key, Record, Reference, References,
    Result,
};
use serde::Serialize;

/// What is to be erased: records and attachments by their ids, what concerns a person, and records by what they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    targets: Vec<ErasureTarget>,
    relations: BTreeSet<String>,
    fields: Vec<(CollectionName, String, Json)>,
}

/// Why a record is concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It was named, or its collection.
    Named,
    /// It is the record of the person.
    Person,
    /// The person wrote it.
    Author,
    /// It refers to the person by this relationship.
    Relation(String),
    /// This field of its data has the value.
    Field(String),
}

impl Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => formatter.write_str("named"),
            Self::Person => formatter.write_str("the person"),
            Self::Author => formatter.write_str("author"),
            Self::Relation(name) => write!(formatter, "{name}"),
            Self::Field(pointer) => formatter.write_str(pointer),
        }
    }
}

impl Subject {
    /// A person, as the source names them: their own record, and what they wrote. A record that refers to them in another
    /// way is concerned if [`with_relation`](Self::with_relation) says so.
    pub fn person(person: Reference) -> Self {
        Self::default().with_target(ErasureTarget::person(person))
    }

    /// One record.
    pub fn record(key: Key) -> Self {
        Self::default().with_target(ErasureTarget::record(key))
    }

    /// What a source asks to erase.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for a request that covers a part of records, or some of their versions: records are
    /// erased whole.
    pub fn requested(request: &ErasureRequest) -> Result<Self> {
        let all_versions = request.scope.as_deref().is_none_or(|scope| scope == "all-versions");
        let unsupported = |what| Err(Error::new(ErrorKind::Unsupported, what));
        if !all_versions || request.before.is_some() {
            return unsupported("a record is erased with all its versions, not with those before a time");
        }
        if request.targets.iter().any(|target| !target.paths.is_empty()) {
            return unsupported("a record is erased whole, not some fields of it");
        }
        Ok(Self { targets: request.targets.clone(), ..Self::default() })
    }

    /// Also what concerns another one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.targets.extend(other.targets);
        self.relations.extend(other.relations);
        self.fields.extend(other.fields);
        self
    }

    /// Also one more thing that a source can name.
    #[must_use]
    pub fn with_target(mut self, target: ErasureTarget) -> Self {
        self.targets.push(target);
        self
    }

    /// Also records that refer to the person by this relationship.
    #[must_use]
    pub fn with_relation(mut self, name: impl Into<String>) -> Self {
        self.relations.insert(name.into());
        self
    }

    /// Also the records of a collection whose data has this value at a JSON pointer (RFC 6901), such as `/email`, in any
    /// of their versions.
    #[must_use]
    pub fn with_field(mut self, collection: CollectionName, pointer: impl Into<String>, value: Json) -> Self {
        self.fields.push((collection, pointer.into(), value));
        self
    }

    /// The attachments that were named.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &BlobId> {
        self.targets.iter().filter_map(|target| target.blob.as_ref())
    }

    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it names nothing, or everything.
    pub(super) fn check(&self) -> Result<()> {
        let empty = self.targets.iter().any(|target| *target == ErasureTarget::default());
        if empty || (self.targets.is_empty() && self.fields.is_empty()) {
            return Err(Error::new(ErrorKind::Configuration, "it is not said what is to be erased"));
        }
        if let Some((_, pointer, _)) = self.fields.iter().find(|(_, pointer, _)| !pointer.starts_with('/')) {
            return Err(Error::new(ErrorKind::Configuration, "a field is named by a JSON pointer, such as /email")
                .with_context("field", pointer));
        }
        Ok(())
    }

    /// What the text of a version has to hold if it is concerned for what it says.
    pub(super) fn clues(&self) -> Result<Clues> {
        let people = self.targets.iter().filter_map(|target| target.subject.as_ref());
        let people = people.map(|person| Clue::of(person.id.as_str())).collect();
        let fields = self.fields.iter().map(|(collection, _, value)| {
            let value: serde_json::Value = serde_json::from_str(value.as_str())?;
            Ok((collection.clone(), value.as_str().map_or(Clue::None, Clue::of)))
        });
        Ok(Clues { people, fields: fields.collect::<Result<_>>()? })
    }

    /// Why a record is concerned, whatever it says.
    pub(super) fn names(&self, key: &Key) -> Option<Reason> {
        let named = self.targets.iter().filter(|target| is_there(target, key));
        named.into_iter().any(|target| target.subject.is_none() && target.blob.is_none()).then_some(Reason::Named)
    }

    /// Why a version of a record is concerned for what it says.
    pub(super) fn reasons(&self, record: &Record) -> Result<BTreeSet<Reason>> {
        let mut reasons: BTreeSet<Reason> = BTreeSet::new();
        for target in self.targets.iter().filter(|target| is_there(target, &record.key)) {
            if let Some(person) = &target.subject {
                reasons.extend(self.concerns(record, person));
            }
        }
        for (collection, pointer, value) in &self.fields {
            if *collection == record.key.collection {
                let data: serde_json::Value = serde_json::from_str(record.data.as_str())?;
                let wanted: serde_json::Value = serde_json::from_str(value.as_str())?;
                if data.pointer(pointer) == Some(&wanted) {
                    reasons.insert(Reason::Field(pointer.clone()));
                }
            }
        }
        Ok(reasons)
    }

    fn concerns<'a>(&'a self, record: &'a Record, person: &'a Reference) -> impl Iterator<Item = Reason> + 'a {
        let is_person =
            person.account.is_none() && record.key.collection == person.collection && record.key.id == person.id;
        let is_author = record.by.as_ref() == Some(person);
        let relations = self.relations.iter().filter(move |name| match record.refs.get(*name) {
            Some(References::One(one)) => one == person,
            Some(References::Many(many)) => many.contains(person),
            _ => false,
        });
        let own = [(is_person, Reason::Person), (is_author, Reason::Author)];
        own.into_iter()
            .filter_map(|(is, reason)| is.then_some(reason))
            .chain(relations.map(|name| Reason::Relation(name.clone())))
    }
}

fn is_there(target: &ErasureTarget, key: &Key) -> bool {
    target.collection.as_ref().is_none_or(|collection| *collection == key.collection)
        && target.id.as_ref().is_none_or(|id| *id == key.id)
}

/// What texts have to hold, so that most are not decoded.
pub(super) struct Clues {
    people: Vec<Clue>,
    fields: Vec<(CollectionName, Clue)>,
}

/// A text as it stands in JSON.
enum Clue {
    Text(Box<Finder<'static>>),
    /// It may be written in several ways.
    None,
}

impl Clue {
    fn of(text: &str) -> Self {
        let is_plain = text.bytes().all(|byte| byte >= b' ' && !b"\"\\/".contains(&byte));
        if is_plain { Self::Text(Box::new(Finder::new(text.as_bytes()).into_owned())) } else { Self::None }
    }

    fn may_be_in(&self, text: &[u8]) -> bool {
        match self {
            // Any letter may be written as an escape.
            Self::Text(clue) => clue.find(text).is_some() || memchr::memmem::find(text, b"\\u").is_some(),
            Self::None => true,
        }
    }
}

impl Clues {
    pub(super) fn may_be_in(&self, collection: &CollectionName, text: &[u8]) -> bool {
        self.people.iter().any(|clue| clue.may_be_in(text))
            || self.fields.iter().any(|(of, clue)| of == collection && clue.may_be_in(text))
    }
}
