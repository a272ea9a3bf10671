use std::collections::HashMap;
use std::sync::Arc;

use saas_backup_core::{CollectionName, Error, ErrorKind, Result};
use serde_json::Value;

use crate::dynamic::Definition;
use crate::manifest::{Component, Manifest};
use crate::shared::Shared;
use crate::stream::Stream;

/// How deep parents may stand above one another.
const MAX_PARENTS: usize = 16;

/// The collections of a manifest. One that cannot be built is an error of its own; the others are read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) streams: Vec<Planned>,
}

/// A collection by its name, and whether it can be read.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) stream: Result<Arc<Stream>>,
    pub(crate) origin: Origin,
}

/// Where a collection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Manifest,
    /// A template, filled with what the settings or the provider say.
    Template,
    /// A template that stands for all of its collections, as nobody was asked.
    Sample,
}

/// What is known while collections are built.
pub(crate) struct Builder {
    pub(crate) shared: Arc<Shared>,
    /// Parents, by their place in the manifest: one that several collections have is built once.
    parents: HashMap<String, Arc<Stream>>,
    /// The names of those that are parents: what they are asked is asked more than once.
    shared_names: Vec<String>,
    depth: usize,
}

impl Plan {
    /// Builds all collections of a manifest, and asks for those that only the provider can name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it has none; what keeps the provider from naming some: they would seem to be gone.
    pub(crate) async fn build(manifest: &Manifest, shared: &Arc<Shared>) -> Result<Self> {
        let (mut plan, mut builder) = Self::of_manifest(manifest, shared)?;
        for definition in definitions(manifest, &mut builder)? {
            match definition {
                Ok(definition) => {
                    let named = |error: Error| error.with_context("collections", &definition.name);
                    for made in definition.components(shared).await.map_err(named)? {
                        plan.add_made(&made, &definition, &mut builder)?;
                    }
                }
                Err(failed) => plan.streams.push(failed),
            }
        }
        Ok(plan)
    }

    /// Builds the collections of a manifest without asking anybody: templates stand for the collections that they give.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it has none.
    pub(crate) fn outline(manifest: &Manifest, shared: &Arc<Shared>) -> Result<Self> {
        let (mut plan, mut builder) = Self::of_manifest(manifest, shared)?;
        for definition in definitions(manifest, &mut builder)? {
            match definition {
                Ok(definition) if definition.is_known() => {
                    for made in definition.known(shared)? {
                        plan.add_made(&made, &definition, &mut builder)?;
                    }
                }
                Ok(definition) => {
                    let sample = definition.sample();
                    let stream = Stream::build(&Component::made(&sample, &definition.name), &mut builder, false);
                    let stream = stream.map(Arc::new);
                    plan.streams.push(Planned { name: definition.name, stream, origin: Origin::Sample });
                }
                Err(failed) => plan.streams.push(failed),
            }
        }
        Ok(plan)
    }

    fn of_manifest(manifest: &Manifest, shared: &Arc<Shared>) -> Result<(Self, Builder)> {
        let root = manifest.root();
        let components = streams_of(&root, shared)?;
        if components.is_empty() && root.get("dynamic_streams").is_none() {
            return Err(Error::new(ErrorKind::Configuration, "the manifest has no streams"));
        }
        let mut builder =
            Builder { shared: Arc::clone(shared), parents: HashMap::new(), shared_names: Vec::new(), depth: 0 };
        find_parents(&components, &mut builder.shared_names, 0)?;
        let mut plan = Self { streams: Vec::new() };
        for component in components {
            let planned = builder.planned(&component, Origin::Manifest);
            // The same name a second time would be the same collection twice.
            if plan.get(&planned.name).is_none() {
                plan.streams.push(planned);
            }
        }
        Ok((plan, builder))
    }

    /// Adds a collection that was made of a template. Two of one name are none: each would seem to lack the records of
    /// the other.
    fn add_made(&mut self, made: &Value, definition: &Definition, builder: &mut Builder) -> Result<()> {
        let component = Component::made(made, &definition.name);
        find_parents(std::slice::from_ref(&component), &mut builder.shared_names, 0)?;
        let mut planned = builder.planned(&component, Origin::Template);
        if let Ok(stream) = &planned.stream {
            planned.name.clone_from(&stream.name);
        }
        if let Err(error) = CollectionName::parse(&planned.name) {
            (planned.name, planned.stream) = (definition.name.clone(), Err(error));
        }
        if let Some(known) = self.streams.iter_mut().find(|known| known.name == planned.name) {
            known.stream = Err(Error::new(ErrorKind::Configuration, "several collections have this name")
                .with_context("collections", &definition.name));
        } else {
            self.streams.push(planned);
        }
        Ok(())
    }

    /// Why a collection cannot be read, if one cannot.
    pub(crate) fn first_error(self) -> Option<Error> {
        self.streams.into_iter().find_map(|planned| planned.stream.err())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Planned> {
        self.streams.iter().find(|planned| planned.name == name)
    }
}

/// The streams, with those that the settings ask for.
fn streams_of<'m>(root: &Component<'m>, shared: &Shared) -> Result<Vec<Component<'m>>> {
    let mut streams = Vec::new();
    for component in root.children("streams")? {
        if component.kind() != "ConditionalStreams" {
            streams.push(component);
            continue;
        }
        let condition = component.expression("condition")?.ok_or_else(|| component.wrong("condition is missing"))?;
        if condition.truth(&shared.scope())? {
            streams.extend(component.children("streams")?);
        }
    }
    Ok(streams)
}

/// The templates of collections; of one that cannot be built, why.
fn definitions(manifest: &Manifest, builder: &mut Builder) -> Result<Vec<std::result::Result<Definition, Planned>>> {
    let components = manifest.root().children("dynamic_streams")?;
    let definitions = components.iter().enumerate().map(|(index, component)| {
        let name = Definition::name_of(component, index);
        Definition::build(component, name.clone(), builder).map_err(|error| Planned {
            name,
            stream: Err(error),
            origin: Origin::Template,
        })
    });
    Ok(definitions.collect())
}

impl Builder {
    fn planned(&mut self, component: &Component<'_>, origin: Origin) -> Planned {
        let name = component.text("name").unwrap_or("unnamed").to_owned();
        let is_parent = self.shared_names.contains(&name);
        let stream = Stream::build(component, self, is_parent).map(Arc::new);
        let stream = stream.map_err(|error| error.with_context("collection", &name));
        Planned { name, stream, origin }
    }

    /// A collection whose records are partitions of another.
    pub(crate) fn parent(&mut self, component: &Component<'_>) -> Result<Arc<Stream>> {
        let name = component.text("name").unwrap_or_default().to_owned();
        let identity = component.identity();
        if let Some(known) = self.parents.get(&identity) {
            return Ok(Arc::clone(known));
        }
        if self.depth >= MAX_PARENTS {
            return Err(Error::new(ErrorKind::LimitExceeded, "the manifest's parents have too many parents")
                .with_context("limit", MAX_PARENTS));
        }
        self.depth += 1;
        let built = Stream::build(component, self, true);
        self.depth -= 1;
        let built = Arc::new(built.map_err(|error| error.with_context("parent", &name))?);
        self.parents.insert(identity, Arc::clone(&built));
        Ok(built)
    }
}

fn find_parents(components: &[Component<'_>], names: &mut Vec<String>, depth: usize) -> Result<()> {
    if depth > MAX_PARENTS {
        return Ok(());
    }
    for component in components {
        let Ok(Some(retriever)) = component.child("retriever") else { continue };
        for router in retriever.children("partition_router").unwrap_or_default() {
            for parent in router.children("parent_stream_configs").unwrap_or_default() {
                let Ok(Some(stream)) = parent.child("stream") else { continue };
                if let Some(name) = stream.text("name")
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                }
                find_parents(&[stream], names, depth + 1)?;
            }
        }
    }
    Ok(())
}
