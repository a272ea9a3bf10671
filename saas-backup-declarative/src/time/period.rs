use std::sync::LazyLock;

use fancy_regex::Regex;

/// A duration of ISO 8601: months, whose length the calendar decides, and microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Period {
    pub(crate) months: i64,
    pub(crate) micros: i64,
}

static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let part = |unit: &str| format!(r"(?:([0-9]+(?:[,.][0-9]+)?){unit})?");
    let [year, month, week, day, hour, second] = ["Y", "M", "W", "D", "H", "S"].map(part);
    Regex::new(&format!(r"^([+-])?P(?!\b){year}{month}{week}{day}(?:T{hour}{month}{second})?\n?$")).ok()
});

/// The microseconds of what stands after years and months.
const UNITS: [f64; 5] = [7.0 * 86_400e6, 86_400e6, 3_600e6, 60e6, 1e6];

impl Period {
    /// Nothing when the text has another form, or asks for parts of months.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let found = FORM.as_ref()?.captures(text).ok()??;
        let number = |group: usize| -> Option<f64> {
            found.get(group).map_or(Some(0.0), |part| part.as_str().replace(',', ".").parse().ok())
        };
        let months = number(2)? * 12.0 + number(3)?;
        let mut micros = 0.0;
        for (group, unit) in (4..).zip(UNITS) {
            micros += number(group)? * unit;
        }
        let micros = micros.round_ties_even();
        // Python's calendar and its differences end before.
        if months.fract() != 0.0 || months > 120_000.0 || micros > 8.64e19_f64.min(9e18) {
            return None;
        }
        let period = Self { months: months as i64, micros: micros as i64 };
        Some(if found.get(1).is_some_and(|sign| sign.as_str() == "-") { period.negated() } else { period })
    }

    /// Its length without its months, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no period of a manifest has 2^53 microseconds")]
        let seconds = self.micros as f64 / 1e6;
        seconds
    }

    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn negated(&self) -> Self {
        Self { months: -self.months, micros: -self.micros }
    }
}
