//! Jinja's statements.

use saas_backup_core::Result;

use super::lex::{Part, refused};
use super::limits::MAX_DEPTH;
use super::parse::Parser;
use super::tree::{Node, Target};

/// The nodes of a template.
pub(super) fn nodes(parts: Vec<Part>) -> Result<Vec<Node>> {
    let mut blocks = Blocks { parts: parts.into_iter(), depth: 0 };
    match blocks.until(&[])? {
        (nodes, None) => Ok(nodes),
        (_, Some(_)) => Err(refused("a template ends a block that it did not begin")),
    }
}

struct Blocks {
    parts: std::vec::IntoIter<Part>,
    depth: usize,
}

/// The word that ended a run of nodes, and the rest of its statement.
type End = Option<(String, Parser)>;

impl Blocks {
    fn until(&mut self, ends: &[&str]) -> Result<(Vec<Node>, End)> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(refused("a template nests too deeply").with_context("limit", MAX_DEPTH));
        }
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let tokens = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Part::Output(tokens) => {
                    let mut parser = Parser::new(tokens);
                    nodes.push(Node::Output(parser.tuple()?));
                    parser.done()?;
                    continue;
                }
                Part::Block(tokens) => tokens,
            };
            let mut parser = Parser::new(tokens);
            let word = parser.name()?;
            if ends.contains(&&*word) {
                self.depth -= 1;
                return Ok((nodes, Some((word.to_string(), parser))));
            }
            nodes.push(self.statement(&word, parser)?);
        }
        if !ends.is_empty() {
            return Err(refused("a block of a template does not end"));
        }
        Ok((nodes, None))
    }

    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Node>, String, Parser)> {
        match self.until(ends)? {
            (nodes, Some((word, parser))) => Ok((nodes, word, parser)),
            (_, None) => Err(refused("a block of a template does not end")),
        }
    }

    /// The body of a block that can end in one way only.
    fn simple(&mut self, end: &str) -> Result<Vec<Node>> {
        let (nodes, _, parser) = self.body(&[end])?;
        parser.done()?;
        Ok(nodes)
    }

    fn statement(&mut self, word: &str, mut parser: Parser) -> Result<Node> {
        match word {
            "if" => self.choice(parser),
            "for" => self.repeat(parser),
            "set" => self.set(parser),
            "with" => {
                let mut names = Vec::new();
                while !parser.is_done() {
                    let name = parser.name()?;
                    parser.need("=")?;
                    names.push((name, parser.expression()?));
                    if !parser.take(",") {
                        break;
                    }
                }
                parser.done()?;
                Ok(Node::With(names, self.simple("endwith")?))
            }
            _ => Err(refused("a template has a statement that is not known").with_context("statement", word)),
        }
    }

    fn choice(&mut self, mut parser: Parser) -> Result<Node> {
        let mut cases = Vec::new();
        loop {
            let condition = parser.plain_tuple()?;
            parser.take(":");
            parser.done()?;
            let (body, word, rest) = self.body(&["elif", "else", "endif"])?;
            cases.push((condition, body));
            parser = rest;
            match word.as_str() {
                "elif" => {}
                "else" => {
                    parser.take(":");
                    parser.done()?;
                    return Ok(Node::If(cases, self.simple("endif")?));
                }
                _ => {
                    parser.done()?;
                    return Ok(Node::If(cases, Vec::new()));
                }
            }
        }
    }

    fn repeat(&mut self, mut parser: Parser) -> Result<Node> {
        let target = target(&mut parser)?;
        if !parser.word("in") {
            return Err(refused("a loop of a template lacks its `in`"));
        }
        let items = parser.plain_tuple()?;
        let filter = if parser.word("if") { Some(parser.expression()?) } else { None };
        if parser.word("recursive") {
            return Err(refused("a loop of a template is recursive"));
        }
        parser.take(":");
        parser.done()?;
        let (body, word, mut rest) = self.body(&["else", "endfor"])?;
        rest.take(":");
        rest.done()?;
        let otherwise = if word == "else" { self.simple("endfor")? } else { Vec::new() };
        Ok(Node::For { target, items, filter, body, otherwise })
    }

    fn set(&mut self, mut parser: Parser) -> Result<Node> {
        let target = target(&mut parser)?;
        if parser.take("=") {
            let value = parser.tuple()?;
            parser.done()?;
            return Ok(Node::Set(target, value));
        }
        let mut filters = Vec::new();
        while parser.take("|") {
            filters.push(parser.filter()?);
        }
        parser.done()?;
        Ok(Node::Capture { target, filters, body: self.simple("endset")? })
    }
}

fn target(parser: &mut Parser) -> Result<Target> {
    let bracket = parser.take("(");
    let mut all = Vec::new();
    let mut many = false;
    loop {
        let name = parser.name()?;
        all.push(if parser.take(".") { Target::Member(name, parser.name()?) } else { Target::Name(name) });
        if !parser.take(",") {
            break;
        }
        many = true;
    }
    if bracket {
        parser.need(")")?;
    }
    match all.pop() {
        Some(only) if !many => Ok(only),
        last => {
            all.extend(last);
            Ok(Target::Many(all))
        }
    }
}
