//! Lengths of time as people write and say them.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

/// What a year and less is made of; weeks are read and never written.
const UNITS: [(char, u64, &str); 5] =
    [('w', 604_800, "week"), ('d', 86_400, "day"), ('h', 3_600, "hour"), ('m', 60, "minute"), ('s', 1, "second")];

/// A century: longer is a typing error.
pub(super) const LONGEST: Duration = Duration::from_hours(876_600);

/// Reads `90s`, `15m`, `2h`, `7d`, `1w`, `1h30m`.
fn parse(text: &str) -> Option<Duration> {
    let mut total = (!text.is_empty()).then_some(0_u64)?;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (_, length, _) = UNITS.iter().find(|(unit, _, _)| after.starts_with(*unit))?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        rest = after.get(1..)?;
    }
    Some(Duration::from_secs(total)).filter(|period| *period <= LONGEST)
}

fn written(period: Duration) -> String {
    let mut rest = period.as_secs();
    let units = UNITS.into_iter().skip(1).filter_map(|(unit, length, _)| {
        let number = rest / length;
        rest %= length;
        (number > 0).then(|| format!("{number}{unit}"))
    });
    let text: String = units.collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Says it in the largest unit that divides it: `7 days`, `90 minutes`.
pub(super) fn spoken(period: Duration) -> String {
    let seconds = period.as_secs();
    let mut units = UNITS.into_iter().skip(1);
    let (_, length, name) = units.find(|(_, length, _)| seconds.is_multiple_of(*length)).unwrap_or(('s', 1, "second"));
    let number = seconds / length;
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn serialize<S: Serializer>(period: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written(*period))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("not a length of time; write 90s, 15m, 2h, 7d or 1h30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_writes_and_says_what_people_write() {
        for (text, seconds, back, said) in [
            ("90s", 90, "1m30s", "90 seconds"),
            ("1h30m", 5_400, "1h30m", "90 minutes"),
            ("1w", 604_800, "7d", "7 days"),
            ("24h", 86_400, "1d", "1 day"),
            ("0d", 0, "0s", "0 days"),
        ] {
            let period = parse(text).unwrap();
            assert_eq!(
                (period.as_secs(), written(period).as_str(), spoken(period).as_str()),
                (seconds, back, said),
                "{text}"
            );
        }
        for text in ["", "2", "h", "2 h", "-1h", "1x", "1é", "9999999w", "99999999999999999999s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
