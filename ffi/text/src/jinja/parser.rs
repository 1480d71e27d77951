// SPDX-License-Identifier: Apache-2.0
//! Jinja2's grammar, with the loop controls and transformers' generation tag. What it follows:
//! jinja2/parser.py of Jinja2 3.1.

use super::ast::*;
use super::filters;
use super::lexer::{tokenize, Located, Token};
use super::{symbols, tests};
use super::{Error, Result};
use std::sync::Arc;

/// Nesting of expressions and statements, and the operators of one tag (each may add a level to its
/// tree): they bound the recursion of the parser, the renderer and the tree's own end.
const MAX_NESTING: u32 = 100;
const MAX_OPERATORS: u32 = 4000;

/// The statements, and whether there is a block among them.
pub fn parse(source: &str) -> Result<(Vec<Stmt>, bool)> {
    let mut parser = Parser {
        tokens: tokenize(source)?,
        at: 0,
        nesting: 0,
        operators: 0,
        loops: 0,
        implicit: Vec::new(),
        soft: false,
        unknown: Vec::new(),
        blocks: false,
        sets_loop: false,
    };
    let mut body = parser.body(&[])?;
    match parser.unknown.first() {
        Some(message) => Err(Error::new(message.clone())),
        None => {
            symbols::hide_names(&mut body)?;
            Ok((body, parser.blocks))
        }
    }
}

pub(super) struct Parser {
    pub(super) tokens: Vec<Located>,
    pub(super) at: usize,
    pub(super) nesting: u32,
    pub(super) operators: u32,
    pub(super) loops: u32,
    /// Per macro being parsed: does it mention caller, varargs, kwargs?
    pub(super) implicit: Vec<[bool; 3]>,
    /// Within an `if`, where an unknown filter is an error only when it is reached.
    pub(super) soft: bool,
    pub(super) unknown: Vec<String>,
    pub(super) blocks: bool,
    /// Whether a name that was set is `loop`, which Jinja2 forbids in and around a `for`.
    pub(super) sets_loop: bool,
}

impl Parser {
    pub(super) fn token(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].token
    }

    pub(super) fn peek(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].token
    }

    pub(super) fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        let line = self.tokens[self.at.min(self.tokens.len() - 1)].line;
        Err(Error::new(format!("{message} (line {line})")))
    }

    pub(super) fn is_op(&self, operator: &str) -> bool {
        matches!(self.token(), Token::Op(op) if *op == operator)
    }

    pub(super) fn take_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_op(&mut self, operator: &str) -> Result<()> {
        if self.take_op(operator) {
            return Ok(());
        }
        self.fail(format!("expected token '{operator}', got {}", self.token().describe()))
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.token(), Token::Name(text) if &**text == name)
    }

    pub(super) fn take_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_name(&mut self, name: &str) -> Result<()> {
        if self.take_name(name) {
            return Ok(());
        }
        self.fail(format!("expected token '{name}', got {}", self.token().describe()))
    }

    pub(super) fn any_name(&mut self) -> Result<Arc<str>> {
        if let Token::Name(name) = self.token() {
            let name = name.clone();
            self.at += 1;
            return Ok(name);
        }
        self.fail(format!("expected a name, got {}", self.token().describe()))
    }

    pub(super) fn block_end(&mut self) -> Result<()> {
        if *self.token() == Token::BlockEnd {
            self.at += 1;
            return Ok(());
        }
        self.fail(format!("expected token 'end of statement block', got {}", self.token().describe()))
    }

    pub(super) fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.fail(format!("the template is nested deeper than {MAX_NESTING} levels"));
        }
        let result = work(self);
        self.nesting -= 1;
        result
    }

    pub(super) fn operator(&mut self) -> Result<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return self.fail(format!("more than {MAX_OPERATORS} operators in one tag"));
        }
        Ok(())
    }

    /// A filter or test that does not exist fails the template, but within an `if` only when reached.
    pub(super) fn check_known(&mut self, known: bool, kind: &str, name: &str) {
        if !known && !self.soft {
            self.unknown.push(format!("No {kind} named '{name}'."));
        }
    }

    // --- expressions --------------------------------------------------------------------------

    pub(super) fn expression(&mut self, conditional: bool) -> Result<Expr> {
        self.nested(|parser| if conditional { parser.conditional() } else { parser.or() })
    }

    /// One expression, or several with commas between.
    pub(super) fn tuple(&mut self, conditional: bool) -> Result<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        while !self.is_tuple_end() {
            items.push(self.expression(conditional)?);
            if !self.take_op(",") {
                break;
            }
            is_tuple = true;
        }
        if is_tuple {
            return Ok(Expr::Tuple(items));
        }
        match items.pop() {
            Some(item) => Ok(item),
            None => self.fail(format!("Expected an expression, got {}", self.token().describe())),
        }
    }

    pub(super) fn is_tuple_end(&self) -> bool {
        matches!(self.token(), Token::VariableEnd | Token::BlockEnd | Token::End) || self.is_op(")")
    }

    pub(super) fn conditional(&mut self) -> Result<Expr> {
        let unknown = self.unknown.len();
        let mut value = self.or()?;
        while self.take_name("if") {
            self.operator()?;
            // Both sides of a condition are soft; what was noted within them is forgotten.
            let soft = std::mem::replace(&mut self.soft, true);
            self.unknown.truncate(unknown);
            let test = self.or()?;
            let otherwise =
                if self.take_name("else") { Some(Box::new(self.expression(true)?)) } else { None };
            self.soft = soft;
            value = Expr::Conditional(Box::new(test), Box::new(value), otherwise);
        }
        Ok(value)
    }

    pub(super) fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.take_name("or") {
            self.operator()?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    pub(super) fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.take_name("and") {
            self.operator()?;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    pub(super) fn not(&mut self) -> Result<Expr> {
        if self.take_name("not") {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.compare()
    }

    pub(super) fn comparison(&mut self) -> Option<Comparison> {
        let found = match self.token() {
            Token::Op("==") => Comparison::Eq,
            Token::Op("!=") => Comparison::Ne,
            Token::Op("<") => Comparison::Lt,
            Token::Op("<=") => Comparison::Le,
            Token::Op(">") => Comparison::Gt,
            Token::Op(">=") => Comparison::Ge,
            Token::Name(name) if &**name == "in" => Comparison::In,
            Token::Name(name) if &**name == "not" => {
                if !matches!(self.peek(1), Token::Name(next) if &**next == "in") {
                    return None;
                }
                self.at += 1;
                Comparison::NotIn
            }
            _ => return None,
        };
        self.at += 1;
        Some(found)
    }

    pub(super) fn compare(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    pub(super) fn sum(&mut self) -> Result<Expr> {
        let mut left = self.concat()?;
        loop {
            let operator = match self.token() {
                Token::Op("+") => Arithmetic::Add,
                Token::Op("-") => Arithmetic::Sub,
                _ => return Ok(left),
            };
            self.at += 1;
            self.operator()?;
            left = Expr::Arithmetic(operator, Box::new(left), Box::new(self.concat()?));
        }
    }

    pub(super) fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_op("~") {
            parts.push(self.product()?);
        }
        Ok(Expr::Concat(parts))
    }

    pub(super) fn product(&mut self) -> Result<Expr> {
        let mut left = self.power()?;
        loop {
            let operator = match self.token() {
                Token::Op("*") => Arithmetic::Mul,
                Token::Op("/") => Arithmetic::Div,
                Token::Op("//") => Arithmetic::FloorDiv,
                Token::Op("%") => Arithmetic::Mod,
                _ => return Ok(left),
            };
            self.at += 1;
            self.operator()?;
            left = Expr::Arithmetic(operator, Box::new(left), Box::new(self.power()?));
        }
    }

    pub(super) fn power(&mut self) -> Result<Expr> {
        let mut left = self.unary(true)?;
        while self.take_op("**") {
            self.operator()?;
            left = Expr::Arithmetic(Arithmetic::Pow, Box::new(left), Box::new(self.unary(true)?));
        }
        Ok(left)
    }

    pub(super) fn unary(&mut self, filters: bool) -> Result<Expr> {
        let mut value = if self.take_op("-") {
            self.nested(|parser| Ok(Expr::Neg(Box::new(parser.unary(false)?))))?
        } else if self.take_op("+") {
            self.nested(|parser| Ok(Expr::Pos(Box::new(parser.unary(false)?))))?
        } else {
            self.primary()?
        };
        value = self.postfix(value)?;
        if filters {
            value = self.filters_and_tests(value)?;
        }
        Ok(value)
    }

    pub(super) fn primary(&mut self) -> Result<Expr> {
        let token = self.token().clone();
        self.at += 1;
        match token {
            Token::Name(name) => Ok(match &*name {
                "true" | "True" => Expr::Const(Const::Bool(true)),
                "false" | "False" => Expr::Const(Const::Bool(false)),
                "none" | "None" => Expr::Const(Const::None),
                _ => {
                    for mentions in &mut self.implicit {
                        for (index, implicit) in ["caller", "varargs", "kwargs"].iter().enumerate() {
                            mentions[index] |= &*name == *implicit;
                        }
                    }
                    Expr::Name(name)
                }
            }),
            Token::Str(first) => {
                let mut text = first.to_string();
                while let Token::Str(next) = self.token().clone() {
                    text.push_str(&next);
                    self.at += 1;
                }
                Ok(Expr::Const(Const::Str(text.into())))
            }
            Token::Int(digits) => Ok(Expr::Const(Const::Int(digits))),
            Token::Float(value) => Ok(Expr::Const(Const::Float(value))),
            Token::Op("(") => {
                let value = if self.is_op(")") { Expr::Tuple(Vec::new()) } else { self.tuple(true)? };
                self.expect_op(")")?;
                Ok(value)
            }
            Token::Op("[") => {
                let mut items = Vec::new();
                while !self.is_op("]") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.is_op("]") {
                            break;
                        }
                    }
                    items.push(self.expression(true)?);
                }
                self.expect_op("]")?;
                Ok(Expr::List(items))
            }
            Token::Op("{") => {
                let mut items = Vec::new();
                while !self.is_op("}") {
                    if !items.is_empty() {
                        self.expect_op(",")?;
                        if self.is_op("}") {
                            break;
                        }
                    }
                    let key = self.expression(true)?;
                    self.expect_op(":")?;
                    items.push((key, self.expression(true)?));
                }
                self.expect_op("}")?;
                Ok(Expr::Dict(items))
            }
            other => {
                self.at -= 1;
                self.fail(format!("unexpected {}", other.describe()))
            }
        }
    }

    pub(super) fn postfix(&mut self, mut value: Expr) -> Result<Expr> {
        loop {
            self.operator()?;
            if self.take_op(".") {
                value = match self.token().clone() {
                    Token::Name(name) => Expr::Attribute(Box::new(value), name),
                    Token::Int(digits) => Expr::Item(Box::new(value), Box::new(Expr::Const(Const::Int(digits)))),
                    _ => return self.fail("expected name or number"),
                };
                self.at += 1;
            } else if self.take_op("[") {
                value = self.subscript(value)?;
                self.expect_op("]")?;
            } else if self.is_op("(") {
                value = Expr::Call(Box::new(value), self.arguments()?);
            } else {
                return Ok(value);
            }
        }
    }

    pub(super) fn subscript(&mut self, value: Expr) -> Result<Expr> {
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut part = 0;
        let mut slice = false;
        while !self.is_op("]") {
            if self.take_op(":") {
                slice = true;
                part += 1;
                if part > 2 {
                    return self.fail("a slice has at most three parts");
                }
                continue;
            }
            if parts[part].is_some() {
                break;
            }
            parts[part] = Some(self.expression(true)?);
        }
        if slice {
            return Ok(Expr::Slice(Box::new(value), Box::new(parts)));
        }
        let Some(first) = parts[0].take() else { return self.fail("expected a subscript expression") };
        if !self.is_op(",") {
            return Ok(Expr::Item(Box::new(value), Box::new(first)));
        }
        let mut items = vec![first];
        while self.take_op(",") && !self.is_op("]") {
            items.push(self.expression(true)?);
        }
        Ok(Expr::Item(Box::new(value), Box::new(Expr::Tuple(items))))
    }

    pub(super) fn arguments(&mut self) -> Result<Args> {
        let mut args = Args::default();
        let mut first = true;
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            first = false;
            if self.take_op("**") {
                args.double_star = Some(Box::new(self.expression(true)?));
            } else if self.take_op("*") {
                args.star = Some(Box::new(self.expression(true)?));
            } else if matches!(self.token(), Token::Name(_)) && *self.peek(1) == Token::Op("=") {
                let name = self.any_name()?;
                if args.keyword.iter().any(|entry| entry.0 == name) {
                    return self.fail(format!("keyword argument repeated: {name}"));
                }
                self.expect_op("=")?;
                args.keyword.push((name, self.expression(true)?));
            } else if args.keyword.is_empty() && args.star.is_none() && args.double_star.is_none() {
                args.positional.push(self.expression(true)?);
            } else {
                return self.fail("invalid syntax for function call expression");
            }
        }
        self.expect_op(")")?;
        Ok(args)
    }

    pub(super) fn filters_and_tests(&mut self, mut value: Expr) -> Result<Expr> {
        loop {
            self.operator()?;
            if self.is_op("|") {
                value = self.filter(Some(value), false)?;
            } else if self.is_name("is") {
                value = self.test(value)?;
            } else if self.is_op("(") {
                value = Expr::Call(Box::new(value), self.arguments()?);
            } else {
                return Ok(value);
            }
        }
    }

    pub(super) fn dotted_name(&mut self) -> Result<Arc<str>> {
        let mut name = self.any_name()?;
        while self.take_op(".") {
            name = format!("{name}.{}", self.any_name()?).into();
        }
        Ok(name)
    }

    /// Filters from here on; `inline`: the first comes without its bar.
    pub(super) fn filter(&mut self, mut value: Option<Expr>, mut inline: bool) -> Result<Expr> {
        while inline || self.is_op("|") {
            self.at += usize::from(!inline);
            inline = false;
            let name = self.dotted_name()?;
            self.check_known(filters::is_known(&name), "filter", &name);
            let args = if self.is_op("(") { self.arguments()? } else { Args::default() };
            value = Some(Expr::Filter(value.map(Box::new), name, args));
            self.operator()?;
        }
        match value {
            Some(value) => Ok(value),
            None => self.fail("expected a filter"),
        }
    }

    pub(super) fn test(&mut self, value: Expr) -> Result<Expr> {
        self.expect_name("is")?;
        let negated = self.take_name("not");
        let name = self.dotted_name()?;
        self.check_known(tests::is_known(&name), "test", &name);
        let mut args = Args::default();
        if self.is_op("(") {
            args = self.arguments()?;
        } else {
            let takes_argument = match self.token() {
                Token::Name(next) if &**next == "is" => {
                    return self.fail("You cannot chain multiple tests with is");
                }
                Token::Name(next) => !matches!(&**next, "else" | "or" | "and"),
                Token::Str(_) | Token::Int(_) | Token::Float(_) => true,
                Token::Op(operator) => matches!(*operator, "[" | "{"),
                _ => false,
            };
            if takes_argument {
                let argument = self.primary()?;
                args.positional.push(self.postfix(argument)?);
            }
        }
        let test = Expr::Test(Box::new(value), name, args);
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }
}
