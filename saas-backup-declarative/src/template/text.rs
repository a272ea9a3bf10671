//! Changes of texts.

use std::fmt::Write as _;
use std::sync::Arc;

use fancy_regex::{Regex, RegexBuilder};
use saas_backup_core::{Error, ErrorKind, Result};

use super::kept::Kept;
use super::limits::MAX_PATTERN;

/// How much a regular expression may go back and forth.
const MAX_BACKTRACKS: usize = 100_000;
const MAX_COMPILED: usize = 1 << 20;

/// `CamelCase` as `camel_case`: an underscore before each capital letter of ASCII but the first.
pub(crate) fn camel_to_snake(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for (at, next) in text.chars().enumerate() {
        if at > 0 && next.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(next);
    }
    out.to_lowercase()
}

/// A text as a form writes it.
pub(super) fn quote_plus(text: &str) -> String {
    percent(text, "_.-~").replace("%20", "+")
}

/// Writes all but letters, digits and what else is safe as the numbers of its bytes.
pub(super) fn percent(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || safe.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A regular expression of Python.
pub(super) fn regex(pattern: &str) -> Result<Arc<Regex>> {
    static KEPT: Kept<Regex> = Kept::new();
    KEPT.get(pattern, compiled)
}

fn compiled(pattern: &str) -> Result<Regex> {
    let wrong = || Error::new(ErrorKind::Configuration, "a regular expression of the manifest cannot be used");
    if pattern.len() > MAX_PATTERN {
        return Err(wrong().with_context("limit", MAX_PATTERN));
    }
    RegexBuilder::new(pattern)
        .backtrack_limit(MAX_BACKTRACKS)
        .delegate_size_limit(MAX_COMPILED)
        .build()
        .map_err(|_| wrong())
}

/// The whole of the first match of a regular expression.
pub(crate) fn first_match(pattern: &str, text: &str) -> Result<Option<String>> {
    let found = regex(pattern)?.find(text).map_err(|_| too_much())?;
    Ok(found.map(|found| found.as_str().to_owned()))
}

pub(super) fn too_much() -> Error {
    Error::new(ErrorKind::LimitExceeded, "a regular expression of the manifest takes too many steps")
}
