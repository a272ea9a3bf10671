use std::sync::Arc;

use chrono::TimeDelta;
use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::Window;
use crate::expression::Expression;
use crate::extract::Item;
use crate::manifest::Component;
use crate::request::{Parts, RequestOption};
use crate::shared::Shared;
use crate::template::{Scope, Value, python_str};
use crate::time::{DateFormat, Moment, Period};

/// Most windows of one walk: a step of a second over years is a mistake.
const MAX_WINDOWS: usize = 1_000_000;

/// A cursor over a member of records that holds a time.
///
/// What Airbyte's `ConcurrentCursor` does: from a start on, cut by a step if there is one; the time up to which a
/// collection was read is the latest that its records hold, in one piece from the start on.
#[derive(Debug)]
pub(crate) struct DatetimeCursor {
    pub(crate) field: String,
    start: Bound,
    end: Option<Bound>,
    format: DateFormat,
    formats: Vec<DateFormat>,
    step: Option<Period>,
    granularity: Option<Period>,
    lookback: Option<Period>,
    names: [String; 2],
    options: [Option<RequestOption>; 2],
    /// Records come newest first: the walk ends at the first that is known.
    pub(crate) feed: bool,
    /// The provider does not filter: we do.
    pub(crate) filters: bool,
    strictly: bool,
}

#[derive(Debug)]
struct Bound {
    time: Expression,
    format: DateFormat,
    least: Option<Expression>,
    most: Option<Expression>,
}

/// Spans of time that were read, in microseconds of Unix time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intervals(Vec<Interval>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Interval {
    start: i64,
    end: i64,
    /// The latest time that a record of it holds.
    latest: Option<i64>,
}

impl DatetimeCursor {
    pub(crate) fn build(component: &Component<'_>, shared: &Shared) -> Result<Self> {
        if component.kind() != "DatetimeBasedCursor" {
            return Err(component.unknown());
        }
        if let Some(clamping) = component.child("clamping")? {
            return Err(clamping.unknown());
        }
        let scope = shared.scope();
        let text = |name: &str, usual: &str| -> Result<String> {
            component.expression(name)?.map_or_else(|| Ok(usual.to_owned()), |found| found.text(&scope))
        };
        let period = |name: &str| -> Result<Option<Period>> {
            let Some(text) = component.expression(name)?.map(|found| found.text(&scope)).transpose()? else {
                return Ok(None);
            };
            if text.is_empty() || text == "None" {
                return Ok(None);
            }
            Period::parse(&text).map(Some).ok_or_else(|| component.wrong(format!("{name} is no duration of ISO 8601")))
        };
        let (step, granularity) = (period("step")?, period("cursor_granularity")?);
        if component.get("step").is_some() != component.get("cursor_granularity").is_some() {
            return Err(component.wrong("step and cursor_granularity need each other"));
        }
        let usual = component.text("datetime_format").ok_or_else(|| component.wrong("datetime_format is missing"))?;
        let others = component.get("cursor_datetime_formats").and_then(serde_json::Value::as_array);
        let others = others.into_iter().flatten().filter_map(serde_json::Value::as_str);
        let bound = |name: &str| -> Result<Option<Bound>> {
            component.get(name).map(|value| Bound::build(component, name, value, usual)).transpose()
        };
        Ok(Self {
            field: text("cursor_field", "")?,
            start: bound("start_datetime")?.ok_or_else(|| component.wrong("start_datetime is missing"))?,
            end: bound("end_datetime")?,
            format: DateFormat::parse(usual),
            formats: others.chain([usual]).map(DateFormat::parse).collect(),
            step,
            granularity,
            lookback: period("lookback_window")?,
            names: [text("partition_field_start", "start_time")?, text("partition_field_end", "end_time")?],
            options: [
                RequestOption::build_optional(component, "start_time_option")?,
                RequestOption::build_optional(component, "end_time_option")?,
            ],
            feed: component.flag("is_data_feed"),
            filters: component.flag("is_client_side_incremental"),
            strictly: component.flag("is_compare_strictly"),
        })
    }

    /// The time that a record holds, if it holds one that the manifest can read.
    pub(crate) fn time_of(&self, item: &Item) -> Result<Option<Moment>> {
        let value = item.get(std::slice::from_ref(&self.field))?;
        Ok(value.filter(|value| !value.is_none() && !value.is_undefined()).and_then(|value| self.read(&value)))
    }

    fn read(&self, value: &Value) -> Option<Moment> {
        let text = python_str(value);
        self.formats.iter().find_map(|format| format.read(&text))
    }

    /// A time as the manifest writes it.
    #[cfg(feature = "replay")]
    pub(crate) fn write(&self, micros: i64) -> Option<String> {
        Some(self.format.write(Moment::from_micros(micros)?))
    }

    pub(crate) fn start(&self, shared: &Shared) -> Result<i64> {
        Ok(self.start.time(&shared.scope())?.micros())
    }

    fn end(&self, shared: &Shared) -> Result<Moment> {
        match &self.end {
            Some(end) => end.time(&shared.scope()),
            None => Ok(Moment::from(shared.clock.now())),
        }
    }

    /// What counts as read before a walk that goes on after a time.
    pub(crate) fn intervals_since(&self, since: Option<i64>, shared: &Shared) -> Result<Intervals> {
        let start = self.start(shared)?;
        let since = since.filter(|since| *since >= start).unwrap_or(start);
        Ok(Intervals(vec![Interval { start, end: since, latest: Some(since) }]))
    }

    /// The windows that are still to be read.
    ///
    /// What was read before is read again for the time of the overlap: the manifest's, or the one that the settings want
    /// for changes that become visible late.
    pub(crate) fn windows(&self, read: &Intervals, lag: TimeDelta, shared: &Shared) -> Result<Vec<Arc<Window>>> {
        let start = Moment::from_micros(self.start(shared)?).ok_or_else(outside)?;
        let end = self.end(shared)?;
        let mut windows = Vec::new();
        let mut merged = read.clone();
        merged.merge(self.granularity.as_ref());
        for (index, interval) in merged.0.iter().enumerate() {
            let upto = Moment::from_micros(interval.end).ok_or_else(outside)?;
            if let Some(next) = merged.0.get(index + 1) {
                let lower =
                    self.granularity.as_ref().map_or(Some(upto), |grain| upto.plus(grain)).ok_or_else(outside)?;
                let upper = Moment::from_micros(next.start).ok_or_else(outside)?;
                self.split(start, lower, upper, false, &mut windows)?;
            } else {
                self.split(start, self.earlier(upto, lag), end, true, &mut windows)?;
            }
        }
        Ok(windows)
    }

    fn earlier(&self, time: Moment, lag: TimeDelta) -> Moment {
        let looked = self.lookback.as_ref().and_then(|lookback| time.minus(lookback)).unwrap_or(time);
        let lagging = time.utc().checked_sub_signed(lag).map_or(time, Moment::from);
        if looked.micros() <= lagging.micros() { looked } else { lagging }
    }

    fn split(
        &self,
        start: Moment,
        lower: Moment,
        upper: Moment,
        last: bool,
        windows: &mut Vec<Arc<Window>>,
    ) -> Result<()> {
        let (from, to) = (lower.micros(), upper.micros());
        if from > to || (from == to && self.granularity.is_none()) || to < start.micros() {
            return Ok(());
        }
        let lower = if from < start.micros() { start } else { lower };
        let from = lower.micros();
        if from > to || (from == to && (self.strictly || !last)) {
            return Ok(());
        }
        let mut lower = lower;
        loop {
            let next = self.step.as_ref().and_then(|step| lower.plus(step)).filter(|next| next.micros() < to);
            let (bound, is_last) = next.map_or((upper, true), |next| (next, false));
            let inclusive = match &self.granularity {
                Some(grain) if !(last && is_last) => bound.minus(grain).ok_or_else(outside)?,
                _ => bound,
            };
            windows.push(Arc::new(self.window(lower, inclusive)));
            if windows.len() > MAX_WINDOWS {
                return Err(Error::new(ErrorKind::LimitExceeded, "the manifest cuts time into too many steps")
                    .with_context("limit", MAX_WINDOWS));
            }
            if is_last {
                return Ok(());
            }
            if bound.micros() <= lower.micros() {
                return Err(Error::new(ErrorKind::Configuration, "the manifest's step does not lead forward"));
            }
            lower = bound;
        }
    }

    fn window(&self, start: Moment, end: Moment) -> Window {
        let [first, second] = self.names.clone();
        Window { start, end, written: [(first, self.format.write(start)), (second, self.format.write(end))] }
    }

    /// A window by its bounds, for a walk that goes on.
    pub(crate) fn window_at(&self, start: i64, end: i64) -> Option<Arc<Window>> {
        Some(Arc::new(self.window(Moment::from_micros(start)?, Moment::from_micros(end)?)))
    }

    /// Notes that a window was read. Its bounds count as they are written.
    pub(crate) fn close(&self, read: &mut Intervals, window: &Window, latest: Option<i64>) {
        let bound = |written: &(String, String), exact: Moment| {
            self.formats.iter().find_map(|format| format.read(&written.1)).unwrap_or(exact).micros()
        };
        let [first, second] = &window.written;
        read.0.push(Interval { start: bound(first, window.start), end: bound(second, window.end), latest });
        read.merge(self.granularity.as_ref());
    }

    /// Whether a record is newer than what is known, or within the overlap.
    pub(crate) fn wants(
        &self,
        time: Option<Moment>,
        since: Option<i64>,
        lag: TimeDelta,
        shared: &Shared,
    ) -> Result<bool> {
        let Some(time) = time else { return Ok(true) };
        let start = self.start(shared)?;
        let floor = since.filter(|since| *since >= start).unwrap_or(start);
        let earliest = Moment::from_micros(floor).map_or(floor, |floor| self.earlier(floor, lag).micros());
        Ok(earliest.max(floor.min(start)) <= time.micros() && time.micros() <= self.end(shared)?.micros())
    }

    pub(crate) fn parts(&self, window: Option<&Window>, scope: &Scope) -> Result<Parts> {
        let mut parts = Parts::default();
        let Some(window) = window else { return Ok(parts) };
        for (option, (_, text)) in self.options.iter().zip(&window.written) {
            if let Some(option) = option {
                option.put(&mut parts, &Value::from(text.as_str()), scope)?;
            }
        }
        Ok(parts)
    }
}

impl Bound {
    fn build(component: &Component<'_>, name: &str, value: &serde_json::Value, usual: &str) -> Result<Self> {
        if !value.is_object() {
            let time = component.expression_of(name, value)?;
            return Ok(Self { time, format: DateFormat::parse(usual), least: None, most: None });
        }
        let bound = component.required(name)?;
        if bound.kind() != "MinMaxDatetime" {
            return Err(bound.unknown());
        }
        let some = |name: &str| bound.expression(name).map(|found| found.filter(|_| bound.text(name) != Some("")));
        let format = bound.text("datetime_format").filter(|format| !format.is_empty()).unwrap_or(usual);
        Ok(Self {
            time: bound.expression("datetime")?.ok_or_else(|| bound.wrong("datetime is missing"))?,
            format: DateFormat::parse(format),
            least: some("min_datetime")?,
            most: some("max_datetime")?,
        })
    }

    fn time(&self, scope: &Scope) -> Result<Moment> {
        let read = |expression: &Expression| -> Result<Option<Moment>> {
            let text = expression.text(scope)?;
            if text.is_empty() {
                return Ok(None);
            }
            self.format.read(&text).map(Some).ok_or_else(|| {
                Error::new(
                    ErrorKind::Configuration,
                    "a time of the settings does not have the form that the manifest wants",
                )
                .with_context("form", self.format.as_str())
            })
        };
        let mut time =
            read(&self.time)?.ok_or_else(|| Error::new(ErrorKind::Configuration, "the manifest gives no start"))?;
        if let Some(least) = self.least.as_ref().map(read).transpose()?.flatten() {
            time = if least.micros() > time.micros() { least } else { time };
        }
        if let Some(most) = self.most.as_ref().map(read).transpose()?.flatten() {
            time = if most.micros() < time.micros() { most } else { time };
        }
        Ok(time)
    }
}

impl Intervals {
    /// The time up to which all was read, as records tell it. A record that is dated ahead, as posts that are to appear later
    /// are, tells nothing of the time until then: what was asked for counts in its place.
    pub(crate) fn latest(&self, now: i64) -> Option<i64> {
        let first = self.0.first()?;
        Some(match first.latest {
            Some(latest) if latest > now => first.end.min(now).max(first.start),
            Some(latest) => latest,
            None => first.start,
        })
    }

    fn merge(&mut self, granularity: Option<&Period>) {
        self.0.sort_by_key(|interval| (interval.start, interval.end));
        let mut merged: Vec<Interval> = Vec::with_capacity(self.0.len());
        for interval in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if next_to(last.end, granularity) >= interval.start => {
                    last.end = last.end.max(interval.end);
                    last.latest = last.latest.max(interval.latest);
                }
                _ => merged.push(interval),
            }
        }
        self.0 = merged;
    }
}

/// The first time after one; without a granularity, a millisecond later.
fn next_to(end: i64, granularity: Option<&Period>) -> i64 {
    let moment = Moment::from_micros(end);
    match granularity.filter(|grain| !grain.is_zero()) {
        Some(grain) => moment.and_then(|moment| moment.plus(grain)).map_or(end, Moment::micros),
        None => end.saturating_add(1000),
    }
}

fn outside() -> Error {
    Error::new(ErrorKind::Configuration, "a time is outside of what a calendar holds")
}
