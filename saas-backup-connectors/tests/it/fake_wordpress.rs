//! The list controller of the WordPress REST API in memory, with its quirks, and with faults on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::server::serve;
use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};

/// What happens instead of, or before, the answer to the request with this number (of lists of posts, from 0).
pub(crate) enum Fault {
    /// The site answers with this status.
    Status(u16),
    /// Posts are deleted before the request is answered.
    Delete(Vec<u64>),
    /// The answer breaks off in its middle.
    Cut,
}

#[derive(Default)]
pub(crate) struct Content {
    pub(crate) posts: BTreeMap<u64, Value>,
    /// Posts that count and are not shown.
    pub(crate) hidden: Vec<u64>,
    pub(crate) faults: BTreeMap<usize, Fault>,
    /// Requests for lists of posts.
    pub(crate) lists: Vec<String>,
    /// What `X-WP-Total` says instead of the truth.
    pub(crate) total: Option<u64>,
    pub(crate) passes_offset_over: bool,
    /// Every list answers this.
    pub(crate) refuses: Option<u16>,
    /// What the site calls its own time.
    pub(crate) now: String,
    /// Requests that write, and what they sent.
    pub(crate) writes: Vec<(String, Value)>,
    /// This write lands, and its answer does not arrive.
    pub(crate) loses_answer_to: Option<usize>,
    /// Where the site is, by its own word.
    pub(crate) home: String,
}

#[derive(Clone, Default)]
pub(crate) struct FakeWordPress(Arc<Mutex<Content>>);

impl FakeWordPress {
    /// A site with posts of these ids.
    pub(crate) fn with_posts(ids: impl IntoIterator<Item = u64>) -> Self {
        let fake = Self::default();
        fake.set_time("Sat, 01 Jun 2024 12:00:00 GMT");
        for id in ids {
            fake.put(id, "2024-05-01T00:00:00", "publish");
        }
        fake
    }

    pub(crate) fn put(&self, id: u64, modified: &str, status: &str) {
        let post = json!({
            "id": id, "date_gmt": "2024-05-01T00:00:00", "modified_gmt": modified, "status": status, "type": "post",
            "title": {"raw": format!("Post {id}")}, "content": {"raw": "text"}, "author": 0, "slug": format!("post-{id}"),
        });
        self.lock().posts.insert(id, post);
    }

    pub(crate) fn set_time(&self, now: &str) {
        now.clone_into(&mut self.lock().now);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    pub(crate) async fn start(&self, page_size: u32) -> WordPress {
        let url = serve(Router::new().fallback(answer).with_state(self.clone())).await;
        if self.lock().home.is_empty() {
            url.as_str().trim_end_matches('/').clone_into(&mut self.lock().home);
        }
        let config = WordPressConfig::new(url, "admin", "secret words")
            .with_private_addresses(true)
            .with_requests_per_second(100_000.0)
            .with_page_size(page_size);
        WordPress::new(&config).unwrap()
    }
}

async fn answer(
    State(fake): State<FakeWordPress>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    if method != Method::GET {
        return write(&fake, &method, uri.path(), &body);
    }
    let date = fake.lock().now.clone();
    let body = match uri.path().trim_start_matches("/wp-json").trim_end_matches('/') {
        "" => {
            let home = fake.lock().home.clone();
            json!({"name": "Fake", "url": home, "home": home, "namespaces": ["wp/v2"]})
        }
        "/wp/v2/users/me" => json!({"id": 1, "roles": ["administrator"], "capabilities": {
            "edit_posts": true, "edit_others_posts": fake.lock().hidden.is_empty(), "read_private_posts": true,
            "moderate_comments": true, "list_users": true, "manage_options": true, "edit_theme_options": true,
        }}),
        "/wp/v2/types" => {
            json!({"post": {"slug": "post", "name": "Posts", "rest_base": "posts", "supports": {"title": true}}})
        }
        "/wp/v2/posts" => return posts(&fake, uri.query().unwrap_or_default(), &query, &date),
        path if path.starts_with("/wp/v2/posts/") => {
            let id: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
            match fake.lock().posts.get(&id) {
                Some(post) => post.clone(),
                None => {
                    return (StatusCode::NOT_FOUND, json!({"code": "rest_post_invalid_id"}).to_string())
                        .into_response();
                }
            }
        }
        "/wp/v2/settings" => json!({"title": "Fake"}),
        "/wp/v2/taxonomies" | "/wp/v2/menu-locations" => json!({}),
        path if path.matches('/').count() > 3 => {
            return (StatusCode::NOT_FOUND, json!({"code": "rest_not_found"}).to_string()).into_response();
        }
        _ => json!([]),
    };
    reply(&body, body.as_array().map_or(0, Vec::len) as u64, &date)
}

fn reply(body: &Value, total: u64, date: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json; charset=UTF-8".to_owned()),
        (header::DATE, date.to_owned()),
        (header::HeaderName::from_static("x-wp-total"), total.to_string()),
    ];
    (headers, body.to_string()).into_response()
}

fn posts(fake: &FakeWordPress, text: &str, query: &BTreeMap<String, String>, date: &str) -> Response {
    let mut site = fake.lock();
    let number = site.lists.len();
    site.lists.push(text.to_owned());
    if let Some(status) = site.refuses {
        return (StatusCode::from_u16(status).unwrap(), json!({"code": "rest_forbidden_context"}).to_string())
            .into_response();
    }
    let mut cut = false;
    match site.faults.remove(&number) {
        Some(Fault::Status(status)) => {
            return (StatusCode::from_u16(status).unwrap(), [(header::RETRY_AFTER, "0")], "{}").into_response();
        }
        Some(Fault::Delete(ids)) => site.posts.retain(|id, _| !ids.contains(id)),
        Some(Fault::Cut) => cut = true,
        None => {}
    }
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<usize>().ok());
    let include: Option<Vec<u64>> =
        query.get("include").map(|ids| ids.split(',').filter_map(|id| id.parse().ok()).collect());
    let after = |name: &str, member: &str, post: &Value| {
        query.get(name).is_none_or(|limit| post[member].as_str().unwrap() > limit.trim_end_matches('Z'))
    };
    let slug = |post: &Value| query.get("slug").is_none_or(|slug| post["slug"] == slug.as_str());
    let mut rows: Vec<(u64, Value)> = site
        .posts
        .iter()
        .filter(|(id, post)| {
            include.as_ref().is_none_or(|ids| ids.contains(id))
                && slug(post)
                && after("modified_after", "modified_gmt", post)
                && after("after", "date_gmt", post)
        })
        .map(|(id, post)| (*id, post.clone()))
        .collect();
    if query.get("order").is_some_and(|order| order == "desc") {
        rows.reverse();
    }
    let offset = if site.passes_offset_over { 0 } else { number("offset").unwrap_or(0) };
    // Behind the end WordPress counts nothing at all.
    let total = if offset >= rows.len() { 0 } else { rows.len() as u64 };
    let page: Vec<Value> = rows
        .into_iter()
        .skip(offset)
        .take(number("per_page").unwrap_or(10))
        .filter(|(id, _)| !site.hidden.contains(id))
        .map(
            |(id, post)| {
                if query.get("_fields").is_some_and(|fields| fields == "id") { json!({"id": id}) } else { post }
            },
        )
        .collect();
    if cut {
        let text = Value::Array(page).to_string();
        let headers =
            [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, text.len().to_string())];
        let half = text.as_bytes()[..text.len() / 2].to_vec();
        let body = axum::body::Body::from_stream(futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]));
        return (headers, body).into_response();
    }
    reply(&Value::Array(page), site.total.unwrap_or(total), date)
}

/// Makes, changes or deletes a post as the posts controller does.
fn write(fake: &FakeWordPress, method: &Method, path: &str, body: &[u8]) -> Response {
    let mut site = fake.lock();
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let number = site.writes.len();
    site.writes.push((format!("{method} {path}"), sent.clone()));
    if sent["status"] == "trash" {
        let refusal = json!({"code": "rest_invalid_param", "data": {"params": {"status": "not one of"}}});
        return (StatusCode::BAD_REQUEST, refusal.to_string()).into_response();
    }
    let id = path.trim_start_matches("/wp-json/wp/v2/posts").trim_matches('/').parse().ok();
    let id: u64 = id.unwrap_or_else(|| site.posts.keys().last().copied().unwrap_or(900) + 1);
    let home = site.home.clone();
    let post = site.posts.entry(id).or_insert_with(
        || json!({"id": id, "type": "post", "modified_gmt": "2024-06-01T12:00:00", "date_gmt": "2024-06-01T12:00:00"}),
    );
    for (name, value) in sent.as_object().into_iter().flatten() {
        let is_text = matches!(name.as_str(), "title" | "content" | "excerpt");
        post[name] = if is_text { json!({"raw": value}) } else { value.clone() };
    }
    if *method == Method::DELETE {
        post["status"] = "trash".into();
    }
    post["link"] = format!("{home}/{}/", post["slug"].as_str().unwrap_or_default()).into();
    let post = post.clone();
    if site.loses_answer_to == Some(number) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    reply(&post, 1, "Sat, 01 Jun 2024 12:00:00 GMT")
}
