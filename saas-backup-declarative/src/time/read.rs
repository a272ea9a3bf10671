use std::fmt::Write as _;

use chrono::{Datelike as _, Days, FixedOffset, NaiveDate, NaiveDateTime};
use fancy_regex::{Captures, Regex};

pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The longest format that is looked at.
const MAX_FORMAT: usize = 256;

/// What a format of `strptime` reads; nothing when it is none.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Option<Regex>);

impl Pattern {
    pub(crate) fn of(format: &str) -> Self {
        Self(pattern(format).and_then(|pattern| Regex::new(&pattern).ok()))
    }

    /// The time of the calendar, and the offset if the text has one.
    pub(crate) fn read(&self, text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
        fields(&self.0.as_ref()?.captures(text).ok()??)
    }
}

/// The same alternatives in the same order as Python's, since they decide where a number without separators ends.
fn pattern(format: &str) -> Option<String> {
    if format.len() > MAX_FORMAT {
        return None;
    }
    let mut out = String::from("(?is)^");
    let mut chars = format.chars().peekable();
    let mut seen = Vec::new();
    while let Some(next) = chars.next() {
        if next.is_whitespace() {
            while chars.next_if(|next| next.is_whitespace()).is_some() {}
            out.push_str(r"\s+");
            continue;
        }
        if next != '%' {
            out.push_str(&fancy_regex::escape(&next.to_string()));
            continue;
        }
        let directive = chars.next()?;
        let expanded = match directive {
            '%' => {
                out.push('%');
                continue;
            }
            'c' => "%a %b %d %H:%M:%S %Y",
            'x' => "%m/%d/%y",
            'X' => "%H:%M:%S",
            _ => "",
        };
        if !expanded.is_empty() {
            let nested = pattern(expanded)?;
            out.push_str(nested.trim_start_matches("(?is)^").trim_end_matches(r"\z"));
            continue;
        }
        if seen.contains(&directive) {
            return None;
        }
        seen.push(directive);
        let names = |names: &[&str], short: bool| {
            let names: Vec<&str> =
                names.iter().map(|name| if short { name.get(..3).unwrap_or(name) } else { name }).collect();
            names.join("|")
        };
        let part = match directive {
            'd' => "3[0-1]|[1-2][0-9]|0[1-9]|[1-9]| [1-9]".to_owned(),
            'f' => "[0-9]{1,6}".to_owned(),
            'H' => "2[0-3]|[0-1][0-9]|[0-9]".to_owned(),
            'j' => "36[0-6]|3[0-5][0-9]|[1-2][0-9][0-9]|0[1-9][0-9]|00[1-9]|[1-9][0-9]|0[1-9]|[1-9]".to_owned(),
            'I' | 'm' => "1[0-2]|0[1-9]|[1-9]".to_owned(),
            'M' => "[0-5][0-9]|[0-9]".to_owned(),
            'S' => "6[0-1]|[0-5][0-9]|[0-9]".to_owned(),
            'U' | 'V' | 'W' => "5[0-3]|[0-4][0-9]|[0-9]".to_owned(),
            'G' | 'Y' => "[0-9]{4}".to_owned(),
            'u' => "[1-7]".to_owned(),
            'w' => "[0-6]".to_owned(),
            'y' => "[0-9]{2}".to_owned(),
            'z' => r"[+-][0-9]{2}:?[0-5][0-9](?::?[0-5][0-9](?:\.[0-9]{1,6})?)?|(?-i:Z)".to_owned(),
            'Z' => "utc|gmt".to_owned(),
            'p' => "am|pm".to_owned(),
            'a' | 'A' => names(&DAYS, directive == 'a'),
            'b' | 'B' => names(&MONTHS, directive == 'b'),
            _ => return None,
        };
        let _ = write!(out, "(?P<{directive}>{part})");
    }
    out.push_str(r"\z");
    Some(out)
}

fn fields(found: &Captures<'_, str>) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
    let text = |name: &str| found.name(name).map(|part| part.as_str());
    let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u32>().ok());
    let named = |names: &[&str], text: &str| {
        names.iter().position(|name| {
            name.get(..3).is_some_and(|short| text.get(..3).is_some_and(|text| short.eq_ignore_ascii_case(text)))
        })
    };
    let year = match (number("Y"), number("y")) {
        (Some(year), _) => Some(year.cast_signed()),
        (None, Some(short)) => Some(short.cast_signed() + if short < 69 { 2000 } else { 1900 }),
        _ => None,
    };
    let month = match text("b").or_else(|| text("B")) {
        Some(name) => u32::try_from(named(&MONTHS, name)? + 1).ok()?,
        None => number("m").unwrap_or(1),
    };
    let weekday = match text("a").or_else(|| text("A")) {
        Some(name) => Some(u32::try_from(named(&DAYS, name)?).ok()?),
        None => number("w").map(|day| (day + 6) % 7).or_else(|| number("u").map(|day| day - 1)),
    };
    let date = match (number("j"), number("G"), number("V"), weekday) {
        (_, Some(year), Some(week), Some(day)) => NaiveDate::from_isoywd_opt(
            year.cast_signed(),
            week,
            chrono::Weekday::try_from(u8::try_from(day).ok()?).ok()?,
        )?,
        (_, Some(_), _, _) | (_, _, Some(_), _) => return None,
        (Some(day), ..) => {
            NaiveDate::from_ymd_opt(year.unwrap_or(1900), 1, 1)?.checked_add_days(Days::new(u64::from(day) - 1))?
        }
        _ => match (year, number("U"), number("W"), weekday) {
            (Some(year), Some(week), _, Some(day)) => of_week(year, week, (day + 1) % 7, true)?,
            (Some(year), None, Some(week), Some(day)) => of_week(year, week, day, false)?,
            _ => NaiveDate::from_ymd_opt(year.unwrap_or(1900), month, number("d").unwrap_or(1))?,
        },
    };
    if !(1..=9999).contains(&date.year()) {
        return None;
    }
    let hour = match (number("H"), number("I")) {
        (Some(hour), _) => hour,
        (None, Some(hour)) => {
            hour % 12 + if text("p").is_some_and(|half| half.eq_ignore_ascii_case("pm")) { 12 } else { 0 }
        }
        _ => 0,
    };
    let micros = text("f").map_or(Some(0), |digits| format!("{digits:0<6}").parse().ok())?;
    let local = date.and_hms_micro_opt(hour, number("M").unwrap_or(0), number("S").unwrap_or(0), micros)?;
    let offset = match (text("z"), text("Z")) {
        (Some(text), _) => Some(offset(text)?),
        _ => None,
    };
    Some((local, offset))
}

/// The day of a week of a year, where weeks begin with Sunday or Monday and `day` counts from there.
fn of_week(year: i32, week: u32, day: u32, sunday: bool) -> Option<NaiveDate> {
    let start = NaiveDate::from_ymd_opt(year, 1, 1)?;
    let first = if sunday { start.weekday().num_days_from_sunday() } else { start.weekday().num_days_from_monday() };
    let days = match week {
        0 => i64::from(day) - i64::from(first),
        _ => i64::from((7 - first) % 7) + (i64::from(week) - 1) * 7 + i64::from(day),
    };
    let count = Days::new(days.unsigned_abs());
    if days < 0 { start.checked_sub_days(count) } else { start.checked_add_days(count) }
}

/// `Z`, `+01`, `+0130`, `+01:30`, `+01:30:15`.
pub(super) fn offset(text: &str) -> Option<FixedOffset> {
    let Some(sign) = text.chars().next().filter(|sign| matches!(sign, '+' | '-')) else {
        return FixedOffset::east_opt(0);
    };
    let digits: String = text.chars().take_while(|char| *char != '.').filter(char::is_ascii_digit).collect();
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i32>().ok());
    let seconds = part(0)? * 3600 + part(2)? * 60 + part(4)?;
    FixedOffset::east_opt(if sign == '-' { -seconds } else { seconds })
}
