//! Python's `ast.literal_eval`: texts that look like values.

use std::collections::BTreeMap;

use minijinja::value::ValueKind;

use super::{Types, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// A text as a value of these types, or as it is.
pub(super) fn typed(text: &str, types: Types) -> Value {
    let plain = || Value::from(text);
    if types == Types::Text || !may_be_literal(text) {
        return plain();
    }
    let Some(value) = evaluate(text) else { return plain() };
    let fits = match types {
        Types::Any => true,
        Types::TextOrList => matches!(value.kind(), ValueKind::Seq | ValueKind::String) && !is_tuple(text),
        Types::Text => value.kind() == ValueKind::String,
        Types::Integer => value.kind() == ValueKind::Number && value.is_integer() || value.kind() == ValueKind::Bool,
        Types::Number => value.kind() == ValueKind::Number && !value.is_integer(),
        Types::Boolean => value.kind() == ValueKind::Bool,
    };
    if fits { value } else { plain() }
}

fn is_tuple(text: &str) -> bool {
    !text.trim_start().starts_with(['[', '\'', '"'])
}

/// Whether a text may look like a value, by its first letter.
pub(super) fn may_be_literal(text: &str) -> bool {
    let Some(first) = text.bytes().find(|byte| !matches!(byte, b' ' | b'\t')) else { return false };
    match first {
        b'0'..=b'9' | b'-' | b'+' | b'.' | b'\'' | b'"' | b'[' | b'{' | b'(' => true,
        b'T' | b'F' | b'N' => matches!(text.trim(), "True" | "False" | "None") || text.contains(','),
        b'b' | b'B' | b'r' | b'R' | b'u' | b'U' => text.bytes().any(|byte| matches!(byte, b'\'' | b'"')),
        _ => false,
    }
}

/// The value that a text is in Python, if it is one.
pub(super) fn evaluate(text: &str) -> Option<Value> {
    // Leading blanks are stripped by `literal_eval` itself.
    let mut reader = Reader { text: text.trim_start_matches([' ', '\t']).trim_end(), at: 0 };
    let value = reader.tuple_or_value()?;
    reader.skip();
    (reader.at == reader.text.len()).then_some(value)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Blanks; line breaks only count within brackets, where Python allows them.
    fn skip(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// `1, 2` is a tuple.
    fn tuple_or_value(&mut self) -> Option<Value> {
        let first = self.value(0)?;
        if !self.take(b',') {
            return Some(first);
        }
        let mut items = vec![first];
        self.skip();
        while self.at < self.text.len() {
            items.push(self.value(0)?);
            if !self.take(b',') {
                break;
            }
            self.skip();
        }
        Some(Value::from(items))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip();
        match self.peek()? {
            b'[' => self.items(b']', depth).map(|(items, _)| Value::from(items)),
            b'(' => {
                let (items, commas) = self.items(b')', depth)?;
                match items.as_slice() {
                    [single] if commas == 0 => Some(single.clone()),
                    _ => Some(Value::from(items)),
                }
            }
            b'{' => self.mapping(depth),
            b'\'' | b'"' => self.text_value(),
            b'0'..=b'9' | b'.' | b'-' | b'+' => self.number(),
            _ => self.word(),
        }
    }

    fn items(&mut self, end: u8, depth: usize) -> Option<(Vec<Value>, usize)> {
        self.at += 1;
        let (mut items, mut commas) = (Vec::new(), 0);
        loop {
            if self.take(end) {
                return Some((items, commas));
            }
            items.push(self.value(depth + 1)?);
            if self.take(b',') {
                commas += 1;
            } else {
                return self.take(end).then_some((items, commas));
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let (mut members, mut set): (BTreeMap<Value, Value>, Vec<Value>) = (BTreeMap::new(), Vec::new());
        loop {
            if self.take(b'}') {
                break;
            }
            let key = self.value(depth + 1)?;
            if self.take(b':') {
                members.insert(key, self.value(depth + 1)?);
            } else {
                set.push(key);
            }
            if !self.take(b',') {
                self.take(b'}').then_some(())?;
                break;
            }
        }
        match (members.is_empty(), set.is_empty()) {
            (_, true) => Some(Value::from(members)),
            (true, false) => Some(Value::from(set)),
            (false, false) => None,
        }
    }

    /// Texts that follow one another are one.
    fn text_value(&mut self) -> Option<Value> {
        let mut whole = String::new();
        while let Some(quote @ (b'\'' | b'"')) = self.peek() {
            let long = [quote, quote, quote];
            let delimiter = if self.rest().as_bytes().starts_with(&long) { 3 } else { 1 };
            self.at += delimiter;
            loop {
                let rest = self.rest();
                if rest.as_bytes().starts_with(long.get(..delimiter)?) {
                    self.at += delimiter;
                    break;
                }
                let letter = rest.chars().next()?;
                if letter == '\n' && delimiter == 1 {
                    return None;
                }
                self.at += letter.len_utf8();
                if letter == '\\' { self.escape(&mut whole)? } else { whole.push(letter) }
            }
            self.skip();
        }
        Some(Value::from(whole))
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let letter = self.rest().chars().next()?;
        self.at += letter.len_utf8();
        let digits = match letter {
            'n' => return Some(out.push('\n')),
            't' => return Some(out.push('\t')),
            'r' => return Some(out.push('\r')),
            '0' => return Some(out.push('\0')),
            '\\' | '\'' | '"' => return Some(out.push(letter)),
            '\n' => return Some(()),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => {
                out.push('\\');
                out.push(other);
                return Some(());
            }
        };
        let code = u32::from_str_radix(self.rest().get(..digits)?, 16).ok()?;
        self.at += digits;
        out.push(char::from_u32(code)?);
        Some(())
    }

    fn number(&mut self) -> Option<Value> {
        let mut negative = false;
        while let Some(sign @ (b'-' | b'+')) = self.peek() {
            negative ^= sign == b'-';
            self.at += 1;
            self.skip();
        }
        let rest = self.rest();
        let mut end =
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')).count();
        // The sign of an exponent belongs to the number.
        if rest.get(..end)?.ends_with(['e', 'E'])
            && !rest.starts_with("0x")
            && matches!(rest.as_bytes().get(end), Some(b'-' | b'+'))
        {
            end += 1 + rest.get(end + 1..)?.bytes().take_while(u8::is_ascii_digit).count();
        }
        let token = rest.get(..end)?;
        let value = number(token, negative)?;
        self.at += end;
        Some(value)
    }

    fn word(&mut self) -> Option<Value> {
        for (word, value) in [("True", Value::from(true)), ("False", Value::from(false)), ("None", Value::from(()))] {
            if let Some(after) = self.rest().strip_prefix(word) {
                if after.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '_') {
                    self.at += word.len();
                    return Some(value);
                }
            }
        }
        match self.rest().as_bytes() {
            [b'u' | b'U' | b'r' | b'R', b'\'' | b'"', ..] => {
                self.at += 1;
                self.text_value()
            }
            _ => None,
        }
    }
}

fn number(token: &str, negative: bool) -> Option<Value> {
    let well_spaced = !token.starts_with('_') && !token.ends_with('_') && !token.contains("__");
    well_spaced.then_some(())?;
    let clean = token.replace('_', "");
    let radix = match clean.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let value = i128::from_str_radix(clean.get(2..)?, radix).ok()?;
        return Some(Value::from(if negative { -value } else { value }));
    }
    if clean.bytes().all(|byte| byte.is_ascii_digit()) {
        // `007` is no number in Python, `000` is.
        if clean.len() > 1 && clean.starts_with('0') && clean.bytes().any(|byte| byte != b'0') {
            return None;
        }
        return match clean.parse::<i128>() {
            Ok(value) => {
                let value = if negative { -value } else { value };
                Some(i64::try_from(value).map_or_else(|_| Value::from(value), Value::from))
            }
            Err(_) => None,
        };
    }
    let shape = clean.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    let digits = clean.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
    if !shape || !digits || clean == "." {
        return None;
    }
    let value: f64 = clean.parse().ok()?;
    Some(Value::from(if negative { -value } else { value }))
}
