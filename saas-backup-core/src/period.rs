//! Lengths of time as people write and say them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind};

/// What a year and less is made of; weeks are read and never written.
const UNITS: [(char, u64, &str); 5] =
    [('w', 604_800, "week"), ('d', 86_400, "day"), ('h', 3_600, "hour"), ('m', 60, "minute"), ('s', 1, "second")];

/// A length of time as people write it: `90s`, `15m`, `2h`, `7d`, `1w`, `1h30m`.
///
/// ```
/// use saas_backup_core::Period;
///
/// let period: Period = "1h30m".parse()?;
/// assert_eq!(period.0.as_secs(), 5_400);
/// assert_eq!(period.to_string(), "1h30m");
/// assert_eq!(period.in_words(), "90 minutes");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

impl Period {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A century: longer is a typing error, and sums with times must not overflow.
    pub const LONGEST: Self = Self(Duration::from_hours(876_600));

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Says it in the largest unit that divides it: `7 days`, `90 minutes`.
    pub fn in_words(self) -> String {
        let seconds = self.0.as_secs();
        let mut units = UNITS.into_iter().skip(1);
        let unit = units.find(|(_, length, _)| seconds.is_multiple_of(*length));
        let (_, length, name) = unit.unwrap_or(('s', 1, "second"));
        let number = seconds / length;
        format!("{number} {name}{}", if number == 1 { "" } else { "s" })
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// [`ErrorKind::Configuration`] if it is none, or longer than [`Period::LONGEST`].
impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        read(text).ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "not a length of time; write 90s, 15m, 2h, 7d or 1h30m")
        })
    }
}

fn read(text: &str) -> Option<Period> {
    let mut total = (!text.is_empty()).then_some(0_u64)?;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let (unit, length, _) = UNITS.iter().find(|(unit, _, _)| after.starts_with(*unit))?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        rest = after.strip_prefix(*unit)?;
    }
    Some(Period(Duration::from_secs(total))).filter(|period| *period <= Period::LONGEST)
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, length, _) in UNITS.into_iter().skip(1) {
            if rest >= length {
                write!(formatter, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error: Error| D::Error::custom(error.message()))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
            ("1d1h1m1s", 90_061, "1d1h1m1s", "90061 seconds"),
            ("0d", 0, "0s", "0 days"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.0.as_secs(), period.to_string().as_str()), (seconds, back), "{text}");
            assert_eq!(period.in_words(), said, "{text}");
            let json = serde_json::to_string(&period).unwrap();
            assert_eq!((json.clone(), serde_json::from_str(&json).unwrap()), (format!("\"{back}\""), period), "{text}");
        }
        for text in ["", "2", "h", "2 h", "-1h", "1x", "1é", "9999999w", "99999999999999999999s"] {
            assert_eq!(text.parse::<Period>().unwrap_err().kind(), ErrorKind::Configuration, "{text}");
        }
    }
}
