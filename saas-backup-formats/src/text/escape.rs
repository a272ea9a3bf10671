use super::shortcodes::joined;

/// Plain text as Markdown on one line: nothing in it is markup any more.
pub(crate) fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (index, word) in text.split_whitespace().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        push_escaped(&mut out, word);
    }
    escape_line_start(out)
}

/// Plain text as Markdown that keeps its lines and paragraphs.
pub(crate) fn paragraphs(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut lines = text.lines().map(str::trim_end).peekable();
    while let Some(line) = lines.next() {
        let content = line.trim_start();
        if !content.is_empty() {
            // Spaces at the start of a line would make code of it.
            let indent = line.chars().take_while(|character| character.is_whitespace()).count();
            out.extend(std::iter::repeat_n('\u{A0}', indent.min(64)));
            let mut escaped = String::with_capacity(content.len() + 8);
            push_escaped(&mut escaped, content);
            out.push_str(&escape_line_start(escaped));
            if lines.peek().is_some_and(|next| !next.is_empty()) {
                out.push('\\');
            }
        }
        out.push('\n');
    }
    out
}

/// Text as a code span.
pub(crate) fn code(text: &str) -> String {
    let (mut longest, mut run) = (0, 0);
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let text = joined(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '$' | '&' => {
                out.push('\\');
                out.push(character);
            }
            // Hugo would take it for the beginning of a shortcode.
            '%' if out.ends_with("{{") => out.push_str("\\%"),
            _ if character.is_control() && character != '\t' => out.push('\u{FFFD}'),
            _ => out.push(character),
        }
    }
}

/// What begins a heading, a list, a rule or an underline at the start of a line.
fn escape_line_start(mut line: String) -> String {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let position = match line.as_bytes().get(digits) {
        Some(b'.' | b')') if digits > 0 => Some(digits),
        Some(b'#' | b'+' | b'-' | b'=' | b':') if digits == 0 => Some(0),
        _ => None,
    };
    if let Some(position) = position {
        line.insert(position, '\\');
    }
    line
}
