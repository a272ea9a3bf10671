use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Longest file name, in bytes: what ext4 and APFS take; NTFS counts UTF-16 units, which are never more.
pub const MAX_NAME_BYTES: usize = 255;

/// Names that Windows gives to devices, whatever their extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Makes a file name without extension out of any text, at most `limit` bytes long.
///
/// The result is one path component in NFC that Windows, macOS and Linux accept as it is, that Obsidian can link to,
/// and that is never empty, hidden, `.` or `..`. Forbidden characters become `-`, bidirectional controls and invisible
/// characters vanish: with them a name could pretend to be another one.
///
/// ```
/// use saas_backup_formats::safe_name;
///
/// assert_eq!(safe_name("Q3: costs / gains?", 80), "Q3- costs - gains");
/// assert_eq!(safe_name("con.txt", 80), "_con.txt");
/// assert_eq!(safe_name("../../etc/passwd", 80), "etc-passwd");
/// ```
pub fn safe_name(text: &str, limit: usize) -> String {
    let limit = limit.clamp(1, MAX_NAME_BYTES);
    let mut name = String::with_capacity(text.len().min(limit));
    // More than this is cut anyway, and normalising a text of megabytes is not free.
    for character in text.chars().take(4 * MAX_NAME_BYTES).nfc() {
        match character {
            _ if is_invisible(character) => {}
            '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | '#' | '^' | '[' | ']' => separate(&mut name, '-'),
            _ if character.is_whitespace() || character.is_control() => separate(&mut name, ' '),
            _ => name.push(character),
        }
    }
    let name = name.trim_start_matches(['.', ' ', '-', '~']);
    let mut name = cut(name, limit).to_owned();
    if name.is_empty() {
        cut("untitled", limit).clone_into(&mut name);
    }
    if is_device(&name) {
        name.insert(0, '_');
        name.truncate(cut(&name, limit).len());
    }
    name
}

/// Cuts at a character boundary, not between a letter and its accents, and never behind a dot, a space or a `-`.
fn cut(name: &str, limit: usize) -> &str {
    let mut end = name.len().min(limit);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if name.get(end..).and_then(|rest| rest.chars().next()).is_some_and(is_combining_mark) {
        let kept = name.get(..end).unwrap_or_default().trim_end_matches(is_combining_mark);
        end = kept.char_indices().next_back().map_or(0, |(start, _)| start);
    }
    name.get(..end).unwrap_or_default().trim_end_matches(['.', ' ', '-'])
}

/// Adds a separator, of which one is enough.
fn separate(name: &mut String, with: char) {
    let enough = if with == '-' { name.trim_end().ends_with('-') } else { name.ends_with(with) };
    if !enough {
        name.push(with);
    }
}

/// Characters that print nothing or turn the direction of what follows.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00AD}'
            | '\u{061C}'
            | '\u{180E}'
            | '\u{200B}'
            | '\u{200E}' | '\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

pub(super) fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let upper = stem.to_ascii_uppercase();
    if DEVICES.contains(&upper.as_str()) {
        return true;
    }
    let port = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
    port.is_some_and(|rest| {
        let mut characters = rest.chars();
        matches!((characters.next(), characters.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nasty_titles_become_names_that_every_system_takes() {
        let cases = [
            ("", "untitled"),
            ("...", "untitled"),
            ("..", "untitled"),
            ("///", "untitled"),
            (".hidden", "hidden"),
            ("name. ", "name"),
            ("a\0b\nc\td", "a b c d"),
            ("NUL", "_NUL"),
            ("nul.tar.gz", "_nul.tar.gz"),
            ("COM1", "_COM1"),
            ("com¹.log", "_com¹.log"),
            ("COM10", "COM10"),
            ("CONSOLE", "CONSOLE"),
            ("C:\\Windows\\x", "C-Windows-x"),
            ("invoice\u{202E}fdp.exe", "invoicefdp.exe"),
            ("e\u{301}te\u{301}", "été"),
            ("مرحبا", "مرحبا"),
            ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
            ("[[wiki]] #tag ^block", "wiki- tag -block"),
        ];
        for (title, name) in cases {
            assert_eq!(safe_name(title, 80), name, "{title:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_becomes_a_name(text: String, limit in 1_usize..300) {
            let name = safe_name(&text, limit);
            assert!(!name.is_empty() && name.len() <= limit.min(MAX_NAME_BYTES), "{name:?}");
            assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']), "{name:?}");
            assert!(!name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', '\n']), "{name:?}");
            assert!(name.nfc().eq(name.chars()), "{name:?}");
            assert!(limit < 8 || safe_name(&name, limit) == name, "a safe name stays as it is: {name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        assert_eq!(safe_name(&"é".repeat(300), 80), "é".repeat(40));
        assert_eq!(safe_name(&"x".repeat(300), 999).len(), MAX_NAME_BYTES);
        // A letter with an accent that has no composed form is kept or cut as a whole.
        assert_eq!(safe_name("abx\u{323}\u{301}", 3), "ab");
        assert_eq!(safe_name("abc. def", 5), "abc");
    }
}
