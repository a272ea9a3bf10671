//! Templates, and what all pages have around them.

use minijinja::{AutoEscape, Environment, Error as TemplateError, Output as Printer, State, Value, context};
use saas_backup_core::{Error, ErrorKind, Result};

use serde::Serialize;

use super::escape::escape;
use super::site::ASSETS;
use crate::dataset::Dataset;
use crate::folder::Output;

/// The files that every page uses.
pub(super) const ASSET_FILES: [(&str, &str); 2] =
    [("site.js", include_str!("assets/site.js")), ("style.css", include_str!("assets/style.css"))];

const TEMPLATES: [(&str, &str); 10] = [
    ("comments.html", include_str!("assets/comments.html")),
    ("entry.html", include_str!("assets/entry.html")),
    ("frame.html", include_str!("assets/frame.html")),
    ("front.html", include_str!("assets/front.html")),
    ("list.html", include_str!("assets/list.html")),
    ("macros.html", include_str!("assets/macros.html")),
    ("missing.html", include_str!("assets/missing.html")),
    ("record.html", include_str!("assets/record.html")),
    ("row.html", include_str!("assets/row.html")),
    ("tree.html", include_str!("assets/tree.html")),
];

/// What a page may load and do. `'self'` is what Chromium takes for the files of a folder, `file:` what others do.
pub(super) const POLICY: &str = "default-src 'none'; img-src 'self' file: data:; media-src 'self' file:; \
    style-src 'self' file:; script-src 'self' file:; base-uri 'none'; form-action 'none'";

/// Renders pages.
#[derive(Debug)]
pub(super) struct Frame {
    environment: Environment<'static>,
    /// The name of the archive.
    pub(super) archive: String,
}

impl Frame {
    pub(super) fn new(dataset: &Dataset) -> Result<Self> {
        let mut environment = Environment::new();
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).map_err(|error| broken(name, error))?;
        }
        environment.set_formatter(format);
        let archive = dataset.account.as_ref().map(|account| account.name.trim()).filter(|name| !name.is_empty());
        Ok(Self { environment, archive: archive.unwrap_or("Archive").to_owned() })
    }

    /// Writes a page.
    pub(super) fn page(
        &self,
        output: &mut Output,
        template: &str,
        path: &str,
        heading: &str,
        content: Value,
    ) -> Result<()> {
        let root = "../".repeat(path.matches('/').count());
        let frame = context! { root, heading, archive => &self.archive, assets => ASSETS, policy => POLICY };
        output.write(path, self.part(template, context! { ..content, ..frame })?.as_bytes())
    }

    /// Renders a part of a page.
    pub(super) fn part(&self, template: &str, content: Value) -> Result<String> {
        let rendered = self.environment.get_template(template).and_then(|template| template.render(content));
        rendered.map_err(|error| broken(template, error))
    }
}

fn broken(template: &str, error: TemplateError) -> Error {
    Error::new(ErrorKind::Unexpected, "a template of ours cannot be rendered")
        .with_context("template", template)
        .with_source(error)
}

/// A value as templates take it.
pub(super) fn give(value: &impl Serialize) -> Value {
    Value::from(minijinja::value::Serde(value))
}

/// Escapes everything that is not marked as HTML, by the rules of [`escape`].
fn format(out: &mut Printer<'_>, state: &mut State<'_, '_>, value: &Value) -> std::result::Result<(), TemplateError> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    match (state.auto_escape(), value.as_str()) {
        (AutoEscape::None, _) => write!(out, "{value}"),
        _ if value.is_safe() => write!(out, "{value}"),
        (_, Some(text)) => write!(out, "{}", escape(text)),
        (_, None) => write!(out, "{}", escape(&value.to_string())),
    }
    .map_err(TemplateError::from)
}
