//! `file_uploader`: a file for each record, behind a request of its own.

use std::sync::Arc;

use http::Method;
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_http::Request;

use crate::expression::Expression;
use crate::extract::Item;
use crate::manifest::Component;
use crate::request::{Parts, Requester};
use crate::shared::Shared;
use crate::template::{Value, python_str, value_of};

/// How the file of a record is asked for.
#[derive(Debug)]
pub(crate) struct Uploader {
    requester: Requester,
    target: Vec<Expression>,
    name: Option<Expression>,
}

/// The file of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// What the request is made of.
    pub(crate) target: String,
    pub(crate) name: Option<String>,
}

impl Uploader {
    /// `provider` is what reads the records: nothing of the account goes to other hosts than its.
    pub(crate) fn build(component: &Component<'_>, provider: &Requester, shared: &Arc<Shared>) -> Result<Self> {
        let extractor = component.required("download_target_extractor")?;
        if extractor.kind() != "DpathExtractor" {
            return Err(extractor.unknown());
        }
        Ok(Self {
            requester: Requester::build(&component.required("requester")?, shared)?.with_links(provider),
            target: extractor.path("field_path")?,
            name: component.expression("filename_extractor")?,
        })
    }

    /// The file of a record; `None` where the record says that it has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the record lacks what says it.
    pub(crate) fn file(&self, item: &Item, shared: &Shared) -> Result<Option<File>> {
        let scope = shared.scope();
        let path: Vec<String> = self.target.iter().map(|part| part.text(&scope)).collect::<Result<_>>()?;
        let found = item.get(&path)?.filter(|value| !value.is_undefined());
        let target =
            found.ok_or_else(|| Error::new(ErrorKind::InvalidData, "the record does not say where its file is"))?;
        if target.is_none() || python_str(&target).is_empty() {
            return Ok(None);
        }
        let name = match &self.name {
            Some(name) => Some(name.text(&scope.with("record", item.value()?))?).filter(|name| !name.is_empty()),
            None => None,
        };
        Ok(Some(File { target: python_str(&target), name }))
    }

    /// The request for a file.
    pub(crate) async fn request(&self, target: &str, shared: &Shared) -> Result<Request> {
        let slice = value_of(&serde_json::json!({ "extra_fields": { "download_target": target } }));
        let scope = shared.scope().with("download_target", Value::from(target)).with("stream_slice", slice);
        let outgoing = self.requester.outgoing(shared, &scope, None, Parts::default()).await?;
        if outgoing.method != Method::GET || outgoing.body.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "files are fetched by GET alone"));
        }
        let headers = outgoing.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        Ok(headers.fold(Request::get(outgoing.url), |request, (name, value)| request.header(name, value)))
    }
}
