//! What must not be written in a file of the project.
//!
//! The patterns are put together from pieces, so that this file does not break its own rules.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Folders that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Where packages come from is the business of whoever builds.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Marks of unfinished work.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Calls that end the program.
const PANICS: &[&str] = &[concat!(".unwrap", "()"), concat!(".exp", "ect(")];

/// Lints whose `expect` attribute gives the reason for such a call.
const EXCUSES: &[&str] = &["clippy::unwrap_used", "clippy::expect_used"];

/// Files that other programs write, and legal texts.
const NOT_OURS: &[&str] = &["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];

/// Reads every file that git knows, or would add.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let mut problems = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        // A file that is not text, or was just deleted, has no words.
        if let Ok(content) = fs::read_to_string(root.join(name)) {
            problems.extend(file(name, &content));
        }
    }
    Ok(problems)
}

/// What one file does wrong.
fn file(name: &str, content: &str) -> Vec<String> {
    let base = name.rsplit('/').next().unwrap_or(name);
    if NOT_OURS.contains(&base) {
        return Vec::new();
    }
    let extension = base.rsplit_once('.').map_or("", |(_, extension)| extension);
    let code = ["rs", "sh", "py", "php", "toml"].contains(&extension);
    let library = extension == "rs" && name.contains("/src/") && !is_test_file(name);
    let mut problems = Vec::new();
    let mut scope = Scope::default();
    for (index, line) in content.lines().enumerate() {
        let mut report = |what: &str, advice: &str| {
            problems.push(format!("{name}:{}: {what}: {advice}", index + 1));
        };
        for path in MACHINE_PATHS.iter().filter(|path| has_absolute_path(line, path)) {
            report(&format!("a path under {path}"), "it exists on one machine only; use a temporary or a relative one");
        }
        for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(*host)) {
            report(host, "name packages, not the hosts they come from");
        }
        if code {
            for mark in UNFINISHED.iter().filter(|mark| has_word(line, mark)) {
                report(mark, "finish it, or open an issue");
            }
        }
        if library && scope.covers(line) && PANICS.iter().any(|call| line.contains(call)) {
            report(
                "a call that may end the program",
                "return the error, or give the reason with #[expect(clippy::…, reason = \"…\")]",
            );
        }
    }
    problems
}

/// Whether the whole file is compiled for tests only, by its name.
fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// Whether `path` stands in the line as the beginning of a path, not inside a longer one or an address.
fn has_absolute_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || "/._-})$>*".contains(before)))
}

/// Whether `word` stands in the line without a letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let open = word.ends_with('(');
        !line[..at].ends_with(part) && (open || !line[at + word.len()..].starts_with(part))
    })
}

/// Which lines are library code, followed from line to line. It relies on the layout that rustfmt gives.
#[derive(Default)]
struct Scope {
    /// The indentation of a `#[cfg(test)]`, or `#[cfg(all(test, …))]`, whose item has not ended.
    test: Option<usize>,
    /// The whole file gives a reason for its panics.
    excused_file: bool,
    /// The item at hand does.
    excused_item: bool,
}

impl Scope {
    /// Takes note of one line; says whether its calls count.
    fn covers(&mut self, line: &str) -> bool {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(start) = self.test {
            // The item ends with its closing brace, or at once if it has no body.
            if indent == start && (text.starts_with('}') || (text.ends_with(';') && !text.starts_with("#["))) {
                self.test = None;
            }
            return false;
        }
        if text.starts_with("#[cfg(test)]") || text.starts_with("#[cfg(all(test,") {
            self.test = Some(indent);
            return false;
        }
        let excuse = EXCUSES.iter().any(|lint| text.contains(lint));
        self.excused_file |= excuse && text.starts_with("#![");
        self.excused_item |= excuse;
        let counts = !self.excused_file && !self.excused_item && !text.starts_with("//");
        if indent == 0 && text.starts_with('}') {
            self.excused_item = false;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(content: &str) -> Vec<String> {
        file("saas-backup-core/src/lib.rs", content)
    }

    #[test]
    fn paths_of_one_machine_are_named() {
        for path in MACHINE_PATHS {
            assert_eq!(file("docs/a.md", &format!("see `{path}main`")).len(), 1);
            assert!(file("docs/a.md", &format!("see https://example.org{path}x and $HOME{path}x")).is_empty());
        }
    }

    #[test]
    fn registry_hosts_are_named_outside_the_lock_file() {
        for host in REGISTRY_HOSTS {
            let line = format!("url = \"https://{host}/x\"");
            assert_eq!(file("deny.toml", &line).len(), 1);
            assert!(file("Cargo.lock", &line).is_empty());
        }
    }

    #[test]
    fn unfinished_work_is_named_in_code_as_a_word() {
        for mark in UNFINISHED {
            assert_eq!(file("test.sh", &format!("# {mark} later")).len(), 1, "{mark}");
            assert!(file("notes.md", &format!("# {mark} later")).is_empty());
        }
        assert!(file("a.rs", concat!("const KIND: &str = \"VTO", "DO\";")).is_empty());
    }

    #[test]
    fn panics_are_named_in_library_code() {
        for call in PANICS {
            assert_eq!(library(&format!("fn f() {{\n    x{call}\n}}\n")).len(), 1, "{call}");
            assert!(file("saas-backup-core/tests/it/main.rs", &format!("x{call}")).is_empty());
            assert!(file("saas-backup-core/src/feed/tests.rs", &format!("x{call}")).is_empty());
            assert!(library(&format!("/// x{call}\n// x{call}\n")).is_empty());
        }
    }

    #[test]
    fn tests_beside_the_code_may_panic_and_code_after_them_may_not() {
        let call = PANICS[0];
        let source = format!(
            "#[cfg(test)]\nmod helpers;\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests {{\n    fn f() {{\n        x{call};\n    }}\n}}\n\nfn g() {{\n    x{call};\n}}\n"
        );
        let problems = library(&source);
        assert!(problems.len() == 1 && problems[0].contains(":12:"), "{problems:?}");
    }

    #[test]
    fn a_reason_excuses_the_item_or_the_file() {
        let call = PANICS[1];
        let lint = EXCUSES[1];
        let item = format!("#[expect({lint}, reason = \"checked above\")]\nfn f() {{\n    x{call}\"\");\n}}\n");
        assert!(library(&item).is_empty());
        assert_eq!(library(&format!("{item}fn g() {{\n    x{call}\"\");\n}}\n")).len(), 1);
        assert!(
            library(&format!(
                "#![expect({lint}, reason = \"tests call it\")]\nfn f() {{\n}}\nfn g() {{\n    x{call}\"\");\n}}\n"
            ))
            .is_empty()
        );
    }
}
