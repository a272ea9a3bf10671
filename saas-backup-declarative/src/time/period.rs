use chrono::{Datelike as _, NaiveDate, TimeDelta};

use super::Moment;

/// A duration of ISO 8601, months and years apart from the rest, because their length depends on when they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    months: i64,
    rest: TimeDelta,
}

impl Period {
    /// Reads `P1Y2M3W4DT5H6M7.8S`, with a sign before it if need be.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (sign, text) =
            text.strip_prefix('-').map_or((1, text.strip_prefix('+').unwrap_or(text)), |text| (-1, text));
        let text = text.strip_prefix('P')?;
        let (days, clock) = text.split_once('T').unwrap_or((text, ""));
        let mut period = Self { months: 0, rest: TimeDelta::zero() };
        let mut any = false;
        for (part, units) in [(days, "YMWD"), (clock, "HMS")] {
            let mut rest = part;
            while !rest.is_empty() {
                let end = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
                let (number, tail) = rest.split_at(end);
                let unit = tail.chars().next()?;
                if !units.contains(unit) {
                    return None;
                }
                let number: f64 = number.replace(',', ".").parse().ok()?;
                period.add(number, unit, units == "YMWD", sign)?;
                rest = tail.get(1..)?;
                any = true;
            }
        }
        any.then_some(period)
    }

    fn add(&mut self, number: f64, unit: char, of_date: bool, sign: i64) -> Option<()> {
        let seconds = match (unit, of_date) {
            ('Y', _) | ('M', true) => {
                if number.fract() != 0.0 || number.abs() > 1e6 {
                    return None;
                }
                self.months += sign * number as i64 * if unit == 'Y' { 12 } else { 1 };
                return Some(());
            }
            ('W', _) => 604_800.0,
            ('D', _) => 86_400.0,
            ('H', _) => 3_600.0,
            ('M', false) => 60.0,
            _ => 1.0,
        };
        let micros = number * seconds * 1e6;
        if !micros.is_finite() || micros.abs() > 1e18 {
            return None;
        }
        self.rest += TimeDelta::microseconds(sign * micros.round() as i64);
        Some(())
    }

    pub(crate) fn of(rest: TimeDelta) -> Self {
        Self { months: 0, rest }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.months == 0 && self.rest.is_zero()
    }

    /// Months first, where a day that the month has not becomes its last; then the rest.
    pub(super) fn add_to(&self, moment: Moment, sign: i32) -> Option<Moment> {
        let time = moment.0;
        let months = i64::from(time.year()) * 12 + i64::from(time.month0()) + self.months * i64::from(sign);
        let (year, month) =
            (i32::try_from(months.div_euclid(12)).ok()?, u32::try_from(months.rem_euclid(12)).ok()? + 1);
        let date = (0..4).find_map(|back| NaiveDate::from_ymd_opt(year, month, time.day().checked_sub(back)?))?;
        let local = date.and_time(time.time()).and_local_timezone(*time.offset()).single()?;
        local.checked_add_signed(self.rest * sign).map(Moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_end_on_the_last_day_and_fractions_are_kept() {
        let at = |text: &str| Moment::parse_any(text).unwrap();
        for (from, period, to) in [
            ("2024-01-31", "P1M", "2024-02-29"),
            ("2024-02-29", "P1Y", "2025-02-28"),
            ("2026-03-01", "P1W", "2026-03-08"),
            ("2026-03-01T00:00:00", "PT0.000001S", "2026-03-01T00:00:00.000001"),
            ("2026-03-01T00:00:00", "P1DT2H3M4S", "2026-03-02T02:03:04"),
        ] {
            assert_eq!(at(from).plus(&Period::parse(period).unwrap()), Some(at(to)), "{from} + {period}");
        }
        assert_eq!(at("2026-03-31").minus(&Period::parse("P1M").unwrap()), Some(at("2026-02-28")));
        for wrong in ["", "P", "1D", "P1X", "PT1D", "P1H"] {
            assert_eq!(Period::parse(wrong), None, "{wrong}");
        }
        assert!(Period::parse("PT0S").unwrap().is_zero());
    }
}
