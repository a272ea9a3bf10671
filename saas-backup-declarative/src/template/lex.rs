//! Cuts a template into its parts, and what stands between braces into tokens.

use saas_backup_core::{Error, ErrorKind, Result};

/// A part of a template.
#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    /// `{{ … }}`
    Output(Vec<Token>),
    /// `{% … %}`
    Block(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Integer(i128),
    Float(f64),
    Sign(&'static str),
}

/// Longest first.
const SIGNS: [&str; 27] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", ">", "<", "=", ".", ":", "|", ",", ";", "(", ")",
    "[", "]", "{", "}", "!",
];

pub(super) fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

pub(super) fn parts(source: &str) -> Result<Vec<Part>> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut parts = Vec::new();
    let mut rest = source;
    let mut trim = false;
    loop {
        let start = rest
            .match_indices('{')
            .map(|(at, _)| at)
            .find(|at| matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')));
        let (before, from) = rest.split_at(start.unwrap_or(rest.len()));
        let mut text = if trim { before.trim_start() } else { before };
        let kind = from.as_bytes().get(1).copied();
        let inner = from.get(2..).unwrap_or_default();
        let inner = match inner.as_bytes().first() {
            Some(b'-') if start.is_some() => {
                text = text.trim_end();
                inner.get(1..).unwrap_or_default()
            }
            Some(b'+') if kind != Some(b'{') => inner.get(1..).unwrap_or_default(),
            _ => inner,
        };
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        match (start, kind) {
            (None, _) => return Ok(parts),
            (_, Some(b'#')) => {
                let end = inner.find("#}").ok_or_else(|| refused("a comment of a template does not end"))?;
                trim = inner.get(..end).is_some_and(|comment| comment.ends_with('-'));
                rest = inner.get(end + 2..).unwrap_or_default();
            }
            (_, Some(kind)) => {
                let close = if kind == b'{' { "}}" } else { "%}" };
                let (tokens, left, trimmed) = tokens(inner, close)?;
                (rest, trim) = (left, trimmed);
                if kind == b'{' {
                    parts.push(Part::Output(tokens));
                } else if tokens == [Token::Name("raw".to_owned())] {
                    let (raw, left, trimmed) = raw(rest)?;
                    parts.push(Part::Text(if trim { raw.trim_start().to_owned() } else { raw.to_owned() }));
                    (rest, trim) = (left, trimmed);
                } else {
                    parts.push(Part::Block(tokens));
                }
            }
            (Some(_), None) => return Err(refused("a template ends within a brace")),
        }
    }
}

/// What stands before `{% endraw %}`, what stands after it, and whether that loses its spaces.
fn raw(rest: &str) -> Result<(&str, &str, bool)> {
    for (at, _) in rest.match_indices("{%") {
        let tag = rest.get(at + 2..).unwrap_or_default();
        let before = rest.get(..at).unwrap_or_default();
        let (tag, before) = tag.strip_prefix('-').map_or((tag, before), |tag| (tag, before.trim_end()));
        let Some(tag) = tag.trim_start().strip_prefix("endraw") else { continue };
        let tag = tag.trim_start();
        if let Some(after) = tag.strip_prefix("-%}") {
            return Ok((before, after, true));
        }
        if let Some(after) = tag.strip_prefix("%}") {
            return Ok((before, after, false));
        }
    }
    Err(refused("a raw block of a template does not end"))
}

/// The tokens up to the closing braces, what stands after them, and whether that loses its spaces.
fn tokens<'a>(inner: &'a str, close: &str) -> Result<(Vec<Token>, &'a str, bool)> {
    let mut tokens = Vec::new();
    let mut open: Vec<char> = Vec::new();
    let mut rest = inner;
    loop {
        rest = rest.trim_start();
        if open.is_empty() {
            if let Some(after) = rest.strip_prefix(close) {
                return Ok((tokens, after, false));
            }
            if let Some(after) = rest.strip_prefix('-').and_then(|rest| rest.strip_prefix(close)) {
                return Ok((tokens, after, true));
            }
            if let Some(after) =
                rest.strip_prefix('+').and_then(|rest| rest.strip_prefix(close)).filter(|_| close == "%}")
            {
                return Ok((tokens, after, false));
            }
        }
        let first = rest.chars().next().ok_or_else(|| refused("a template ends within braces"))?;
        let length = if first.is_alphabetic() || first == '_' {
            let length = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
            tokens.push(Token::Name(rest.get(..length).unwrap_or_default().to_owned()));
            length
        } else if first.is_ascii_digit() {
            let (token, length) = number(rest)?;
            tokens.push(token);
            length
        } else if first == '"' || first == '\'' {
            let (text, length) = text(rest, first)?;
            tokens.push(Token::Text(text));
            length
        } else {
            let sign = SIGNS
                .iter()
                .find(|sign| rest.starts_with(**sign))
                .ok_or_else(|| refused("a template has a sign that means nothing"))?;
            match *sign {
                "(" => open.push(')'),
                "[" => open.push(']'),
                "{" => open.push('}'),
                ")" | "]" | "}" if open.pop().is_none_or(|expected| !sign.starts_with(expected)) => {
                    return Err(refused("the brackets of a template do not match"));
                }
                _ => {}
            }
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn number(rest: &str) -> Result<(Token, usize)> {
    let run = |from: usize, radix: u32| {
        let part = rest.get(from..).unwrap_or_default();
        from + part.find(|next: char| !next.is_digit(radix) && next != '_').unwrap_or(part.len())
    };
    let plain = |from: usize, to: usize| rest.get(from..to).unwrap_or_default().replace('_', "");
    let wide = || refused("a number of a template is too large");
    let radix = match rest.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    if radix != 10 {
        let end = run(2, radix);
        return Ok((Token::Integer(i128::from_str_radix(&plain(2, end), radix).map_err(|_| wide())?), end));
    }
    let mut end = run(0, 10);
    let byte = |at: usize| rest.as_bytes().get(at).copied();
    let mut float = false;
    if byte(end) == Some(b'.') && byte(end + 1).is_some_and(|next| next.is_ascii_digit()) {
        end = run(end + 1, 10);
        float = true;
    }
    if matches!(byte(end), Some(b'e' | b'E')) {
        let from = end + 1 + usize::from(matches!(byte(end + 1), Some(b'+' | b'-')));
        if byte(from).is_some_and(|next| next.is_ascii_digit()) {
            end = run(from, 10);
            float = true;
        }
    }
    let digits = plain(0, end);
    let token = if float {
        Token::Float(digits.parse().map_err(|_| wide())?)
    } else {
        Token::Integer(digits.parse().map_err(|_| wide())?)
    };
    Ok((token, end))
}

/// A text in quotes, and how much of the template it takes.
fn text(rest: &str, quote: char) -> Result<(String, usize)> {
    let mut escaped = false;
    for (at, next) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if next == '\\' {
            escaped = true;
        } else if next == quote {
            let body = rest.get(1..at).unwrap_or_default();
            let body =
                unescape(body).ok_or_else(|| refused("a text of a template has an escape that means nothing"))?;
            return Ok((body, at + 1));
        }
    }
    Err(refused("a text of a template does not end"))
}

/// A text with Python's escapes; nothing where one of them is cut off.
pub(super) fn unescape(body: &str) -> Option<String> {
    if !body.contains('\\') {
        return Some(body.to_owned());
    }
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    while let Some(next) = chars.next() {
        if next != '\\' {
            out.push(next);
            continue;
        }
        let escape = chars.next()?;
        let plain = match escape {
            '\n' => continue,
            '\\' | '\'' | '"' => escape,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' | 'u' | 'U' => {
                let width = match escape {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits: String = chars.by_ref().take(width).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == width)?;
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            '0'..='7' => {
                let mut code = escape.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = chars.next_if(|next| next.is_digit(8)).and_then(|next| next.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                }
                char::from_u32(code)?
            }
            other => {
                out.push('\\');
                other
            }
        };
        out.push(plain);
    }
    Some(out)
}
