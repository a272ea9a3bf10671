//! Texts of one site as they must read on another: ids in blocks and shortcodes, addresses of files and pages.

use std::collections::BTreeSet;

use saas_backup_core::{Key, Loss};

use super::content::pointers;
use super::target::{Resolved, Target};

/// A text in its new form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    /// Records that it points to and that are still to come.
    pub(super) waits: BTreeSet<Key>,
    pub(super) lost: Vec<Loss>,
    /// Addresses of pages whose new address was only guessed: the old one, and the guess.
    pub(super) guessed: Vec<(String, String)>,
}

/// Translates a text. `path` is where it stands in the record, for what is lost.
pub(super) fn translate(target: &Target, text: &str, path: &str) -> Translated {
    let mut out = Translated::default();
    let mut with_ids = String::with_capacity(text.len());
    let mut copied = 0;
    for pointer in pointers(text) {
        let Some(before) = text.get(copied..pointer.range.start) else { continue };
        with_ids.push_str(before);
        copied = pointer.range.end;
        match target.resolve_pointer(&pointer.to, pointer.id) {
            Resolved::New(id) => with_ids.push_str(&id),
            Resolved::Later(keys) => {
                out.waits.extend(keys);
                with_ids.push_str(text.get(pointer.range).unwrap_or_default());
            }
            Resolved::Gone => {
                with_ids.push_str(text.get(pointer.range).unwrap_or_default());
                note(&mut out.lost, path, "a reference to a record that is not in the copy");
            }
        }
    }
    with_ids.push_str(text.get(copied..).unwrap_or_default());
    out.text = with_ids;
    if let Some(old) = target.old_base() {
        translate_addresses(target, &old, path, &mut out);
    }
    out
}

fn translate_addresses(target: &Target, old: &str, path: &str, out: &mut Translated) {
    let new = target.new_base();
    let text = std::mem::take(&mut out.text);
    let mut rest = text.as_str();
    while let Some((before, address, after)) = next_address(rest, old) {
        out.text.push_str(before);
        rest = after;
        let (page, fragment) = address.split_once('#').map_or((address, None), |(page, part)| (page, Some(part)));
        let known = target.new_address(page);
        let is_file = page.contains("/uploads/");
        match known {
            Some(known) => out.text.push_str(&known),
            None if is_file && old != new => {
                out.text.push_str(page);
                note(&mut out.lost, path, "the address of a file that is not in the copy");
            }
            None => {
                let guess = format!("{new}{}", page_below(page, old));
                out.text.push_str(&guess);
                // A link by number was translated as an id already.
                if old != new && !page.contains('?') && guess != new && guess != format!("{new}/") {
                    out.guessed.push((page.to_owned(), guess));
                }
            }
        }
        if let Some(fragment) = fragment {
            out.text.push('#');
            out.text.push_str(fragment);
        }
    }
    out.text.push_str(rest);
}

/// The next address of the old site, with or without encryption, and what stands before and after it.
fn next_address<'a>(text: &'a str, old: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let bare = without_scheme(old);
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find(bare).map(|at| from + at) {
        from = at + bare.len();
        let before = text.get(..at)?;
        let Some(before) = ["https://", "http://"].into_iter().find_map(|scheme| before.strip_suffix(scheme)) else {
            continue;
        };
        let after = text.get(from..)?;
        // Else it is another host or port that begins with the same characters.
        let mut next = after.chars();
        let goes_on = match next.next() {
            Some('.') => next.next().is_some_and(char::is_alphanumeric),
            Some(next) => next.is_alphanumeric() || matches!(next, '-' | '_' | ':' | '@'),
            None => false,
        };
        if goes_on {
            continue;
        }
        // What ends a sentence is no part of the address in it.
        let page = after.get(..after.find(ends_address).unwrap_or(after.len()))?;
        let end = from + page.trim_end_matches(['.', ';', ':', '!', '?']).len();
        return Some((before, text.get(before.len()..end)?, text.get(end..)?));
    }
    None
}

fn ends_address(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>' | ')' | ']' | '\\' | '`' | ',')
}

fn without_scheme(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, rest)| rest)
}

fn page_below<'a>(page: &'a str, old: &str) -> &'a str {
    let bare = without_scheme(old);
    page.find(bare).and_then(|at| page.get(at + bare.len()..)).unwrap_or_default()
}

fn note(lost: &mut Vec<Loss>, path: &str, reason: &str) {
    let new = Loss { path: path.to_owned(), reason: reason.to_owned() };
    if !lost.contains(&new) {
        lost.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_where_the_text_says() {
        let old = "http://a.example:80/sub";
        let find = |text: &'static str| next_address(text, old).map(|(_, address, _)| address);
        assert_eq!(find(r#"<a href="https://a.example:80/sub/x?y#z">"#), Some("https://a.example:80/sub/x?y#z"));
        assert_eq!(find("see http://a.example:80/sub, or"), Some("http://a.example:80/sub"));
        assert_eq!(find("It is http://a.example:80/sub."), Some("http://a.example:80/sub"));
        assert_eq!(find("Is it http://a.example:80/sub/x?"), Some("http://a.example:80/sub/x"));
        assert_eq!(find("http://a.example:80/sub.evil.example/"), None);
        assert_eq!(find("http://a.example:80/subway"), None);
        assert_eq!(find("ftp://a.example:80/sub/"), None);
        assert_eq!(find("http://a.example:80/subway http://a.example:80/sub/1"), Some("http://a.example:80/sub/1"));
    }
}
