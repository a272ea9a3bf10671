use async_trait::async_trait;
use saas_backup_core::{Cursor, Emitter, Error, ErrorKind, Result};

use super::AirbyteConfig;
use super::catalog::SourceCatalog;
use super::message::{CatalogLine, ConnectionLine, ControlLine, TraceLine};
use super::reading::{Reading, parse, told};
use crate::process::{Bridge, Line, Position, Program, Protocol as _, Redactor, Settings, Stream, drive};

/// A source, and what it can read.
#[derive(Debug)]
pub(super) struct Source {
    program: Program,
    catalog: SourceCatalog,
}

impl Source {
    /// Asks the source what it can read.
    pub(super) async fn open(config: &AirbyteConfig) -> Result<Self> {
        let program = program(config);
        let (lines, _) = ask(&program, "discover").await?;
        let catalog = lines.iter().find_map(|line| serde_json::from_slice::<CatalogLine>(&line.bytes).ok());
        let Some(catalog) = catalog else {
            return Err(Error::new(ErrorKind::InvalidData, "the source does not say what it can read"));
        };
        Ok(Self { program, catalog: SourceCatalog::new(catalog.catalog)? })
    }
}

#[async_trait]
impl Bridge for Source {
    fn streams(&self) -> &[Stream] {
        &self.catalog.streams
    }

    async fn read(&self, at: usize, stream: &Stream, from: Option<Cursor>, out: &Emitter) -> Result<()> {
        let descriptor = self.catalog.descriptors.get(at);
        let descriptor = descriptor.ok_or_else(|| Error::new(ErrorKind::NotFound, "the source has no such stream"))?;
        let position = Position::of(from.as_ref(), stream)?;
        position.expect_key(&stream.key)?;
        let mut run = self.program.prepare(&["read"], &[])?;
        run.give("--catalog", "catalog.json", &self.catalog.selecting(at))?;
        if let Some(state) = &position.state {
            run.give("--state", "state.json", &[state])?;
        }
        let reading = Reading::new(stream, descriptor, &self.program.settings, run.redactor.clone(), position);
        let keeper = run.keeper();
        let reading = drive(run.start()?, reading, out).await?;
        keeper.keep()?;
        for event in reading.end()? {
            out.emit(event).await?;
        }
        Ok(())
    }
}

/// Lets the source check its settings; its name.
pub(super) async fn check(config: &AirbyteConfig) -> Result<String> {
    let program = program(config);
    let (lines, redactor) = ask(&program, "check").await?;
    let answer = lines.iter().find_map(|line| serde_json::from_slice::<ConnectionLine>(&line.bytes).ok());
    match answer.map(|answer| answer.connection_status) {
        Some(status) if status.status == "SUCCEEDED" => Ok(program.name()),
        Some(status) => Err(Error::new(ErrorKind::Configuration, "the source does not accept its settings")
            .with_context("it_said", redactor.shown(&status.message.unwrap_or_default()))),
        None => Err(Error::new(ErrorKind::InvalidData, "the source does not say whether its settings do")),
    }
}

/// Runs a command of the source that answers in a few lines.
async fn ask(program: &Program, what: &str) -> Result<(Vec<Line>, Redactor)> {
    let run = program.prepare(&[what], &[])?;
    let redactor = run.redactor.clone();
    let keeper = run.keeper();
    let (lines, ended) = run.answer().await?;
    keeper.keep()?;
    for line in &lines {
        if let Ok(ControlLine { control }) = parse(&line.bytes)
            && let Some(replaced) = control.connector_config
        {
            program.settings.keep(&replaced.config)?;
        }
        if let Ok(TraceLine { trace }) = parse(&line.bytes)
            && let Some(error) = trace.error
        {
            return Err(told(&error, &redactor));
        }
    }
    ended?;
    Ok((lines, redactor))
}

fn program(config: &AirbyteConfig) -> Program {
    let settings = Settings::new(config.config.clone(), config.config_file.clone());
    Program::new(config.command.clone(), config.environment.clone(), settings)
        .within(config.silence_minutes, config.longest_hours)
}
