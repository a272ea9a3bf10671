//! A card that is built from the fields of its record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDate;
use saas_backup_core::{Collection, Record, Result};
use serde_json::Value;
use url::Url;

use super::card::{Card, Line};
use crate::beside::{Properties, member_of, readable_body, text_of};
use crate::content_line::escape;
use crate::form::Desk;
use crate::form::value::{text_at, title_of, url_of};

/// Kinds of addresses and numbers that every address book knows; others stand beside as a person wrote them.
const KINDS: [&str; 9] = ["home", "work", "cell", "fax", "pager", "voice", "text", "video", "textphone"];

/// Builds a card; what it cannot hold is noted.
pub(super) struct Builder<'a> {
    pub(super) collection: &'a Collection,
    pub(super) record: &'a Record,
    pub(super) desk: &'a mut Desk,
    card: Card,
}

impl<'a> Builder<'a> {
    pub(super) fn new(collection: &'a Collection, record: &'a Record, desk: &'a mut Desk) -> Self {
        Self { collection, record, desk, card: Card::default() }
    }

    /// The card without `UID` and `REV`.
    pub(super) fn build(mut self, photo: Option<(String, Vec<u8>)>, groups: &[String]) -> Result<Card> {
        let properties = Properties::new(self.collection, self.record);
        self.names(properties);
        for email in properties.items("emails") {
            self.entry("EMAIL", &email, &["value", "email", "address"], "emails")?;
        }
        for phone in properties.items("phones") {
            self.entry("TEL", &phone, &["value", "number", "phone", "phoneNumber", "canonicalForm"], "phones")?;
        }
        for address in properties.items("addresses") {
            self.address(&address)?;
        }
        self.work(properties)?;
        self.birthday(properties)?;
        self.photo(properties, photo)?;
        let url = properties.text("url").or_else(|| url_of(self.collection, self.record));
        if let Some(url) = url.and_then(|url| Url::parse(&url).ok()) {
            self.card.push(Line::new("URL", url.as_str()));
        }
        let mut groups: Vec<String> = groups.iter().map(|group| escape(group)).collect();
        groups.extend(properties.items("groups").iter().filter_map(text_of).map(|group| escape(&group)));
        if !groups.is_empty() {
            self.card.push(Line::new("CATEGORIES", groups.join(",")));
        }
        let note = match properties.text("note") {
            Some(note) => Some(note),
            None => readable_body(self.collection, self.record, self.desk)?,
        };
        if let Some(note) = note {
            self.card.push(Line::new("NOTE", escape(&note)));
        }
        Ok(self.card)
    }

    fn lost(&mut self, property: &str, reason: &str) -> Result<()> {
        let path = self.collection.fields.properties.get(property).map_or(property, String::as_str);
        self.desk.losses.part(&self.record.key, path, reason)
    }

    fn names(&mut self, properties: Properties<'_>) {
        let part = |name: &str| properties.text(name).unwrap_or_default();
        let parts = ["family_name", "given_name", "middle_name", "prefix", "suffix"].map(part);
        let title = self.collection.fields.title.as_deref().and_then(|path| text_at(&self.record.data, path));
        let whole = title.filter(|title| !title.trim().is_empty()).or_else(|| {
            let [family, given, middle, prefix, suffix] = &parts;
            let words: Vec<&str> = [prefix, given, middle, family, suffix].map(String::as_str).to_vec();
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            Some(words.join(" ")).filter(|name| !name.is_empty())
        });
        let first = |name: &str, members: &[&str]| {
            properties.items(name).first().and_then(|item| text_of(item).or_else(|| member_of(item, members)))
        };
        let whole = whole.or_else(|| first("organization", &["name"])).or_else(|| first("emails", &["value", "email"]));
        let whole = whole.unwrap_or_else(|| title_of(self.collection, self.record));
        let whole = whole.split_whitespace().collect::<Vec<_>>().join(" ");
        self.card.push(Line::new("FN", escape(&whole)));
        if parts.iter().any(|part| !part.is_empty()) {
            self.card.push(Line::new("N", parts.map(|part| escape(&part)).join(";")));
        }
        if let Some(nickname) = properties.text("nickname") {
            self.card.push(Line::new("NICKNAME", escape(&nickname)));
        }
    }

    /// An address or a number, which somebody may have called something.
    fn entry(&mut self, name: &str, item: &Value, members: &[&str], property: &str) -> Result<()> {
        let Some(value) = text_of(item).or_else(|| member_of(item, members)) else {
            return self.lost(property, "an entry without a value");
        };
        let line = Line::new(name, escape(&value));
        self.labelled(line, item);
        Ok(())
    }

    fn labelled(&mut self, mut line: Line, item: &Value) {
        let label = member_of(item, &["type", "label", "kind"]).unwrap_or_default();
        let kind = match label.to_ascii_lowercase().as_str() {
            "mobile" | "mobilephone" => "cell".to_owned(),
            "business" | "office" => "work".to_owned(),
            other => other.to_owned(),
        };
        if KINDS.contains(&kind.as_str()) {
            line = line.with("TYPE", &kind);
        } else if !kind.is_empty() && kind != "other" {
            let group = self.card.next_group();
            line.group = Some(group.clone());
            self.card.push(Line { group: Some(group), ..Line::new("X-ABLABEL", escape(&label)) });
        }
        if ["primary", "preferred"].iter().any(|name| item.get(name) == Some(&Value::Bool(true))) {
            line = line.with("PREF", "1");
        }
        self.card.push(line);
    }

    fn address(&mut self, item: &Value) -> Result<()> {
        let part = |members: &[&str]| escape(&member_of(item, members).unwrap_or_default());
        let parts = [
            part(&["po_box", "poBox"]),
            part(&["extended", "extendedAddress", "street2"]),
            part(&["street", "streetAddress", "street_address", "line1"]),
            part(&["city", "locality"]),
            part(&["region", "state", "countryOrState"]),
            part(&["postal_code", "postalCode", "zip"]),
            part(&["country", "countryOrRegion"]),
        ];
        let whole = text_of(item).or_else(|| member_of(item, &["formatted", "formattedValue", "address"]));
        let line = Line::new("ADR", parts.join(";"));
        match whole {
            Some(whole) => self.labelled(line.with("LABEL", &whole), item),
            None if parts.iter().all(String::is_empty) => {
                return self.lost("addresses", "an address without its parts");
            }
            None => self.labelled(line, item),
        }
        Ok(())
    }

    fn work(&mut self, properties: Properties<'_>) -> Result<()> {
        for item in properties.items("organization") {
            let Some(name) = text_of(&item).or_else(|| member_of(&item, &["name", "companyName"])) else {
                self.lost("organization", "an organization without a name")?;
                continue;
            };
            let department =
                member_of(&item, &["department"]).map_or_else(String::new, |it| format!(";{}", escape(&it)));
            self.card.push(Line::new("ORG", format!("{}{department}", escape(&name))));
            if let Some(title) = member_of(&item, &["title", "jobTitle"]) {
                self.card.push(Line::new("TITLE", escape(&title)));
            }
        }
        if let Some(title) = properties.text("title") {
            self.card.push(Line::new("TITLE", escape(&title)));
        }
        Ok(())
    }

    fn birthday(&mut self, properties: Properties<'_>) -> Result<()> {
        let Some(value) = properties.value("birthday") else { return Ok(()) };
        let date = match &value {
            Value::Object(parts) => {
                let part = |name: &str| parts.get(name).and_then(Value::as_u64).filter(|number| *number > 0);
                match (part("year"), part("month"), part("day")) {
                    (Some(year), Some(month), Some(day)) => Some(format!("{year:04}{month:02}{day:02}")),
                    (None, Some(month), Some(day)) => Some(format!("--{month:02}{day:02}")),
                    _ => None,
                }
            }
            other => text_of(other).map(|text| match text.strip_prefix("--") {
                Some(day) => format!("--{}", day.replace('-', "")),
                None => text.split('T').next().unwrap_or_default().replace('-', ""),
            }),
        };
        // A leap year holds every day of the others.
        let real = date.filter(|date| {
            let whole = date.strip_prefix("--").map_or_else(|| date.clone(), |day| format!("2000{day}"));
            whole.len() == 8 && NaiveDate::parse_from_str(&whole, "%Y%m%d").is_ok()
        });
        match real {
            Some(date) => self.card.push(Line::new("BDAY", date)),
            None => self.lost("birthday", "a day that cannot be read")?,
        }
        Ok(())
    }

    fn photo(&mut self, properties: Properties<'_>, photo: Option<(String, Vec<u8>)>) -> Result<()> {
        if let Some((kind, bytes)) = photo {
            self.card.push(Line::new("PHOTO", format!("data:{kind};base64,{}", STANDARD.encode(bytes))));
            return Ok(());
        }
        let Some(text) = properties.text("photo") else { return Ok(()) };
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if let Some(url) = url {
            self.card.push(Line::new("PHOTO", url.as_str()));
        } else if let Some((kind, bytes)) = data_of(&text) {
            self.card.push(Line::new("PHOTO", format!("data:{kind};base64,{}", STANDARD.encode(bytes))));
        } else {
            self.lost("photo", "a photo that is neither an address nor base64")?;
        }
        Ok(())
    }
}

/// The kind and the bytes of a picture in a text: a data address, or base64 alone.
fn data_of(text: &str) -> Option<(String, Vec<u8>)> {
    if let Some((kind, data)) = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        let valid =
            kind.starts_with("image/") && kind.bytes().all(|it| it.is_ascii_alphanumeric() || b"/.+-".contains(&it));
        return Some((kind.to_owned(), STANDARD.decode(data).ok()?)).filter(|_| valid);
    }
    let bytes = STANDARD.decode(text).ok()?;
    let kind = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        _ => return None,
    };
    Some((kind.to_owned(), bytes))
}
