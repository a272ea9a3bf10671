//! The words of a text, as the search compares them; `assets/site.js` has the same rules.

use crate::pages::fold;

/// Longest word that is told apart, in characters.
const MAX_WORD: usize = 40;

/// Hands over each word; of writing without spaces each pair of signs, and the last sign alone.
pub(super) fn words(text: &str, mut take: impl FnMut(&str)) {
    for run in fold(text).split(|character: char| !character.is_alphanumeric()).filter(|run| !run.is_empty()) {
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            let signs = is_sign(first);
            let end = rest.find(|character| is_sign(character) != signs).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            rest = after;
            if !signs {
                let cut = part.char_indices().nth(MAX_WORD).map_or(part.len(), |(index, _)| index);
                take(part.get(..cut).unwrap_or(part));
                continue;
            }
            let starts: Vec<usize> = part.char_indices().map(|(index, _)| index).chain([part.len()]).collect();
            for pair in starts.windows(3) {
                if let [start, _, end] = pair {
                    take(part.get(*start..*end).unwrap_or_default());
                }
            }
            if let [.., last, end] = starts.as_slice() {
                take(part.get(*last..*end).unwrap_or_default());
            }
        }
    }
}

/// Han, Hiragana and Katakana.
fn is_sign(character: char) -> bool {
    matches!(
        character,
        '\u{2E80}'..='\u{2FDF}'
            | '\u{3005}'..='\u{3007}'
            | '\u{3021}'..='\u{3029}'
            | '\u{3038}'..='\u{303B}'
            | '\u{3041}'..='\u{30FF}'
            | '\u{31F0}'..='\u{31FF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{9FFF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{20000}'..='\u{323AF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_accents_case_and_forms() {
        let found = |text: &str| {
            let mut found = Vec::new();
            words(text, |word| found.push(word.to_owned()));
            found
        };
        assert_eq!(found("Zoë's CRÈME brûlée, Straße_2"), ["zoe", "s", "creme", "brulee", "straße", "2"]);
        assert_eq!(found("ﬁne İstanbul ΟΔΟΣ ① ﹏"), ["fine", "istanbul", "οδοσ", "1"]);
        assert_eq!(found("台北の春 tea 茶x"), ["台北", "北の", "の春", "春", "tea", "茶", "x"]);
        assert_eq!(found(&"y".repeat(99)), ["y".repeat(40)]);
        assert_eq!(found(" \u{301}\u{0} --"), Vec::<String>::new());
    }
}
