//! Every package of the graph may be used under a licence that the workspace accepts.

use crate::metadata::Metadata;

/// What our own packages say.
const OURS: &str = "Apache-2.0 OR MIT";

/// Licences that ask for nothing but notices.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Exceptions that only widen what a licence permits.
const ACCEPTED_EXCEPTIONS: &[&str] = &["LLVM-exception"];

/// Licences that are accepted for one package, with the reason.
const ACCEPTED_FOR: &[(&str, &str, &str)] = &[
    ("aws-lc-sys", "OpenSSL", "parts of the C code keep OpenSSL's licence, which asks for an acknowledgement"),
    ("option-ext", "MPL-2.0", "a weak copyleft that covers its own files, which are used unchanged"),
];

/// Packages whose manifest names a licence file instead of an expression, with what the file says.
const READ_BY_HAND: &[(&str, &str)] = &[];

/// Names every package that may not be used, and why.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata.resolved() {
        let by_hand = READ_BY_HAND.iter().find(|(name, _)| *name == package.name).map(|(_, licence)| *licence);
        let Some(expression) = package.licence.as_deref().or(by_hand) else {
            problems.push(format!(
                "{} {} names no licence: read its licence file and add it to READ_BY_HAND in xtask/src/licences.rs",
                package.name, package.version
            ));
            continue;
        };
        if package.member {
            if expression != OURS {
                problems
                    .push(format!("{}: `license` is \"{expression}\": say `license.workspace = true`", package.name));
            }
            continue;
        }
        match acceptable(expression, &package.name) {
            Ok(true) => {}
            Ok(false) => problems.push(format!(
                "{} {} is under \"{expression}\", which is not accepted (it comes through {}): \
                 do without it, or add the licence to xtask/src/licences.rs with a reason",
                package.name,
                package.version,
                package.dependents.join(", ")
            )),
            Err(error) => problems.push(format!("{} {}: \"{expression}\": {error}", package.name, package.version)),
        }
    }
    problems
}

/// Whether one of the choices that the expression leaves is accepted.
fn acceptable(expression: &str, package: &str) -> Result<bool, String> {
    // Before SPDX expressions a slash stood for "or".
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, package };
    let accepted = parser.either()?;
    match parser.words {
        [] => Ok(accepted),
        [word, ..] => Err(format!("\"{word}\" was not expected here")),
    }
}

/// A recursive descent: `either` of `all` of `one`.
struct Parser<'a> {
    words: &'a [&'a str],
    package: &'a str,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn either(&mut self) -> Result<bool, String> {
        let mut accepted = self.all()?;
        while self.skip("OR") {
            accepted |= self.all()?;
        }
        Ok(accepted)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut accepted = self.one()?;
        while self.skip("AND") {
            accepted &= self.one()?;
        }
        Ok(accepted)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.skip("(") {
            let accepted = self.either()?;
            return if self.skip(")") { Ok(accepted) } else { Err("a parenthesis is not closed".to_owned()) };
        }
        let licence = self.next().ok_or("a licence is missing at the end")?;
        let mut accepted = ACCEPTED.contains(&licence)
            || ACCEPTED_FOR.iter().any(|&(name, accepted, _)| name == self.package && accepted == licence);
        if self.skip("WITH") {
            let exception = self.next().ok_or("an exception is missing at the end")?;
            accepted &= ACCEPTED_EXCEPTIONS.contains(&exception);
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{foreign, graph, member};

    fn problems(name: &str, licence: Option<&str>) -> Vec<String> {
        let mut package = foreign(name, "1.0.0");
        package.licence = licence.map(str::to_owned);
        check(&graph(vec![package]))
    }

    #[test]
    fn a_choice_is_enough_and_all_parts_are_needed() {
        assert!(problems("a", Some("MIT OR GPL-3.0")).is_empty());
        assert!(problems("a", Some("MIT/Apache-2.0")).is_empty());
        assert!(problems("a", Some("(MIT OR GPL-3.0) AND Apache-2.0 WITH LLVM-exception")).is_empty());
        assert_eq!(problems("a", Some("MIT AND GPL-3.0")).len(), 1);
        assert_eq!(problems("a", Some("GPL-2.0 WITH Classpath-exception-2.0")).len(), 1);
    }

    #[test]
    fn a_weak_copyleft_is_for_the_listed_package_only() {
        assert!(problems("option-ext", Some("MPL-2.0")).is_empty());
        assert_eq!(problems("other", Some("MPL-2.0")).len(), 1);
    }

    #[test]
    fn a_missing_or_broken_expression_is_named() {
        assert!(problems("a", None)[0].contains("READ_BY_HAND"));
        assert!(problems("a", Some("(MIT"))[0].contains("not closed"));
        assert!(problems("a", Some("MIT Apache-2.0"))[0].contains("not expected"));
    }

    #[test]
    fn a_member_has_the_licence_of_the_workspace() {
        let mut ours = member("saas-backup-core");
        assert!(check(&graph(vec![ours.clone()])).is_empty());
        ours.licence = Some("MIT".to_owned());
        assert_eq!(check(&graph(vec![ours])).len(), 1);
    }
}
