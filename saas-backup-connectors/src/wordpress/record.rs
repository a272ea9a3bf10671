use chrono::{DateTime, NaiveDateTime, Utc};
use saas_backup_core::{
    Access, BlobId, BlobRef, BlobStatus, CollectionName, Error, ErrorKind, Json, Key, MAX_ID_BYTES, PartitionId,
    Principal, Record, RecordId, RecordState, Reference, Result,
};
use url::Url;

use super::content::{LooseFile, Target, loose_files, pointers};
use super::model::Head;
use super::site::{Form, Site, SiteCollection};

/// Wraps what the site sent into a record.
pub(super) fn record(site: &Site, collection: &SiteCollection, id: &str, data: Json) -> Result<Record> {
    let head: Head = data.decode()?;
    let mut record = Record::new(Key::new(collection.name.clone(), RecordId::parse(id)?), data);
    record.created = head.date_gmt.as_deref().or(head.registered_date.as_deref()).and_then(time);
    record.modified = head.modified_gmt.as_deref().and_then(time);
    if head.status.as_deref() == Some("trash") {
        record.state = RecordState::Trashed;
    }
    let users = site.by_slug("users");
    record.by = head.author.filter(|id| *id > 0).zip(users).and_then(|(id, users)| to(users, id));
    let mut refs = Refs { record: &mut record };
    refs.one("author", users, head.author);
    match collection.form {
        Form::Posts | Form::Media | Form::Revisions => {
            refs.one("parent", Some(collection), head.parent.filter(|_| collection.form == Form::Posts));
            refs.one("featured_media", site.by_slug("attachment"), head.featured_media);
            refs.terms(site, collection);
            if collection.slug == "nav_menu_item" {
                refs.one("menu", site.by_slug("nav_menu"), head.menus);
                let target = head.object.as_deref().and_then(|slug| site.by_slug(slug));
                refs.one("object", target, head.object_id);
            }
            refs.embedded(site, head.content.best());
            if let Some(revision) = RevisionId::parse(id).filter(|_| collection.form == Form::Revisions) {
                refs.one("revision_of", site.get(&CollectionName::parse(revision.parents)?), Some(revision.parent));
                refs.record.partition = Some(PartitionId::parse(revision.parents)?);
            }
        }
        Form::Comments => {
            let kind = head.links.up.first().and_then(|up| up.post_type.as_deref()).unwrap_or("post");
            refs.one("post", site.by_slug(kind), head.post);
            refs.one("parent", Some(collection), head.parent);
        }
        Form::Whole => refs.one("parent", Some(collection), head.parent),
        Form::List | Form::Document | Form::Styles => refs.embedded(site, head.content.best()),
    }
    record.blobs = match collection.form {
        Form::Media => files(&head, record.modified),
        Form::Posts | Form::List | Form::Revisions => {
            loose_files(head.content.best(), &site.home).into_iter().filter_map(loose).collect()
        }
        _ => Vec::new(),
    };
    if collection.form == Form::Posts {
        record.access = access(&head);
    }
    Ok(record)
}

/// The id of a revision, `posts/5/9`: the API finds a revision only below its post.
pub(super) struct RevisionId<'a> {
    pub(super) parents: &'a str,
    pub(super) parent: u64,
    pub(super) id: u64,
}

impl<'a> RevisionId<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (rest, id) = text.rsplit_once('/')?;
        let (parents, parent) = rest.rsplit_once('/')?;
        Some(Self { parents, parent: parent.parse().ok()?, id: id.parse().ok()? })
    }
}

/// A time of the API: in UTC, and without saying so.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.into());
    }
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok().map(|time| time.and_utc())
}

struct Refs<'a> {
    record: &'a mut Record,
}

impl Refs<'_> {
    fn one(&mut self, name: &str, collection: Option<&SiteCollection>, id: Option<u64>) {
        let target = collection.zip(id.filter(|id| *id > 0)).and_then(|(collection, id)| to(collection, id));
        if let Some(target) = target {
            self.record.refs.insert(name.to_owned(), saas_backup_core::References::One(target));
        }
    }

    fn many(&mut self, name: &str, targets: Vec<Reference>) {
        if !targets.is_empty() {
            self.record.refs.insert(name.to_owned(), saas_backup_core::References::Many(targets));
        }
    }

    fn terms(&mut self, site: &Site, collection: &SiteCollection) {
        for (member, name) in collection.taxonomies.iter().filter(|(member, _)| !member.contains('.')) {
            let terms = self.record.data.member::<Vec<u64>>(member).unwrap_or_default().unwrap_or_default();
            let Some(of) = site.get(name) else { continue };
            self.many(member, terms.into_iter().filter_map(|id| to(of, id)).collect());
        }
    }

    /// What a text shows: media, shared blocks, navigations.
    fn embedded(&mut self, site: &Site, text: &str) {
        let mut targets: Vec<Reference> = Vec::new();
        for pointer in pointers(text) {
            let collection = match &pointer.to {
                Target::Media => site.by_slug("attachment"),
                Target::PostType(slug) | Target::Taxonomy(slug) => site.by_slug(slug),
                // A link by number does not say to what.
                Target::AnyPost => None,
            };
            if let Some(target) = collection.and_then(|collection| to(collection, pointer.id))
                && !targets.contains(&target)
            {
                targets.push(target);
            }
        }
        self.many("embeds", targets);
    }
}

fn to(collection: &SiteCollection, id: u64) -> Option<Reference> {
    Some(Reference::new(collection.name.clone(), RecordId::parse(id.to_string()).ok()?))
}

/// The file of a media record, its original, and its smaller copies.
///
/// A plugin may put other bytes behind the same address: the time of change and the size are part of the id, so that
/// they are fetched again. The stated size is not: plugins that shrink pictures leave it as it was.
fn files(head: &Head, modified: Option<DateTime<Utc>>) -> Vec<BlobRef> {
    let Some(main) = head.source_url.as_deref().and_then(|url| url.parse::<Url>().ok()) else { return Vec::new() };
    let changed = modified.map_or(0, |time| time.timestamp());
    let file = |url: &Url, role: &str, path: String, kind: Option<&str>, size: Option<u64>| {
        let id = BlobId::parse(format!("{url}#{changed}-{}", size.unwrap_or_default())).ok()?;
        let blob = BlobRef::new(id, role).with_name(file_name(url)).with_path(path);
        Some(match kind {
            Some(kind) => blob.with_media_type(kind),
            None => blob,
        })
    };
    let kind = head.mime_type.as_deref();
    let details = &head.media_details;
    let mut blobs = Vec::new();
    blobs.extend(file(&main, "attachment", "/data/source_url".to_owned(), kind, details.filesize));
    if let Some(original) = details.original_image.as_deref().and_then(|name| main.join(&encoded(name)).ok()) {
        blobs.extend(file(&original, "original", "/data/media_details/original_image".to_owned(), kind, None));
    }
    for (name, size) in &details.sizes {
        let Some(url) = size.source_url.as_deref().and_then(|url| url.parse::<Url>().ok()) else { continue };
        if url == main {
            continue;
        }
        let path = format!("/data/media_details/sizes/{}/source_url", name.replace('~', "~0").replace('/', "~1"));
        blobs.extend(file(&url, "size", path, size.mime_type.as_deref(), size.filesize));
    }
    blobs
}

/// A file name as a part of a path: no name leads elsewhere.
fn encoded(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

fn file_name(url: &Url) -> String {
    let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    percent_decoded(last)
}

fn percent_decoded(text: &str) -> String {
    // `+` stands for itself in a path.
    let query = text.replace('+', "%2B");
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

fn loose(file: LooseFile) -> Option<BlobRef> {
    match file {
        LooseFile::Own(url) => {
            let id = BlobId::parse(url.as_str()).ok()?;
            Some(BlobRef::new(id, "inline").with_name(file_name(&url)).with_path("/data/content"))
        }
        LooseFile::Foreign(url) => (url.len() <= MAX_ID_BYTES).then(|| BlobRef::external(url, "inline")),
    }
}

/// The address in a blob's id.
pub(super) fn blob_url(blob: &BlobRef) -> Result<Url> {
    let missing = || Error::new(ErrorKind::NotFound, "the file has no address");
    if blob.status == BlobStatus::External {
        return Err(Error::new(ErrorKind::Unsupported, "a file on a foreign site is not fetched"));
    }
    let id = blob.id.as_ref().ok_or_else(missing)?;
    let mut url: Url = id.as_str().parse().map_err(|_| missing())?;
    url.set_fragment(None);
    Ok(url)
}

/// Who may read it, as far as its status says.
fn access(head: &Head) -> Vec<Access> {
    let protected = head.password.as_deref().is_some_and(|password| !password.is_empty());
    let who = match head.status.as_deref() {
        Some("publish") if protected => "anyone with the password",
        Some("publish") => "anyone",
        Some("private") => "users who may read private posts",
        _ => return Vec::new(),
    };
    vec![Access::new(Principal::Named(who.to_owned()), "read")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        let wanted = DateTime::parse_from_rfc3339("2024-03-01T08:00:00Z").unwrap();
        assert_eq!(time("2024-03-01T08:00:00"), Some(wanted.into()));
        assert_eq!(time("2024-03-01T09:00:00+01:00"), Some(wanted.into()));
        assert_eq!(time("0000-00-00T00:00:00"), None);
    }

    #[test]
    fn every_file_of_a_picture_is_listed_once() {
        let head: Head = serde_json::from_str(
            r#"{"source_url":"https://x.example/up/größe-scaled.png","mime_type":"image/png","media_details":{
                "original_image":"größe a+b.png","filesize":5,"sizes":{
                "thumb":{"source_url":"https://x.example/up/t.png","filesize":3},
                "full":{"source_url":"https://x.example/up/größe-scaled.png"}}}}"#,
        )
        .unwrap();
        let blobs = files(&head, None);
        let shown: Vec<_> =
            blobs.iter().map(|blob| (blob.role.as_str(), blob.name.as_deref().unwrap_or_default())).collect();
        assert_eq!(shown, [("attachment", "größe-scaled.png"), ("original", "größe a+b.png"), ("size", "t.png")]);
        assert_eq!(blob_url(&blobs[2]).unwrap().as_str(), "https://x.example/up/t.png");
        assert_ne!(blobs[2].id, files(&head, DateTime::from_timestamp(9, 0))[2].id);
    }

    #[test]
    fn an_original_cannot_lead_elsewhere() {
        let head: Head = serde_json::from_str(
            r#"{"source_url":"https://x.example/up/a.png","media_details":{"original_image":"//evil.example/../b.png"}}"#,
        )
        .unwrap();
        let url = blob_url(&files(&head, None)[1]).unwrap();
        assert_eq!(url.host_str(), Some("x.example"));
        assert!(url.path().starts_with("/up/"));
    }
}
