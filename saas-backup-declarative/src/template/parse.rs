//! Where in a template its expressions are, and what in them Jinja reads otherwise than minijinja.

/// A part of a template without statements.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    Expression(String),
}

/// The parts of a template; none if it has statements or comments.
pub(super) fn segments(source: &str) -> Option<Vec<Segment>> {
    if source.contains("{%") || source.contains("{#") {
        return None;
    }
    let mut segments = Vec::new();
    let mut rest = source;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let (text, tail) = (rest.get(..start)?, rest.get(start + 2..)?);
        let end = end_of_expression(tail)?;
        let inner = tail.get(..end)?;
        let (inner, before) = inner.strip_prefix('-').map_or((inner, false), |inner| (inner, true));
        let (inner, after) = inner.strip_suffix('-').map_or((inner, false), |inner| (inner, true));
        let text = if trim { text.trim_start() } else { text };
        let text = if before { text.trim_end() } else { text };
        if !text.is_empty() {
            segments.push(Segment::Text(text.to_owned()));
        }
        segments.push(Segment::Expression(rewritten(inner.trim())));
        trim = after;
        rest = tail.get(end + 2..)?;
    }
    // Jinja drops one line break at the end of a template.
    let rest = rest.strip_suffix('\n').unwrap_or(rest);
    let rest = if trim { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        segments.push(Segment::Text(rest.to_owned()));
    }
    Some(segments)
}

/// Where `}}` ends an expression: not in a text, and not where brackets are open.
fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => at = end_of_text(bytes, at)?,
            b'{' | b'(' | b'[' => depth += 1,
            b'}' if depth == 0 && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The last byte of a text that begins here.
fn end_of_text(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = *bytes.get(start)?;
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            byte if *byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}

/// Makes calls of what minijinja has no operators for: times plus and minus durations, and `%` on texts. A filter binds
/// tighter than an operator, so that what stands before it is the operand.
pub(super) fn rewritten(expression: &str) -> String {
    let bytes = expression.as_bytes();
    let mut out = String::with_capacity(expression.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let step = match byte {
            b'\'' | b'"' => end_of_text(bytes, at).map_or(bytes.len(), |end| end + 1) - at,
            b'-' | b'+' => match duration_after(expression, at) {
                Some((call, length)) => {
                    let name = if *byte == b'-' { "_minus" } else { "_plus" };
                    let trimmed = out.trim_end().len();
                    out.truncate(trimmed);
                    out.push_str(&format!("|{name}({call})"));
                    at += length;
                    continue;
                }
                None => 1,
            },
            _ => 1,
        };
        let mut end = at + step;
        while !expression.is_char_boundary(end) {
            end += 1;
        }
        out.push_str(expression.get(at..end).unwrap_or_default());
        at = end;
    }
    // A stray colon that Jinja accepts at the end of a `for`.
    out.replace(": %}", " %}").replace(":%}", "%}")
}

/// A call of `duration` after an operator, and how long both are.
fn duration_after(expression: &str, operator: usize) -> Option<(&str, usize)> {
    let tail = expression.get(operator + 1..)?;
    let call = tail.trim_start();
    let skipped = tail.len() - call.len();
    let inner = call.strip_prefix("duration(")?;
    let bytes = inner.as_bytes();
    let (mut at, mut depth) = (0, 1usize);
    while depth > 0 {
        match bytes.get(at)? {
            b'\'' | b'"' => at = end_of_text(bytes, at)?,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    let length = "duration(".len() + at;
    Some((call.get(..length)?, 1 + skipped + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_end_where_their_brackets_do() {
        let expression = |text: &str| Segment::Expression(text.to_owned());
        let text = |text: &str| Segment::Text(text.to_owned());
        assert_eq!(
            segments("a {{ {'x': {'y': '}}'}}['x'] }}-{{- b -}} c").unwrap(),
            [text("a "), expression("{'x': {'y': '}}'}}['x']"), text("-"), expression("b"), text("c")]
        );
        assert!(segments("{% if a %}b{% endif %}").is_none());
    }

    #[test]
    fn a_duration_is_taken_from_the_time_before_it() {
        assert_eq!(
            rewritten("(now_utc() - duration('P1D')).strftime('%Y - duration(x)')"),
            "(now_utc()|_minus(duration('P1D'))).strftime('%Y - duration(x)')"
        );
    }
}
