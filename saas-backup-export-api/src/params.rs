//! The parameters of a request, strictly: a server that ignores what it does not know answers another question.

use std::time::Duration;

use saas_backup_core::CollectionName;

use crate::ProblemDetails;
use crate::cursor::Filter;

/// Longest query that is looked at, in bytes.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// The known parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query; refuses what is not in `known` unless the request asks for leniency.
    pub(crate) fn parse(query: &str, known: &[&str], lenient: bool) -> Result<Self, ProblemDetails> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(ProblemDetails::invalid_parameter("*", "the query is too long"));
        }
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                if lenient {
                    continue;
                }
                let title = "A parameter is not known here";
                return Err(ProblemDetails::new("unknown-parameter", 400, title)
                    .with_detail("known are the parameters that are listed in `known`; `Prefer: handling=lenient` passes over others")
                    .with("known", known.to_vec()));
            }
            if params.iter().any(|(earlier, _)| *earlier == name) {
                return Err(ProblemDetails::invalid_parameter(&name, "it stands twice"));
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(params))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The most lines of an answer: what was asked for, at most what the limits allow.
    pub(crate) fn limit(&self, most: usize) -> Result<usize, ProblemDetails> {
        let Some(text) = self.get("limit") else { return Ok(most) };
        match text.parse::<usize>() {
            Ok(limit) if limit > 0 => Ok(limit.min(most)),
            _ => Err(ProblemDetails::invalid_parameter("limit", "it is a number from 1")),
        }
    }

    /// Whether something was asked for: `1` and `0` are the values.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ProblemDetails> {
        match self.get(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(_) => Err(ProblemDetails::invalid_parameter(name, "it is 0 or 1")),
        }
    }

    /// A time in whole seconds, at most what the limits allow; none if nothing was asked for.
    pub(crate) fn seconds(&self, name: &str, most: u64) -> Result<Duration, ProblemDetails> {
        let Some(text) = self.get(name) else { return Ok(Duration::ZERO) };
        let seconds: Result<u64, _> = text.parse();
        let seconds = seconds.map_err(|_| ProblemDetails::invalid_parameter(name, "it is a number of seconds"))?;
        Ok(Duration::from_secs(seconds.min(most)))
    }

    /// The collections that were asked for, each of which must be known.
    pub(crate) fn collections(&self, known: &[CollectionName]) -> Result<Filter, ProblemDetails> {
        let Some(text) = self.get("collections") else { return Ok(Filter::default()) };
        let mut names: Vec<CollectionName> = Vec::new();
        for part in text.split(',') {
            let name = known.iter().find(|name| name.as_str() == part);
            let unknown =
                || ProblemDetails::invalid_parameter("collections", "the schema has no collection of such a name");
            let name = name.ok_or_else(unknown)?;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(Filter(Some(names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused_unless_leniency_is_asked_for() {
        let problem = Params::parse("limit=3&fields=id", &["limit"], false).unwrap_err();
        assert_eq!((problem.status, problem.kind.as_str()), (400, "urn:open-export:problem:unknown-parameter"));
        assert!(!problem.to_json().contains("fields"), "what was sent is not repeated");
        let params = Params::parse("limit=3&fields=id", &["limit"], true).unwrap();
        assert_eq!(params.limit(100).unwrap(), 3);
        assert_eq!(Params::parse("limit=3&limit=4", &["limit"], true).unwrap_err().status, 400);
    }

    #[test]
    fn limits_are_bounded() {
        let limit = |query| Params::parse(query, &["limit"], false).unwrap().limit(5_000);
        assert_eq!(limit("").unwrap(), 5_000);
        assert_eq!(limit("limit=99999999").unwrap(), 5_000);
        assert!(limit("limit=0").is_err() && limit("limit=-1").is_err() && limit("limit=x").is_err());
    }

    #[test]
    fn collections_are_those_of_the_schema() {
        let known = [CollectionName::from_static("notes"), CollectionName::from_static("users")];
        let of = |query| Params::parse(query, &["collections"], false).unwrap().collections(&known);
        assert_eq!(of("").unwrap(), Filter(None));
        assert_eq!(
            of("collections=users%2Cnotes,users").unwrap(),
            Filter(Some(vec![known[1].clone(), known[0].clone()]))
        );
        assert!(of("collections=").is_err() && of("collections=tasks").is_err());
    }
}
