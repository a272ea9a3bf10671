use async_trait::async_trait;
use saas_backup_core::{Cursor, Emitter, Error, ErrorKind, Result};

use super::catalog::TapCatalog;
use super::reading::Reading;
use super::{SingerConfig, SingerSelection};
use crate::process::{Bridge, Position, Program, Protocol as _, Settings, Stream, drive};

/// A tap, and what it can read.
#[derive(Debug)]
pub(super) struct Tap {
    config: SingerConfig,
    program: Program,
    catalog: TapCatalog,
}

impl Tap {
    /// Asks the tap what it can read, or takes what a person chose.
    pub(super) async fn open(config: &SingerConfig) -> Result<Self> {
        let settings = Settings::new(config.config.clone(), config.config_file.clone());
        let program = Program::new(config.command.clone(), config.environment.clone(), settings)
            .within(config.silence_minutes, config.longest_hours);
        let catalog = if let Some(file) = &config.catalog {
            let bytes = std::fs::read(file).map_err(|error| {
                Error::new(ErrorKind::Configuration, "the file of the catalog cannot be read")
                    .with_context("file", file.display())
                    .with_source(error)
            })?;
            TapCatalog::of_file(&bytes)?
        } else {
            let run = program.prepare(&[], &["--discover"])?;
            let keeper = run.keeper();
            let (lines, ended) = run.answer().await?;
            keeper.keep()?;
            ended?;
            TapCatalog::of_lines(&lines)?
        };
        Ok(Self { config: config.clone(), program, catalog })
    }

    pub(super) fn name(&self) -> String {
        self.program.name()
    }

    pub(super) fn len(&self) -> usize {
        self.catalog.streams.len()
    }
}

#[async_trait]
impl Bridge for Tap {
    fn streams(&self) -> &[Stream] {
        &self.catalog.streams
    }

    async fn read(&self, at: usize, stream: &Stream, from: Option<Cursor>, out: &Emitter) -> Result<()> {
        let known = &self.catalog.names;
        let names = known.get(at).ok_or_else(|| Error::new(ErrorKind::NotFound, "the tap has no such stream"))?;
        let position = Position::of(from.as_ref(), stream)?;
        let mut run = self.program.prepare(&[], &[])?;
        let parents = self.config.parents.get(stream.name.as_str()).into_iter().flatten();
        let wanted: Vec<&str> = parents.map(String::as_str).chain([stream.name.as_str()]).collect();
        let argument = match self.config.selection {
            SingerSelection::Catalog => Some("--catalog"),
            SingerSelection::Properties => Some("--properties"),
            SingerSelection::None => None,
        };
        if let Some(argument) = argument {
            run.give(argument, "catalog.json", &self.catalog.selecting(&wanted))?;
        }
        if let Some(state) = &position.state {
            run.give("--state", "state.json", state)?;
        }
        let keeper = run.keeper();
        let reading = drive(run.start()?, Reading::new(stream, names, known, position), out).await?;
        keeper.keep()?;
        for event in reading.end()? {
            out.emit(event).await?;
        }
        Ok(())
    }
}
