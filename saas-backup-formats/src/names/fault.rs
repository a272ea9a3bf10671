use unicode_normalization::is_nfc;

use super::safe::{is_device, is_invisible};

/// Longest name on NTFS, in UTF-16 units, and on ext4, in bytes.
const MAX_UNITS: usize = 255;

/// What keeps a file name from being valid on Windows, macOS and Linux alike.
pub(crate) fn fault_of(name: &str) -> Option<&'static str> {
    if matches!(name, "" | "." | "..") {
        Some("it names no file")
    } else if name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*']) || name.chars().any(char::is_control) {
        Some("it has a character that Windows forbids")
    } else if name.ends_with(['.', ' ']) {
        Some("it ends with a dot or a space")
    } else if is_device(name) {
        Some("it is the name of a device")
    } else if name.len() > MAX_UNITS || name.encode_utf16().count() > MAX_UNITS {
        Some("it is too long")
    } else if name.chars().any(is_invisible) {
        Some("it has a character that is not seen")
    } else if !is_nfc(name) {
        Some("macOS writes it in another form")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::safe_name;

    #[test]
    fn each_fault_is_named() {
        let long = "x".repeat(256);
        for name in ["", "..", "a:b", "a\u{7}", "a.", "nul.txt", "a\u{202e}b", "e\u{301}", &long] {
            assert!(fault_of(name).is_some(), "{name:?}");
        }
        assert_eq!(fault_of(".gitignore"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_safe_name_has_no_fault(text: String, limit in 8_usize..300) {
            let name = safe_name(&text, limit);
            assert_eq!(fault_of(&name), None, "{name:?}");
        }
    }
}
