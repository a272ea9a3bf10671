//! What a template says, once it is read.

use std::sync::Arc;

use super::Value;

pub(super) type Name = Arc<str>;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Output(Expr),
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    For { target: Target, items: Expr, filter: Option<Expr>, body: Vec<Node>, otherwise: Vec<Node> },
    Set(Target, Expr),
    Capture { target: Target, filters: Vec<(Name, Args)>, body: Vec<Node> },
    With(Vec<(Name, Expr)>, Vec<Node>),
}

#[derive(Debug)]
pub(super) enum Target {
    Name(Name),
    /// A member of a namespace.
    Member(Name, Name),
    Many(Vec<Target>),
}

#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) placed: Vec<Expr>,
    pub(super) named: Vec<(Name, Expr)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug)]
pub(super) enum Expr {
    Literal(Value),
    Name(Name),
    Member(Box<Expr>, Name),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Args),
    Filter(Box<Expr>, Name, Args),
    Test(Box<Expr>, Name, Args),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    Plus(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Compare, Expr)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Choice { condition: Box<Expr>, yes: Box<Expr>, no: Option<Box<Expr>> },
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
}
