use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_backup_core::{Clock, Error, ErrorKind, Result};
use saas_backup_ops::alert::{
    Alert, Alerts, Beat, CommandRoute, Delivery, Heartbeat, HeartbeatUrl, OpenAlert, Opsgenie, PagerDuty, Responder,
    Route, ServiceOptions, Severity, Slack, Webhook, WebhookKey,
};
use saas_backup_ops::{Facts, History, LastOutcome, assess, assess_chore, assess_start, job_statuses};
use serde::Serialize;

use super::{Project, blocking, chores};
#[cfg(feature = "alert-cloudwatch")]
use crate::config::CloudWatchSettings;
#[cfg(feature = "alert-mail")]
use crate::config::MailSettings;
use crate::config::{
    AlertConfig, AlertKind, CommandSettings, HeartbeatSettings, OpsgenieSettings, PagerDutySettings, SlackSettings,
    WebhookSettings,
};

/// How often it is looked whether something is wrong.
pub(super) const EVERY: Duration = Duration::from_mins(1);

/// How a test of what tells people ended.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AlertTried {
    /// The name of the route or heartbeat.
    pub name: String,
    /// Why nothing arrived; `None` if it did.
    pub error: Option<String>,
}

/// Who is told what is wrong, and misses signs of life.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Vec<Box<dyn Route>>,
    heartbeats: Vec<Beating>,
}

impl Routes {
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.heartbeats.is_empty()
    }
}

/// Tells people what is wrong, and gives signs of life.
#[derive(Debug)]
pub(super) struct Watch {
    alerts: Alerts,
    heartbeats: Vec<Beating>,
}

#[derive(Debug)]
struct Beating {
    heartbeat: Box<dyn Heartbeat>,
    every: Duration,
    last: Option<DateTime<Utc>>,
}

impl Project {
    /// What is wrong now, by what this machine knows of its runs; asks neither the repository nor an account.
    ///
    /// # Errors
    ///
    /// If what is noted on this machine cannot be read.
    pub fn problems(&self) -> Result<Vec<Alert>> {
        let now = self.clock().now();
        let history = History::read(self.state.path())?;
        let jobs = job_statuses(&self.jobs(), &history, now);
        let waiting = jobs.iter().filter(|job| job.running.is_none());
        let mut starts: BTreeMap<&str, _> = waiting.map(|job| (job.job.as_str(), job.next_run())).collect();
        let mut found = Vec::new();
        for source in &self.config().sources {
            let runs = self.state.runs(&source.name)?;
            let mut facts = Facts::new(&source.name);
            facts.rpo = source.rpo;
            facts.last = runs.last.map(|run| LastOutcome::new(run.status, run.finished, run.message));
            facts.complete_as_of = runs.complete.map(|run| run.started);
            facts.hidden = runs.hidden.map(|hidden| (hidden.since, hidden.collections));
            facts.starts = starts.remove(source.name.as_str()).flatten();
            facts.drill = self.proof(&chores::drill(&source.name), Some(self.drill_config(&source.name).max_age))?;
            found.extend(assess(&facts, now));
        }
        for chore in self.chore_facts()? {
            found.extend(assess_chore(&chore, now));
        }
        found.extend(starts.into_iter().filter_map(|(job, starts)| assess_start(job, starts, now)));
        for alert in &mut found {
            let source = alert.source.as_deref().and_then(|name| self.config().source(name).ok());
            if let Some(owner) = source.and_then(|source| source.owner.clone()) {
                alert.details.insert("owner".to_owned(), owner);
            }
        }
        Ok(found)
    }

    /// What people were told by this machine, the newest last.
    ///
    /// # Errors
    ///
    /// If what is noted cannot be read.
    pub fn alerts(&self) -> Result<Vec<OpenAlert>> {
        Alerts::read(self.state.path())
    }

    /// Tells people what is wrong now, as [`serve`](Self::serve) does every minute: for those who back up from cron. Gives
    /// what was sent.
    ///
    /// # Errors
    ///
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if an alert's settings do not do;
    /// [`Conflict`](saas_backup_core::ErrorKind::Conflict) if `serve` is at work on this machine, which tells by itself.
    pub async fn tell_alerts(&self) -> Result<Vec<Delivery>> {
        let mut watch = self.watch().await?;
        watch.look(self).await
    }

    /// Sends a test along every route, and gives a sign of life by every heartbeat.
    ///
    /// # Errors
    ///
    /// As [`tell_alerts`](Self::tell_alerts), but it works beside `serve`.
    pub async fn try_alerts(&self) -> Result<Vec<AlertTried>> {
        let Routes { routes, heartbeats } = self.routes().await?;
        let folder = tempfile::tempdir()?;
        let tried = Alerts::open(folder.path(), routes)?.try_routes(self.clock().now()).await;
        let mut tried: Vec<AlertTried> =
            tried.into_iter().map(|delivery| AlertTried { name: delivery.route, error: delivery.error }).collect();
        for beating in heartbeats {
            let error = beating.heartbeat.beat(Beat::Well).await.err().map(|error| error.to_string());
            tried.push(AlertTried { name: beating.heartbeat.name().to_owned(), error });
        }
        Ok(tried)
    }

    async fn watch(&self) -> Result<Watch> {
        self.watch_by(self.routes().await?)
    }

    pub(super) fn watch_by(&self, Routes { routes, heartbeats }: Routes) -> Result<Watch> {
        Ok(Watch { alerts: Alerts::open(self.state.made()?, routes)?, heartbeats })
    }

    /// Who is told what, by the configuration.
    pub(super) async fn routes(&self) -> Result<Routes> {
        let (configured, base) = (self.config().alerts.clone(), self.config().base.clone());
        let origin = self.state.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let clock = self.clock();
        // Settings may be read from files and commands.
        blocking(move || {
            let (mut routes, mut heartbeats) = (Vec::new(), Vec::new());
            for alert in &configured {
                match made(alert, &base, &origin, &clock).map_err(|error| error.with_context("alert", &alert.name))? {
                    Made::Route(route) => routes.push(route),
                    Made::Heartbeat(heartbeat, every) => heartbeats.push(Beating { heartbeat, every, last: None }),
                    #[cfg(feature = "alert-cloudwatch")]
                    Made::Both(route, heartbeat, every) => {
                        routes.push(route);
                        heartbeats.push(Beating { heartbeat, every, last: None });
                    }
                }
            }
            Ok(Routes { routes, heartbeats })
        })
        .await
    }
}

impl Watch {
    /// Tells others from now on; nothing changes if that fails.
    pub(super) fn set_routes(&mut self, Routes { routes, heartbeats }: Routes) -> Result<()> {
        self.alerts.set_routes(routes)?;
        self.heartbeats = heartbeats;
        Ok(())
    }

    /// Tells what is wrong now, and gives the signs of life that are due.
    pub(super) async fn look(&mut self, project: &Project) -> Result<Vec<Delivery>> {
        let now = project.clock().now();
        let told = self.alerts.tell(project.problems()?, now).await?;
        let is_well =
            !self.alerts.alerts().iter().any(|open| open.resolved.is_none() && open.alert.severity >= Severity::Error);
        let beat = if is_well { Beat::Well } else { Beat::Unwell };
        for beating in &mut self.heartbeats {
            let is_due = beating.last.is_none_or(|last| (now - last).to_std().is_ok_and(|past| past >= beating.every));
            if is_due {
                match beating.heartbeat.beat(beat).await {
                    Ok(()) => beating.last = Some(now),
                    Err(error) => {
                        tracing::error!(heartbeat = beating.heartbeat.name(), %error, "the sign of life did not arrive");
                    }
                }
            }
        }
        Ok(told)
    }
}

enum Made {
    Route(Box<dyn Route>),
    Heartbeat(Box<dyn Heartbeat>, Duration),
    #[cfg(feature = "alert-cloudwatch")]
    Both(Box<dyn Route>, Box<dyn Heartbeat>, Duration),
}

fn made(alert: &AlertConfig, base: &std::path::Path, origin: &str, clock: &std::sync::Arc<dyn Clock>) -> Result<Made> {
    let options = |private| {
        let mut options =
            ServiceOptions::default().with_private_addresses(private).with_clock(std::sync::Arc::clone(clock));
        options.at_least = alert.at_least;
        options
    };
    let name = alert.name.as_str();
    Ok(match alert.kind {
        AlertKind::CloudWatch => cloudwatch(alert, base, origin, options)?,
        AlertKind::Command => Made::Route(command(alert, base)?),
        AlertKind::Heartbeat => {
            let HeartbeatSettings { url, every, allow_private_addresses } = alert.settings.read(base)?;
            Made::Heartbeat(Box::new(HeartbeatUrl::new(name, &url, &options(allow_private_addresses))?), every.0)
        }
        AlertKind::Jsm | AlertKind::Opsgenie => Made::Route(Box::new(opsgenie(alert, base, origin, options)?)),
        AlertKind::Mail => mail(alert, base, options)?,
        AlertKind::PagerDuty => {
            let settings: PagerDutySettings = alert.settings.read(base)?;
            let origin = settings.origin.unwrap_or_else(|| origin.to_owned());
            let options = options(settings.allow_private_addresses);
            Made::Route(Box::new(PagerDuty::new(name, settings.routing_key, origin, settings.url.as_ref(), options)?))
        }
        AlertKind::Slack => {
            let SlackSettings { url, allow_private_addresses } = alert.settings.read(base)?;
            Made::Route(Box::new(Slack::new(name, &url, options(allow_private_addresses))?))
        }
        AlertKind::Webhook => {
            let WebhookSettings { url, keys, allow_private_addresses } = alert.settings.read(base)?;
            let keys = keys.iter().map(WebhookKey::parse).collect::<Result<_>>()?;
            Made::Route(Box::new(Webhook::new(name, &url, keys, options(allow_private_addresses))?))
        }
    })
}

#[cfg(feature = "alert-cloudwatch")]
fn cloudwatch(
    alert: &AlertConfig,
    base: &std::path::Path,
    origin: &str,
    options: impl Fn(bool) -> ServiceOptions,
) -> Result<Made> {
    use saas_backup_ops::alert::{AwsKeys, CloudWatch};

    let settings: CloudWatchSettings = alert.settings.read(base)?;
    let keys = match (settings.access_key_id, settings.secret_access_key) {
        (None, None) if settings.session_token.is_none() => None,
        (Some(access_key_id), Some(secret_access_key)) => {
            Some(AwsKeys { access_key_id, secret_access_key, session_token: settings.session_token })
        }
        _ => {
            return Err(Error::new(
                ErrorKind::Configuration,
                "access_key_id and secret_access_key belong together, and a session_token to both",
            ));
        }
    };
    let (origin, options) = (settings.origin.as_deref().unwrap_or(origin), options(settings.allow_private_addresses));
    let made = CloudWatch::new(alert.name.as_str(), settings.region, origin, keys, settings.url.as_ref(), options)?;
    let made = made.with_namespace(settings.namespace);
    Ok(Made::Both(Box::new(made.clone()), Box::new(made), settings.every.0))
}

#[cfg(not(feature = "alert-cloudwatch"))]
fn cloudwatch(_: &AlertConfig, _: &std::path::Path, _: &str, _: impl Fn(bool) -> ServiceOptions) -> Result<Made> {
    Err(lacks("alert-cloudwatch"))
}

#[cfg(feature = "alert-mail")]
fn mail(alert: &AlertConfig, base: &std::path::Path, options: impl Fn(bool) -> ServiceOptions) -> Result<Made> {
    use saas_backup_ops::alert::{Mail, MailServer};

    let settings: MailSettings = alert.settings.read(base)?;
    let mut server = MailServer::new(settings.host).with_encryption(settings.encryption);
    server.port = settings.port;
    server.ca_file = settings.ca_file.map(|file| base.join(file));
    server.login = match (settings.username, settings.password) {
        (None, None) => None,
        (Some(username), Some(password)) => Some((username, password)),
        _ => return Err(Error::new(ErrorKind::Configuration, "username and password belong together")),
    };
    let options = options(settings.allow_private_addresses);
    Ok(Made::Route(Box::new(Mail::new(alert.name.as_str(), server, &settings.from, &settings.to, options)?)))
}

#[cfg(not(feature = "alert-mail"))]
fn mail(_: &AlertConfig, _: &std::path::Path, _: impl Fn(bool) -> ServiceOptions) -> Result<Made> {
    Err(lacks("alert-mail"))
}

#[cfg(not(all(feature = "alert-cloudwatch", feature = "alert-mail")))]
fn lacks(feature: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "this build sends no alerts of this kind").with_context("needs", feature)
}

fn opsgenie(
    alert: &AlertConfig,
    base: &std::path::Path,
    origin: &str,
    options: impl Fn(bool) -> ServiceOptions,
) -> Result<Opsgenie> {
    let settings: OpsgenieSettings = alert.settings.read(base)?;
    let teams = settings.teams.into_iter().map(|name| Responder::Team { name });
    let users = settings.users.into_iter().map(|username| Responder::User { username });
    let escalations = settings.escalations.into_iter().map(|name| Responder::Escalation { name });
    let schedules = settings.schedules.into_iter().map(|name| Responder::Schedule { name });
    let responders = teams.chain(users).chain(escalations).chain(schedules).collect();
    let (origin, options) = (settings.origin.as_deref().unwrap_or(origin), options(settings.allow_private_addresses));
    let made = if alert.kind == AlertKind::Jsm { Opsgenie::jsm } else { Opsgenie::new };
    let route = made(alert.name.as_str(), &settings.api_key, origin, settings.url.as_ref(), options)?;
    Ok(route.with_responders(responders).with_tags(settings.tags))
}

fn command(alert: &AlertConfig, base: &std::path::Path) -> Result<Box<dyn Route>> {
    let CommandSettings { program } = alert.settings.read(base)?;
    let route = CommandRoute::new(&alert.name, program);
    Ok(Box::new(match alert.at_least {
        Some(severity) => route.at_least(severity),
        None => route,
    }))
}
