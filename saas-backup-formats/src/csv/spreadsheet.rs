//! Cells that a spreadsheet would run, and files in which it does not.

use std::borrow::Cow;

/// Whether a spreadsheet would take the cell for a formula: one that begins with `= + - @`, a tab, a carriage return or
/// one of their full-width forms, also behind quotes and spaces. A plain number is none.
pub(super) fn is_formula(cell: &str) -> bool {
    let begins = |first: char| matches!(first, '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠');
    let start = cell.trim_start_matches([' ', '"', '\'', '\u{a0}', '\u{3000}']);
    start.starts_with(begins) && !is_number(cell)
}

/// Whether the cell is a number as JSON has it.
pub(super) fn is_number(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = cell.strip_prefix('-').unwrap_or(cell);
    let (rest, exponent) = match rest.split_once(['e', 'E']) {
        Some((rest, exponent)) => (rest, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (rest, None),
    };
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(whole, rest)| (whole, Some(rest)));
    digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

/// The cell as it stands in a file for spreadsheets.
pub(super) fn harmless(cell: &str) -> Cow<'_, str> {
    if is_formula(cell) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_told_from_numbers_and_texts() {
        for cell in [
            "=HYPERLINK(\"http://evil\")",
            "+49 30 1234",
            "-1+1",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            " =1",
            "\"=1",
            "'=1",
            "＝1",
            "＋1",
            "－1",
            "＠1",
            "--",
        ] {
            assert!(is_formula(cell), "{cell:?}");
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        for cell in ["", "-5", "-1.10", "1e400", "-0", "a=b", "a - b", "\\N", "a\t="] {
            assert!(!is_formula(cell), "{cell:?}");
            assert_eq!(harmless(cell), cell);
        }
    }
}
