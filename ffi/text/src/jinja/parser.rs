// SPDX-License-Identifier: Apache-2.0
//! Jinja2's grammar, with the loop controls and transformers' generation tag. What it follows:
//! jinja2/parser.py of Jinja2 3.1.

use super::ast::*;
use super::filters;
use super::lexer::{tokenize, Located, Token};
use super::tests;
use super::{Error, Result};
use std::sync::Arc;

/// Nesting of expressions and statements, and the operators of one tag (each may add a level to its
/// tree): they bound the recursion of the parser, the renderer and the tree's own end.
const MAX_NESTING: u32 = 100;
const MAX_OPERATORS: u32 = 4000;

pub fn parse(source: &str) -> Result<Vec<Stmt>> {
    let mut parser = Parser {
        tokens: tokenize(source)?,
        at: 0,
        nesting: 0,
        operators: 0,
        loops: 0,
        implicit: Vec::new(),
        soft: false,
        unknown: Vec::new(),
    };
    let body = parser.body(&[])?;
    match parser.unknown.first() {
        Some(message) => Err(Error::new(message.clone())),
        None => Ok(body),
    }
}

struct Parser {
    tokens: Vec<Located>,
    at: usize,
    nesting: u32,
    operators: u32,
    loops: u32,
    /// Per macro being parsed: does it mention caller, varargs, kwargs?
    implicit: Vec<[bool; 3]>,
    /// Within an `if`, where an unknown filter is an error only when it is reached.
    soft: bool,
    unknown: Vec<String>,
}

impl Parser {
    fn token(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].token
    }

    fn peek(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].token
    }

    fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        let line = self.tokens[self.at.min(self.tokens.len() - 1)].line;
        Err(Error::new(format!("{message} (line {line})")))
    }

    fn is_op(&self, operator: &str) -> bool {
        matches!(self.token(), Token::Op(op) if *op == operator)
    }

    fn take_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    fn expect_op(&mut self, operator: &str) -> Result<()> {
        if self.take_op(operator) {
            return Ok(());
        }
        self.fail(format!("expected token '{operator}', got {}", describe(self.token())))
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.token(), Token::Name(text) if &**text == name)
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn expect_name(&mut self, name: &str) -> Result<()> {
        if self.take_name(name) {
            return Ok(());
        }
        self.fail(format!("expected token '{name}', got {}", describe(self.token())))
    }

    fn any_name(&mut self) -> Result<Arc<str>> {
        if let Token::Name(name) = self.token() {
            let name = name.clone();
            self.at += 1;
            return Ok(name);
        }
        self.fail(format!("expected a name, got {}", describe(self.token())))
    }

    fn block_end(&mut self) -> Result<()> {
        if *self.token() == Token::BlockEnd {
            self.at += 1;
            return Ok(());
        }
        self.fail(format!("expected token 'end of statement block', got {}", describe(self.token())))
    }

    fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.fail(format!("the template is nested deeper than {MAX_NESTING} levels"));
        }
        let result = work(self);
        self.nesting -= 1;
        result
    }

    fn operator(&mut self) -> Result<()> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return self.fail(format!("more than {MAX_OPERATORS} operators in one tag"));
        }
        Ok(())
    }

    /// A filter or test that does not exist fails the template, but within an `if` only when reached.
    fn check_known(&mut self, known: bool, kind: &str, name: &str) {
        if !known && !self.soft {
            self.unknown.push(format!("No {kind} named '{name}'."));
        }
    }

    // --- statements ---------------------------------------------------------------------------

    /// Statements up to a tag named in `ends`, which stays current; without any, up to the end.
    fn body(&mut self, ends: &[&str]) -> Result<Vec<Stmt>> {
        self.nested(|parser| {
            let mut body = Vec::new();
            loop {
                parser.operators = 0;
                match parser.token().clone() {
                    Token::Data(text) => {
                        parser.at += 1;
                        body.push(Stmt::Data(text));
                    }
                    Token::VariableBegin => {
                        parser.at += 1;
                        let value = parser.tuple(true)?;
                        if *parser.token() != Token::VariableEnd {
                            return parser.fail(format!(
                                "expected token 'end of print statement', got {}",
                                describe(parser.token())
                            ));
                        }
                        parser.at += 1;
                        body.push(Stmt::Output(value));
                    }
                    Token::BlockBegin => {
                        parser.at += 1;
                        if ends.iter().any(|end| parser.is_name(end)) {
                            return Ok(body);
                        }
                        body.push(parser.statement()?);
                    }
                    Token::End if ends.is_empty() => return Ok(body),
                    Token::End => {
                        return parser.fail(format!("Unexpected end of template. Expected '{}'.", ends.join("' or '")))
                    }
                    other => return parser.fail(format!("unexpected {}", describe(&other))),
                }
            }
        })
    }

    /// A body in a scope of its own, in which unknown filters fail at once again.
    fn scoped_body(&mut self, ends: &[&str]) -> Result<Vec<Stmt>> {
        let soft = std::mem::replace(&mut self.soft, false);
        let body = self.body(ends);
        self.soft = soft;
        body
    }

    /// The end tag's name and the rest of it.
    fn end_tag(&mut self, name: &str) -> Result<()> {
        self.expect_name(name)?;
        self.block_end()
    }

    fn statement(&mut self) -> Result<Stmt> {
        let name = self.any_name()?;
        match &*name {
            "if" => self.if_statement(),
            "for" => self.for_statement(),
            "set" => self.set_statement(),
            "macro" => self.macro_statement(),
            "call" => self.call_statement(),
            "filter" => {
                let filter = self.filter(None, true)?;
                self.block_end()?;
                let body = self.scoped_body(&["endfilter"])?;
                self.end_tag("endfilter")?;
                Ok(Stmt::FilterBlock(filter, body))
            }
            "with" => self.with_statement(),
            "block" => {
                let block = self.any_name()?;
                let scoped = self.take_name("scoped");
                self.take_name("required");
                self.block_end()?;
                let body = self.scoped_body(&["endblock"])?;
                self.expect_name("endblock")?;
                self.take_name(&block);
                self.block_end()?;
                Ok(Stmt::Block(body, scoped))
            }
            "print" => {
                let mut values = vec![self.expression(true)?];
                while self.take_op(",") {
                    values.push(self.expression(true)?);
                }
                self.block_end()?;
                Ok(Stmt::Scope(values.into_iter().map(Stmt::Output).collect()))
            }
            "generation" => {
                self.block_end()?;
                let body = self.scoped_body(&["endgeneration"])?;
                self.end_tag("endgeneration")?;
                Ok(Stmt::Scope(body))
            }
            "autoescape" => {
                let value = self.expression(true)?;
                self.block_end()?;
                let body = self.scoped_body(&["endautoescape"])?;
                self.end_tag("endautoescape")?;
                match value {
                    Expr::Const(Const::Bool(false)) => Ok(Stmt::Scope(body)),
                    _ => Ok(Stmt::Refused("autoescape is not supported in chat templates")),
                }
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return self.fail(format!("'{name}' outside a loop"));
                }
                self.block_end()?;
                Ok(if &*name == "break" { Stmt::Break } else { Stmt::Continue })
            }
            "extends" | "include" | "import" | "from" => {
                while *self.token() != Token::BlockEnd && *self.token() != Token::End {
                    self.at += 1;
                }
                self.block_end()?;
                Ok(Stmt::Refused("no loader for this environment specified"))
            }
            _ => self.fail(format!("Encountered unknown tag '{name}'.")),
        }
    }

    fn if_statement(&mut self) -> Result<Stmt> {
        let soft = std::mem::replace(&mut self.soft, true);
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let test = self.tuple(false)?;
            self.block_end()?;
            let body = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            if self.take_name("elif") {
                continue;
            }
            if self.take_name("else") {
                self.block_end()?;
                otherwise = self.body(&["endif"])?;
            }
            self.end_tag("endif")?;
            break;
        }
        self.soft = soft;
        Ok(Stmt::If(branches, otherwise))
    }

    fn for_statement(&mut self) -> Result<Stmt> {
        let target = self.target(false, &["in"])?;
        self.expect_name("in")?;
        let iterable = self.tuple(false)?;
        let filter = if self.take_name("if") { Some(self.expression(true)?) } else { None };
        let recursive = self.take_name("recursive");
        self.block_end()?;
        self.loops += 1;
        let body = self.scoped_body(&["endfor", "else"])?;
        self.loops -= 1;
        let mut otherwise = Vec::new();
        if self.take_name("else") {
            self.block_end()?;
            otherwise = self.scoped_body(&["endfor"])?;
        }
        self.end_tag("endfor")?;
        Ok(Stmt::For(Arc::new(ForLoop { target, iterable, filter, body, otherwise, recursive })))
    }

    fn set_statement(&mut self) -> Result<Stmt> {
        let target = self.target(true, &[])?;
        if self.take_op("=") {
            let value = self.tuple(true)?;
            self.block_end()?;
            return Ok(Stmt::Set(target, value));
        }
        let filter = if self.is_op("|") { Some(self.filter(None, false)?) } else { None };
        self.block_end()?;
        let body = self.scoped_body(&["endset"])?;
        self.end_tag("endset")?;
        Ok(Stmt::SetBlock(target, filter, body))
    }

    fn with_statement(&mut self) -> Result<Stmt> {
        let mut values = Vec::new();
        while *self.token() != Token::BlockEnd {
            if !values.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.single_target(false)?;
            self.expect_op("=")?;
            values.push((target, self.expression(true)?));
        }
        self.block_end()?;
        let body = self.scoped_body(&["endwith"])?;
        self.end_tag("endwith")?;
        Ok(Stmt::With(values, body))
    }

    fn signature(&mut self) -> Result<(Vec<Arc<str>>, Vec<Expr>)> {
        let (mut parameters, mut defaults): (Vec<Arc<str>>, Vec<Expr>) = (Vec::new(), Vec::new());
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            parameters.push(self.any_name()?);
            if self.take_op("=") {
                defaults.push(self.expression(true)?);
            } else if !defaults.is_empty() {
                return self.fail("non-default argument follows default argument");
            }
        }
        self.expect_op(")")?;
        Ok((parameters, defaults))
    }

    fn macro_body(
        &mut self,
        name: Arc<str>,
        (parameters, defaults): (Vec<Arc<str>>, Vec<Expr>),
        end: &str,
    ) -> Result<Arc<MacroDef>> {
        self.implicit.push([false; 3]);
        let loops = std::mem::replace(&mut self.loops, 0);
        let body = self.scoped_body(&[end])?;
        self.loops = loops;
        let [uses_caller, uses_varargs, uses_kwargs] = self.implicit.pop().unwrap_or_default();
        self.end_tag(end)?;
        Ok(Arc::new(MacroDef { name, parameters, defaults, body, uses_caller, uses_varargs, uses_kwargs }))
    }

    fn macro_statement(&mut self) -> Result<Stmt> {
        let name = self.any_name()?;
        let signature = self.signature()?;
        self.block_end()?;
        Ok(Stmt::Macro(self.macro_body(name, signature, "endmacro")?))
    }

    fn call_statement(&mut self) -> Result<Stmt> {
        let signature = if self.is_op("(") { self.signature()? } else { (Vec::new(), Vec::new()) };
        let call = self.expression(true)?;
        if !matches!(call, Expr::Call(..)) {
            return self.fail("expected call");
        }
        self.block_end()?;
        Ok(Stmt::CallBlock(call, self.macro_body("caller".into(), signature, "endcall")?))
    }

    // --- targets ------------------------------------------------------------------------------

    fn single_target(&mut self, attributes: bool) -> Result<Target> {
        self.nested(|parser| {
            if parser.take_op("(") {
                let target = parser.target(attributes, &[])?;
                parser.expect_op(")")?;
                return Ok(target);
            }
            let name = parser.any_name()?;
            if attributes && parser.take_op(".") {
                return Ok(Target::Attribute(name, parser.any_name()?));
            }
            if matches!(&*name, "true" | "false" | "none" | "True" | "False" | "None") {
                return parser.fail(format!("can't assign to '{name}'"));
            }
            Ok(Target::Name(name))
        })
    }

    fn target(&mut self, attributes: bool, ends: &[&str]) -> Result<Target> {
        let first = self.single_target(attributes)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.take_op(",") {
            let ended = self.is_op("=") || self.is_op(")") || ends.iter().any(|end| self.is_name(end));
            if ended {
                break;
            }
            targets.push(self.single_target(attributes)?);
        }
        Ok(Target::Tuple(targets))
    }

    // --- expressions --------------------------------------------------------------------------

    fn expression(&mut self, conditional: bool) -> Result<Expr> {
        self.nested(|parser| if conditional { parser.conditional() } else { parser.or() })
    }

    /// One expression, or several with commas between.
    fn tuple(&mut self, conditional: bool) -> Result<Expr> {
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
            None => self.fail(format!("Expected an expression, got {}", describe(self.token()))),
        }
    }

    fn is_tuple_end(&self) -> bool {
        matches!(self.token(), Token::VariableEnd | Token::BlockEnd | Token::End) || self.is_op(")")
    }

    fn conditional(&mut self) -> Result<Expr> {
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

    fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.take_name("or") {
            self.operator()?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.take_name("and") {
            self.operator()?;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        if self.take_name("not") {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.compare()
    }

    fn comparison(&mut self) -> Option<Comparison> {
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

    fn compare(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn sum(&mut self) -> Result<Expr> {
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

    fn concat(&mut self) -> Result<Expr> {
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

    fn product(&mut self) -> Result<Expr> {
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

    fn power(&mut self) -> Result<Expr> {
        let mut left = self.unary(true)?;
        while self.take_op("**") {
            self.operator()?;
            left = Expr::Arithmetic(Arithmetic::Pow, Box::new(left), Box::new(self.unary(true)?));
        }
        Ok(left)
    }

    fn unary(&mut self, filters: bool) -> Result<Expr> {
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

    fn primary(&mut self) -> Result<Expr> {
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
                self.fail(format!("unexpected {}", describe(&other)))
            }
        }
    }

    fn postfix(&mut self, mut value: Expr) -> Result<Expr> {
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

    fn subscript(&mut self, value: Expr) -> Result<Expr> {
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

    fn arguments(&mut self) -> Result<Args> {
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

    fn filters_and_tests(&mut self, mut value: Expr) -> Result<Expr> {
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

    fn dotted_name(&mut self) -> Result<Arc<str>> {
        let mut name = self.any_name()?;
        while self.take_op(".") {
            name = format!("{name}.{}", self.any_name()?).into();
        }
        Ok(name)
    }

    /// Filters from here on; `inline`: the first comes without its bar.
    fn filter(&mut self, mut value: Option<Expr>, mut inline: bool) -> Result<Expr> {
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

    fn test(&mut self, value: Expr) -> Result<Expr> {
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

fn describe(token: &Token) -> String {
    match token {
        Token::Data(_) => "template data".into(),
        Token::BlockBegin => "begin of statement block".into(),
        Token::BlockEnd => "end of statement block".into(),
        Token::VariableBegin => "begin of print statement".into(),
        Token::VariableEnd => "end of print statement".into(),
        Token::Name(name) => format!("'{name}'"),
        Token::Str(_) => "a string".into(),
        Token::Int(digits) => format!("'{digits}'"),
        Token::Float(value) => format!("'{value}'"),
        Token::Op(operator) => format!("'{operator}'"),
        Token::End => "end of template".into(),
    }
}
