//! What is wrong with the protection of a source, by what is known of its runs.

use std::fmt;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use saas_backup_core::{CollectionName, Period, RunStatus};

use crate::alert::{Alert, Condition};

/// A run that begins this much later than planned was missed.
const PUNCTUAL: TimeDelta = TimeDelta::minutes(5);

/// Collections that an alert names.
const NAMED: usize = 10;

/// What is known of a source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// Its name.
    pub source: String,
    /// How old the newest complete copy may be.
    pub rpo: Option<Period>,
    /// How the last run ended, when, and why.
    pub last: Option<LastOutcome>,
    /// When the last run began that left nothing out.
    pub complete_as_of: Option<DateTime<Utc>>,
    /// When the next run was to start; `None` without a schedule, and while one is at work.
    pub starts: Option<DateTime<Utc>>,
    /// Collections of which the account shows less than before, and since when.
    pub hidden: Option<(DateTime<Utc>, Vec<CollectionName>)>,
    /// What is known of rehearsed restores.
    pub drill: ProofFacts,
}

/// What is known of what proves that the copies are good.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ProofFacts {
    /// When the last one ended, and why it did not pass; `None` within for one that passed.
    pub last: Option<(DateTime<Utc>, Option<String>)>,
    /// When the last one ended that passed.
    pub passed: Option<DateTime<Utc>>,
    /// How old that one may be; `None` if nobody asks for any.
    pub max_age: Option<Period>,
}

/// What is known of work besides backups: verifying, maintaining, copying to a replica.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChoreFacts {
    /// The name of its job, which is the beginning of the keys of its alerts.
    pub name: String,
    /// What it means when it does not pass.
    pub condition: Condition,
    /// What it is, for people: "verification".
    pub what: String,
    /// The command that does it.
    pub command: String,
    /// How it ended.
    pub proof: ProofFacts,
}

impl ChoreFacts {
    /// Work of which nothing is known yet.
    pub fn new(
        name: impl Into<String>,
        condition: Condition,
        what: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        let proof = ProofFacts::default();
        Self { name: name.into(), condition, what: what.into(), command: command.into(), proof }
    }
}

/// That a job did not begin when it was to start, if that is so at a time. `starts` is `None` without a schedule, and while it
/// is at work.
pub fn assess_start(job: &str, starts: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Alert> {
    let starts = starts.filter(|starts| now - *starts > PUNCTUAL)?;
    let summary = format!("{job}: a run that was due at {} did not begin", starts.trunc_subsecs(0));
    let alert = Alert::new(format!("{job}/{}", Condition::Missed), Condition::Missed, summary, starts);
    Some(alert.with_advice("See that `saas-backup serve` is at work on the machine."))
}

/// What is wrong with work besides backups at a time: it did not pass, or the last time that it did is too long ago.
pub fn assess_chore(facts: &ChoreFacts, now: DateTime<Utc>) -> Option<Alert> {
    let ChoreFacts { name, condition, what, command, proof, .. } = facts;
    let alert = |since, summary: String| Alert::new(format!("{name}/{condition}"), *condition, summary, since);
    if let Some((ended, Some(why))) = &proof.last {
        let summary = format!("the last {what} did not pass: {}", first_line(why));
        return Some(alert(*ended, summary).with_advice(format!("Run `{command}`; it says what is wrong.")));
    }
    let (passed, max_age) = (proof.passed?, proof.max_age?);
    let limit = TimeDelta::from_std(max_age.0).unwrap_or(TimeDelta::MAX);
    let since = passed.checked_add_signed(limit).filter(|since| now > *since)?;
    let summary = format!("the last {what} that passed is older than {max_age}");
    Some(alert(since, summary).with_advice(format!("Run `{command}`.")))
}

/// How a run ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastOutcome {
    /// The worst thing that is true of it.
    pub status: RunStatus,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// One line for a person.
    pub message: Option<String>,
}

impl LastOutcome {
    /// A run that ended so.
    pub fn new(status: RunStatus, finished: DateTime<Utc>, message: Option<String>) -> Self {
        Self { status, finished, message }
    }
}

impl Facts {
    /// A source of which nothing is known yet.
    pub fn new(source: impl Into<String>) -> Self {
        let (rpo, last, complete_as_of, starts, hidden, drill) = Default::default();
        Self { source: source.into(), rpo, last, complete_as_of, starts, hidden, drill }
    }
}

/// What is wrong with a source at a time; nothing if all is as it should be.
///
/// A copy is late when it is older than the objective: its age counts from when the last run *began* that left nothing out,
/// for what changed in the account since then is not in it. Where no run was complete yet, only a run that ended
/// otherwise makes it late.
pub fn assess(facts: &Facts, now: DateTime<Utc>) -> Vec<Alert> {
    let mut found = Vec::new();
    let source = &facts.source;
    let alert = |condition: Condition, since, summary: fmt::Arguments<'_>| {
        Alert::new(format!("{source}/{condition}"), condition, format!("{source}: {summary}"), since)
            .with_source(source)
    };
    if let Some(last) = &facts.last {
        let why = last.message.as_deref().map_or(String::new(), |why| format!(": {}", first_line(why)));
        let ended = match last.status {
            RunStatus::Failed => Some(
                alert(Condition::Failed, last.finished, format_args!("the last run failed{why}"))
                    .with_advice(format!("Run `saas-backup check {source}`, then `saas-backup backup {source}`.")),
            ),
            RunStatus::Incomplete => Some(
                alert(Condition::Incomplete, last.finished, format_args!("the last run left something out{why}"))
                    .with_advice(format!("`saas-backup completeness {source}` says what is missing, and why.")),
            ),
            RunStatus::NeedsReview => Some(
                alert(
                    Condition::NeedsReview,
                    last.finished,
                    format_args!("so much was deleted at the provider that the last run stopped"),
                )
                .with_advice(format!(
                    "Look at `saas-backup completeness {source}`; if the deletions are meant, `saas-backup backup {source} --accept-deletions`."
                )),
            ),
            _ => None,
        };
        found.extend(ended);
    }
    found.extend(assess_start(source, facts.starts, now).map(|missed| missed.with_source(source)));
    if let Some(rpo) = facts.rpo {
        let limit = TimeDelta::from_std(rpo.0).unwrap_or(TimeDelta::MAX);
        let late = match (facts.complete_as_of, &facts.last) {
            (Some(at), _) if now - at > limit => {
                let age = Period((now - at).to_std().unwrap_or_default().max(rpo.0));
                Some((
                    at.checked_add_signed(limit).unwrap_or(now),
                    format!("the newest complete copy is {} old", coarse(age)),
                ))
            }
            (None, Some(last)) if last.status != RunStatus::Complete => {
                Some((last.finished, "there is no complete copy yet".to_owned()))
            }
            _ => None,
        };
        found.extend(late.map(|(since, what)| {
            alert(Condition::Late, since, format_args!("{what}; the objective is {rpo}"))
                .with_advice(format!(
                    "Run `saas-backup backup {source}`; `saas-backup status` says what stands in the way."
                ))
                .with_detail("objective", rpo)
        }));
    }
    if let Some((since, collections)) = &facts.hidden {
        let names: Vec<&str> = collections.iter().map(CollectionName::as_str).take(NAMED).collect();
        let more = collections.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        found.push(
            alert(Condition::Coverage, *since, format_args!("less is visible than before: {}{more}", names.join(", ")))
                .with_advice(format!(
                    "Look at `saas-backup check {source}`, and give the credentials back what they could read; if less is \
                     meant, `saas-backup backup {source} --accept-coverage`."
                )),
        );
    }
    let command = format!("saas-backup drill {source}");
    let mut drill = ChoreFacts::new(source, Condition::Drill, "rehearsed restore", command);
    drill.proof = facts.drill.clone();
    found.extend(assess_chore(&drill, now).map(|wrong| {
        let summary = format!("{source}: {}", wrong.summary);
        Alert { summary, ..wrong }.with_source(source)
    }));
    found
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// An age to the minute: a summary that changed every second would be new every time.
fn coarse(age: Period) -> Period {
    let seconds = age.0.as_secs();
    Period(std::time::Duration::from_secs(if seconds < 60 { seconds } else { seconds - seconds % 60 }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn conditions(facts: &Facts, now: i64) -> Vec<(Condition, i64)> {
        let since = |alert: Alert| (alert.condition, (alert.since - DateTime::UNIX_EPOCH).num_minutes());
        assess(facts, at(now)).into_iter().map(since).collect()
    }

    #[test]
    fn an_objective_is_missed_from_when_the_newest_complete_copy_became_too_old() {
        let mut facts = Facts::new("blog");
        facts.rpo = Some(Period(Duration::from_hours(1)));
        assert_eq!(conditions(&facts, 500), [], "nothing is known: it may never have been asked to run");
        facts.complete_as_of = Some(at(100));
        assert_eq!(conditions(&facts, 160), []);
        assert_eq!(conditions(&facts, 161), [(Condition::Late, 160)]);
        facts.complete_as_of = None;
        facts.last = Some(LastOutcome::new(RunStatus::Incomplete, at(90), None));
        assert_eq!(conditions(&facts, 91), [(Condition::Incomplete, 90), (Condition::Late, 90)]);
    }

    #[test]
    fn how_the_last_run_ended_is_told_until_a_better_one() {
        let mut facts = Facts::new("blog");
        for (status, condition) in [
            (RunStatus::Failed, Some(Condition::Failed)),
            (RunStatus::Incomplete, Some(Condition::Incomplete)),
            (RunStatus::NeedsReview, Some(Condition::NeedsReview)),
            (RunStatus::Cancelled, None),
            (RunStatus::Complete, None),
        ] {
            facts.last = Some(LastOutcome::new(status, at(7), Some("no such host\nbacktrace".into())));
            let found = assess(&facts, at(8));
            assert_eq!(found.first().map(|alert| alert.condition), condition);
            assert!(found.iter().all(|alert| !alert.summary.contains("backtrace") && !alert.advice.is_empty()));
        }
    }

    #[test]
    fn what_is_not_visible_any_more_is_told_by_name() {
        let mut facts = Facts::new("blog");
        let names: Vec<String> = (10..22).map(|number| format!("c{number}")).collect();
        let names = names.iter().map(|name| CollectionName::parse(name).unwrap()).collect();
        facts.hidden = Some((at(5), names));
        let [alert] = assess(&facts, at(9)).try_into().unwrap();
        assert_eq!((alert.condition, alert.since), (Condition::Coverage, at(5)));
        assert!(alert.summary.ends_with("c18, c19 and 2 more"), "{}", alert.summary);
    }

    #[test]
    fn what_proves_the_copies_fails_or_grows_old() {
        let found = |proof: &ProofFacts, now| {
            let mut facts = Facts::new("blog");
            facts.drill = proof.clone();
            let mut chore = ChoreFacts::new("(verify)", Condition::Verification, "verification", "saas-backup verify");
            chore.proof = proof.clone();
            let [source, chore] = [assess(&facts, at(now)), assess_chore(&chore, at(now)).into_iter().collect()];
            let since = |alerts: &[Alert]| {
                alerts.iter().map(|alert| (alert.since - DateTime::UNIX_EPOCH).num_minutes()).collect::<Vec<_>>()
            };
            assert_eq!(since(&source), since(&chore));
            let keys: Vec<String> = source.iter().chain(&chore).map(|alert| alert.key.clone()).collect();
            assert!(keys.is_empty() || keys == ["blog/drill", "(verify)/verification"], "{keys:?}");
            since(&source)
        };
        let mut proof = ProofFacts { max_age: Some(Period(Duration::from_hours(1))), ..ProofFacts::default() };
        assert_eq!(found(&proof, 500), [0; 0], "whether one began that was due is told otherwise");
        (proof.last, proof.passed) = (Some((at(10), None)), Some(at(10)));
        assert_eq!(found(&proof, 70), [0; 0]);
        assert_eq!(found(&proof, 71), [70]);
        proof.last = Some((at(50), Some("3 of 5 records did not come back".into())));
        assert_eq!(found(&proof, 51), [50]);
        assert_eq!(found(&proof, 500), [50], "one alert, however much is wrong");
    }

    #[test]
    fn work_that_does_not_begin_is_missed() {
        assert_eq!(assess_start("(maintain)", Some(at(10)), at(15)), None);
        let alert = assess_start("(maintain)", Some(at(10)), at(16)).unwrap();
        assert_eq!((alert.key.as_str(), alert.since), ("(maintain)/missed", at(10)));
    }

    #[test]
    fn a_run_that_does_not_begin_is_missed() {
        let mut facts = Facts::new("blog");
        facts.starts = Some(at(10));
        assert_eq!(conditions(&facts, 15), []);
        assert_eq!(conditions(&facts, 16), [(Condition::Missed, 10)]);
    }
}
