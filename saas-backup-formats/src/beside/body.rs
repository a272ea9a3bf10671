use saas_backup_core::{Collection, Markup, Record, Result};

use crate::form::Desk;
use crate::form::value::body_of;
use crate::text::html_to_markdown;

/// The text of a record for a program that knows no markup: HTML becomes Markdown, which reads as text does.
pub(crate) fn readable_body(collection: &Collection, record: &Record, desk: &mut Desk) -> Result<Option<String>> {
    let body = body_of(record, collection.fields.body.as_ref()).filter(|(text, _)| !text.trim().is_empty());
    let Some((text, markup)) = body else { return Ok(None) };
    if markup != Markup::Html {
        return Ok(Some(text));
    }
    let (text, lost) = html_to_markdown(&text);
    let path = collection.fields.body.as_ref().map_or("", |body| &body.path);
    for reason in lost {
        desk.losses.part(&record.key, path, &reason)?;
    }
    Ok(Some(text.trim().to_owned()))
}
