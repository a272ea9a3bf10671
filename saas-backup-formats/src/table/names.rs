use std::collections::HashSet;

use saas_backup_core::Digest;
use unicode_normalization::UnicodeNormalization as _;

use crate::names::safe_name;

/// Longest name of a table or column, in bytes, its parts together.
const MAX_BYTES: usize = 120;
/// Longest part of a name: what most databases take.
const MAX_PART: usize = 63;

/// Names that nobody gives twice, whatever case they are written in.
#[derive(Debug, Default)]
pub(crate) struct Identifiers(HashSet<String>);

impl Identifiers {
    /// Gives a name; if it is taken, with six digits of the id's digest behind it.
    pub(crate) fn give(&mut self, wanted: &str, id: &str) -> String {
        self.give_with(wanted, id, &[])
    }

    /// Gives a name that is free with each of these endings, too.
    pub(crate) fn give_with(&mut self, wanted: &str, id: &str, endings: &[&str]) -> String {
        let digest = Digest::of(id.as_bytes()).to_string();
        let long = wanted.len() > MAX_BYTES;
        let mut digits = if long { 6 } else { 0 };
        loop {
            let room = MAX_BYTES - digits.min(MAX_BYTES / 2);
            let mut name = cut(wanted, room).to_owned();
            if digits > 0 {
                name = format!("{name}_{}", digest.get(..digits).unwrap_or(&digest));
            }
            let lower = name.to_lowercase();
            let taken = endings.iter().any(|ending| self.0.contains(&format!("{lower}{ending}")));
            if !taken && self.0.insert(lower) {
                return name;
            }
            digits += 6;
        }
    }
}

/// A name for a table, of which files are named, too: lower case, ASCII, with no `_` at its ends and no two in a row.
pub(crate) fn table_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let name = joined(lower.chars().map(|character| if character.is_ascii() { character } else { '_' }));
    // Names that some file system or database keeps for itself.
    let taken = safe_name(&name, MAX_PART) != name || name.starts_with("sqlite_") || name.is_empty();
    if taken { format!("table_{name}").trim_end_matches('_').to_owned() } else { name }
}

/// A name for a column: letters and digits of any script, with no `_` at its ends.
pub(crate) fn column_name(text: &str) -> String {
    let name = joined(text.chars().take(4 * MAX_PART).nfc());
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

fn joined(characters: impl Iterator<Item = char>) -> String {
    let mut name = String::new();
    for character in characters {
        if character.is_alphanumeric() {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() > MAX_PART {
            break;
        }
    }
    cut(&name, MAX_PART).to_owned()
}

fn cut(name: &str, limit: usize) -> &str {
    let mut end = name.len().min(limit);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().trim_end_matches('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suit_files_and_databases() {
        let cases = [
            ("posts", "posts"),
            ("Wiki Pages/2", "wiki_pages_2"),
            ("people & ☃", "people"),
            ("задачи", "table"),
            ("../..", "table"),
            ("CON", "table_con"),
            ("sqlite_master", "table_sqlite_master"),
            ("_archive", "archive"),
            ("a__b", "a_b"),
        ];
        for (text, name) in cases {
            assert_eq!(table_name(text), name);
        }
        assert_eq!(column_name("_links"), "links");
        assert_eq!(column_name("größe (cm)"), "größe_cm");
        assert_eq!(column_name("\u{202e}☃"), "unnamed");
        assert!(column_name(&"x".repeat(9999)).len() <= MAX_PART);
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Identifiers::default();
        assert_eq!(names.give("Total", "a"), "Total");
        assert_eq!(names.give("total", "b"), "total_3e23e8");
        assert_eq!(names.give("TOTAL", "b"), "TOTAL_3e23e8160039");
        let long = "é".repeat(200);
        let first = names.give(&long, "a");
        assert!(first.len() <= MAX_BYTES + 7 && first != names.give(&long, "b"));
    }
}
