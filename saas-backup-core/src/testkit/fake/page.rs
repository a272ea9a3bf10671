//! Pages of JSON as a provider sends them: compact, or indented over many lines.

use bytes::Bytes;

use crate::{Event, Result, page_items};

/// Sends the records through one page of JSON and cuts them out again; returns the length of the page.
pub(super) fn through_page(events: &mut [Event], pretty: bool) -> Result<usize> {
    let mut page = String::from("{\"data\":{\"list\":[");
    let mut first = true;
    for event in events.iter() {
        if let Event::Put(record) = event {
            if !first {
                page.push(',');
            }
            first = false;
            page.push_str(record.data.as_str());
        }
    }
    page.push_str("]}}");
    let page = Bytes::from(if pretty { indented(&page) } else { page });
    let records = events.iter_mut().filter_map(|event| match event {
        Event::Put(record) => Some(record),
        _ => None,
    });
    for (record, data) in records.zip(page_items(&page, "data.list")?) {
        record.data = data;
    }
    Ok(page.len())
}

/// Puts every member on a line of its own and keeps every token.
fn indented(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push_str("\r\n");
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for character in text.chars() {
        if in_string {
            out.push(character);
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match character {
            '{' | '[' => {
                depth += 1;
                out.push(character);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = character == '"';
                out.push(character);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::NASTY_JSON;
    use crate::{Json, Key, Record};

    #[test]
    fn an_indented_page_gives_the_same_tokens() {
        let key = Key::parse("things", "1").unwrap();
        let records = NASTY_JSON.iter().map(|text| Record::new(key.clone(), Json::parse(*text).unwrap()));
        let events: Vec<Event> = records.map(|record| Event::Put(Box::new(record))).collect();
        let (mut compact, mut pretty) = (events.clone(), events.clone());
        let small = through_page(&mut compact, false).unwrap();
        let large = through_page(&mut pretty, true).unwrap();
        assert!(large > small);
        assert_eq!(compact, events);
        assert_eq!(pretty, events);
    }
}
