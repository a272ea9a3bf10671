use std::fmt::Write as _;

/// The link from one file of a folder to another; both paths have `/` between their parts.
pub(crate) fn relative(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').collect();
    let to: Vec<&str> = to.split('/').collect();
    let folders = from.len().saturating_sub(1).min(to.len().saturating_sub(1));
    let shared = from.iter().zip(&to).take(folders).take_while(|(one, other)| one == other).count();
    let mut link = "../".repeat(from.len().saturating_sub(1).saturating_sub(shared));
    for (index, part) in to.iter().skip(shared).enumerate() {
        if index > 0 {
            link.push('/');
        }
        encode(&mut link, part);
    }
    link
}

/// Escapes what means something in a link or in Markdown; other letters stay readable.
fn encode(out: &mut String, part: &str) {
    for character in part.chars() {
        let plain = character.is_ascii_alphanumeric()
            || matches!(character, '-' | '.' | '_' | '~' | '!' | ',' | ';' | '=' | '+' | '@')
            || (!character.is_ascii() && !character.is_whitespace() && !character.is_control());
        if plain {
            out.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// Resolves `%XX`; `None` if the result is not UTF-8.
pub(crate) fn unescape_path(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// The path that a relative link in a file leads to; `None` if it leads out of the folder.
pub(crate) fn resolve_path(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
