use std::fmt::Write as _;

use chrono::{Datelike as _, FixedOffset, NaiveDateTime, Timelike as _};

use super::read::{DAYS, MONTHS};

/// Writes a time as `strftime` of Python does on Linux. What it does not know stays as it stands.
pub(crate) fn strftime(local: NaiveDateTime, offset: Option<FixedOffset>, format: &str) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.char_indices().skip(1).peekable();
        let flag = chars.next_if(|(_, flag)| matches!(flag, '-' | '_' | '0' | '^' | '#')).map(|(_, flag)| flag);
        let Some((place, directive)) = chars.next() else {
            out.push_str(from);
            return out;
        };
        let end = place + directive.len_utf8();
        match one(local, offset, directive, flag) {
            Some(text) if flag == Some('^') => out.push_str(&text.to_uppercase()),
            Some(text) => out.push_str(&text),
            None => out.push_str(from.get(..end).unwrap_or_default()),
        }
        rest = from.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn one(local: NaiveDateTime, offset: Option<FixedOffset>, directive: char, flag: Option<char>) -> Option<String> {
    let number = |value: i64, width: usize, fill: char| match flag.unwrap_or(fill) {
        '-' => value.to_string(),
        '_' => format!("{value:>width$}"),
        _ => format!("{value:0width$}"),
    };
    let two = |value: u32| number(i64::from(value), 2, '0');
    let nested = |format: &str| strftime(local, offset, format);
    let weekday = local.weekday();
    let name = |names: &[&str], at: u32, short: bool| {
        let name = names.get(at as usize).copied().unwrap_or_default();
        if short { name.get(..3).unwrap_or(name).to_owned() } else { name.to_owned() }
    };
    let hour12 = if local.hour().is_multiple_of(12) { 12 } else { local.hour() % 12 };
    Some(match directive {
        'a' | 'A' => name(&DAYS, weekday.num_days_from_monday(), directive == 'a'),
        'b' | 'h' | 'B' => name(&MONTHS, local.month0(), directive != 'B'),
        'd' => two(local.day()),
        'e' => number(i64::from(local.day()), 2, '_'),
        'f' => format!("{:06}", local.nanosecond() / 1000),
        'H' => two(local.hour()),
        'k' => number(i64::from(local.hour()), 2, '_'),
        'I' => two(hour12),
        'l' => number(i64::from(hour12), 2, '_'),
        'j' => number(i64::from(local.ordinal()), 3, '0'),
        'm' => two(local.month()),
        'M' => two(local.minute()),
        'S' => two(local.second()),
        'p' => if local.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'P' => if local.hour() < 12 { "am" } else { "pm" }.to_owned(),
        's' => local.and_utc().timestamp().to_string(),
        'u' => weekday.number_from_monday().to_string(),
        'w' => weekday.num_days_from_sunday().to_string(),
        'U' => two((local.ordinal() + 6 - weekday.num_days_from_sunday()) / 7),
        'W' => two((local.ordinal() + 6 - weekday.num_days_from_monday()) / 7),
        'V' => two(local.iso_week().week()),
        'G' => local.iso_week().year().to_string(),
        'g' => number(i64::from(local.iso_week().year().rem_euclid(100)), 2, '0'),
        'y' => number(i64::from(local.year().rem_euclid(100)), 2, '0'),
        'Y' => number(i64::from(local.year()), 1, '0'),
        'C' => number(i64::from(local.year().div_euclid(100)), 1, '0'),
        'z' => offset.map(|offset| plain_offset(offset, "")).unwrap_or_default(),
        'Z' => offset.map_or_else(String::new, |offset| match offset.local_minus_utc() {
            0 => "UTC".to_owned(),
            _ => format!("UTC{}", plain_offset(offset, ":")),
        }),
        'D' | 'x' => nested("%m/%d/%y"),
        'F' => nested("%Y-%m-%d"),
        'T' | 'X' => nested("%H:%M:%S"),
        'R' => nested("%H:%M"),
        'r' => nested("%I:%M:%S %p"),
        'c' => nested("%a %b %e %H:%M:%S %Y"),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

/// `+0130`, with what is wanted between its numbers.
pub(crate) fn plain_offset(offset: FixedOffset, between: &str) -> String {
    let total = offset.local_minus_utc();
    let (sign, total) = if total < 0 { ('-', -total) } else { ('+', total) };
    let mut text = format!("{sign}{:02}{between}{:02}", total / 3600, total / 60 % 60);
    if total % 60 != 0 {
        let _ = write!(text, "{between}{:02}", total % 60);
    }
    text
}
