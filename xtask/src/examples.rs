//! Every example is run by `./test`: it stands in `testing/examples.txt`, and nothing else does.

use crate::metadata::Metadata;

/// Compares the example programs with the lines of the list.
pub(crate) fn check(metadata: &Metadata, list: &str) -> Vec<String> {
    let listed: Vec<&str> = list
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split('|').next().unwrap_or_default().trim())
        .collect();
    let programs: Vec<&str> = metadata
        .members()
        .filter(|member| member.name == "examples")
        .flat_map(|member| &member.targets)
        .filter(|(kind, _)| kind == "example")
        .map(|(_, name)| name.as_str())
        .collect();
    let unlisted = programs.iter().filter(|name| !listed.contains(name)).map(|name| {
        format!("the example {name} is never run: add `{name} | NEEDS | ARGUMENTS` to testing/examples.txt")
    });
    let unknown = listed
        .iter()
        .filter(|name| !programs.contains(name))
        .map(|name| format!("testing/examples.txt lists {name}, which is not an example: remove its line"));
    unlisted.chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;
    use crate::metadata::tests::{graph, member};

    fn examples() -> Metadata {
        graph(vec![Package {
            targets: vec![("example".to_owned(), "quickstart".to_owned()), ("lib".to_owned(), "examples".to_owned())],
            ..member("examples")
        }])
    }

    #[test]
    fn the_list_and_the_programs_agree() {
        assert!(check(&examples(), "# comment\n\nquickstart | | --quiet\n").is_empty());
        assert!(check(&examples(), "")[0].contains("quickstart is never run"));
        assert!(check(&examples(), "quickstart | |\ngone | |")[0].contains("gone"));
    }
}
