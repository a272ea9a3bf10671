use chrono::Timelike as _;

use super::{Moment, Pattern, strftime};

/// How a manifest writes times.
#[derive(Clone, Debug)]
pub(crate) struct DateFormat {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Seconds,
    FloatSeconds,
    Millis,
    Micros,
    /// Reads by the first; writes milliseconds where the format says `%_ms`.
    Calendar(Box<Pattern>),
}

impl DateFormat {
    /// A format that makes no sense reads nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let form = match text {
            "%s" => Form::Seconds,
            "%s_as_float" => Form::FloatSeconds,
            "%ms" => Form::Millis,
            "%epoch_microseconds" => Form::Micros,
            _ => Form::Calendar(Box::new(Pattern::of(&text.replace("%_ms", "%f")))),
        };
        Self { text: text.to_owned(), form }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn read(&self, text: &str) -> Option<Moment> {
        let scaled = |factor: i64| Moment::from_micros(integer(text)?.checked_mul(factor)?);
        match &self.form {
            Form::Seconds => scaled(1_000_000),
            Form::Millis => scaled(1_000),
            Form::Micros => scaled(1),
            Form::FloatSeconds => {
                let seconds: f64 = text.trim().parse().ok()?;
                let micros = (seconds.fract() * 1e6).round_ties_even() + seconds.trunc() * 1e6;
                if micros.abs() < 9e18 { Moment::from_micros(micros as i64) } else { None }
            }
            Form::Calendar(pattern) => {
                let (local, offset) = pattern.read(text)?;
                Moment::of(local, offset)
            }
        }
    }

    pub(crate) fn write(&self, moment: Moment) -> String {
        match &self.form {
            Form::Seconds => (moment.seconds() as i64).to_string(),
            Form::FloatSeconds => crate::template::python_float(moment.seconds()),
            Form::Millis => ((moment.seconds() * 1e3) as i64).to_string(),
            Form::Micros => ((moment.seconds() * 1e6) as i64).to_string(),
            Form::Calendar(_) => {
                let local = moment.local();
                let text = strftime(local, Some(moment.offset()), &self.text.replace("%_ms", "%f"));
                if self.text.contains("%_ms") {
                    let micros = local.nanosecond() / 1000;
                    text.replace(&format!("{micros:06}"), &format!("{:03}", micros / 1000))
                } else {
                    text
                }
            }
        }
    }
}

/// Python's `int` of a text.
fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}
