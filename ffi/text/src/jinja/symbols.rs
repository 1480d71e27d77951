// SPDX-License-Identifier: Apache-2.0
//! Which names a scope hides before it sets them. Jinja2 decides at compile time where a name lives: one
//! that a scope sets, and does not read itself before that, is undefined until then, also for the
//! loops, macros and blocks inside, even where an outer scope or the caller has a value of that name.
//! What it follows: jinja2/idtracking.py of Jinja2 3.1. Each such name becomes a `Hide` at its
//! scope's beginning.

use super::ast::*;
use super::{Error, Result};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq)]
enum Load {
    /// From the scope or the variables around it, or a parameter.
    Visible,
    Undefined,
}

#[derive(Clone, Default)]
struct Names {
    refs: HashMap<Arc<str>, Load>,
    stores: HashSet<Arc<str>>,
}

/// The names that all the branches of a template may copy.
const MAX_COPIES: u64 = 20_000_000;

struct Symbols<'a> {
    parent: Option<&'a Symbols<'a>>,
    budget: &'a Cell<u64>,
    names: Names,
}

pub fn hide_names(body: &mut Vec<Stmt>) -> Result<()> {
    let budget = Cell::new(MAX_COPIES);
    frame(None, &budget, body, |_| {});
    match budget.get() {
        0 => Err(Error::new("the template has too many names and branches")),
        _ => Ok(()),
    }
}

/// Analyses a scope of that body, whose parameters `declare` gives, then those inside it.
fn frame(
    parent: Option<&Symbols>,
    budget: &Cell<u64>,
    body: &mut Vec<Stmt>,
    declare: impl FnOnce(&mut Symbols),
) {
    let mut symbols = Symbols { parent, budget, names: Names::default() };
    declare(&mut symbols);
    symbols.body(body);
    inner_frames(&symbols, body);
    let names = symbols.names.refs.into_iter();
    let hidden: Vec<Arc<str>> = names.filter(|entry| entry.1 == Load::Undefined).map(|entry| entry.0).collect();
    if !hidden.is_empty() {
        body.insert(0, Stmt::Hide(hidden));
    }
}

fn macro_frame(symbols: &Symbols, definition: &mut Arc<MacroDef>) {
    let Some(MacroDef { parameters, defaults, body, .. }) = Arc::get_mut(definition) else { return };
    frame(Some(symbols), symbols.budget, body, |inner| {
        parameters.iter().for_each(|name| inner.parameter(name));
        defaults.iter().for_each(|value| inner.expression(value));
    });
}

fn inner_frames(symbols: &Symbols, body: &mut [Stmt]) {
    for statement in body {
        match statement {
            Stmt::If(branches, otherwise) => {
                branches.iter_mut().for_each(|branch| inner_frames(symbols, &mut branch.1));
                inner_frames(symbols, otherwise);
            }
            Stmt::For(definition) => {
                let Some(ForLoop { target, body, otherwise, .. }) = Arc::get_mut(definition) else { continue };
                frame(Some(symbols), symbols.budget, body, |inner| {
                    inner.parameter(&"loop".into());
                    inner.target(target, true);
                });
                frame(Some(symbols), symbols.budget, otherwise, |_| {});
            }
            Stmt::Macro(definition) | Stmt::CallBlock(_, definition) => macro_frame(symbols, definition),
            Stmt::With(values, body) => frame(Some(symbols), symbols.budget, body, |inner| {
                values.iter().for_each(|(target, _)| inner.target(target, true));
            }),
            Stmt::SetBlock(_, _, body) | Stmt::FilterBlock(_, body) | Stmt::Scope(body) => {
                frame(Some(symbols), symbols.budget, body, |_| {});
            }
            Stmt::Block(body, _) => frame(None, symbols.budget, body, |_| {}),
            _ => {}
        }
    }
}

impl Symbols<'_> {
    fn knows(&self, name: &str) -> bool {
        self.names.refs.contains_key(name) || self.parent.is_some_and(|parent| parent.knows(name))
    }

    fn load(&mut self, name: &Arc<str>) {
        if !self.knows(name) {
            self.names.refs.insert(name.clone(), Load::Visible);
        }
    }

    fn store(&mut self, name: &Arc<str>) {
        self.names.stores.insert(name.clone());
        if !self.names.refs.contains_key(name) {
            let outer = self.parent.is_some_and(|parent| parent.knows(name));
            self.names.refs.insert(name.clone(), if outer { Load::Visible } else { Load::Undefined });
        }
    }

    fn parameter(&mut self, name: &Arc<str>) {
        self.names.stores.insert(name.clone());
        self.names.refs.insert(name.clone(), Load::Visible);
    }

    fn target(&mut self, target: &Target, parameter: bool) {
        match target {
            Target::Name(name) if parameter => self.parameter(name),
            Target::Name(name) => self.store(name),
            Target::Attribute(name, _) => self.load(name),
            Target::Tuple(targets) => targets.iter().for_each(|target| self.target(target, parameter)),
        }
    }

    fn body(&mut self, body: &[Stmt]) {
        for statement in body {
            match statement {
                Stmt::Output(value) => self.expression(value),
                Stmt::For(definition) => self.expression(&definition.iterable),
                Stmt::If(branches, otherwise) => self.branches(branches, otherwise),
                Stmt::Set(target, value) => {
                    self.expression(value);
                    self.target(target, false);
                }
                Stmt::SetBlock(target, _, _) => self.target(target, false),
                Stmt::Macro(definition) => self.store(&definition.name),
                Stmt::CallBlock(call, _) => self.expression(call),
                Stmt::FilterBlock(filter, _) => self.expression(filter),
                Stmt::With(values, _) => values.iter().for_each(|(_, value)| self.expression(value)),
                _ => {}
            }
        }
    }

    /// A name that only some branches set has its outer value in the others.
    fn branches(&mut self, branches: &[(Expr, Vec<Stmt>)], otherwise: &[Stmt]) {
        let Some(((test, body), rest)) = branches.split_first() else { return };
        self.expression(test);
        let size = 3 * (self.names.refs.len() + self.names.stores.len()) as u64;
        self.budget.set(self.budget.get().saturating_sub(size));
        if self.budget.get() == 0 {
            return;
        }
        let start = self.names.clone();
        let mut ends: Vec<Names> = Vec::new();
        self.body(body);
        ends.push(std::mem::replace(&mut self.names, start.clone()));
        rest.iter().for_each(|branch| self.branches(std::slice::from_ref(branch), &[]));
        ends.push(std::mem::replace(&mut self.names, start.clone()));
        self.body(otherwise);
        ends.push(std::mem::replace(&mut self.names, start.clone()));
        let mut set: Vec<Arc<str>> = Vec::new();
        for end in ends {
            set.extend(end.stores.iter().filter(|name| !start.stores.contains(*name)).cloned());
            self.names.refs.extend(end.refs);
            self.names.stores.extend(end.stores);
        }
        for name in set {
            self.names.refs.insert(name, Load::Visible);
        }
    }

    fn expressions<'e>(&mut self, values: impl IntoIterator<Item = &'e Expr>) {
        values.into_iter().for_each(|value| self.expression(value));
    }

    fn arguments(&mut self, args: &Args) {
        self.expressions(&args.positional);
        self.expressions(args.keyword.iter().map(|entry| &entry.1));
        self.expressions(args.star.as_deref());
        self.expressions(args.double_star.as_deref());
    }

    fn expression(&mut self, value: &Expr) {
        match value {
            Expr::Const(_) => {}
            Expr::Name(name) => self.load(name),
            Expr::List(items) | Expr::Tuple(items) | Expr::Concat(items) => self.expressions(items),
            Expr::Dict(items) => items.iter().for_each(|(key, value)| self.expressions([key, value])),
            Expr::Attribute(value, _) | Expr::Neg(value) | Expr::Pos(value) | Expr::Not(value) => self.expression(value),
            Expr::Item(value, key) => self.expressions([&**value, key]),
            Expr::Slice(value, parts) => {
                self.expression(value);
                self.expressions(parts.iter().flatten());
            }
            Expr::Call(value, args) | Expr::Test(value, _, args) => {
                self.expression(value);
                self.arguments(args);
            }
            Expr::Filter(value, _, args) => {
                self.expressions(value.as_deref());
                self.arguments(args);
            }
            Expr::And(a, b) | Expr::Or(a, b) | Expr::Arithmetic(_, a, b) => self.expressions([&**a, b]),
            Expr::Compare(first, rest) => {
                self.expression(first);
                self.expressions(rest.iter().map(|entry| &entry.1));
            }
            Expr::Conditional(test, then, otherwise) => {
                self.expressions([&**test, then]);
                self.expressions(otherwise.as_deref());
            }
        }
    }
}
