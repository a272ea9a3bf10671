//! Runs what a template says.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Object, Tuple, ValueKind};

use super::dict::Dict;
use super::failure::{Failure, Outcome, wrong};
use super::limits::{Fuel, held};
use super::methods::{self, Given};
use super::python::{as_index, contains, equal, items, order, python_str, row, truth};
use super::tree::{Args, Compare, Expr, Name, Node, Target};
use super::{Scope, Value, arithmetic, checks, filters, macros};

/// Names that templates can give members to.
#[derive(Debug, Default)]
struct Namespace(Mutex<Dict>);

impl Namespace {
    fn get(&self, name: &str) -> Value {
        Arc::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .get_value(&Value::from(name))
            .unwrap_or_default()
    }

    fn set(&self, name: &str, value: Value) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set(Value::from(name), value);
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }
}

/// One evaluation.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) scope: &'a Scope,
    pub(super) fuel: Fuel,
    frames: Vec<Vec<(Name, Value)>>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(scope: &'a Scope) -> Self {
        Self { scope, fuel: Fuel::default(), frames: Vec::new() }
    }

    pub(super) fn run(&mut self, nodes: &[Node], out: &mut String) -> Outcome<()> {
        for node in nodes {
            self.fuel.burn(1)?;
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Output(expr) => {
                    let value = self.eval(expr)?;
                    match value.as_str() {
                        Some(text) => out.push_str(text),
                        None => out.push_str(&python_str(&value)),
                    }
                }
                Node::If(cases, otherwise) => {
                    let mut chosen = otherwise;
                    for (condition, body) in cases {
                        if truth(&*self.look(condition)?) {
                            chosen = body;
                            break;
                        }
                    }
                    self.run(chosen, out)?;
                }
                Node::For { target, items, filter, body, otherwise } => {
                    self.repeat(target, items, filter.as_ref(), body, otherwise, out)?;
                }
                Node::Set(target, value) => {
                    let value = self.eval(value)?;
                    self.bind(target, value)?;
                }
                Node::Capture { target, filters, body } => {
                    let mut text = String::new();
                    self.within(|machine| machine.run(body, &mut text))?;
                    let mut value = Value::from(text);
                    for (name, args) in filters {
                        let given = self.args(args)?;
                        value = filters::apply(self, name, &value, &given)?;
                    }
                    self.bind(target, value)?;
                }
                Node::With(names, body) => {
                    let mut values = Vec::new();
                    for (name, value) in names {
                        values.push((name.clone(), self.eval(value)?));
                    }
                    self.within(|machine| {
                        for (name, value) in values {
                            machine.declare(name, value);
                        }
                        machine.run(body, out)
                    })?;
                }
            }
            held(out.len())?;
        }
        Ok(())
    }

    fn within<T>(&mut self, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.frames.is_empty() {
            self.frames.push(Vec::new());
        }
        self.frames.push(Vec::new());
        let done = inner(self);
        self.frames.pop();
        done
    }

    fn repeat(
        &mut self,
        target: &Target,
        over: &Expr,
        filter: Option<&Expr>,
        body: &[Node],
        otherwise: &[Node],
        out: &mut String,
    ) -> Outcome<()> {
        let mut all = items(&*self.look(over)?)?;
        self.fuel.burn(all.len())?;
        if let Some(filter) = filter {
            let mut kept = Vec::new();
            for one in all {
                let wanted = self.within(|machine| {
                    machine.bind(target, one.clone())?;
                    Ok(truth(&*machine.look(filter)?))
                })?;
                if wanted {
                    kept.push(one);
                }
            }
            all = kept;
        }
        if all.is_empty() {
            return self.within(|machine| machine.run(otherwise, out));
        }
        let count = all.len();
        for (at, one) in all.into_iter().enumerate() {
            self.within(|machine| {
                let around = [
                    ("index", Value::from(at + 1)),
                    ("index0", at.into()),
                    ("revindex", (count - at).into()),
                    ("revindex0", (count - at - 1).into()),
                    ("first", (at == 0).into()),
                    ("last", (at + 1 == count).into()),
                    ("length", count.into()),
                ];
                machine.declare("loop".into(), Value::from_pairs(around));
                machine.bind(target, one)?;
                machine.run(body, out)
            })?;
        }
        Ok(())
    }

    fn declare(&mut self, name: Name, value: Value) {
        if self.frames.is_empty() {
            self.frames.push(Vec::new());
        }
        if let Some(frame) = self.frames.last_mut() {
            match frame.iter_mut().find(|(known, _)| *known == name) {
                Some((_, held)) => *held = value,
                None => frame.push((name, value)),
            }
        }
    }

    fn bind(&mut self, target: &Target, value: Value) -> Outcome<()> {
        match target {
            Target::Name(name) => self.declare(name.clone(), value),
            Target::Member(name, member) => match self.name(name).downcast_object_ref::<Namespace>() {
                Some(namespace) => namespace.set(member, value),
                None => return Err(wrong("a template sets a member of what is no namespace")),
            },
            Target::Many(targets) => {
                let all = items(&value)?;
                if all.len() != targets.len() {
                    return Err(wrong("a template takes apart what has another number of parts"));
                }
                for (target, value) in targets.iter().zip(all) {
                    self.bind(target, value)?;
                }
            }
        }
        Ok(())
    }

    /// Gives a name that a block set a new value, where it was set.
    fn change(&mut self, name: &str, value: Value) -> Outcome<()> {
        let found = self.frames.iter_mut().rev().flatten().find(|(known, _)| **known == *name);
        let (_, held) = found.ok_or_else(|| wrong("a template changes what is not its own"))?;
        *held = value;
        Ok(())
    }

    fn name(&self, name: &str) -> Value {
        let local = self.frames.iter().rev().flatten().find(|(known, _)| **known == *name).map(|(_, value)| value);
        local.or_else(|| self.scope.get(name)).cloned().unwrap_or_default()
    }

    /// A value that need not be kept.
    fn look<'b>(&mut self, expr: &'b Expr) -> Outcome<Cow<'b, Value>> {
        match expr {
            Expr::Literal(value) => Ok(Cow::Borrowed(value)),
            expr => self.eval(expr).map(Cow::Owned),
        }
    }

    pub(super) fn eval(&mut self, expr: &Expr) -> Outcome<Value> {
        self.fuel.burn(1)?;
        Ok(match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Name(name) => self.name(name),
            Expr::Member(of, name) => member(&self.eval(of)?, name)?,
            Expr::Item(of, key) => {
                let of = self.eval(of)?;
                item(&of, &*self.look(key)?)?
            }
            Expr::Slice(of, parts) => {
                let of = self.eval(of)?;
                let mut bounds = [None; 3];
                for (bound, part) in bounds.iter_mut().zip(parts) {
                    if let Some(part) = part {
                        let part = self.eval(part)?;
                        *bound = if part.is_none() { None } else { Some(as_index(&part).ok_or(Failure::Type)?) };
                    }
                }
                arithmetic::slice(&of, bounds)?
            }
            Expr::Call(of, args) => self.call(of, args)?,
            Expr::Filter(of, name, args) => {
                let of = self.eval(of)?;
                let given = self.args(args)?;
                filters::apply(self, name, &of, &given)?
            }
            Expr::Test(of, name, args) => {
                let of = self.eval(of)?;
                let given = self.args(args)?;
                checks::holds(name, &of, &given)?.into()
            }
            Expr::Not(of) => (!truth(&*self.look(of)?)).into(),
            Expr::Minus(of) => arithmetic::negative(&self.eval(of)?)?,
            Expr::Plus(of) => arithmetic::positive(&self.eval(of)?)?,
            Expr::Binary(operator, left, right) => {
                let left = self.eval(left)?;
                arithmetic::binary(*operator, &left, &*self.look(right)?)?
            }
            Expr::Concat(all) => {
                let mut text = String::new();
                for one in all {
                    text.push_str(&python_str(&*self.look(one)?));
                    held(text.len())?;
                }
                text.into()
            }
            Expr::Compare(first, others) => self.compare(first, others)?.into(),
            Expr::And(left, right) => {
                let left = self.eval(left)?;
                if truth(&left) { self.eval(right)? } else { left }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left)?;
                if truth(&left) { left } else { self.eval(right)? }
            }
            Expr::Choice { condition, yes, no } => {
                if truth(&*self.look(condition)?) {
                    self.eval(yes)?
                } else {
                    no.as_ref().map_or(Ok(Value::UNDEFINED), |no| self.eval(no))?
                }
            }
            Expr::List(all) => self.all(all)?.into(),
            Expr::Tuple(all) => Value::from(Tuple::new(self.all(all)?)),
            Expr::Dict(pairs) => {
                let mut dict = Dict::default();
                for (key, value) in pairs {
                    let key = self.eval(key)?;
                    if key.kind() == ValueKind::Map || (row(&key).is_some() && !key.is_tuple()) {
                        return Err(Failure::Type);
                    }
                    dict.set(key, self.eval(value)?);
                }
                dict.into()
            }
        })
    }

    fn all(&mut self, all: &[Expr]) -> Outcome<Vec<Value>> {
        all.iter().map(|one| self.eval(one)).collect()
    }

    fn args(&mut self, args: &Args) -> Outcome<Given> {
        let named = args.named.iter().map(|(name, value)| Ok((name.clone(), self.eval(value)?)));
        let named = named.collect::<Outcome<Vec<_>>>()?;
        Ok(Given { placed: self.all(&args.placed)?, named })
    }

    fn compare(&mut self, first: &Expr, others: &[(Compare, Expr)]) -> Outcome<bool> {
        let mut left = self.look(first)?;
        for (operator, other) in others {
            let right = self.look(other)?;
            let ordered = || order(&left, &right);
            let holds = match operator {
                Compare::Eq => equal(&left, &right),
                Compare::Ne => !equal(&left, &right),
                Compare::Lt => ordered()? == Some(Ordering::Less),
                Compare::Le => ordered()?.is_some_and(Ordering::is_le),
                Compare::Gt => ordered()? == Some(Ordering::Greater),
                Compare::Ge => ordered()?.is_some_and(Ordering::is_ge),
                Compare::In => contains(&right, &left)?,
                Compare::NotIn => !contains(&right, &left)?,
            };
            if !holds {
                return Ok(false);
            }
            left = right;
        }
        Ok(true)
    }

    fn call(&mut self, of: &Expr, args: &Args) -> Outcome<Value> {
        match of {
            Expr::Member(receiver, method) => {
                let target = self.eval(receiver)?;
                let given = self.args(args)?;
                if let Some(changed) = methods::change(&target, method, &given)? {
                    match &**receiver {
                        Expr::Name(name) => self.change(name, changed.now)?,
                        // What a template wrote down itself is nobody's.
                        Expr::List(_) | Expr::Dict(_) => {}
                        _ => return Err(wrong("a template changes what is not its own")),
                    }
                    return Ok(changed.gives);
                }
                methods::call(self, &target, method, &given)
            }
            Expr::Name(name) => {
                let local = self.name(name);
                if !local.is_undefined() {
                    return Err(Failure::Type);
                }
                let given = self.args(args)?;
                match &**name {
                    "namespace" => {
                        let namespace = Namespace::default();
                        for (name, value) in given.named {
                            namespace.set(&name, value);
                        }
                        Ok(Value::from_object(namespace))
                    }
                    _ => macros::call(self, name, &given),
                }
            }
            _ => match self.eval(of)? {
                value if value.is_undefined() => Err(Failure::Undefined),
                _ => Err(Failure::Type),
            },
        }
    }
}

/// A member by its name, as `a.b` and `a['b']` find it.
pub(super) fn member(of: &Value, name: &str) -> Outcome<Value> {
    if let Some(time) = super::dates::Time::of(of) {
        return Ok(time.member(name).unwrap_or_default());
    }
    if let Some(namespace) = of.downcast_object_ref::<Namespace>() {
        return Ok(namespace.get(name));
    }
    match of.kind() {
        ValueKind::Undefined => Err(Failure::Undefined),
        ValueKind::Map => Ok(of.get_attr(name).unwrap_or_default()),
        _ => Ok(Value::UNDEFINED),
    }
}

pub(super) fn item(of: &Value, key: &Value) -> Outcome<Value> {
    if of.is_undefined() {
        return Err(Failure::Undefined);
    }
    if let (ValueKind::Map | ValueKind::Plain, Some(_)) = (of.kind(), key.as_str()) {
        return member(of, key.as_str().unwrap_or_default());
    }
    if of.kind() == ValueKind::Map {
        let found = super::python::pairs(of).unwrap_or_default().into_iter().find(|(name, _)| equal(name, key));
        return Ok(found.map(|(_, value)| value).unwrap_or_default());
    }
    let Some(at) = as_index(key) else { return Ok(Value::UNDEFINED) };
    if of.kind() != ValueKind::String && row(of).is_none() {
        return Ok(Value::UNDEFINED);
    }
    if let (false, Ok(at)) = (of.kind() == ValueKind::String, usize::try_from(at)) {
        return Ok(of.get_item_by_index(at).unwrap_or_default());
    }
    let all = items(of)?;
    let at = if at < 0 { at + all.len() as i128 } else { at };
    Ok(usize::try_from(at).ok().and_then(|at| all.get(at).cloned()).unwrap_or_default())
}
