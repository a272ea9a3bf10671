use std::sync::Arc;

use http::StatusCode;
use saas_backup_core::{Budget, Error, ErrorKind, Result};
use tokio::sync::OnceCell;
use url::Url;

use super::config::WordPressConfig;
use super::error;
use super::model::Root;
use crate::http::{Addresses, Authorization, Client, ClientOptions, Request, Response};

/// The REST API of one site.
#[derive(Clone, Debug)]
pub(super) struct Api {
    client: Client,
    form: Arc<OnceCell<AddressForm>>,
    pub(super) page_size: u32,
}

/// How the site spells the addresses of its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressForm {
    /// `/wp-json/wp/v2/posts`
    Pretty,
    /// `/?rest_route=/wp/v2/posts`: a site with plain permalinks, or a server that does not rewrite addresses.
    Plain,
}

impl Api {
    pub(super) fn new(config: &WordPressConfig) -> Result<Self> {
        let base: Url = config
            .url
            .parse()
            .map_err(|_| Error::new(ErrorKind::Configuration, "the address of the site is not a URL"))?;
        if !(1..=100).contains(&config.page_size) {
            return Err(Error::new(ErrorKind::Configuration, "the page size must be from 1 to 100"));
        }
        let hosts = Addresses::new().with_private(config.allow_private_addresses);
        let addresses = config.file_hosts.iter().fold(hosts, Addresses::with_host);
        let options = ClientOptions::default()
            .with_requests_per_second(config.requests_per_second)
            .with_addresses(addresses)
            .with_classify(error::from_response);
        let authorization = Authorization::basic(&config.username, &config.password)?;
        let client = Client::new(base, authorization, options)?;
        Ok(Self { client, form: Arc::default(), page_size: config.page_size })
    }

    /// The same site with the bounds of one snapshot.
    pub(super) fn with_budget(&self, budget: Budget) -> Self {
        Self { client: self.client.clone().with_budget(budget), ..self.clone() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Finds the API and reads its root.
    pub(super) async fn root(&self) -> Result<Root> {
        let forms = match self.form.get() {
            Some(known) => vec![*known],
            None => vec![AddressForm::Pretty, AddressForm::Plain],
        };
        for form in forms {
            // The list of routes is by far the largest part, and of no use here.
            let request = Request::get(self.address(form, "/")?)
                .query("_fields", "name,url,home,namespaces,timezone_string,gmt_offset");
            let response = match self.client.send(request).await {
                Ok(response) => response,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let Ok(root) = response.json::<Root>() else { continue };
            if root.namespaces.iter().any(|namespace| namespace == "wp/v2") {
                // Whoever asks at the same time finds the same.
                let _ = self.form.set(form);
                return Ok(root);
            }
        }
        Err(Error::new(ErrorKind::NotFound, "there is no WordPress REST API at this address, or it is switched off"))
    }

    /// The address of a path such as `wp/v2/posts`.
    pub(super) async fn url(&self, path: &str) -> Result<Url> {
        if self.form.get().is_none() {
            self.root().await?;
        }
        self.address(self.form.get().copied().unwrap_or(AddressForm::Pretty), path)
    }

    fn address(&self, form: AddressForm, path: &str) -> Result<Url> {
        let path = path.trim_start_matches('/');
        match form {
            AddressForm::Pretty => self.client.address(&format!("wp-json/{path}")),
            AddressForm::Plain => {
                let mut url = self.client.base().clone();
                url.query_pairs_mut().append_pair("rest_route", &format!("/{path}"));
                Ok(url)
            }
        }
    }

    pub(super) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Response> {
        let request = Request::get(self.url(path).await?);
        let request = parameters.iter().fold(request, |request, (name, value)| request.query(name, value));
        let response = self.client.send(request).await?;
        // A login page or a firewall's notice comes with 200, too.
        if response.status() == StatusCode::OK && !is_json(&response) {
            return Err(Error::new(ErrorKind::InvalidData, "the site answers with something that is not JSON"));
        }
        Ok(response)
    }
}

fn is_json(response: &Response) -> bool {
    response.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("json"))
}
