use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use saas_backup_core::{BlobId, BlobRef, Record, Result};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use url::Url;

use crate::names::split_extension;

/// The addresses under which texts may speak of a blob: what stands at its place in the record.
pub(crate) fn addresses(record: &Record, blob: &BlobRef) -> Vec<Url> {
    // Where a provider gives files no id, their address is it.
    let named = blob.external_url.as_deref().into_iter().chain(blob.id.as_ref().map(BlobId::as_str));
    let mut found: Vec<Url> = named.filter_map(|url| Url::parse(url).ok()).collect();
    let Some(pointer) = blob.path.as_deref().and_then(|path| path.strip_prefix("/data")) else { return found };
    let Ok(data) = record.data.decode::<serde_json::Value>() else { return found };
    let texts: Vec<&str> = match data.pointer(pointer) {
        Some(serde_json::Value::String(text)) => vec![text],
        Some(serde_json::Value::Object(members)) => members.values().filter_map(serde_json::Value::as_str).collect(),
        _ => Vec::new(),
    };
    found.extend(texts.into_iter().filter_map(|text| Url::parse(text).ok()));
    found
}

/// The name of an attachment, and its extension with the dot.
pub(super) fn file_name(blob: &BlobRef, url: Option<&Url>, hex: &str) -> (String, String) {
    let of_url = || {
        let last = url?.path_segments()?.next_back().filter(|segment| !segment.is_empty())?;
        crate::text::unescape_path(last)
    };
    let name = blob.name.clone().filter(|name| !name.trim().is_empty()).or_else(of_url);
    let name = name.unwrap_or_else(|| hex.get(..16).unwrap_or(hex).to_owned());
    let (stem, extension) = split_extension(&name, blob.media_type.as_deref());
    (stem.to_owned(), extension)
}

/// Extensions of files that a browser runs when it opens them.
const ACTIVE: [&str; 16] = [
    ".htm",
    ".html",
    ".shtm",
    ".shtml",
    ".xht",
    ".xhtm",
    ".xhtml",
    ".xml",
    ".xsl",
    ".xslt",
    ".mht",
    ".mhtml",
    ".svgz",
    ".hta",
    ".url",
    ".webarchive",
];
/// Extensions of files whose kind a browser takes from their name.
const KNOWN: [&str; 41] = [
    ".7z", ".avi", ".avif", ".bmp", ".csv", ".doc", ".docx", ".eml", ".epub", ".flac", ".gif", ".gz", ".ico", ".ics",
    ".jpeg", ".jpg", ".json", ".log", ".m4a", ".m4v", ".md", ".mkv", ".mov", ".mp3", ".mp4", ".odp", ".ods", ".odt",
    ".ogg", ".pdf", ".png", ".ppt", ".pptx", ".rtf", ".svg", ".txt", ".wav", ".webm", ".webp", ".xls", ".xlsx",
];

/// What is added to the name of a file so that a browser shows it where it would run it.
///
/// A link with `download` is no help: browsers pass it over in pages that they opened from a folder.
pub(super) fn guard(extension: &str, file: &Path) -> Result<&'static str> {
    let extension = extension.to_ascii_lowercase();
    if KNOWN.contains(&extension.as_str()) {
        return Ok("");
    }
    let mut head = Vec::new();
    File::open(file)?.take(512).read_to_end(&mut head)?;
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head).trim_ascii_start();
    let is_markup = text.starts_with(b"<") || head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF");
    Ok(if ACTIVE.contains(&extension.as_str()) || is_markup { ".txt" } else { "" })
}

/// A name of letters and digits of ASCII, with hyphens between them.
pub(super) fn plain_name(name: &str) -> String {
    let mut out = String::new();
    for character in name.nfkd().filter(|character| !is_combining_mark(*character)) {
        if character.is_ascii_alphanumeric() || character == '_' {
            out.push(character);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    if out.is_empty() { "file".to_owned() } else { out }
}
