use url::Url;

/// An address as it may stand in a log: without user, password, query and fragment, any of which may be a secret.
///
/// ```
/// use saas_backup_http::without_secrets;
///
/// let url = "https://bot:hunter2@example.com/a/b?token=abc#x".parse().expect("a valid address");
/// assert_eq!(without_secrets(&url), "https://example.com/a/b");
/// ```
pub fn without_secrets(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}
