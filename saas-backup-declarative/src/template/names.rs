//! The names that a template takes from outside, found before it runs, as the framework does.

use super::tree::{Args, Expr, Name, Node, Target};

/// Names that are always there.
const GLOBALS: [&str; 18] = [
    "now_utc",
    "today_utc",
    "timestamp",
    "max",
    "min",
    "day_delta",
    "duration",
    "format_datetime",
    "today_with_timezone",
    "str_to_datetime",
    "sanitize_url",
    "camel_case_to_snake_case",
    "generate_uuid",
    "dict",
    "namespace",
    "lipsum",
    "cycler",
    "joiner",
];

#[derive(Debug, Default)]
struct Names {
    /// What was given a name so far, in the order of the blocks that are open.
    known: Vec<Name>,
    free: Vec<Name>,
}

pub(super) fn free(nodes: &[Node]) -> Vec<Name> {
    let mut names = Names::default();
    names.nodes(nodes);
    names.free
}

impl Names {
    fn want(&mut self, name: &Name) {
        if !self.known.contains(name) && !GLOBALS.contains(&&**name) && !self.free.contains(name) {
            self.free.push(name.clone());
        }
    }

    fn scoped(&mut self, inner: impl FnOnce(&mut Self)) {
        let known = self.known.len();
        inner(self);
        self.known.truncate(known);
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Text(_) => {}
                Node::Output(expr) => self.expr(expr),
                Node::If(cases, otherwise) => self.choice(cases, otherwise),
                Node::For { target, items, filter, body, otherwise } => {
                    self.expr(items);
                    self.scoped(|names| {
                        names.bind(target);
                        names.known.push("loop".into());
                        if let Some(filter) = filter {
                            names.expr(filter);
                        }
                        names.nodes(body);
                    });
                    self.scoped(|names| names.nodes(otherwise));
                }
                Node::Set(target, value) => {
                    self.expr(value);
                    self.bind(target);
                }
                Node::Capture { target, filters, body } => {
                    self.scoped(|names| names.nodes(body));
                    for (_, args) in filters {
                        self.args(args);
                    }
                    self.bind(target);
                }
                Node::With(values, body) => {
                    for (_, value) in values {
                        self.expr(value);
                    }
                    self.scoped(|names| {
                        names.known.extend(values.iter().map(|(name, _)| name.clone()));
                        names.nodes(body);
                    });
                }
            }
        }
    }

    /// A name that a branch gives is looked up outside as well, even if all branches give it.
    fn choice(&mut self, cases: &[(Expr, Vec<Node>)], otherwise: &[Node]) {
        let before = self.known.len();
        let mut given: Vec<Name> = Vec::new();
        for (condition, body) in cases {
            self.expr(condition);
            self.nodes(body);
            given.extend(self.known.split_off(before));
        }
        self.nodes(otherwise);
        given.extend(self.known.split_off(before));
        for name in &given {
            self.want(name);
        }
        self.known.extend(given);
    }

    fn bind(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.known.push(name.clone()),
            Target::Member(name, _) => self.want(name),
            Target::Many(all) => all.iter().for_each(|target| self.bind(target)),
        }
    }

    fn args(&mut self, args: &Args) {
        for value in &args.placed {
            self.expr(value);
        }
        for (_, value) in &args.named {
            self.expr(value);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Literal(_) => {}
            Expr::Name(name) => self.want(name),
            Expr::Member(of, _) | Expr::Not(of) | Expr::Minus(of) | Expr::Plus(of) => self.expr(of),
            Expr::Item(left, right) | Expr::Binary(_, left, right) | Expr::And(left, right) | Expr::Or(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            Expr::Slice(of, parts) => {
                self.expr(of);
                for part in parts.iter().flatten() {
                    self.expr(part);
                }
            }
            Expr::Call(of, args) | Expr::Filter(of, _, args) | Expr::Test(of, _, args) => {
                self.expr(of);
                self.args(args);
            }
            Expr::Concat(all) | Expr::List(all) | Expr::Tuple(all) => all.iter().for_each(|one| self.expr(one)),
            Expr::Compare(first, others) => {
                self.expr(first);
                for (_, other) in others {
                    self.expr(other);
                }
            }
            Expr::Choice { condition, yes, no } => {
                self.expr(condition);
                self.expr(yes);
                if let Some(no) = no {
                    self.expr(no);
                }
            }
            Expr::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
        }
    }
}
