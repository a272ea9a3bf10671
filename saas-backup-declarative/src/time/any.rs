use std::sync::LazyLock;

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, Weekday};

use super::read::offset;
use super::{Moment, Pattern};

/// The forms that are tried after ISO 8601, the month before the day where only numbers tell.
static USUAL: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let dates =
        ["%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%Y-%m-%d"];
    let times =
        ["", " %H:%M:%S", " %H:%M:%S.%f", " %H:%M", " %I:%M %p", " %H:%M:%S %z", " %H:%M:%S %Z", " %H:%M:%S.%f %z"];
    dates.iter().flat_map(|date| times.iter().map(move |time| Pattern::of(&format!("{date}{time}")))).collect()
});

/// The longest text that is taken for a time.
const MAX_TEXT: usize = 64;

/// Reads from the front of a text.
struct Front<'a>(&'a [u8]);

impl Front<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits
            .iter()
            .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    fn take(&mut self, sign: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == sign => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// How many digits follow.
    fn run(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn date(&mut self) -> Option<NaiveDate> {
        let year = self.digits(4)?.cast_signed();
        let dash = self.take(b'-');
        if self.take(b'W') {
            let week = self.digits(2)?;
            let follows = if dash { self.take(b'-') } else { self.run() > 0 };
            let day = if follows { self.digits(1)? } else { 1 };
            let day = u8::try_from(day.checked_sub(1)?).ok()?;
            return NaiveDate::from_isoywd_opt(year, week, Weekday::try_from(day).ok()?);
        }
        match (self.run(), dash) {
            (0, false) => NaiveDate::from_ymd_opt(year, 1, 1),
            (3, _) => NaiveDate::from_yo_opt(year, self.digits(3)?),
            (2, true) => {
                let month = self.digits(2)?;
                let day = if self.take(b'-') { self.digits(2)? } else { 1 };
                NaiveDate::from_ymd_opt(year, month, day)
            }
            (2, false) => NaiveDate::from_ymd_opt(year, self.digits(2)?, 1),
            (_, false) => {
                let month = self.digits(2)?;
                NaiveDate::from_ymd_opt(year, month, self.digits(2)?)
            }
            _ => None,
        }
    }

    /// Hours, minutes, seconds and microseconds.
    fn time(&mut self) -> Option<[u32; 4]> {
        let mut parts = [self.digits(2)?, 0, 0, 0];
        let colon = self.take(b':');
        if !colon && self.run() == 0 {
            return Some(parts);
        }
        parts[1] = self.digits(2)?;
        if if colon { !self.take(b':') } else { self.run() == 0 } {
            return Some(parts);
        }
        parts[2] = self.digits(2)?;
        if self.take(b'.') || self.take(b',') {
            let count = self.run();
            let kept = count.min(6);
            parts[3] = self.digits(kept).filter(|_| kept > 0)? * 10_u32.pow(6 - kept as u32);
            self.0 = self.0.get(count - kept..)?;
        }
        Some(parts)
    }

    /// What is left, as an offset.
    fn offset(&self) -> Option<FixedOffset> {
        match self.0 {
            [b'Z' | b'z'] => offset("Z"),
            [b'+' | b'-', rest @ ..] => {
                let mut front = Front(rest);
                front.digits(2)?;
                if front.take(b':') || front.run() > 0 {
                    front.digits(2)?;
                }
                if front.0.is_empty() { offset(std::str::from_utf8(self.0).ok()?) } else { None }
            }
            _ => None,
        }
    }
}

/// ISO 8601: the time of the calendar and its offset, if it has one.
pub(crate) fn read_iso(text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
    let mut front = Front(text.as_bytes());
    let date = front.date()?;
    // Any one sign stands between a date and its time.
    let Some((_, rest)) = front.0.split_first() else { return Some((date.into(), None)) };
    let mut front = Front(rest);
    let [hour, minute, second, micros] = front.time()?;
    let (date, hour) = match (hour, minute, second, micros) {
        (24, 0, 0, 0) => (date.checked_add_days(Days::new(1))?, 0),
        _ => (date, hour),
    };
    let local = date.and_hms_micro_opt(hour, minute, second, micros)?;
    if front.0.is_empty() { Some((local, None)) } else { Some((local, Some(front.offset()?))) }
}

/// What the framework makes of any text that says a time.
pub(crate) fn read_any(text: &str) -> Option<Moment> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let significant = text.trim_start_matches('0');
        return if significant.len() > 10 {
            None
        } else {
            Moment::from_micros(text.parse::<i64>().ok()?.checked_mul(1_000_000)?)
        };
    }
    if text.contains(':') && text.matches('-').count() < 2 && text.matches('/').count() < 2 {
        return None;
    }
    if let Some((local, zone)) = read_iso(text.trim()) {
        return Moment::of(local, zone);
    }
    if let Ok(time) = DateTime::parse_from_rfc2822(text) {
        return Moment::of(time.naive_local(), Some(*time.offset()));
    }
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return None;
    }
    USUAL.iter().find_map(|pattern| pattern.read(text)).and_then(|(local, zone)| Moment::of(local, zone))
}
