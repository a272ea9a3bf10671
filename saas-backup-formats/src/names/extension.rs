/// Cuts a file name into its stem and its extension with the dot; where it has none, the media type gives one.
pub(crate) fn split_extension<'a>(name: &'a str, media_type: Option<&str>) -> (&'a str, String) {
    if let Some((stem, extension)) = name.rsplit_once('.')
        && (1..=10).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !stem.is_empty()
    {
        return (stem, format!(".{extension}"));
    }
    let extension = match media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim() {
        "image/png" => ".png",
        "image/jpeg" => ".jpg",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "application/pdf" => ".pdf",
        "application/zip" => ".zip",
        "application/json" => ".json",
        "text/plain" => ".txt",
        "text/html" => ".html",
        "text/csv" => ".csv",
        "text/markdown" => ".markdown",
        "audio/mpeg" => ".mp3",
        "video/mp4" => ".mp4",
        _ => "",
    };
    (name, extension.to_owned())
}
