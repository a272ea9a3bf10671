use bytes::Bytes;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// How deep elements may stand in one another.
const MAX_DEPTH: usize = 100;

/// An element that is being read.
struct Open {
    name: String,
    members: Map<String, Value>,
    text: String,
}

/// A document as a mapping, as xmltodict makes it: attributes begin with `@`, the text beside them is `#text`, elements
/// of the same name are a list, an empty element is null.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] if it is no XML; [`ErrorKind::LimitExceeded`] if it nests too deep.
pub(super) fn value(body: &Bytes) -> Result<Value> {
    let text = super::text_of(body, encoding_of(body))?;
    let mut reader = Reader::from_str(&text);
    let (mut open, mut whole): (Vec<Open>, _) = (Vec::new(), Map::new());
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(element) => {
                if open.len() >= MAX_DEPTH {
                    return Err(Error::new(ErrorKind::LimitExceeded, "the answer nests too deep")
                        .with_context("limit", MAX_DEPTH));
                }
                open.push(begin(&element)?);
            }
            Event::Empty(element) => end(begin(&element)?, open.last_mut(), &mut whole),
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    end(element, open.last_mut(), &mut whole);
                }
            }
            Event::Text(text) => push(&mut open, &text.xml10_content().map_err(malformed)?),
            Event::CData(text) => push(&mut open, &text.xml10_content().map_err(malformed)?),
            Event::GeneralRef(name) => match name.resolve_char_ref().map_err(malformed)? {
                Some(letter) => push(&mut open, letter.encode_utf8(&mut [0; 4])),
                // Entities that a document defines itself are how small documents grow large.
                None => push(&mut open, predefined(&name.decode().map_err(malformed)?)?),
            },
            Event::Eof if open.is_empty() && !whole.is_empty() => return Ok(Value::Object(whole)),
            Event::Eof => return Err(Error::new(ErrorKind::InvalidData, "the answer is no whole XML document")),
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
        }
    }
}

/// The encoding that the declaration names.
fn encoding_of(body: &[u8]) -> &str {
    let head = body.get(..body.len().min(200)).unwrap_or_default();
    let head = head.split(|byte| *byte == b'>').next().unwrap_or_default();
    let named = std::str::from_utf8(head).ok().and_then(|head| head.split("encoding=").nth(1));
    let quoted = named.and_then(|rest| rest.split(['"', '\'']).nth(1));
    quoted.unwrap_or("utf-8")
}

fn begin(element: &BytesStart<'_>) -> Result<Open> {
    let name = std::str::from_utf8(element.name().into_inner()).map_err(malformed)?.to_owned();
    let mut members = Map::new();
    for attribute in element.attributes() {
        let attribute = attribute.map_err(malformed)?;
        let name = std::str::from_utf8(attribute.key.into_inner()).map_err(malformed)?;
        let value = std::str::from_utf8(&attribute.value).map_err(malformed)?;
        let value = quick_xml::escape::unescape(value).map_err(malformed)?;
        members.insert(format!("@{name}"), value.into_owned().into());
    }
    Ok(Open { name, members, text: String::new() })
}

fn end(element: Open, parent: Option<&mut Open>, whole: &mut Map<String, Value>) {
    let text = element.text.trim();
    let mut members = element.members;
    let value = if members.is_empty() {
        if text.is_empty() { Value::Null } else { text.into() }
    } else {
        if !text.is_empty() {
            members.insert("#text".to_owned(), text.into());
        }
        Value::Object(members)
    };
    let into = parent.map_or(whole, |parent| &mut parent.members);
    match into.get_mut(&element.name) {
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None => {
            into.insert(element.name, value);
        }
    }
}

fn push(open: &mut [Open], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn predefined(name: &str) -> Result<&'static str> {
    quick_xml::escape::resolve_xml_entity(name)
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "the answer names an entity that XML does not have"))
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::InvalidData, "the answer is no XML").with_source(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value> {
        value(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_document_is_what_xmltodict_makes_of_it() {
        let text = r#"<?xml version="1.0"?><!-- x --><root a="1 &amp; 2">
            <place id="7"> Sankt &#246;rgen <![CDATA[<b>]]></place>
            <item><name>One</name><none/></item><item><name>Two</name><none></none></item>
            <n:empty x=""/>text
        </root>"#;
        let wanted = json!({ "root": {
            "@a": "1 & 2",
            "place": { "@id": "7", "#text": "Sankt örgen <b>" },
            "item": [{ "name": "One", "none": null }, { "name": "Two", "none": null }],
            "n:empty": { "@x": "" },
            "#text": "text",
        } });
        assert_eq!(read(text).unwrap(), wanted);
        let latin = b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xf6</a>";
        assert_eq!(value(&Bytes::from_static(latin)).unwrap(), json!({ "a": "ö" }));
    }

    #[test]
    fn what_is_cut_grows_or_nests_without_end_is_refused() {
        for text in ["", "<a><b></b>", "<a></b>", "no", "<!DOCTYPE a [<!ENTITY x \"xx\">]><a>&x;</a>"] {
            assert_eq!(read(text).unwrap_err().kind(), ErrorKind::InvalidData, "{text}");
        }
        assert_eq!(read(&"<a>".repeat(MAX_DEPTH + 1)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}
