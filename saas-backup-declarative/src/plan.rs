use std::collections::HashMap;
use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Result};

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
    /// Builds all collections of a manifest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it has none.
    pub(crate) fn build(manifest: &Manifest, shared: &Arc<Shared>) -> Result<Self> {
        let root = manifest.root();
        let components = streams_of(&root, shared)?;
        if components.is_empty() && root.get("dynamic_streams").is_none() {
            return Err(Error::new(ErrorKind::Configuration, "the manifest has no streams"));
        }
        let mut builder =
            Builder { shared: Arc::clone(shared), parents: HashMap::new(), shared_names: Vec::new(), depth: 0 };
        find_parents(&components, &mut builder.shared_names, 0)?;
        let mut streams: Vec<Planned> = Vec::new();
        for component in components {
            let name = component.text("name").unwrap_or("unnamed").to_owned();
            let is_parent = builder.shared_names.contains(&name);
            let stream = Stream::build(&component, &mut builder, is_parent).map(Arc::new);
            // The same name a second time would be the same collection twice.
            if streams.iter().any(|known| known.name == name) {
                continue;
            }
            streams.push(Planned {
                name,
                stream: stream
                    .map_err(|error| error.with_context("collection", component.text("name").unwrap_or_default())),
            });
        }
        if root.get("dynamic_streams").is_some() {
            let error =
                Error::new(ErrorKind::Unsupported, "needs a component that is not supported: DynamicDeclarativeStream");
            streams.push(Planned { name: "dynamic_streams".to_owned(), stream: Err(error) });
        }
        Ok(Self { streams })
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

impl Builder {
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
