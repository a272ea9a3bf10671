//! Times as manifests write and read them: the formats of Python's `strptime` and `strftime`, and durations of ISO 8601.

mod format;
mod moment;
mod period;

pub(crate) use format::DateFormat;
pub(crate) use moment::Moment;
pub(crate) use period::Period;
