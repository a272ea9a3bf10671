//! Who is told what, along routes that fail and come back, and over restarts.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_ops::alert::{Action, Alert, Alerts, CommandRoute, Condition, Route, Signal};

/// What a receiver heard, in order, and whether it listens.
#[derive(Debug, Default)]
struct Receiver {
    heard: Vec<(String, Action, String)>,
    is_deaf: bool,
}

#[derive(Clone, Debug)]
struct TestRoute(&'static str, Arc<Mutex<Receiver>>);

impl TestRoute {
    fn new(name: &'static str) -> Self {
        Self(name, Arc::default())
    }

    fn set_deaf(&self, is_deaf: bool) {
        self.1.lock().unwrap().is_deaf = is_deaf;
    }

    fn heard(&self) -> Vec<(String, Action)> {
        self.1.lock().unwrap().heard.iter().map(|(key, action, _)| (key.clone(), *action)).collect()
    }
}

#[async_trait]
impl Route for TestRoute {
    fn name(&self) -> &str {
        self.0
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        let mut receiver = self.1.lock().unwrap();
        if receiver.is_deaf {
            return Err(Error::new(ErrorKind::Unavailable, "nobody is there"));
        }
        receiver.heard.push((signal.alert.key.clone(), signal.action, signal.id.clone()));
        Ok(())
    }
}

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn wrong(key: &str, since: i64) -> Alert {
    Alert::new(key, Condition::Failed, "the run failed", at(since))
}

fn open(folder: &tempfile::TempDir, routes: &[&TestRoute]) -> Alerts {
    Alerts::open(folder.path(), routes.iter().map(|route| Box::new((*route).clone()) as Box<dyn Route>).collect())
        .unwrap()
}

const TRIGGER: Action = Action::Trigger;
const RESOLVE: Action = Action::Resolve;

#[tokio::test]
async fn what_lasts_is_told_once_and_what_is_over_is_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let route = TestRoute::new("one");
    for minute in 0..3 {
        // A new process each time: what was told stands in the file.
        let told = open(&folder, &[&route]).tell(vec![wrong("blog/failed", minute)], at(minute)).await.unwrap();
        assert_eq!(told.len(), usize::from(minute == 0));
    }
    assert_eq!(Alerts::read(folder.path()).unwrap()[0].alert.since, at(0), "since it began");
    for minute in 3..5 {
        open(&folder, &[&route]).tell(Vec::new(), at(minute)).await.unwrap();
    }
    let key = "blog/failed".to_owned();
    assert_eq!(route.heard(), [(key.clone(), TRIGGER), (key.clone(), RESOLVE)]);
    open(&folder, &[&route]).tell(vec![wrong("blog/failed", 9)], at(9)).await.unwrap();
    let ids: BTreeSet<String> = route.1.lock().unwrap().heard.iter().map(|(_, _, id)| id.clone()).collect();
    assert_eq!((route.heard().len(), ids.len()), (3, 3), "what comes back is told anew, under an id of its own");
}

#[tokio::test]
async fn a_route_that_fails_is_told_along_the_others_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (deaf, other) = (TestRoute::new("deaf"), TestRoute::new("other"));
    deaf.set_deaf(true);
    let mut alerts = open(&folder, &[&deaf, &other]);
    let tried = alerts.tell(vec![wrong("blog/failed", 0)], at(0)).await.unwrap();
    assert_eq!(tried.iter().filter(|delivery| delivery.error.is_some()).count(), 1, "{tried:?}");
    let named = |key: &str, action| (key.to_owned(), action);
    assert_eq!(other.heard(), [named("blog/failed", TRIGGER), named("route/deaf", TRIGGER)]);
    // Not before its time, and not more often than that.
    for (minute, tries) in [(0, 0), (1, 1), (2, 0), (3, 1), (5, 0), (7, 1)] {
        let tried = alerts.tell(vec![wrong("blog/failed", 0)], at(minute)).await.unwrap();
        assert_eq!(tried.len(), tries, "{minute}");
    }
    deaf.set_deaf(false);
    alerts.tell(vec![wrong("blog/failed", 0)], at(60)).await.unwrap();
    assert_eq!(deaf.heard(), [named("blog/failed", TRIGGER)]);
    alerts.tell(vec![wrong("blog/failed", 0)], at(61)).await.unwrap();
    assert_eq!(other.heard().last(), Some(&named("route/deaf", RESOLVE)));
}

#[tokio::test]
async fn a_route_that_is_gone_fails_no_more_and_a_new_one_hears_what_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let (deaf, other, new) = (TestRoute::new("deaf"), TestRoute::new("other"), TestRoute::new("new"));
    deaf.set_deaf(true);
    let mut alerts = open(&folder, &[&deaf, &other]);
    alerts.tell(vec![wrong("blog/failed", 0)], at(0)).await.unwrap();
    let twice: Vec<Box<dyn Route>> = vec![Box::new(new.clone()), Box::new(new.clone())];
    assert_eq!(alerts.set_routes(twice).unwrap_err().kind(), ErrorKind::Configuration);
    alerts.set_routes(vec![Box::new(other.clone()), Box::new(new.clone())]).unwrap();
    alerts.tell(vec![wrong("blog/failed", 0)], at(1)).await.unwrap();
    assert_eq!(other.heard().last(), Some(&("route/deaf".to_owned(), RESOLVE)));
    assert_eq!(new.heard(), [("blog/failed".to_owned(), TRIGGER)]);
}

#[tokio::test]
async fn who_did_not_hear_that_it_began_need_not_hear_that_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let route = TestRoute::new("one");
    route.set_deaf(true);
    let mut alerts = open(&folder, &[&route]);
    alerts.tell(vec![wrong("blog/failed", 0)], at(0)).await.unwrap();
    route.set_deaf(false);
    assert!(alerts.tell(Vec::new(), at(60)).await.unwrap().is_empty());
    assert_eq!(route.heard(), []);
}

#[tokio::test]
async fn a_test_goes_along_every_route_and_is_not_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (deaf, other) = (TestRoute::new("deaf"), TestRoute::new("other"));
    deaf.set_deaf(true);
    let alerts = open(&folder, &[&deaf, &other]);
    let tried = alerts.try_routes(at(0)).await;
    let failed: Vec<&str> =
        tried.iter().filter(|delivery| delivery.error.is_some()).map(|delivery| delivery.route.as_str()).collect();
    assert_eq!((tried.len(), failed), (2, vec!["deaf"]));
    assert_eq!(other.heard(), [("test".to_owned(), TRIGGER), ("test".to_owned(), RESOLVE)]);
    assert!(Alerts::read(folder.path()).unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_what_lasts_is_told_anew() {
    let folder = tempfile::tempdir().unwrap();
    let route = TestRoute::new("one");
    open(&folder, &[&route]).tell(vec![wrong("blog/failed", 0)], at(0)).await.unwrap();
    std::fs::write(folder.path().join("alerts.json"), "{\"version\":1,").unwrap();
    assert_eq!(Alerts::read(folder.path()).unwrap_err().kind(), ErrorKind::InvalidData);
    open(&folder, &[&route]).tell(vec![wrong("blog/failed", 0)], at(1)).await.unwrap();
    assert_eq!(route.heard().len(), 2);
    std::fs::write(folder.path().join("alerts.json"), "{\"version\":2}").unwrap();
    let newer = Alerts::open(folder.path(), Vec::new()).unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::UnsupportedVersion);
}

#[tokio::test]
async fn two_routes_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let routes: Vec<Box<dyn Route>> = vec![Box::new(TestRoute::new("one")), Box::new(TestRoute::new("one"))];
    assert_eq!(Alerts::open(folder.path(), routes).unwrap_err().kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn a_program_gets_the_signal_and_says_by_its_exit_code_whether_it_took_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = format!("cat >'{}'", out.display());
    let program =
        |name: &str, script: &str| -> Box<dyn Route> { Box::new(CommandRoute::new(name, ["sh", "-c", script])) };
    let missing: Box<dyn Route> = Box::new(CommandRoute::new("missing", ["/no/such/program"]));
    let routes = vec![program("good", &script), program("bad", "exit 3"), missing];
    let mut alerts = Alerts::open(folder.path(), routes).unwrap();
    let alert = wrong("blog/failed", 0).with_source("blog").with_advice("Look.").with_detail("run", 7);
    let tried = alerts.tell(vec![alert], at(0)).await.unwrap();
    let errors: BTreeMap<&str, Option<&str>> = tried
        .iter()
        .filter(|delivery| delivery.key == "blog/failed")
        .map(|delivery| (delivery.route.as_str(), delivery.error.as_deref()))
        .collect();
    assert_eq!(errors["good"], None);
    assert!(errors["bad"].unwrap().contains("exit_code: 3"), "{errors:?}");
    assert!(errors["missing"].unwrap().contains("cannot be run"), "{errors:?}");
    let heard: serde_json::Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    // The last thing that it was told is that another route fails.
    assert_eq!((heard["action"].as_str(), heard["condition"].as_str()), (Some("trigger"), Some("route")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, each route that listens in the end has heard of each alert in turn that it began and that it was
    /// over, and of what lasts that it began.
    #[test]
    fn each_route_hears_in_order_and_in_the_end_all(
        steps in prop::collection::vec((prop::collection::btree_set(0..3_u8, 0..3), any::<[bool; 2]>(), any::<bool>()), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let routes = [TestRoute::new("one"), TestRoute::new("two")];
            let listen = |deaf: [bool; 2]| routes.iter().zip(deaf).for_each(|(route, deaf)| route.set_deaf(deaf));
            let both: Vec<&TestRoute> = routes.iter().collect();
            let mut alerts = open(&folder, &both);
            let (mut minute, mut last) = (0, BTreeSet::new());
            for (found, deaf, restarts) in steps {
                if restarts {
                    drop(alerts);
                    alerts = open(&folder, &both);
                }
                listen(deaf);
                minute += 1;
                let now: Vec<Alert> = found.iter().map(|key| wrong(&key.to_string(), minute)).collect();
                alerts.tell(now, at(minute)).await.unwrap();
                last = found;
            }
            listen([false; 2]);
            // Longer than any wait, and once more for what the waiting held up.
            for _ in 0..8 {
                minute += 120;
                let now = last.iter().map(|key| wrong(&key.to_string(), minute)).collect();
                alerts.tell(now, at(minute)).await.unwrap();
            }
            for route in &routes {
                let mut open_keys = BTreeSet::new();
                for (key, action) in route.heard() {
                    let in_turn = match action {
                        Action::Trigger => open_keys.insert(key.clone()),
                        _ => open_keys.remove(&key),
                    };
                    prop_assert!(in_turn, "{key} {action:?} {:?}", route.heard());
                }
                let lasting: BTreeSet<String> = last.iter().map(u8::to_string).collect();
                prop_assert_eq!(&open_keys, &lasting, "{:?}", route.heard());
            }
            Ok(())
        })?;
    }
}
