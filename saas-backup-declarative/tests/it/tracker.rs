//! A small tracker on loopback: projects by pages, tasks of each project by cursors, files.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use serde_json::{Value, json};

const MANIFEST: &str = include_str!("tracker.yaml");

const OVERLAY: &str = r"
collections:
  tasks:
    kind: issue
    fields: { title: title }
    record:
      archived: done
      by: { path: project, to: projects }
      blobs: [{ url: files.*.url, name: files.*.name }]
";

/// What the tracker holds, what it was asked, and what goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    pub(crate) projects: Vec<u64>,
    /// Tasks by project: id, time of change, file.
    pub(crate) tasks: BTreeMap<u64, BTreeMap<u64, (String, Option<String>)>>,
    pub(crate) asked: Vec<String>,
    /// How often the next requests are refused, and how.
    pub(crate) refusals: Vec<u16>,
    /// Projects whose tasks nobody may see.
    pub(crate) hidden: Vec<u64>,
    /// Whether answers lack the list of tasks.
    pub(crate) empty_answers: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Tracker>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tracker> {
        self.0.lock().unwrap()
    }

    /// A tracker of some projects with so many tasks each.
    pub(crate) fn with(projects: u64, tasks: u64) -> Self {
        let shared = Self::default();
        for project in 1..=projects {
            shared.lock().projects.push(project);
            for task in 1..=tasks {
                shared.put(project, task, &format!("2026-02-{:02}T00:00:00Z", task % 28 + 1), None);
            }
        }
        shared
    }

    pub(crate) fn put(&self, project: u64, task: u64, updated: &str, file: Option<&str>) {
        let file = file.map(str::to_owned);
        self.lock().tasks.entry(project).or_default().insert(task, (updated.to_owned(), file));
    }

    /// Starts it, and gives a connector to it with the manifest in a folder.
    pub(crate) async fn start(&self, folder: &std::path::Path) -> Declarative {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/projects", get(projects))
            .route("/projects/{project}/tasks", get(tasks))
            .route("/fields", get(fields))
            .route("/things", get(things))
            .route("/files/{name}", get(file))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let manifest = folder.join("source-tracker.yaml");
        std::fs::write(&manifest, MANIFEST).unwrap();
        std::fs::write(folder.join("source-tracker.overlay.yaml"), OVERLAY).unwrap();
        let options = Options::default().with_requests_per_second(10_000.0).with_private_addresses(true);
        let config = DeclarativeConfig::new(manifest)
            .with_setting("url", address)
            .with_setting("token", "canary-token")
            .with_options(options);
        Declarative::new(config).unwrap()
    }
}

fn refused(shared: &Shared, headers: &HeaderMap, what: String) -> Option<Response> {
    let mut tracker = shared.lock();
    tracker.asked.push(what);
    if headers.get("authorization").is_none_or(|value| value != "Bearer canary-token") {
        return Some(StatusCode::UNAUTHORIZED.into_response());
    }
    let status = tracker.refusals.pop()?;
    Some(StatusCode::from_u16(status).unwrap().into_response())
}

fn answer(shared: &Shared, data: &[Value], next: Option<u64>) -> Response {
    if shared.lock().empty_answers {
        return axum::Json(json!({ "status": "fine" })).into_response();
    }
    axum::Json(json!({ "data": data, "next": next })).into_response()
}

async fn projects(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    if let Some(refused) = refused(&shared, &headers, format!("projects {page}")) {
        return refused;
    }
    let data: Vec<Value> =
        shared.lock().projects.iter().skip((page - 1) * 2).take(2).map(|id| json!({ "id": id })).collect();
    axum::Json(json!({ "data": data })).into_response()
}

async fn tasks(
    State(shared): State<Shared>,
    Path(project): Path<u64>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let after: u64 = query.get("after").map_or(0, |after| after.parse().unwrap());
    let since = query.get("since").cloned().unwrap_or_default();
    if let Some(refused) = refused(&shared, &headers, format!("tasks {project} after {after} since {since}")) {
        return refused;
    }
    let held = shared.lock();
    if held.hidden.contains(&project) {
        return StatusCode::FORBIDDEN.into_response();
    }
    if !held.projects.contains(&project) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let host = headers.get("host").unwrap().to_str().unwrap();
    let wanted: Vec<(u64, Value)> = held
        .tasks
        .get(&project)
        .into_iter()
        .flatten()
        .filter(|(id, (updated, _))| **id > after && *updated >= since)
        .map(|(id, (updated, file))| {
            let files: Vec<Value> =
                file.iter().map(|name| json!({ "url": format!("http://{host}/files/{name}?signature=1"), "name": name })).collect();
            // Numbers and nulls as a provider may write them.
            (*id, json!({ "id": id, "title": format!("Task {id}"), "updated": updated, "done": id % 2 == 0, "none": null, "files": files }))
        })
        .collect();
    drop(held);
    let next = (wanted.len() > 3).then(|| wanted[2].0);
    let page: Vec<Value> = wanted.into_iter().take(3).map(|(_, task)| task).collect();
    answer(&shared, &page, next)
}

async fn fields() -> Response {
    axum::Json(json!({ "data": [{ "name": "a" }, { "name": "b" }, { "name": "c" }] })).into_response()
}

/// Gives the fields that are asked for, and no others.
async fn things(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let wanted = query.get("fields").cloned().unwrap_or_default();
    if let Some(refused) = refused(&shared, &headers, format!("things {wanted}")) {
        return refused;
    }
    let thing = |id: u64| {
        let values: BTreeMap<&str, String> = wanted.split(',').map(|name| (name, format!("{name}{id}"))).collect();
        json!({ "id": id, "values": values })
    };
    axum::Json(json!({ "data": [thing(1), thing(2)] })).into_response()
}

async fn file(Path(name): Path<String>) -> Response {
    format!("the bytes of {name}").into_response()
}
