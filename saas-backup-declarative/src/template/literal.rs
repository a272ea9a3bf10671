//! Python's literals.

use minijinja::value::Tuple;

use super::Value;
use super::dict::Dict;
use super::lex::unescape;
use super::limits::MAX_DEPTH;
use super::python::integer;

/// The longest text that is looked at, and how much it may hold.
const MAX_TEXT: usize = 1 << 20;

/// What a text says as a literal of Python; nothing if it is none.
pub(crate) fn literal_eval(text: &str) -> Option<Value> {
    let text = text.trim_start_matches([' ', '\t']);
    if text.len() > MAX_TEXT || !begins(text) {
        return None;
    }
    let mut reader = Reader { rest: text, open: 0 };
    let value = reader.all(&[])?;
    reader.space();
    // Empty lines may follow, but each must end.
    let rest = reader.rest.trim_end_matches(['\n', '\r']);
    (rest.trim().is_empty() && (rest.is_empty() || rest.len() < reader.rest.len())).then_some(value)
}

/// Whether a literal can begin so; most texts are told apart here.
fn begins(text: &str) -> bool {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'\'' | b'"' | b'(' | b'[' | b'{' | b'#') => true,
        Some(b'T') => text.starts_with("True"),
        Some(b'F') => text.starts_with("False"),
        Some(b'N') => text.starts_with("None"),
        Some(b'u' | b'U' | b'r' | b'R') => matches!(bytes.next(), Some(b'\'' | b'"')),
        _ => false,
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// How many brackets are open.
    open: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
            if self.open > 0 {
                self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}', '\n', '\r']);
            }
            match self.rest.strip_prefix("\\\n") {
                Some(rest) => self.rest = rest,
                None if self.rest.starts_with('#') => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.skip(end);
                    if self.open == 0 {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn take(&mut self, sign: char) -> bool {
        self.space();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// One value, or a tuple of several.
    fn all(&mut self, ends: &[char]) -> Option<Value> {
        let first = self.value()?;
        if !self.take(',') {
            return Some(first);
        }
        let mut all = vec![first];
        loop {
            self.space();
            if self.rest.is_empty() || self.rest.starts_with(ends) || self.rest.starts_with(['\n', '\r']) {
                return Some(Value::from(Tuple::new(all)));
            }
            all.push(self.value()?);
            if !self.take(',') {
                return Some(Value::from(Tuple::new(all)));
            }
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.space();
        let first = self.rest.chars().next()?;
        match first {
            '(' | '[' | '{' => {
                if self.open >= MAX_DEPTH {
                    return None;
                }
                self.skip(1);
                self.open += 1;
                let value = match first {
                    '(' => self.bracket(),
                    '[' => self.list(),
                    _ => self.dict(),
                }?;
                self.open -= 1;
                Some(value)
            }
            '\'' | '"' | 'u' | 'U' | 'r' | 'R' => self.text(),
            '+' | '-' => {
                self.skip(1);
                self.space();
                let bracketed = self.rest.starts_with('(');
                let value = if bracketed { self.value()? } else { self.number()? };
                match (first, super::python::Number::of(&value)) {
                    (_, _) if value.kind() != minijinja::value::ValueKind::Number => None,
                    ('-', Some(super::python::Number::Integer(number))) => Some(integer(-number)),
                    ('-', Some(super::python::Number::Float(number))) => Some((-number).into()),
                    _ => Some(value),
                }
            }
            '0'..='9' | '.' => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(self.rest.len());
        let value = match self.rest.get(..end)? {
            "True" => true.into(),
            "False" => false.into(),
            "None" => ().into(),
            _ => return None,
        };
        self.skip(end);
        Some(value)
    }

    fn bracket(&mut self) -> Option<Value> {
        if self.take(')') {
            return Some(Value::from(Tuple::default()));
        }
        let value = self.all(&[')'])?;
        self.take(')').then_some(value)
    }

    fn list(&mut self) -> Option<Value> {
        let mut all = Vec::new();
        while !self.take(']') {
            all.push(self.value()?);
            if !self.take(',') {
                return self.take(']').then(|| all.into());
            }
        }
        Some(all.into())
    }

    fn dict(&mut self) -> Option<Value> {
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        while !self.take('}') {
            let key = self.value()?;
            if !is_key(&key) || !self.take(':') {
                return None;
            }
            pairs.push((key, self.value()?));
            if !self.take(',') {
                if !self.take('}') {
                    return None;
                }
                break;
            }
        }
        // Keys that are texts, as nearly all are, need no search for each.
        if pairs.len() > 16 && pairs.iter().all(|(key, _)| key.as_str().is_some()) {
            return Some(Value::from_pairs(pairs));
        }
        Some(pairs.into_iter().collect::<Dict>().into())
    }

    fn text(&mut self) -> Option<Value> {
        let mut whole = String::new();
        loop {
            let raw = self.rest.starts_with(['r', 'R']);
            let body = self.rest.trim_start_matches(['r', 'R', 'u', 'U']);
            if self.rest.len() - body.len() > 1 {
                return None;
            }
            let mark = body.chars().next().filter(|mark| matches!(mark, '\'' | '"'))?;
            let triple = mark.to_string().repeat(3);
            let (quote, multiline) =
                if body.starts_with(&triple) { (triple.as_str(), true) } else { (triple.get(..1)?, false) };
            let body = body.get(quote.len()..)?;
            let end = end_of(body, quote, multiline)?;
            let inner = body.get(..end)?;
            whole.push_str(&if raw { inner.to_owned() } else { unescape(inner)? });
            self.rest = body.get(end + quote.len()..)?;
            self.space();
            if !self.rest.starts_with(['\'', '"']) {
                return Some(whole.into());
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let is_part = |at: usize, next: char| {
            next.is_alphanumeric()
                || matches!(next, '_' | '.')
                || (matches!(next, '+' | '-')
                    && self.rest.get(..at).is_some_and(|before| {
                        before.ends_with(['e', 'E']) && !before.starts_with("0x") && !before.starts_with("0X")
                    }))
        };
        let end =
            self.rest.char_indices().find(|(at, next)| !is_part(*at, *next)).map_or(self.rest.len(), |(at, _)| at);
        let text = self.rest.get(..end)?;
        let value = number(text)?;
        self.skip(end);
        Some(value)
    }
}

fn is_key(value: &Value) -> bool {
    value.is_tuple() || !matches!(value.kind(), minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Map)
}

/// Where a text in quotes ends.
fn end_of(body: &str, quote: &str, multiline: bool) -> Option<usize> {
    let mut escaped = false;
    for (at, next) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if next == '\\' {
            escaped = true;
        } else if next == '\n' && !multiline {
            return None;
        } else if body.get(at..).is_some_and(|rest| rest.starts_with(quote)) {
            return Some(at);
        }
    }
    None
}

/// A number without a sign.
fn number(text: &str) -> Option<Value> {
    // An underscore stands between digits only.
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") || text.contains("_.") || text.contains("._")
    {
        return None;
    }
    let plain = text.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return i128::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+')).map(integer);
        }
    }
    if !plain.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if plain.bytes().all(|byte| byte.is_ascii_digit()) {
        let zeros = plain.bytes().all(|byte| byte == b'0');
        return if plain.starts_with('0') && !zeros { None } else { plain.parse().ok().map(integer) };
    }
    if !plain.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        || !plain.contains(|next: char| next.is_ascii_digit())
    {
        return None;
    }
    plain.parse::<f64>().ok().map(Value::from)
}
