// SPDX-License-Identifier: Apache-2.0
//! The statements of Jinja2's grammar, and what can be assigned to.

use super::ast::*;
use super::lexer::Token;
use super::parser::Parser;
use super::Result;
use std::sync::Arc;

impl Parser {
    /// Statements up to a tag named in `ends`, which stays current; without any, up to the end.
    pub(super) fn body(&mut self, ends: &[&str]) -> Result<Vec<Stmt>> {
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
                                parser.token().describe()
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
                    other => return parser.fail(format!("unexpected {}", other.describe())),
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
                self.blocks = true;
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
                Ok(Stmt::Output(Expr::Concat(values)))
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
        let outside = std::mem::replace(&mut self.sets_loop, false);
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
        if self.sets_loop {
            return self.fail("Can't assign to special loop variable in for-loop target");
        }
        self.sets_loop = outside;
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
            let outside = self.sets_loop;
            let target = self.single_target(false)?;
            self.sets_loop = outside; // here it may be
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
            parser.sets_loop |= &*name == "loop";
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
}
