//! What sets the two versions apart.

use super::card::{Card, Line};
use crate::content_line::LineWriter;

/// Properties that vCard 4.0 has and 3.0 has not.
const NEW: [&str; 9] =
    ["KIND", "GENDER", "ANNIVERSARY", "LANG", "RELATED", "CALADRURI", "CALURI", "FBURL", "CLIENTPIDMAP"];
/// Properties that vCard 3.0 has and 4.0 has not.
const GONE: [&str; 7] = ["AGENT", "CLASS", "LABEL", "MAILER", "NAME", "PROFILE", "SORT-STRING"];

/// The card in vCard 4.0.
pub(super) fn text_4(card: &Card) -> String {
    let mut writer = begin("4.0");
    for line in &card.lines {
        writer.logical(&line.text());
    }
    writer.line("END", "VCARD");
    writer.into_text()
}

/// The card in vCard 3.0.
pub(super) fn text_3(card: &Card) -> String {
    let mut writer = begin("3.0");
    if card.get("N").is_none() {
        let name = card.get("FN").map_or_else(String::new, |line| line.value.clone());
        writer.line("N", &format!("{name};;;;"));
    }
    let is_group = card.get("KIND").is_some_and(|kind| kind.value.eq_ignore_ascii_case("group"));
    for line in &card.lines {
        writer.logical(&older(line.clone(), is_group).text());
    }
    writer.line("END", "VCARD");
    writer.into_text()
}

/// The beginning of a card.
pub(super) fn begin(version: &str) -> LineWriter {
    let mut writer = LineWriter::default();
    writer.line("BEGIN", "VCARD");
    writer.line("VERSION", version);
    writer
}

/// The end of a card.
pub(super) fn end() -> LineWriter {
    let mut writer = LineWriter::default();
    writer.line("END", "VCARD");
    writer
}

/// Makes a line of vCard 4.0 one of 3.0.
pub(super) fn older(mut line: Line, is_group: bool) -> Line {
    for (name, values) in &mut line.parameters {
        if name == "TYPE" {
            for value in values {
                value.make_ascii_uppercase();
            }
        }
    }
    if line.take("PREF").is_some() {
        line.parameters.push(("TYPE".to_owned(), vec!["PREF".to_owned()]));
    }
    match line.name.as_str() {
        "PHOTO" | "LOGO" | "SOUND" | "KEY" => older_binary(&mut line),
        "TEL" => {
            if let Some(number) = line.value.strip_prefix("tel:") {
                line.value = number.to_owned();
                line.take("VALUE");
            }
        }
        "BDAY" | "ANNIVERSARY" => older_date(&mut line),
        // What Apple's address book made of groups before there was a standard.
        "KIND" if is_group => "X-ADDRESSBOOKSERVER-KIND".clone_into(&mut line.name),
        "MEMBER" => "X-ADDRESSBOOKSERVER-MEMBER".clone_into(&mut line.name),
        _ => {}
    }
    if NEW.contains(&line.name.as_str()) {
        line.name.insert_str(0, "X-");
    }
    line
}

fn older_binary(line: &mut Line) {
    let data = line.value.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
    match data.map(|(kind, data)| (kind.to_owned(), data.to_owned())) {
        Some((kind, data)) => {
            let kind = kind.rsplit('/').next().unwrap_or_default().to_ascii_uppercase();
            line.take("MEDIATYPE");
            line.value = data;
            line.parameters.push(("ENCODING".to_owned(), vec!["b".to_owned()]));
            line.parameters.push(("TYPE".to_owned(), vec![kind]));
        }
        None if line.parameter("VALUE").is_none() => line.parameters.push(("VALUE".to_owned(), vec!["uri".to_owned()])),
        None => {}
    }
}

/// A day without its year is one of the year 1604 to Apple's address book, and nothing to others.
fn older_date(line: &mut Line) {
    let digits: String = line.value.chars().filter(char::is_ascii_digit).collect();
    if let Some(day) = line.value.strip_prefix("--").filter(|_| digits.len() == 4) {
        let day = day.replace('-', "");
        let (month, day) = day.split_at_checked(2).unwrap_or_default();
        line.value = format!("1604-{month}-{day}");
        line.parameters.push(("X-APPLE-OMIT-YEAR".to_owned(), vec!["1604".to_owned()]));
    } else if let (8, true, Some((year, rest))) = (digits.len(), line.value == digits, digits.split_at_checked(4)) {
        let (month, day) = rest.split_at_checked(2).unwrap_or_default();
        line.value = format!("{year}-{month}-{day}");
    }
}

/// Makes a line of an older version one of vCard 4.0.
pub(super) fn newer(mut line: Line) -> Line {
    line.take("CHARSET");
    let encoding = line.take("ENCODING").and_then(|values| values.into_iter().next()).unwrap_or_default();
    let mut types = Vec::new();
    while let Some(values) = line.take("TYPE") {
        types.extend(values.iter().flat_map(|value| value.split(',')).map(str::to_ascii_lowercase));
    }
    if types.iter().any(|kind| kind == "pref") {
        types.retain(|kind| kind != "pref");
        if line.parameter("PREF").is_none() {
            line = line.with("PREF", "1");
        }
    }
    if matches!(encoding.to_ascii_lowercase().as_str(), "b" | "base64") {
        let kind = types.pop().unwrap_or_else(|| "jpeg".to_owned());
        let kind = if kind.contains('/') { kind } else { format!("image/{kind}") };
        let data: String = line.value.split_whitespace().collect();
        line.value = format!("data:{kind};base64,{data}");
        line.take("VALUE");
    }
    if !types.is_empty() {
        types.retain(|kind| kind != "internet");
    }
    for kind in types {
        line.parameters.push(("TYPE".to_owned(), vec![kind]));
    }
    match line.name.as_str() {
        "X-ADDRESSBOOKSERVER-KIND" => "KIND".clone_into(&mut line.name),
        "X-ADDRESSBOOKSERVER-MEMBER" => "MEMBER".clone_into(&mut line.name),
        name if GONE.contains(&name) => line.name.insert_str(0, "X-"),
        "BDAY" => newer_date(&mut line),
        _ => {}
    }
    line
}

fn newer_date(line: &mut Line) {
    let digits: String = line.value.chars().filter(char::is_ascii_digit).collect();
    if line.take("X-APPLE-OMIT-YEAR").is_some() && digits.len() == 8 {
        line.value = format!("--{}", digits.get(4..).unwrap_or_default());
    } else if line.value.len() == 10 && digits.len() == 8 {
        line.value = digits;
    }
}
