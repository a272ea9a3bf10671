//! Jinja's grammar of expressions.

use minijinja::value::Tuple;
use saas_backup_core::Result;

use super::lex::{Token, refused};
use super::limits::{MAX_DEPTH, MAX_LINKS};
use super::python::integer;
use super::tree::{Args, Compare, Expr, Name, Op};
use super::{Value, checks, filters};

/// Reads expressions from the tokens of one pair of braces.
#[derive(Debug)]
pub(super) struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    after: Option<Token>,
    depth: usize,
    links: usize,
}

impl Parser {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self { tokens: tokens.into_iter().peekable(), after: None, depth: 0, links: 0 }
    }

    fn peek(&mut self) -> Option<&Token> {
        match self.after {
            Some(ref token) => Some(token),
            None => self.tokens.peek(),
        }
    }

    fn next(&mut self) -> Option<Token> {
        self.after.take().or_else(|| self.tokens.next())
    }

    /// Counts what makes an expression one deeper without a bracket.
    fn link(&mut self) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(refused("an expression of a template is too long").with_context("limit", MAX_LINKS));
        }
        Ok(())
    }

    pub(super) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    pub(super) fn done(mut self) -> Result<()> {
        if self.is_done() { Ok(()) } else { Err(refused("a template goes on where it should end")) }
    }

    pub(super) fn take(&mut self, sign: &'static str) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        if found {
            self.next();
        }
        found
    }

    pub(super) fn need(&mut self, sign: &'static str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(refused("a template lacks a sign").with_context("sign", sign)) }
    }

    fn at_word(&mut self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(name)) if name == word)
    }

    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        match self.next() {
            Some(Token::Name(name)) => Ok(name.into()),
            _ => Err(refused("a template lacks a name")),
        }
    }

    /// `a` or `a, b`.
    pub(super) fn tuple(&mut self) -> Result<Expr> {
        self.list_until(Self::expression)
    }

    /// The same where an `if` that follows is no part of it.
    pub(super) fn plain_tuple(&mut self) -> Result<Expr> {
        self.list_until(Self::or)
    }

    fn list_until(&mut self, mut one: impl FnMut(&mut Self) -> Result<Expr>) -> Result<Expr> {
        let first = one(self)?;
        if self.peek() != Some(&Token::Sign(",")) {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.take(",") {
            if matches!(self.peek(), None | Some(Token::Sign(")" | "]" | "}"))) {
                break;
            }
            all.push(one(self)?);
        }
        Ok(Expr::Tuple(all))
    }

    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(refused("a template nests too deeply").with_context("limit", MAX_DEPTH));
        }
        let mut yes = self.or()?;
        while self.word("if") {
            self.link()?;
            let condition = Box::new(self.or()?);
            let no = if self.word("else") { Some(Box::new(self.expression()?)) } else { None };
            yes = Expr::Choice { condition, yes: Box::new(yes), no };
        }
        self.depth -= 1;
        Ok(yes)
    }

    fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.word("or") {
            self.link()?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.word("and") {
            self.link()?;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        let mut count = 0_usize;
        while self.word("not") {
            count += 1;
        }
        let mut found = self.compare()?;
        for _ in 0..count.min(2 + count % 2) {
            found = Expr::Not(Box::new(found));
        }
        Ok(found)
    }

    fn compare(&mut self) -> Result<Expr> {
        let left = self.sum()?;
        let mut others = Vec::new();
        loop {
            let operator = match self.peek() {
                Some(Token::Sign("==")) => Compare::Eq,
                Some(Token::Sign("!=")) => Compare::Ne,
                Some(Token::Sign("<")) => Compare::Lt,
                Some(Token::Sign("<=")) => Compare::Le,
                Some(Token::Sign(">")) => Compare::Gt,
                Some(Token::Sign(">=")) => Compare::Ge,
                Some(Token::Name(name)) if name == "in" => Compare::In,
                Some(Token::Name(name)) if name == "not" => {
                    let not = self.next();
                    if !self.at_word("in") {
                        self.after = not;
                        return Err(refused("a template has a `not` where an operator should be"));
                    }
                    Compare::NotIn
                }
                _ => break,
            };
            self.next();
            others.push((operator, self.sum()?));
        }
        Ok(if others.is_empty() { left } else { Expr::Compare(Box::new(left), others) })
    }

    fn binary(
        &mut self,
        operators: &[(&'static str, Op)],
        mut operand: impl FnMut(&mut Self) -> Result<Expr>,
    ) -> Result<Expr> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.peek() == Some(&Token::Sign(sign))) {
            self.next();
            self.link()?;
            left = Expr::Binary(*operator, Box::new(left), Box::new(operand(self)?));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr> {
        self.binary(&[("+", Op::Add), ("-", Op::Sub)], Self::concat)
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        let mut all = vec![first];
        while self.take("~") {
            all.push(self.product()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expr::Concat(all) })
    }

    fn product(&mut self) -> Result<Expr> {
        let operators = [("*", Op::Mul), ("/", Op::Div), ("//", Op::FloorDiv), ("%", Op::Mod)];
        self.binary(&operators, Self::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.binary(&[("**", Op::Pow)], |parser| parser.unary(true))
    }

    fn unary(&mut self, filtered: bool) -> Result<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(refused("a template nests too deeply").with_context("limit", MAX_DEPTH));
        }
        let mut found = if self.take("-") {
            Expr::Minus(Box::new(self.unary(false)?))
        } else if self.take("+") {
            Expr::Plus(Box::new(self.unary(false)?))
        } else {
            self.primary()?
        };
        self.depth -= 1;
        found = self.postfix(found)?;
        if filtered { self.filters(found) } else { Ok(found) }
    }

    fn primary(&mut self) -> Result<Expr> {
        Ok(match self.next() {
            Some(Token::Name(name)) => match name.as_str() {
                "true" | "True" => Expr::Literal(true.into()),
                "false" | "False" => Expr::Literal(false.into()),
                "none" | "None" => Expr::Literal(().into()),
                _ => Expr::Name(name.into()),
            },
            Some(Token::Text(mut text)) => {
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                Expr::Literal(text.into())
            }
            Some(Token::Integer(number)) => Expr::Literal(integer(number)),
            Some(Token::Float(number)) => Expr::Literal(number.into()),
            Some(Token::Sign("(")) => {
                if self.take(")") {
                    Expr::Literal(Value::from(Tuple::default()))
                } else {
                    let found = self.tuple()?;
                    self.need(")")?;
                    found
                }
            }
            Some(Token::Sign("[")) => {
                let mut all = Vec::new();
                while !self.take("]") {
                    all.push(self.expression()?);
                    if !self.take(",") {
                        self.need("]")?;
                        break;
                    }
                }
                Expr::List(all)
            }
            Some(Token::Sign("{")) => {
                let mut all = Vec::new();
                while !self.take("}") {
                    let key = self.expression()?;
                    self.need(":")?;
                    all.push((key, self.expression()?));
                    if !self.take(",") {
                        self.need("}")?;
                        break;
                    }
                }
                Expr::Dict(all)
            }
            _ => return Err(refused("a template lacks an expression")),
        })
    }

    fn postfix(&mut self, mut found: Expr) -> Result<Expr> {
        loop {
            found = if self.take(".") {
                match self.next() {
                    Some(Token::Name(name)) => Expr::Member(Box::new(found), name.into()),
                    Some(Token::Integer(at)) => Expr::Item(Box::new(found), Box::new(Expr::Literal(integer(at)))),
                    _ => return Err(refused("a template lacks a name after a dot")),
                }
            } else if self.take("[") {
                self.subscript(found)?
            } else if self.take("(") {
                Expr::Call(Box::new(found), self.arguments()?)
            } else {
                return Ok(found);
            };
            self.link()?;
        }
    }

    fn subscript(&mut self, found: Expr) -> Result<Expr> {
        let mut parts = [None, None, None];
        let mut colons = 0;
        for (at, part) in parts.iter_mut().enumerate() {
            if !matches!(self.peek(), Some(Token::Sign(":" | "]"))) {
                *part = Some(Box::new(if at == 0 { self.tuple()? } else { self.expression()? }));
            }
            if !self.take(":") {
                break;
            }
            colons += 1;
        }
        self.need("]")?;
        match (colons, parts) {
            (0, [Some(key), ..]) => Ok(Expr::Item(Box::new(found), key)),
            (0, _) => Err(refused("a template lacks an index")),
            (_, parts) => Ok(Expr::Slice(Box::new(found), parts)),
        }
    }

    /// What stands up to the closing bracket.
    fn arguments(&mut self) -> Result<Args> {
        let mut args = Args::default();
        while !self.take(")") {
            if matches!(self.peek(), Some(Token::Sign("*" | "**"))) {
                return Err(refused("a template spreads its arguments"));
            }
            let value = self.expression()?;
            match value {
                Expr::Name(name) if self.take("=") => args.named.push((name, self.expression()?)),
                _ if !args.named.is_empty() => return Err(refused("a template has arguments in the wrong order")),
                value => args.placed.push(value),
            }
            if !self.take(",") {
                self.need(")")?;
                break;
            }
        }
        Ok(args)
    }

    fn filters(&mut self, mut found: Expr) -> Result<Expr> {
        loop {
            found = if self.take("|") {
                let (name, args) = self.filter()?;
                Expr::Filter(Box::new(found), name, args)
            } else if self.word("is") {
                self.test(found)?
            } else if self.take("(") {
                Expr::Call(Box::new(found), self.arguments()?)
            } else {
                return Ok(found);
            };
            self.link()?;
        }
    }

    /// A filter's name and arguments.
    pub(super) fn filter(&mut self) -> Result<(Name, Args)> {
        let name = self.dotted()?;
        if !filters::is_known(&name) {
            return Err(refused("a template has a filter that is not known").with_context("filter", name));
        }
        let args = if self.take("(") { self.arguments()? } else { Args::default() };
        Ok((name, args))
    }

    fn dotted(&mut self) -> Result<Name> {
        let mut name = self.name()?.to_string();
        while self.take(".") {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name.into())
    }

    fn test(&mut self, found: Expr) -> Result<Expr> {
        let negated = self.word("not");
        let name = self.dotted()?;
        if !checks::is_known(&name) {
            return Err(refused("a template has a test that is not known").with_context("test", name));
        }
        let takes = match self.peek() {
            Some(Token::Name(word)) => !matches!(word.as_str(), "else" | "or" | "and" | "is" | "if" | "in" | "not"),
            Some(Token::Text(_) | Token::Integer(_) | Token::Float(_) | Token::Sign("[" | "{")) => true,
            _ => false,
        };
        let args = if self.take("(") {
            self.arguments()?
        } else if takes {
            let argument = self.primary()?;
            Args { placed: vec![self.postfix(argument)?], named: Vec::new() }
        } else {
            Args::default()
        };
        let found = Expr::Test(Box::new(found), name, args);
        Ok(if negated { Expr::Not(Box::new(found)) } else { found })
    }
}
