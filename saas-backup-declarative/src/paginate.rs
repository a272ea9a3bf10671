//! From one page to the next.

use minijinja::value::ValueKind;
use saas_backup_core::{Error, ErrorKind, Result};

use crate::expression::Expression;
use crate::extract::{Decoder, Item, view};
use crate::manifest::Component;
use crate::request::{Answer, Parts, RequestOption, headers_value};
use crate::shared::Shared;
use crate::template::{Scope, Value, python_str};

/// How the pages of a collection are found.
#[derive(Debug)]
pub(crate) struct Paginator {
    strategy: Strategy,
    size: Option<i64>,
    size_option: Option<RequestOption>,
    token: TokenPlace,
}

#[derive(Debug)]
enum Strategy {
    Page { first: i64, at_once: bool },
    Offset { at_once: bool },
    Cursor { value: Expression, stop: Option<Expression> },
}

#[derive(Debug)]
enum TokenPlace {
    Nowhere,
    Option(RequestOption),
    /// The token is the address of the next page.
    Address,
}

/// What a page tells about the one after it.
pub(crate) struct Seen<'a> {
    pub(crate) answer: &'a Answer,
    pub(crate) decoder: &'a Decoder,
    /// The records before the filter.
    pub(crate) extracted: usize,
    /// The records after it.
    pub(crate) kept: usize,
    pub(crate) last: Option<&'a Item>,
    pub(crate) token: Option<&'a Value>,
}

impl Paginator {
    pub(crate) fn build(component: Option<Component<'_>>, shared: &Shared) -> Result<Option<Self>> {
        let Some(component) = component.filter(|component| component.kind() != "NoPagination") else { return Ok(None) };
        if component.kind() != "DefaultPaginator" {
            return Err(component.unknown());
        }
        let strategy = component.required("pagination_strategy")?;
        let scope = shared.scope();
        let size = match strategy.expression("page_size")? {
            None => None,
            Some(size) => {
                let text = size.text(&scope)?;
                match text.trim().parse::<i64>() {
                    Ok(size) => Some(size),
                    Err(_) if text.is_empty() || text == "None" => None,
                    Err(_) => return Err(strategy.wrong("page_size is no number")),
                }
            }
        };
        let at_once = strategy.flag("inject_on_first_request");
        Ok(Some(Self {
            strategy: match strategy.kind() {
                "PageIncrement" => Strategy::Page {
                    first: strategy.count("start_from_page").map_or(0, |page| page.cast_signed() as i64),
                    at_once,
                },
                "OffsetIncrement" => Strategy::Offset { at_once },
                "CursorPagination" => {
                    let value = strategy
                        .expression("cursor_value")?
                        .ok_or_else(|| strategy.wrong("cursor_value is missing"))?;
                    Strategy::Cursor { value, stop: strategy.expression("stop_condition")? }
                }
                _ => return Err(strategy.unknown()),
            },
            size,
            size_option: RequestOption::build_optional(&component, "page_size_option")?,
            token: match component.child("page_token_option")? {
                None => TokenPlace::Nowhere,
                Some(path) if path.kind() == "RequestPath" => TokenPlace::Address,
                Some(option) => TokenPlace::Option(RequestOption::build(&option)?),
            },
        }))
    }

    /// The token of the first page.
    pub(crate) fn first(&self) -> Option<Value> {
        match self.strategy {
            Strategy::Page { first, at_once: true } => Some(Value::from(first)),
            Strategy::Offset { at_once: true } => Some(Value::from(0)),
            _ => None,
        }
    }

    /// The address of a page whose token is one.
    pub(crate) fn address(&self, token: Option<&Value>) -> Option<String> {
        token.filter(|token| matches!(self.token, TokenPlace::Address) && token.is_true()).map(python_str)
    }

    /// What a page adds to its request.
    pub(crate) fn parts(&self, token: Option<&Value>, scope: &Scope) -> Result<Parts> {
        let mut parts = Parts::default();
        if let (TokenPlace::Option(option), Some(token)) = (&self.token, token) {
            option.put(&mut parts, token, scope)?;
        }
        if let (Some(option), Some(size)) = (&self.size_option, self.size.filter(|size| *size != 0)) {
            option.put(&mut parts, &Value::from(size), scope)?;
        }
        Ok(parts)
    }

    /// The token of the page after this one; none after the last.
    pub(crate) fn next(&self, seen: &Seen<'_>, scope: &Scope) -> Result<Option<Value>> {
        let counted = seen.extracted.cast_signed() as i64;
        let short = counted == 0 || self.size.is_some_and(|size| counted < size);
        let number = |token: Option<&Value>, none: i64| match token {
            None => Ok(none),
            Some(token) => i64::try_from(token.clone())
                .map_err(|_| Error::new(ErrorKind::InvalidData, "the token of a page is no number")),
        };
        let next = match &self.strategy {
            Strategy::Page { .. } | Strategy::Offset { .. } if short => None,
            Strategy::Page { first, .. } => Some(Value::from(number(seen.token, *first)? + 1)),
            Strategy::Offset { .. } => Some(Value::from(number(seen.token, 0)? + counted)),
            Strategy::Cursor { value, stop } => {
                let scope = self.cursor_scope(seen, scope)?;
                if stop.as_ref().map_or(Ok(false), |stop| stop.truth(&scope))? {
                    return Ok(None);
                }
                Some(value.value(&scope)?)
            }
        };
        Ok(next.filter(|next| next.is_true() && next.kind() != ValueKind::Undefined))
    }

    fn cursor_scope(&self, seen: &Seen<'_>, scope: &Scope) -> Result<Scope> {
        let text = seen.decoder.text(seen.answer)?;
        let response = match seen.decoder.bodies(&text)?.first() {
            Some(first) => view(first)?,
            None => crate::request::empty(),
        };
        let last = match seen.last {
            Some(last) => last.value()?,
            None => Value::from(()),
        };
        Ok(scope
            .clone()
            .with("response", response)
            .with("headers", headers_value(&seen.answer.headers, true))
            .with("last_record", last)
            .with("last_page_size", Value::from(seen.kept))
            .with("page_size", self.size.map_or_else(|| Value::from(()), Value::from)))
    }
}
