use std::sync::Arc;

use saas_backup::core::memory::{MemoryConnector, MemoryStore};
use saas_backup::core::{Connector, ErrorKind, Result};
use saas_backup::{Config, Context, Registry, Settings};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// The settings of a notebook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NotebookSettings {
    /// The address of the notebook.
    url: String,
    /// Its password.
    #[schemars(with = "String")]
    password: SecretString,
    /// Pages in one request. Default: 100.
    #[serde(default)]
    page_size: Option<u32>,
    /// How to sort.
    #[serde(default)]
    order: Option<Order>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    Name,
    Time,
}

fn registry() -> Registry {
    let mut registry = Registry::empty();
    let open = |settings: NotebookSettings, _: &Context| {
        assert_eq!(settings.url, "https://notes.example.com");
        assert_eq!(settings.password.expose_secret(), "hunter2");
        assert_eq!(settings.page_size, Some(10));
        assert!(matches!(settings.order, Some(Order::Time)));
        Ok(Arc::new(MemoryConnector::new(MemoryStore::new())) as Arc<dyn Connector>)
    };
    registry.connector("notebook", "Pages of a notebook", open).document("Captures pages.");
    registry
}

fn config(folder: &std::path::Path, settings: &str) -> Result<Config> {
    let text =
        format!("[repository]\nurl = 'memory://'\n[[source]]\nname = 'notes'\nconnector = 'notebook'\n{settings}\n");
    Config::parse(&text, folder)
}

#[test]
fn a_source_opens_with_its_own_settings() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    let settings =
        "url = 'https://notes.example.com'\npassword = { file = 'password' }\npage_size = 10\norder = 'time'";
    let config = config(folder.path(), settings).unwrap();
    let source = config.source("notes").unwrap();
    let registry = registry();
    let context = Context::new(&config.base, folder.path());
    registry.find(&source.connector).unwrap().open(&source.settings, &context).unwrap();
}

#[test]
fn a_program_makes_settings_without_a_file() {
    let settings = Settings::new()
        .with("url", "https://notes.example.com")
        .with("password", "hunter2")
        .with("page_size", 10)
        .with("order", "time");
    assert!(!format!("{settings:?}").contains("hunter2"));
    registry().find("notebook").unwrap().open(&settings, &Context::new("", "")).unwrap();
}

#[test]
fn a_setting_that_the_connector_does_not_know_is_an_error_with_its_place() {
    let config = config("".as_ref(), "url = 'u'\npassword = 'hunter2'\npasword = 'hunter2'").unwrap();
    let source = config.source("notes").unwrap();
    let error =
        registry().find("notebook").unwrap().open(&source.settings, &Context::new("", "")).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    assert!(text.starts_with("unknown key `pasword`; the known ones are url, password"), "{text}");
    assert!(text.contains("line: 8, column: 1") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_unknown_connector_names_those_that_are_built_in() {
    let error = registry().find("wordpres").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("built in: notebook"), "{error}");
    assert!(registry().find_format("csv").unwrap_err().to_string().contains("built in: none"));
}

#[test]
fn the_schema_of_a_configuration_knows_every_connector() {
    insta::assert_json_snapshot!(registry().config_schema());
}
