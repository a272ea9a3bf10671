//! Each feature of each published member compiles alone, and the member without any, without warnings.

use std::process::Command;

use crate::metadata::{Metadata, Package};

/// Compiles the published members again and again; names what does not compile.
pub(crate) fn check(metadata: &Metadata) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for member in metadata.members().filter(|member| member.published) {
        for feature in selections(member) {
            let mut command = Command::new(crate::cargo());
            command.args(["check", "--locked", "--color", "never", "-p", &member.name, "--no-default-features"]);
            if let Some(feature) = feature {
                command.args(["--features", feature]);
            }
            let with =
                feature.map_or_else(|| "without features".to_owned(), |feature| format!("with `{feature}` alone"));
            eprintln!("  {} {with}", member.name);
            let output = command.output().map_err(|error| format!("cargo check: {error}"))?;
            let messages = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() || warns(&messages) {
                problems.push(format!(
                    "{} {with} does not compile cleanly: gate the code that needs more, or let the feature enable it\n{messages}",
                    member.name
                ));
            }
        }
    }
    Ok(problems)
}

/// No feature, then each one but the default.
fn selections(member: &Package) -> impl Iterator<Item = Option<&str>> {
    let alone = member.features.iter().map(String::as_str).filter(|&feature| feature != "default");
    std::iter::once(None).chain(alone.map(Some))
}

/// Whether the compiler warned about a member: cargo shows no other package's warnings.
fn warns(messages: &str) -> bool {
    messages.lines().any(|line| line.starts_with("warning: ") && line.contains(" generated "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::member;

    #[test]
    fn none_and_each_but_the_default_are_tried() {
        let mut package = member("saas-backup-core");
        package.features = ["default", "fs", "testkit"].map(str::to_owned).to_vec();
        assert_eq!(selections(&package).collect::<Vec<_>>(), [None, Some("fs"), Some("testkit")]);
    }

    #[test]
    fn a_warning_counts() {
        assert!(warns("warning: unused import\nwarning: `saas-backup-core` (lib) generated 1 warning\n"));
        assert!(!warns("    Checking saas-backup-core\n    Finished `dev` profile\n"));
    }
}
