//! What a browser does with a file, by its name.

/// What a file is to a browser that opens it from a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Image,
    Audio,
    Video,
    Other,
}

impl Media {
    /// By the extension, which is all that a browser goes by.
    pub(super) fn of(path: &str) -> Self {
        match extension(path).as_str() {
            "png" | "jpg" | "jpeg" | "gif" | "webp" | "avif" | "bmp" | "ico" | "svg" => Self::Image,
            "mp3" | "m4a" | "ogg" | "oga" | "opus" | "wav" | "flac" => Self::Audio,
            "mp4" | "m4v" | "webm" | "mov" | "ogv" => Self::Video,
            _ => Self::Other,
        }
    }

    /// The tag of its player.
    pub(super) fn player(self) -> Option<&'static str> {
        match self {
            Self::Audio => Some("audio"),
            Self::Video => Some("video"),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Other => "file",
        }
    }
}

/// Whether a browser runs what is in a file when a link opens it: a drawing is shown, and never linked to.
pub(super) fn is_unsafe_to_open(link: &str) -> bool {
    matches!(
        extension(link).as_str(),
        "svg" | "svgz" | "htm" | "shtm" | "shtml" | "xht" | "xhtm" | "xhtml" | "xml" | "xsl" | "xslt" | "mht" | "mhtml"
    ) || (extension(link) == "html" && link.contains("_attachments/"))
}

/// The extension of a link's file, in lower case.
fn extension(link: &str) -> String {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

/// A length in bytes for a person.
pub(super) fn size_text(bytes: u64) -> String {
    for (unit, name) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")] {
        if bytes >= unit {
            let tenths = bytes / (unit / 10);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}
