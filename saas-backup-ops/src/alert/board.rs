use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt as _;
use futures::stream;
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{Action, Alert, Condition, Route, Severity, Signal};
use crate::file;

const FILE: &str = "alerts.json";
const LOCK: &str = "alerts.lock";
const VERSION: u32 = 1;

/// Signals that are on their way at a time.
const AT_ONCE: usize = 8;
/// How long a route may take, its own retries included.
const PATIENCE: Duration = Duration::from_secs(45);
/// The wait after the first delivery that failed; each further one doubles it.
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(1);
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);
/// Deliveries of one signal that are tried: for about four days.
const TRIES: u32 = 100;
/// Alerts that are over and known still, for whoever asks what was told.
const PAST: usize = 200;

/// An alert that lasts, or is over, and what became of telling so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenAlert {
    /// The alert.
    pub alert: Alert,
    /// When it was over; `None` as long as it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<DateTime<Utc>>,
    /// What each route was told, the last word of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
}

/// How telling something along a route ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// The name of the route.
    pub route: String,
    /// The key of the alert.
    pub key: String,
    /// What was told.
    pub action: Action,
    /// When it was told, or last tried.
    pub at: DateTime<Utc>,
    /// How often it was tried.
    pub tries: u32,
    /// Why nobody took it; `None` if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    /// When it is tried again; `None` if somebody took it, or after too many tries.
    fn again(&self) -> Option<DateTime<Utc>> {
        self.error.as_ref()?;
        if self.tries >= TRIES {
            return None;
        }
        let doubled = FIRST_WAIT * 2_i32.pow(self.tries.saturating_sub(1).min(10));
        self.at.checked_add_signed(doubled.min(LONGEST_WAIT))
    }
}

impl OpenAlert {
    fn told(&self, route: &str) -> Option<&Delivery> {
        self.deliveries.iter().find(|delivery| delivery.route == route)
    }

    /// Whether it was over before a route heard of it: then the route need not hear of it.
    fn is_past(&self, told: &Delivery) -> bool {
        told.error.is_some() && told.action == Action::Trigger && self.resolved.is_some()
    }

    /// What a route is to be told now.
    fn due(&self, route: &dyn Route, now: DateTime<Utc>) -> Option<Action> {
        let told = self.told(route.name());
        if let Some(failed) = told.filter(|told| told.error.is_some()) {
            return failed.again().filter(|at| *at <= now && !self.is_past(failed)).map(|_| failed.action);
        }
        match (told.map(|told| told.action), self.resolved) {
            (None, None) => route.takes(&self.alert).then_some(Action::Trigger),
            (Some(Action::Trigger), Some(_)) => Some(Action::Resolve),
            _ => None,
        }
    }

    fn signal(&self, action: Action) -> Signal {
        let at = match action {
            Action::Trigger => self.alert.since,
            Action::Resolve => self.resolved.unwrap_or(self.alert.since),
        };
        Signal { id: signal_id(&self.alert.key, at, action), action, alert: self.alert.clone(), at }
    }
}

/// The [`Signal::id`] of what is told of an alert.
pub(super) fn signal_id(key: &str, at: DateTime<Utc>, action: Action) -> String {
    let mut id = Digest::of(format!("{key}\n{at}\n{action:?}").as_bytes()).to_string();
    id.truncate(32);
    id
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    alerts: Vec<OpenAlert>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// What was told to whom, and what is still to be told. As long as it lives no other one uses its folder.
#[derive(Debug)]
pub struct Alerts {
    folder: PathBuf,
    _lock: File,
    routes: Vec<Box<dyn Route>>,
    known: Vec<OpenAlert>,
}

impl Alerts {
    /// Reads what was told before, in a folder that is there.
    ///
    /// A file that cannot be understood is set aside: what lasts is then told anew.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if two routes have the same name; [`ErrorKind::Conflict`] if another process tells people
    /// from this folder; [`ErrorKind::UnsupportedVersion`] if a newer version
    /// wrote the file; file errors.
    pub fn open(folder: impl AsRef<Path>, routes: Vec<Box<dyn Route>>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        check_names(&routes)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "another process tells people of this repository's alerts",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let known = match Self::read(&folder) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                tracing::warn!(%error, "what was told of alerts is damaged and was set aside; what lasts is told anew");
                std::fs::rename(folder.join(FILE), folder.join("alerts.damaged.json"))?;
                Vec::new()
            }
            read => read?,
        };
        Ok(Self { folder, _lock: lock, routes, known })
    }

    /// What was told, from the file in a folder, while somebody may be at work there: the newest last. Empty if nothing was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the file is damaged; [`ErrorKind::UnsupportedVersion`] if a newer version wrote it; file
    /// errors.
    pub fn read(folder: impl AsRef<Path>) -> Result<Vec<OpenAlert>> {
        let Some(bytes) = file::read(&folder.as_ref().join(FILE))? else { return Ok(Vec::new()) };
        let Version { version } = serde_json::from_slice(&bytes)?;
        if version > VERSION {
            return Err(Error::new(ErrorKind::UnsupportedVersion, "a newer version wrote what was told of alerts")
                .with_context("found", version)
                .with_context("known", VERSION));
        }
        Ok(serde_json::from_slice::<Document>(&bytes)?.alerts)
    }

    /// Tells along these routes from now on, in place of those that there were. What lasts is told to new ones, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if two routes have the same name: then nothing changes.
    pub fn set_routes(&mut self, routes: Vec<Box<dyn Route>>) -> Result<()> {
        check_names(&routes)?;
        self.routes = routes;
        Ok(())
    }

    /// What lasts, and what was over lately, the newest last.
    pub fn alerts(&self) -> &[OpenAlert] {
        &self.known
    }

    /// Takes everything that is wrong now, and tells what is new, what is over, and what nobody took before. Gives the
    /// deliveries that were tried; what fails here is tried again by later calls.
    ///
    /// An alert that lasts keeps the time since when it does, whatever the new one says. Not cancel safe: what was sent by a
    /// call that is dropped may be sent again.
    ///
    /// # Errors
    ///
    /// If what was told cannot be written; it was told nevertheless.
    pub async fn tell(&mut self, found: Vec<Alert>, now: DateTime<Utc>) -> Result<Vec<Delivery>> {
        let before = self.known.clone();
        let failed_before = self.failing();
        self.take(found, &failed_before, now);
        let mut tried = self.deliver(now).await;
        // That a route fails is told along the others at once.
        let fails: Vec<String> = self.failing().difference(&failed_before).cloned().collect();
        if !fails.is_empty() {
            let is_open = |key: &str| self.known.iter().any(|open| open.resolved.is_none() && open.alert.key == key);
            let new: Vec<Alert> = fails.iter().map(|route| route_alert(route, now)).collect();
            let new: Vec<OpenAlert> = new.into_iter().filter(|alert| !is_open(&alert.key)).map(opened).collect();
            self.known.extend(new);
            tried.extend(self.deliver(now).await);
        }
        self.forget_old();
        if self.known == before {
            return Ok(tried);
        }
        let bytes = serde_json::to_vec_pretty(&Document { version: VERSION, alerts: self.known.clone() })?;
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || file::replace(&folder, FILE, &bytes))
            .await
            .map_err(|_| Error::new(ErrorKind::Cancelled, "writing what was told was cut short"))??;
        Ok(tried)
    }

    /// Sends a test along every route, and does not note it.
    ///
    /// Cancel safe.
    pub async fn try_routes(&self, now: DateTime<Utc>) -> Vec<Delivery> {
        let alert = Alert::new("test", Condition::Test, "A test: alerts of saas-backup arrive here.", now)
            .with_advice("Nothing is wrong.");
        let (trigger, resolve) = (opened(alert.clone()), OpenAlert { resolved: Some(now), ..opened(alert) });
        let tests = self.routes.iter().map(|route| {
            let signals = [trigger.signal(Action::Trigger), resolve.signal(Action::Resolve)];
            async move {
                let mut last = None;
                for signal in signals {
                    let delivery = send(route.as_ref(), signal, 1, now).await;
                    let failed = delivery.error.is_some();
                    last = Some(delivery);
                    if failed {
                        break;
                    }
                }
                last
            }
        });
        stream::iter(tests).buffered(AT_ONCE).filter_map(async |last| last).collect().await
    }

    /// The routes that did not take something which is still to be told.
    fn failing(&self) -> BTreeSet<String> {
        let is_there = |name: &str| self.routes.iter().any(|route| route.name() == name);
        let failed = self.known.iter().flat_map(|open| {
            let matters = |told: &&Delivery| told.error.is_some() && !open.is_past(told) && is_there(&told.route);
            open.deliveries.iter().filter(matters).map(|told| told.route.clone())
        });
        failed.collect()
    }

    fn take(&mut self, found: Vec<Alert>, failing: &BTreeSet<String>, now: DateTime<Utc>) {
        let routes = failing.iter().map(|route| route_alert(route, now));
        let mut found: BTreeMap<String, Alert> =
            found.into_iter().chain(routes).map(|alert| (alert.key.clone(), alert)).collect();
        for open in self.known.iter_mut().filter(|open| open.resolved.is_none()) {
            match found.remove(&open.alert.key) {
                Some(alert) => open.alert = Alert { since: open.alert.since, ..alert },
                None => open.resolved = Some(now),
            }
        }
        self.known.extend(found.into_values().map(opened));
    }

    /// Sends what is due: along each route one after another, for what is over must not overtake what began before.
    async fn deliver(&mut self, now: DateTime<Utc>) -> Vec<Delivery> {
        let sending = self.routes.iter().map(|route| {
            let due = self.due(route.as_ref(), now);
            async move {
                let (mut told, mut failed) = (Vec::new(), BTreeSet::new());
                for (place, signal, tries) in due {
                    if failed.contains(&signal.alert.key) {
                        continue;
                    }
                    let delivery = send(route.as_ref(), signal, tries, now).await;
                    if delivery.error.is_some() {
                        failed.insert(delivery.key.clone());
                    }
                    told.push((place, delivery));
                }
                told
            }
        });
        let told: Vec<Vec<(usize, Delivery)>> =
            stream::iter(sending.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        let mut tried = Vec::new();
        for (place, delivery) in told.into_iter().flatten() {
            if let Some(open) = self.known.get_mut(place) {
                open.deliveries.retain(|told| told.route != delivery.route);
                open.deliveries.push(delivery.clone());
            }
            tried.push(delivery);
        }
        tried
    }

    /// What a route is to be told now, in order: the place of the alert, what is told, and how often that will have been tried.
    fn due(&self, route: &dyn Route, now: DateTime<Utc>) -> Vec<(usize, Signal, u32)> {
        let (mut due, mut waits) = (Vec::new(), BTreeSet::new());
        for (place, open) in self.known.iter().enumerate() {
            // That a route fails is told along the others.
            if open.alert.key == key_of(route.name()) || waits.contains(&open.alert.key) {
                continue;
            }
            let told = open.told(route.name());
            match open.due(route, now) {
                Some(action) => {
                    let tries = told.filter(|told| told.action == action).map_or(0, |told| told.tries);
                    due.push((place, open.signal(action), tries + 1));
                }
                None if told.is_some_and(|told| told.again().is_some() && !open.is_past(told)) => {
                    waits.insert(&open.alert.key);
                }
                None => {}
            }
        }
        due
    }

    /// Forgets what is over and told, the oldest first.
    fn forget_old(&mut self) {
        let routes: Vec<&dyn Route> = self.routes.iter().map(AsRef::as_ref).collect();
        let is_done = |open: &OpenAlert| {
            let left = |route: &&dyn Route| {
                open.told(route.name()).is_some_and(|told| match told.action {
                    Action::Trigger => told.error.is_none(),
                    Action::Resolve => told.again().is_some(),
                })
            };
            open.resolved.is_some() && !routes.iter().any(left)
        };
        let done = self.known.iter().filter(|open| is_done(open)).count();
        let mut surplus = done.saturating_sub(PAST);
        self.known.retain(|open| {
            let goes = surplus > 0 && is_done(open);
            surplus -= usize::from(goes);
            !goes
        });
    }
}

fn check_names(routes: &[Box<dyn Route>]) -> Result<()> {
    let mut names = BTreeSet::new();
    match routes.iter().find(|route| !names.insert(route.name())) {
        None => Ok(()),
        Some(twice) => Err(Error::new(ErrorKind::Configuration, "two alert routes have the same name")
            .with_context("name", twice.name())),
    }
}

fn opened(alert: Alert) -> OpenAlert {
    OpenAlert { alert, resolved: None, deliveries: Vec::new() }
}

fn key_of(route: &str) -> String {
    format!("route/{route}")
}

fn route_alert(route: &str, now: DateTime<Utc>) -> Alert {
    Alert::new(key_of(route), Condition::Route, format!("alerts do not arrive along {route}"), now)
        .with_severity(Severity::Error)
        .with_advice("Look at `saas-backup alerts`, and try the route with `saas-backup alerts --test`.")
        .with_detail("route", route)
}

async fn send(route: &dyn Route, signal: Signal, tries: u32, now: DateTime<Utc>) -> Delivery {
    let sent = tokio::time::timeout(PATIENCE, route.send(&signal)).await;
    let sent = sent.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "nobody took it in time")));
    let error = sent.err().map(|error| error.to_string());
    match &error {
        None => tracing::info!(route = route.name(), key = signal.alert.key, action = ?signal.action, "told"),
        Some(error) => tracing::error!(route = route.name(), key = signal.alert.key, error, "nobody was told"),
    }
    Delivery { route: route.name().to_owned(), key: signal.alert.key, action: signal.action, at: now, tries, error }
}
