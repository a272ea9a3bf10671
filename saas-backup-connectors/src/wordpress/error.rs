use saas_backup_core::{Error, ErrorKind};
use serde::Deserialize;

use super::model::lenient;
use crate::http::{Failure, classify};

/// What WordPress says beside the status. The message is not read: it is translated, and may quote what was sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    #[serde(deserialize_with = "lenient")]
    data: RefusalData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RefusalData {
    #[serde(deserialize_with = "lenient")]
    params: serde_json::Map<String, serde_json::Value>,
}

/// The meaning of a refusal.
///
/// Codes are those of the REST API's controllers; a plugin's own code is kept as context, if it looks like one.
pub(super) fn from_response(failure: &Failure<'_>) -> Error {
    let refusal: Refusal = serde_json::from_slice(failure.body).unwrap_or_default();
    let code = refusal.code.as_str();
    let error = match code {
        // A user without the right to see other states is told that the parameter is wrong.
        "rest_invalid_param" if refusal.data.params.keys().any(|name| name == "status") => {
            denied("the user may not see records in every state", failure)
        }
        "rest_invalid_param" => Error::new(ErrorKind::InvalidData, "the site refuses a value")
            .with_context("fields", refusal.data.params.keys().cloned().collect::<Vec<_>>().join(" ")),
        "rest_not_logged_in" | "incorrect_password" | "invalid_username" | "invalid_email" => {
            Error::new(ErrorKind::Unauthenticated, "the site does not accept user name and application password")
        }
        "application_passwords_disabled" | "application_passwords_disabled_for_user" => {
            Error::new(ErrorKind::Unauthenticated, "the site does not allow application passwords")
        }
        // These come as 400 and as 500.
        "term_exists" | "menu_exists" | "existing_user_login" | "existing_user_email" | "comment_duplicate" => {
            Error::new(ErrorKind::Conflict, "the site has one like this already")
        }
        "rest_no_route" => Error::new(ErrorKind::NotFound, "the site does not offer this part of its interface"),
        "rest_upload_no_space" | "rest_upload_limited_space" => {
            Error::new(ErrorKind::StorageFull, "the site has no space left for files")
        }
        "rest_upload_sideload_error" | "rest_upload_unknown_error" => {
            Error::new(ErrorKind::InvalidData, "the site refuses a file of this type or size")
        }
        _ if code.starts_with("rest_cannot_") || code.starts_with("rest_forbidden") => {
            denied("the user does not have the right", failure)
        }
        _ => classify(failure),
    };
    if is_code(code) { error.with_context("code", code) } else { error }
}

fn denied(message: &'static str, failure: &Failure<'_>) -> Error {
    let kind = if failure.status.as_u16() == 401 { ErrorKind::Unauthenticated } else { ErrorKind::PermissionDenied };
    Error::new(kind, message)
}

fn is_code(code: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    !code.is_empty() && code.len() <= 64 && code.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Client;
    use axum::Router;
    use axum::http::StatusCode;

    /// Through the client, because only it makes a [`Failure`].
    async fn answer(status: u16, body: &'static str) -> Error {
        use crate::http::{Addresses, Authorization, ClientOptions, Request};
        let router = Router::new().fallback(move || async move { (StatusCode::from_u16(status).unwrap(), body) });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let options = ClientOptions::default()
            .with_attempts(1)
            .with_addresses(Addresses::new().with_private(true))
            .with_classify(from_response);
        let client = Client::new(base, Authorization::none(), options).unwrap();
        client.send(Request::get(client.base().clone())).await.unwrap_err()
    }

    #[tokio::test]
    async fn codes_say_more_than_statuses() {
        for (status, body, kind) in [
            (400, r#"{"code":"rest_invalid_param","data":{"params":{"status":"x"}}}"#, ErrorKind::PermissionDenied),
            (400, r#"{"code":"rest_invalid_param","data":{"params":{"slug":"x"}}}"#, ErrorKind::InvalidData),
            (401, r#"{"code":"rest_forbidden_context","data":{"status":401}}"#, ErrorKind::Unauthenticated),
            (403, r#"{"code":"rest_forbidden_context","data":{"status":403}}"#, ErrorKind::PermissionDenied),
            (500, r#"{"code":"existing_user_login","data":null}"#, ErrorKind::Conflict),
            (400, r#"{"code":"term_exists","data":{"status":400,"term_id":1}}"#, ErrorKind::Conflict),
            (404, r#"{"code":"rest_post_invalid_id","data":{"status":404}}"#, ErrorKind::NotFound),
            (500, r#"{"code":"internal_server_error","data":{}}"#, ErrorKind::Unavailable),
            (403, "<html>blocked by a firewall</html>", ErrorKind::PermissionDenied),
            (400, r#"{"code":"rest_upload_limited_space","data":[]}"#, ErrorKind::StorageFull),
        ] {
            assert_eq!(answer(status, body).await.kind(), kind, "{body}");
        }
    }

    #[tokio::test]
    async fn a_message_is_never_quoted() {
        let error = answer(400, r#"{"code":"Secret words","message":"you sent hunter2"}"#).await;
        assert!(!format!("{error} {error:?}").contains("hunter2") && !format!("{error:?}").contains("Secret"));
    }
}
