use std::path::Path;

use saas_backup_core::{Error, ErrorKind, Overlay, Result};

/// Largest overlay that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Reads an overlay from a TOML file.
///
/// ```toml
/// [collections.tickets]
/// kind = "document"
/// form = "html"
///
/// [collections.tickets.fields]
/// title = "subject"
/// body = { path = "description", markup = "html" }
/// ```
///
/// # Errors
///
/// [`ErrorKind::Configuration`] with the file, and the place of what is not understood.
pub fn load_overlay(path: impl AsRef<Path>) -> Result<Overlay> {
    let path = path.as_ref();
    let refused = |message: &str| Error::new(ErrorKind::Configuration, message.to_owned());
    let named = |error: Error| error.with_context("file", path.display());
    let unreadable = |error| named(refused("the overlay cannot be read").with_source(error));
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(named(refused("the overlay is too large")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let value: serde_json::Value =
        toml::from_str(&text).map_err(|error| named(refused("the overlay is no TOML").with_source(error)))?;
    Overlay::parse(&value).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_an_error_with_its_file_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickets.toml");
        std::fs::write(&file, "[collections.tickets]\nkind = 'document'\n").unwrap();
        assert_eq!(load_overlay(&file).unwrap().collections.len(), 1);
        std::fs::write(&file, "[collections.tickets]\nkinds = 'document'\n").unwrap();
        let error = load_overlay(&file).unwrap_err().to_string();
        assert!(error.contains("collections.tickets.kinds") && error.contains("tickets.toml"), "{error}");
    }
}
