//! A card as lines of vCard 4.0, the richer version: the older one is made of it.

use crate::content_line::{ContentLine, parameter};

/// A line of a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Lines of one group belong together: a number and the name that a person gave it.
    pub(super) group: Option<String>,
    pub(super) name: String,
    pub(super) parameters: Vec<(String, Vec<String>)>,
    /// With its escapes.
    pub(super) value: String,
}

impl Line {
    pub(super) fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), ..Self::default() }
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), vec![value.to_owned()]));
        self
    }

    /// Takes a parameter out.
    pub(super) fn take(&mut self, name: &str) -> Option<Vec<String>> {
        let place = self.parameters.iter().position(|(parameter, _)| parameter == name)?;
        Some(self.parameters.remove(place).1)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(parameter, _)| parameter == name)?.1.first().map(String::as_str)
    }

    /// The line before it is folded.
    pub(super) fn text(&self) -> String {
        let mut text = self.group.as_ref().map_or_else(String::new, |group| format!("{group}."));
        text.push_str(&self.name);
        for (name, values) in &self.parameters {
            for value in values {
                text.push_str(&parameter(name, value));
            }
        }
        text.push(':');
        text.push_str(&self.value);
        text
    }
}

impl From<ContentLine<'_>> for Line {
    fn from(line: ContentLine<'_>) -> Self {
        let decode = |value: &str| value.replace("^n", "\n").replace("^'", "\"").replace("^^", "^");
        let parameters = line.parameters.into_iter();
        let parameters = parameters.map(|(name, values)| (name, values.into_iter().map(decode).collect()));
        Self {
            group: line.group.map(str::to_owned),
            name: line.name,
            parameters: parameters.collect(),
            value: line.value.to_owned(),
        }
    }
}

/// The lines of a card but for `BEGIN`, `VERSION` and `END`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) lines: Vec<Line>,
}

impl Card {
    pub(super) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// The first line of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// The number of the next group.
    pub(super) fn next_group(&self) -> String {
        let groups = self.lines.iter().filter(|line| line.name == "X-ABLABEL").count();
        format!("item{}", groups + 1)
    }
}
