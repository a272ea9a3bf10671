use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use minijinja::value::ValueKind;
use saas_backup_core::{Error, ErrorKind, Result};

use super::Partition;
use super::partition::PARENT;
use crate::manifest::Component;
use crate::plan::Builder;
use crate::request::{Parts, RequestOption};
use crate::shared::Shared;
use crate::stream::Stream;
use crate::template::{Scope, Value, python_str, value_of};
use crate::walk::Walk;

/// Partitions, as they are found.
pub(crate) type Partitions = BoxStream<'static, Result<Partition>>;

/// Most partitions whose values are remembered to tell them apart.
const MAX_REMEMBERED: usize = 5_000_000;

/// What a collection's partitions are.
#[derive(Debug)]
pub(crate) enum Router {
    /// Values from the manifest or the settings.
    List { values: Vec<Value>, field: String, option: Option<RequestOption> },
    /// The records of other collections.
    Substream(Vec<Arc<Parent>>),
    /// Each of one with each of the others.
    Product(Vec<Arc<Router>>),
    /// Several partitions in one request.
    Grouping { size: usize, inner: Arc<Router>, distinct: bool },
    /// Those of several, each once.
    Union { inner: Vec<Arc<Router>>, field: String },
}

/// A collection whose records are partitions of another.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) stream: Arc<Stream>,
    key: Vec<String>,
    field: String,
    option: Option<RequestOption>,
    extra: Vec<Vec<String>>,
}

impl Router {
    pub(crate) fn build(components: &[Component<'_>], builder: &mut Builder) -> Result<Option<Arc<Self>>> {
        match components {
            [] => Ok(None),
            [one] => Self::build_one(one, builder).map(Some),
            several => {
                let routers = several.iter().map(|one| Self::build_one(one, builder)).collect::<Result<_>>()?;
                Ok(Some(Arc::new(Self::Product(routers))))
            }
        }
    }

    fn build_one(component: &Component<'_>, builder: &mut Builder) -> Result<Arc<Self>> {
        let scope = builder.shared.scope();
        Ok(Arc::new(match component.kind() {
            "ListPartitionRouter" => {
                let values = match component.get("values") {
                    Some(serde_json::Value::Array(items)) => items.iter().map(value_of).collect(),
                    Some(value) => items_of(&component.expression_of("values", value)?.value(&scope)?),
                    None => return Err(component.wrong("values is missing")),
                };
                let field =
                    component.expression("cursor_field")?.ok_or_else(|| component.wrong("cursor_field is missing"))?;
                Self::List {
                    values,
                    field: field.text(&scope)?,
                    option: RequestOption::build_optional(component, "request_option")?,
                }
            }
            "SubstreamPartitionRouter" => {
                let parents = component.children("parent_stream_configs")?;
                Self::Substream(
                    parents.iter().map(|parent| Parent::build(parent, builder).map(Arc::new)).collect::<Result<_>>()?,
                )
            }
            "GroupingPartitionRouter" => Self::Grouping {
                size: component.count("group_size").unwrap_or(1).max(1),
                inner: Self::build_one(&component.required("underlying_partition_router")?, builder)?,
                distinct: component.get("deduplicate").is_none() || component.flag("deduplicate"),
            },
            "UnionPartitionRouter" => Self::Union {
                inner: component
                    .children("partition_routers")?
                    .iter()
                    .map(|inner| Self::build_one(inner, builder))
                    .collect::<Result<_>>()?,
                field: component.text("partition_field").unwrap_or_default().to_owned(),
            },
            _ => return Err(component.unknown()),
        }))
    }

    /// The collections whose records are the partitions.
    pub(crate) fn parents(&self) -> Vec<Arc<Parent>> {
        match self {
            Self::List { .. } => Vec::new(),
            Self::Substream(parents) => parents.clone(),
            Self::Product(inner) | Self::Union { inner, .. } => {
                inner.iter().flat_map(|inner| inner.parents()).collect()
            }
            Self::Grouping { inner, .. } => inner.parents(),
        }
    }

    /// All partitions, in the order in which they are found.
    pub(crate) fn partitions(self: Arc<Self>, shared: Arc<Shared>) -> Partitions {
        match &*self {
            Self::List { values, field, .. } => {
                let partitions: Vec<Result<Partition>> = values
                    .iter()
                    .map(|value| Ok(Partition { fields: vec![(field.clone(), value.clone())], extra: Vec::new() }))
                    .collect();
                stream::iter(partitions).boxed()
            }
            Self::Substream(parents) => {
                let streams: Vec<Partitions> =
                    parents.iter().map(|parent| parent.partitions(Arc::clone(&shared))).collect();
                stream::iter(streams).flatten().boxed()
            }
            Self::Product(inner) => product(inner, shared),
            Self::Grouping { size, inner, distinct } => group(Arc::clone(inner).partitions(shared), *size, *distinct),
            Self::Union { inner, field } => {
                let all: Vec<Partitions> =
                    inner.iter().map(|inner| Arc::clone(inner).partitions(Arc::clone(&shared))).collect();
                union(stream::iter(all).flatten().boxed(), field.clone())
            }
        }
    }

    /// What a partition adds to its requests.
    pub(crate) fn parts(&self, partition: &Partition, scope: &Scope) -> Result<Parts> {
        let mut parts = Parts::default();
        let mut put = |option: &Option<RequestOption>, field: &str| -> Result<()> {
            match (option, partition.get(field)) {
                (Some(option), Some(value)) if value.is_true() => option.put(&mut parts, value, scope),
                _ => Ok(()),
            }
        };
        match self {
            Self::List { field, option, .. } => put(option, field)?,
            Self::Substream(parents) => {
                for parent in parents {
                    put(&parent.option, &parent.field)?;
                }
            }
            Self::Product(inner) => {
                // The first counts where two say the same.
                for inner in inner.iter().rev() {
                    parts.replace(inner.parts(partition, scope)?);
                }
            }
            Self::Grouping { .. } | Self::Union { .. } => {}
        }
        Ok(parts)
    }
}

impl Parent {
    fn build(component: &Component<'_>, builder: &mut Builder) -> Result<Self> {
        if component.kind() != "ParentStreamConfig" {
            return Err(component.unknown());
        }
        if component.get("lazy_read_pointer").is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "needs a component that is not supported: lazy_read_pointer",
            ));
        }
        let stream = builder.parent(&component.required("stream")?)?;
        let scope = builder.shared.scope();
        let text = |name: &str| -> Result<String> {
            component.expression(name)?.ok_or_else(|| component.wrong(format!("{name} is missing")))?.text(&scope)
        };
        let extra = component.get("extra_fields").and_then(serde_json::Value::as_array);
        let extra = extra.into_iter().flatten().map(|path| {
            let parts = path.as_array().into_iter().flatten();
            parts.map(|part| component.expression_of("extra_fields", part)?.text(&scope)).collect()
        });
        Ok(Self {
            stream,
            key: text("parent_key")?.split('/').map(str::to_owned).collect(),
            field: text("partition_field")?,
            option: RequestOption::build_optional(component, "request_option")?,
            extra: extra.collect::<Result<_>>()?,
        })
    }

    fn partitions(self: &Arc<Self>, shared: Arc<Shared>) -> Partitions {
        let parent = Arc::clone(self);
        let above = Arc::clone(&parent.stream).partitions(Arc::clone(&shared));
        above
            .map_ok(move |above| {
                let (parent, above) = (Arc::clone(&parent), Arc::new(above));
                let walk = Walk::whole(Arc::clone(&parent.stream), Arc::clone(&above), Arc::clone(&shared));
                let pages = stream::try_unfold(walk, |mut walk| async move {
                    Ok::<_, Error>(Box::pin(walk.next()).await?.map(|page| (page, walk)))
                });
                pages
                    .map_ok(move |page| {
                        let found: Vec<Result<Partition>> =
                            page.items.iter().filter_map(|item| parent.partition(item, &above).transpose()).collect();
                        stream::iter(found)
                    })
                    .try_flatten()
            })
            .try_flatten()
            .boxed()
    }

    /// The id of the record that a partition stands for, where its key is the collection's.
    pub(crate) fn record_of(&self, partition: &Partition, global_ids: bool) -> Result<Option<String>> {
        let Some(value) = partition.get(&self.field) else { return Ok(None) };
        if self.stream.key.as_slice() != std::slice::from_ref(&self.key) {
            return Ok(None);
        }
        if global_ids {
            return Ok(Some(python_str(value)));
        }
        let own = [self.field.as_str(), PARENT];
        let fields = partition.fields.iter().filter(|(name, _)| own.contains(&name.as_str())).cloned().collect();
        Ok(Some(Partition { fields, extra: Vec::new() }.values()?.join("/")))
    }

    /// The partition that a record stands for; none if it has no key.
    fn partition(&self, item: &crate::extract::Item, above: &Partition) -> Result<Option<Partition>> {
        let Some(value) = item.get(&self.key)?.filter(|value| !value.is_none()) else { return Ok(None) };
        let mut extra = Vec::new();
        for path in &self.extra {
            extra.push((path.join("."), item.get(path)?.unwrap_or_else(|| Value::from(()))));
        }
        Ok(Some(Partition { fields: vec![(self.field.clone(), value), (PARENT.to_owned(), above.value())], extra }))
    }
}

/// The first is read as it comes; the others are collected, as they are gone through many times.
fn product(routers: &[Arc<Router>], shared: Arc<Shared>) -> Partitions {
    let Some((first, others)) = routers.split_first() else { return stream::empty().boxed() };
    let (first, others) = (Arc::clone(first), others.to_vec());
    stream::once(async move {
        let mut tails = vec![Partition::default()];
        for other in others {
            let found: Vec<Partition> = other.partitions(Arc::clone(&shared)).try_collect().await?;
            tails = tails.iter().flat_map(|head| found.iter().map(|tail| joined(head, tail))).collect();
        }
        let tails = Arc::new(tails);
        Ok::<_, Error>(
            first
                .partitions(shared)
                .map_ok(move |head| {
                    let all: Vec<Result<Partition>> = tails.iter().map(|tail| Ok(joined(&head, tail))).collect();
                    stream::iter(all)
                })
                .try_flatten(),
        )
    })
    .try_flatten()
    .boxed()
}

fn joined(head: &Partition, tail: &Partition) -> Partition {
    let mut both = head.clone();
    for (mine, theirs) in [(&mut both.fields, &tail.fields), (&mut both.extra, &tail.extra)] {
        for (name, value) in theirs {
            if !mine.iter().any(|(known, _)| known == name) {
                mine.push((name.clone(), value.clone()));
            }
        }
    }
    both
}

fn group(inner: Partitions, size: usize, distinct: bool) -> Partitions {
    let mut seen = BTreeSet::new();
    inner
        .try_filter(move |partition| {
            let value = partition.fields.iter().find(|(name, _)| name != PARENT).map(|(_, value)| python_str(value));
            let new = !distinct || seen.len() >= MAX_REMEMBERED || seen.insert(value.unwrap_or_default());
            futures::future::ready(new)
        })
        .try_chunks(size)
        .map_err(|error| error.1)
        .map_ok(|chunk| {
            let gathered = |of: fn(&Partition) -> &Vec<(String, Value)>| -> Vec<(String, Value)> {
                let names = chunk.first().into_iter().flat_map(|first| of(first).iter().map(|(name, _)| name.clone()));
                names
                    .map(|name| {
                        let values: Vec<Value> = chunk
                            .iter()
                            .map(|one| {
                                of(one)
                                    .iter()
                                    .find(|(known, _)| *known == name)
                                    .map_or_else(|| Value::from(()), |(_, value)| value.clone())
                            })
                            .collect();
                        (name, Value::from(values))
                    })
                    .collect()
            };
            Partition { fields: gathered(|one| &one.fields), extra: gathered(|one| &one.extra) }
        })
        .boxed()
}

fn union(all: Partitions, field: String) -> Partitions {
    let mut seen = BTreeSet::new();
    all.try_filter_map(move |partition| {
        let Some(value) = partition.get(&field).cloned() else {
            return futures::future::ready(Err(Error::new(
                ErrorKind::Configuration,
                "the manifest is wrong: a partition lacks the field of their union",
            )));
        };
        if !(seen.len() >= MAX_REMEMBERED || seen.insert(python_str(&value))) {
            return futures::future::ready(Ok(None));
        }
        let carried = partition.fields.iter().filter(|(name, _)| *name != field).cloned();
        let extra = partition.extra.iter().cloned().chain(carried).collect();
        futures::future::ready(Ok(Some(Partition { fields: vec![(field.clone(), value)], extra })))
    })
    .boxed()
}

fn items_of(value: &Value) -> Vec<Value> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter().into_iter().flatten().collect(),
        // As Python goes through a text: letter by letter.
        ValueKind::String => python_str(value).chars().map(|letter| Value::from(letter.to_string())).collect(),
        _ => Vec::new(),
    }
}
