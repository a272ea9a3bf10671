use std::fmt::Write as _;

use chrono::{Datelike as _, FixedOffset, NaiveDate, TimeDelta, Timelike as _};

use super::Moment;

/// A format of Python's `strptime` and `strftime`, with Airbyte's own: `%s`, `%s_as_float`, `%ms`, `%_ms`,
/// `%epoch_microseconds`.
#[derive(Clone, Debug)]
pub(crate) struct DateFormat {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Seconds,
    FloatSeconds,
    Milliseconds,
    Microseconds,
    Parts(Vec<Part>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    Directive(char),
    /// `%_ms`: three digits.
    Millis,
}

const MONTHS: [&str; 12] = [
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
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl DateFormat {
    pub(crate) fn parse(text: &str) -> Self {
        let form = match text {
            "%s" => Form::Seconds,
            "%s_as_float" => Form::FloatSeconds,
            "%ms" => Form::Milliseconds,
            "%epoch_microseconds" => Form::Microseconds,
            _ => Form::Parts(parts(text)),
        };
        Self { text: text.to_owned(), form }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads a time that has this form. One without an offset is one of UTC.
    pub(crate) fn read(&self, text: &str) -> Option<Moment> {
        let number = || text.trim().parse::<i64>().ok();
        match &self.form {
            Form::Seconds => Moment::from_micros(number()?.checked_mul(1_000_000)?),
            Form::FloatSeconds => {
                let micros = text.trim().parse::<f64>().ok()? * 1e6;
                (micros.abs() < 9e18).then_some(())?;
                Moment::from_micros(micros.round() as i64)
            }
            Form::Milliseconds => Moment::from_micros(number()?.checked_mul(1000)?),
            Form::Microseconds => Moment::from_micros(number()?),
            Form::Parts(parts) => read(parts, text),
        }
    }

    pub(crate) fn write(&self, moment: Moment) -> String {
        match &self.form {
            Form::Seconds => moment.micros().div_euclid(1_000_000).to_string(),
            Form::FloatSeconds => crate::template::python_float(moment.micros() as f64 / 1e6),
            Form::Milliseconds => moment.micros().div_euclid(1000).to_string(),
            Form::Microseconds => moment.micros().to_string(),
            Form::Parts(parts) => write(parts, moment),
        }
    }
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("%_ms") {
            parts.push(Part::Millis);
            rest = tail;
            continue;
        }
        let mut letters = rest.chars();
        letters.next();
        match (letter, letters.clone().next()) {
            ('%', Some('%')) => {
                letters.next();
                parts.push(Part::Literal('%'));
            }
            ('%', Some(directive)) => {
                letters.next();
                match directive {
                    'T' => parts.extend(self::parts("%H:%M:%S")),
                    'F' => parts.extend(self::parts("%Y-%m-%d")),
                    'D' => parts.extend(self::parts("%m/%d/%y")),
                    'R' => parts.extend(self::parts("%H:%M")),
                    _ => parts.push(Part::Directive(directive)),
                }
            }
            (letter, _) => parts.push(Part::Literal(letter)),
        }
        rest = letters.as_str();
    }
    parts
}

/// What was read so far.
#[derive(Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    ordinal: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    micro: u32,
    afternoon: Option<bool>,
    offset: i32,
}

fn read(parts: &[Part], text: &str) -> Option<Moment> {
    let mut read = Read::default();
    let mut rest = text;
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Literal(letter) if letter.is_whitespace() => rest = rest.trim_start(),
            Part::Literal(letter) => {
                let first = rest.chars().next()?;
                if !first.eq_ignore_ascii_case(letter) {
                    return None;
                }
                rest = rest.get(first.len_utf8()..)?;
            }
            Part::Millis => rest = fraction(&mut read, rest)?,
            Part::Directive(directive) => {
                // A number may be shorter than its most digits, but not where another number follows at once.
                let tight = matches!(
                    parts.get(index + 1),
                    Some(Part::Directive('Y' | 'm' | 'd' | 'H' | 'I' | 'M' | 'S' | 'f' | 'j' | 'y'))
                );
                rest = read_directive(&mut read, *directive, rest, tight)?;
            }
        }
    }
    rest.is_empty().then_some(())?;
    read.moment()
}

fn digits(rest: &str, most: usize, tight: bool) -> Option<(u32, &str)> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count == 0 || (tight && count < most) {
        return None;
    }
    Some((rest.get(..count)?.parse().ok()?, rest.get(count..)?))
}

fn fraction<'t>(read: &mut Read, rest: &'t str) -> Option<&'t str> {
    let (value, tail) = digits(rest, 6, false)?;
    let count = u32::try_from(rest.len() - tail.len()).ok()?;
    read.micro = value * 10u32.pow(6 - count);
    Some(tail)
}

fn named<'t>(names: &[&str], rest: &'t str, short: bool) -> Option<(u32, &'t str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if short { name.get(..3)? } else { name };
        let start = rest.get(..name.len())?;
        start.eq_ignore_ascii_case(name).then_some((u32::try_from(index).ok()?, rest.get(name.len()..)?))
    })
}

fn read_directive<'t>(read: &mut Read, directive: char, rest: &'t str, tight: bool) -> Option<&'t str> {
    let mut number = |most: usize, into: &mut u32, range: std::ops::RangeInclusive<u32>| -> Option<&'t str> {
        let (value, tail) = digits(rest, most, tight)?;
        *into = value;
        range.contains(&value).then_some(tail)
    };
    match directive {
        'Y' => {
            let count = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
            (count == 4).then_some(())?;
            read.year = Some(rest.get(..4)?.parse().ok()?);
            rest.get(4..)
        }
        'y' => {
            let mut value = 0;
            let tail = number(2, &mut value, 0..=99)?;
            read.year = Some(value.cast_signed() + if value < 69 { 2000 } else { 1900 });
            Some(tail)
        }
        'm' => {
            let mut value = 0;
            let tail = number(2, &mut value, 1..=12)?;
            read.month = Some(value);
            Some(tail)
        }
        'd' => {
            let mut value = 0;
            let tail = number(2, &mut value, 1..=31)?;
            read.day = Some(value);
            Some(tail)
        }
        'j' => {
            let mut value = 0;
            let tail = number(3, &mut value, 1..=366)?;
            read.ordinal = Some(value);
            Some(tail)
        }
        'H' => number(2, &mut read.hour, 0..=23),
        'I' => number(2, &mut read.hour, 1..=12),
        'M' => number(2, &mut read.minute, 0..=59),
        'S' => number(2, &mut read.second, 0..=61),
        'f' => fraction(read, rest),
        'p' => {
            let word = rest.get(..2)?;
            read.afternoon = Some(word.eq_ignore_ascii_case("pm"));
            (word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm")).then(|| rest.get(2..))?
        }
        'B' | 'b' | 'h' => {
            let (index, tail) = named(&MONTHS, rest, directive != 'B')?;
            read.month = Some(index + 1);
            Some(tail)
        }
        'A' | 'a' => Some(named(&DAYS, rest, directive == 'a')?.1),
        'z' => offset(read, rest),
        'Z' => {
            let count = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            matches!(rest.get(..count)?, "UTC" | "GMT" | "utc" | "gmt").then(|| rest.get(count..))?
        }
        _ => None,
    }
}

/// `Z`, `+01:00`, `+0100`, with seconds if need be.
fn offset<'t>(read: &mut Read, rest: &'t str) -> Option<&'t str> {
    if let Some(tail) = rest.strip_prefix(['Z', 'z']) {
        return Some(tail);
    }
    let sign = match rest.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, tail) = digits(rest.get(1..)?, 2, true)?;
    let (minutes, tail) = digits(tail.strip_prefix(':').unwrap_or(tail), 2, true)?;
    let (seconds, tail) = match tail.strip_prefix(':').and_then(|tail| digits(tail, 2, true)) {
        Some(found) => found,
        None => (0, tail),
    };
    read.offset = sign * (hours * 3600 + minutes * 60 + seconds).cast_signed();
    (minutes < 60 && seconds < 60).then_some(tail)
}

impl Read {
    fn moment(&self) -> Option<Moment> {
        let year = self.year.unwrap_or(1900);
        let date = match self.ordinal {
            Some(ordinal) if self.month.is_none() => NaiveDate::from_yo_opt(year, ordinal)?,
            _ => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let local = date.and_hms_micro_opt(hour, self.minute, self.second.min(59), self.micro)?;
        let local = local.checked_add_signed(TimeDelta::seconds(i64::from(self.second.saturating_sub(59))))?;
        if self.offset == 0 {
            return Some(Moment::from_naive(local));
        }
        local.and_local_timezone(FixedOffset::east_opt(self.offset)?).single().map(Moment)
    }
}

fn write(parts: &[Part], moment: Moment) -> String {
    let time = moment.0;
    let mut out = String::new();
    for part in parts {
        // Writing into a text does not fail.
        let _ = match part {
            Part::Literal(letter) => {
                out.push(*letter);
                Ok(())
            }
            Part::Millis => write!(out, "{:03}", time.nanosecond() / 1_000_000),
            Part::Directive(directive) => match directive {
                'Y' => write!(out, "{}", time.year()),
                'y' => write!(out, "{:02}", time.year().rem_euclid(100)),
                'm' => write!(out, "{:02}", time.month()),
                'd' => write!(out, "{:02}", time.day()),
                'e' => write!(out, "{:2}", time.day()),
                'j' => write!(out, "{:03}", time.ordinal()),
                'H' => write!(out, "{:02}", time.hour()),
                'I' => write!(out, "{:02}", time.hour12().1),
                'M' => write!(out, "{:02}", time.minute()),
                'S' => write!(out, "{:02}", time.second()),
                'f' => write!(out, "{:06}", time.nanosecond() / 1000),
                'p' => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
                'B' | 'b' | 'h' => {
                    let name = MONTHS.get(time.month0() as usize).copied().unwrap_or_default();
                    write!(out, "{}", if *directive == 'B' { name } else { name.get(..3).unwrap_or_default() })
                }
                'A' | 'a' => {
                    let name = DAYS.get(time.weekday().num_days_from_monday() as usize).copied().unwrap_or_default();
                    write!(out, "{}", if *directive == 'A' { name } else { name.get(..3).unwrap_or_default() })
                }
                'u' => write!(out, "{}", time.weekday().number_from_monday()),
                'w' => write!(out, "{}", time.weekday().num_days_from_sunday()),
                'V' => write!(out, "{:02}", time.iso_week().week()),
                'G' => write!(out, "{}", time.iso_week().year()),
                's' => write!(out, "{}", time.timestamp()),
                'z' => {
                    let seconds = time.offset().local_minus_utc();
                    let sign = if seconds < 0 { '-' } else { '+' };
                    write!(out, "{sign}{:02}{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
                }
                'Z' => write!(out, "{}", if time.offset().local_minus_utc() == 0 { "UTC" } else { "" }),
                other => write!(out, "%{other}"),
            },
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_manifests_read_and_write() {
        let at = Moment::parse_any("2026-03-01T12:34:56.123456+00:00").unwrap();
        for (format, text) in [
            ("%Y-%m-%dT%H:%M:%S.%fZ", "2026-03-01T12:34:56.123456Z"),
            ("%Y-%m-%dT%H:%M:%S.%f%z", "2026-03-01T12:34:56.123456+0000"),
            (
                "transactionDate:[%Y-%m-%d..2100-01-01T00:00:00.000Z]",
                "transactionDate:[2026-03-01..2100-01-01T00:00:00.000Z]",
            ),
            ("%s", "1772368496"),
            ("%ms", "1772368496123"),
            ("%epoch_microseconds", "1772368496123456"),
            ("%Y-%m-%dT%H:%M:%S.%_msZ", "2026-03-01T12:34:56.123Z"),
            ("%d %b %Y %I:%M %p", "01 Mar 2026 12:34 PM"),
        ] {
            let format = DateFormat::parse(format);
            assert_eq!(format.write(at), text);
            let again = format.read(text).unwrap_or_else(|| panic!("{text} is not read"));
            assert_eq!(format.write(again), text);
        }
        assert_eq!(
            DateFormat::parse("%Y-%m-%dT%H:%M:%S%z").read("2026-03-01T01:00:00+01:00").unwrap().utc().timestamp(),
            1_772_323_200
        );
        for (format, text) in
            [("%Y-%m-%d", "2026-03-01T00:00:00"), ("%Y-%m-%d", "26-03-01"), ("%s", "now"), ("%Y-%m-%d", "2026-02-30")]
        {
            assert!(DateFormat::parse(format).read(text).is_none(), "{text}");
        }
    }
}
