//! Records that a provider prepares in the background: ordered, asked about, fetched.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Result, Retry};
use serde_json::json;

use crate::extract::Selector;
use crate::manifest::Component;
use crate::request::{Answer, Parts, Requester, headers_value};
use crate::shared::Shared;
use crate::template::{Scope, Value, python_str, value_of};

/// How often a job is ordered that fails or takes too long.
const ATTEMPTS: u32 = 3;
/// Time that a job may take where the manifest names none, in minutes.
const USUAL_MINUTES: u64 = 60;
/// Longest time between two questions about a job.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest word for a state that an error repeats.
const MAX_WORD: usize = 40;

/// How jobs are ordered, asked about and given up.
#[derive(Debug)]
pub(crate) struct Jobs {
    create: Requester,
    poll: Requester,
    find: Option<Requester>,
    abort: Option<Requester>,
    delete: Option<Requester>,
    state: Selector,
    targets: Option<Selector>,
    states: HashMap<String, State>,
    limit: Duration,
    /// Time before a job that failed is ordered again.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Completed,
    Failed,
    TimedOut,
    /// There is nothing to fetch.
    Skipped,
}

/// A job that is done, and what of it was not fetched yet.
#[derive(Debug)]
pub(crate) struct Job {
    created: Value,
    polled: Value,
    /// What is fetched now.
    target: Value,
    others: VecDeque<Value>,
}

impl Job {
    /// What templates of its requests may name.
    pub(crate) fn within(&self, scope: Scope) -> Scope {
        scope
            .with("creation_response", self.created.clone())
            .with("polling_response", self.polled.clone())
            .with("download_target", self.target.clone())
    }

    /// Goes on to what is fetched next; whether there is something.
    pub(crate) fn advance(&mut self) -> bool {
        match self.others.pop_front() {
            Some(target) => {
                self.target = target;
                true
            }
            None => false,
        }
    }
}

impl Jobs {
    pub(crate) fn build(retriever: &Component<'_>, shared: &Arc<Shared>) -> Result<Self> {
        // An answer about another job, or an earlier one, is none.
        let made = |requester: Component<'_>| Ok::<_, Error>(Requester::build(&requester, shared)?.without_cache());
        let possible = |name: &str| -> Result<Option<Requester>> { retriever.child(name)?.map(made).transpose() };
        let selector = |name: &str| -> Result<Option<Selector>> {
            let Some(extractor) = retriever.get(name) else { return Ok(None) };
            let made = json!({ "type": "RecordSelector", "extractor": extractor });
            Selector::build(&Component::made(&made, name), retriever.child("decoder")?, &[], false).map(Some)
        };
        let number = |name: &str| -> Result<Option<u64>> {
            let Some(expression) = retriever.expression(name)? else { return Ok(None) };
            let text = expression.text(&shared.scope())?;
            text.trim().parse().map(Some).map_err(|_| retriever.wrong(format!("{name} is no number")))
        };
        let (find, targets) = (possible("download_target_requester")?, selector("download_target_extractor")?);
        if find.is_some() && targets.is_none() {
            return Err(retriever.wrong("download_target_extractor is missing"));
        }
        let minutes = number("polling_job_timeout")?.filter(|minutes| *minutes > 0).unwrap_or(USUAL_MINUTES);
        Ok(Self {
            create: made(retriever.required("creation_requester")?)?,
            poll: made(retriever.required("polling_requester")?)?,
            find,
            abort: possible("abort_requester")?,
            delete: possible("delete_requester")?,
            state: selector("status_extractor")?.ok_or_else(|| retriever.wrong("status_extractor is missing"))?,
            targets,
            states: states(&retriever.required("status_mapping")?)?,
            limit: Duration::from_secs(minutes.saturating_mul(60)),
            pause: Duration::from_secs(number("failed_retry_wait_time_in_seconds")?.unwrap_or_default()),
        })
    }

    /// What requests of the provider are made with.
    pub(crate) fn requester(&self) -> &Requester {
        &self.create
    }

    /// Has records prepared, and waits until they are; none if there is nothing to fetch. A job that fails or takes too
    /// long is ordered anew, three times in all.
    ///
    /// Dropped while it waits, it leaves the job to the provider.
    ///
    /// # Errors
    ///
    /// What the provider refuses; [`ErrorKind::Unavailable`] if no job came to its end; [`ErrorKind::InvalidData`] if it is
    /// not said where the records are.
    pub(crate) async fn run(&self, shared: &Shared, scope: &Scope) -> Result<Option<Job>> {
        let mut attempt = 1;
        loop {
            let answer = self.create.send(shared, scope, None, Parts::default()).await?;
            let created = answer_value(&answer);
            drop(answer);
            let within = scope.clone().with("creation_response", created.clone());
            let outcome = self.wait(shared, &within).await;
            let (state, polled) = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    self.abort(shared, &within).await;
                    return Err(error);
                }
            };
            match state {
                State::Completed => return self.done(shared, &within, created, polled).await,
                State::Skipped => return Ok(None),
                State::TimedOut => self.abort(shared, &within).await,
                State::Failed | State::Running => {}
            }
            if attempt >= ATTEMPTS {
                let reason = if state == State::Failed {
                    "the provider cannot prepare the records: its job failed"
                } else {
                    "the provider does not prepare the records in time"
                };
                return Err(Error::new(ErrorKind::Unavailable, reason)
                    .with_context("attempts", attempt)
                    .with_retry(Retry::Backoff));
            }
            if state == State::Failed && !self.pause.is_zero() {
                shared.transport.wait(self.pause, false).await;
            }
            attempt += 1;
        }
    }

    /// Removes a job whose records were fetched. They are here: what the provider keeps is no reason to lose them.
    pub(crate) async fn delete(&self, shared: &Shared, scope: &Scope) {
        if let Some(delete) = &self.delete
            && let Err(error) = delete.send(shared, scope, None, Parts::default()).await
        {
            tracing::warn!(%error, "a job stays at the provider that is not needed any more");
        }
    }

    async fn abort(&self, shared: &Shared, scope: &Scope) {
        if let Some(abort) = &self.abort
            && let Err(error) = abort.send(shared, scope, None, Parts::default()).await
        {
            tracing::warn!(%error, "a job goes on at the provider that was given up");
        }
    }

    /// Asks until the job is in a state that lasts.
    async fn wait(&self, shared: &Shared, scope: &Scope) -> Result<(State, Answer)> {
        let started = shared.clock.now();
        let (mut pause, mut waited) = (Duration::from_secs(1), Duration::ZERO);
        loop {
            let answer = self.poll.send(shared, scope, None, Parts::default()).await?;
            let state = self.state(&answer, scope)?;
            if state != State::Running {
                return Ok((state, answer));
            }
            // A clock that is set back must not keep it waiting for ever.
            let took = (shared.clock.now() - started).to_std().unwrap_or_default().max(waited);
            if took >= self.limit {
                return Ok((State::TimedOut, answer));
            }
            drop(answer);
            shared.transport.wait(pause, false).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn state(&self, answer: &Answer, scope: &Scope) -> Result<State> {
        let unknown = || Error::new(ErrorKind::InvalidData, "the provider does not say how its job stands");
        let found = self.state.select(answer, scope)?;
        let word = python_str(&found.items.first().ok_or_else(unknown)?.value()?);
        self.states.get(&word).copied().ok_or_else(|| {
            let error = Error::new(ErrorKind::InvalidData, "a job is in a state that the manifest does not know");
            let plain =
                word.len() <= MAX_WORD && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            if plain { error.with_context("state", word) } else { error }
        })
    }

    async fn done(&self, shared: &Shared, scope: &Scope, created: Value, answer: Answer) -> Result<Option<Job>> {
        let polled = answer_value(&answer);
        let mut others = VecDeque::new();
        match &self.targets {
            // One download, of an address that the manifest knows.
            None => others.push_back(Value::from("")),
            Some(targets) => {
                let scope = scope.clone().with("polling_response", polled.clone());
                let answer = match &self.find {
                    Some(find) => {
                        // Whoever waits for a share of memory must hold none.
                        drop(answer);
                        find.send(shared, &scope, None, Parts::default()).await?
                    }
                    None => answer,
                };
                let found = targets.select(&answer, &scope)?;
                if found.missing {
                    let reason = "the answer has nothing where the manifest looks for what a job prepared";
                    return Err(Error::new(ErrorKind::InvalidData, reason));
                }
                for item in &found.items {
                    others.push_back(item.value()?);
                }
            }
        }
        let Some(target) = others.pop_front() else {
            self.delete(shared, scope).await;
            return Ok(None);
        };
        Ok(Some(Job { created, polled, target, others }))
    }
}

/// What an answer says, for templates: its members, and its headers beside them.
fn answer_value(answer: &Answer) -> Value {
    let mut members: BTreeMap<String, Value> =
        match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&answer.body) {
            Ok(members) => members.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
            Err(_) => BTreeMap::new(),
        };
    members.entry("headers".to_owned()).or_insert_with(|| headers_value(&answer.headers, false));
    members.into()
}

fn states(component: &Component<'_>) -> Result<HashMap<String, State>> {
    if component.get("class_name").is_some() {
        return Err(component.unknown());
    }
    let mut states = HashMap::new();
    for (name, state) in [
        ("running", State::Running),
        ("completed", State::Completed),
        ("failed", State::Failed),
        ("timeout", State::TimedOut),
        ("skipped", State::Skipped),
    ] {
        for word in component.get(name).and_then(serde_json::Value::as_array).into_iter().flatten() {
            let word = word.as_str().map_or_else(|| python_str(&value_of(word)), str::to_owned);
            if states.insert(word, state).is_some_and(|known| known != state) {
                return Err(component.wrong("a state of a job means two things"));
            }
        }
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use async_trait::async_trait;
    use saas_backup_core::ManualClock;

    use super::*;
    use crate::request::{Cache, Outgoing, Transport};
    use crate::shared::{Hosts, KeepSetting};

    /// A provider whose job is in one state after the other, and at last stays in one.
    #[derive(Debug)]
    struct Provider {
        states: Mutex<VecDeque<&'static str>>,
        asked: Mutex<Vec<String>>,
        clock: Arc<ManualClock>,
    }

    #[async_trait]
    impl Transport for Provider {
        async fn send(&self, request: &Outgoing) -> Result<Answer> {
            let line = format!("{} {}", request.method, request.url.path());
            let body = if line.starts_with("GET") {
                let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
                let state = if states.len() > 1 { states.pop_front() } else { states.front().copied() };
                json!({ "state": state, "links": ["a", "b"] })
            } else {
                json!({ "id": 7 })
            };
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            let body = serde_json::to_vec(&body)?.into();
            Ok(Answer { status: 200, headers: http::HeaderMap::new(), body, permit: None })
        }

        async fn wait(&self, duration: Duration, _: bool) {
            self.clock.advance(duration);
            let line = format!("wait {}", duration.as_secs());
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    impl KeepSetting for Provider {
        fn keep(&self, _: &[String], _: &str) -> Result<Value> {
            Err(Error::new(ErrorKind::Unsupported, "nothing is kept"))
        }
    }

    /// What a run gives, and what was asked and waited for.
    async fn run(states: &[&'static str]) -> (Result<Option<Job>>, Vec<String>) {
        let clock = Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH));
        let states = Mutex::new(states.iter().copied().collect());
        let provider = Arc::new(Provider { states, asked: Mutex::default(), clock: Arc::clone(&clock) });
        let shared = Arc::new(Shared {
            config: value_of(&json!({ "minutes": 1 })),
            clock,
            transport: Arc::clone(&provider) as Arc<dyn Transport>,
            cache: Cache::default(),
            hosts: Hosts::These(std::collections::BTreeSet::new()),
            settings: Arc::clone(&provider) as Arc<dyn KeepSetting>,
            replaced: Mutex::default(),
        });
        let requester = |method: &str| json!({ "type": "HttpRequester", "url_base": "https://a.example", "path": "jobs/{{ creation_response.id }}", "http_method": method, "use_cache": true });
        let mut create = requester("POST");
        create["path"] = "jobs".into();
        let retriever = json!({
            "type": "AsyncRetriever",
            "creation_requester": create,
            "polling_requester": requester("GET"),
            "abort_requester": requester("DELETE"),
            "status_extractor": { "type": "DpathExtractor", "field_path": ["state"] },
            "download_target_extractor": { "type": "DpathExtractor", "field_path": ["links"] },
            "polling_job_timeout": "{{ config['minutes'] }}",
            "failed_retry_wait_time_in_seconds": 30,
            "status_mapping": { "running": ["going"], "completed": ["done"], "failed": ["broken"], "timeout": ["late"], "skipped": ["empty"] },
        });
        let jobs = Jobs::build(&Component::made(&retriever, ""), &shared).unwrap();
        let outcome = jobs.run(&shared, &shared.scope()).await;
        let asked = provider.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (outcome, asked)
    }

    #[tokio::test]
    async fn a_job_is_asked_about_until_it_is_done() {
        let (job, asked) = run(&["going", "going", "done"]).await;
        assert_eq!(asked, ["POST /jobs", "GET /jobs/7", "wait 1", "GET /jobs/7", "wait 2", "GET /jobs/7"]);
        let mut job = job.unwrap().unwrap();
        assert_eq!(job.target.as_str(), Some("a"));
        assert!(job.advance());
        assert_eq!(job.target.as_str(), Some("b"));
        assert!(!job.advance());
    }

    #[tokio::test]
    async fn a_job_that_fails_is_ordered_three_times_in_all() {
        let (job, asked) = run(&["broken"]).await;
        let error = job.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Backoff));
        assert_eq!(
            asked,
            [
                "POST /jobs",
                "GET /jobs/7",
                "wait 30",
                "POST /jobs",
                "GET /jobs/7",
                "wait 30",
                "POST /jobs",
                "GET /jobs/7"
            ]
        );
        let (job, _) = run(&["broken", "broken", "done"]).await;
        assert!(job.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_job_that_takes_too_long_is_given_up() {
        let (job, asked) = run(&["going"]).await;
        assert!(job.unwrap_err().to_string().contains("in time"));
        assert_eq!(asked.iter().filter(|one| *one == "POST /jobs").count(), 3);
        assert_eq!(asked.iter().filter(|one| *one == "DELETE /jobs/7").count(), 3);
        let waited = asked.iter().filter_map(|one| one.strip_prefix("wait ")?.parse::<u64>().ok());
        assert!((180..=195).contains(&waited.sum::<u64>()), "{asked:?}");
        let (job, asked) = run(&["late", "done"]).await;
        assert!(job.unwrap().is_some());
        assert_eq!(asked[2], "DELETE /jobs/7", "the provider's own word for it counts, too");
    }

    #[tokio::test]
    async fn a_job_without_records_gives_none_and_one_in_an_unknown_state_is_an_error() {
        assert!(run(&["empty"]).await.0.unwrap().is_none());
        let (job, asked) = run(&["hologram"]).await;
        let error = job.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("hologram"), "{error}");
        assert_eq!(asked.last().map(String::as_str), Some("DELETE /jobs/7"), "it does not go on for nobody");
    }
}
