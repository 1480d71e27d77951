// SPDX-License-Identifier: Apache-2.0
//! Runs a parsed template. One Renderer is one rendering, on one thread.

use super::ast::*;
use super::value::{Global, Loop, Macro, Namespace, Value};
use super::{filters, methods, ops, tests};
use super::{Error, Result};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAX_STEPS: u64 = 50_000_000;
const MAX_TIME: Duration = Duration::from_secs(10);
/// Bytes that a rendering may make in all, beside a multiple of what it was given.
const MAX_BYTES: usize = 256 << 20;
const BYTES_PER_INPUT: usize = 256;
/// Expressions, statements and macro calls within each other; about a kilobyte of stack each.
const MAX_RECURSION: u32 = 1200;

pub struct Scope {
    variables: RefCell<Vec<(Arc<str>, Value)>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    fn new(parent: Option<Rc<Scope>>) -> Rc<Scope> {
        Rc::new(Scope { variables: RefCell::new(Vec::new()), parent })
    }

    fn set(&self, name: &Arc<str>, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|entry| entry.0 == *name) {
            Some(entry) => entry.1 = value,
            None => variables.push((name.clone(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<Value> {
        let mut scope = self;
        loop {
            if let Some(entry) = scope.variables.borrow().iter().find(|entry| &*entry.0 == name) {
                return Some(entry.1.clone());
            }
            scope = scope.parent.as_deref()?;
        }
    }
}

#[derive(PartialEq)]
enum Flow {
    Normal,
    Break,
    Continue,
}

#[derive(Default)]
pub struct CallArgs {
    pub positional: Vec<Value>,
    pub keyword: Vec<(Arc<str>, Value)>,
}

pub struct Renderer {
    steps: Cell<u64>,
    bytes: Cell<usize>,
    max_bytes: usize,
    depth: Cell<u32>,
    deadline: Instant,
    now: i64,
    /// Does the template have any, which `self` would have as attributes?
    blocks: bool,
    /// What could hold itself: emptied at the end, so that nothing leaks.
    namespaces: RefCell<Vec<Rc<Namespace>>>,
    captured: RefCell<Vec<Rc<Scope>>>,
}

pub fn render(
    body: &[Stmt],
    blocks: bool,
    variables: Vec<(Value, Value)>,
    input_bytes: usize,
    now: i64,
) -> Result<String> {
    let renderer = Renderer {
        steps: Cell::new(0),
        bytes: Cell::new(0),
        max_bytes: MAX_BYTES.saturating_add(input_bytes.saturating_mul(BYTES_PER_INPUT)),
        depth: Cell::new(0),
        deadline: Instant::now() + MAX_TIME,
        now,
        blocks,
        namespaces: RefCell::default(),
        captured: RefCell::default(),
    };
    let globals = Scope::new(None);
    for (name, global) in [
        ("range", Global::Range),
        ("dict", Global::Dict),
        ("namespace", Global::Namespace),
        ("cycler", Global::Cycler),
        ("joiner", Global::Joiner),
        ("lipsum", Global::Lipsum),
        ("raise_exception", Global::RaiseException),
        ("strftime_now", Global::StrftimeNow),
    ] {
        globals.set(&name.into(), Value::Global(global));
    }
    for (name, value) in variables {
        if let Value::Str(name, _) = name {
            if &*name == "self" {
                return Err(Error::new("a template's variable cannot be called 'self'"));
            }
            globals.set(&name, value);
        }
    }
    let root = Scope::new(Some(globals));
    let mut out = String::new();
    let result = renderer.run(body, &root, &mut out);
    for scope in renderer.captured.take() {
        scope.variables.take();
    }
    for namespace in renderer.namespaces.borrow().iter() {
        namespace.entries.take();
    }
    result.map(|_| out)
}

impl Renderer {
    pub fn now(&self) -> i64 {
        self.now
    }

    /// One step of work, or as many as `count`.
    pub fn charge(&self, count: usize) -> Result<()> {
        let before = self.steps.get();
        let after = before + count as u64;
        self.steps.set(after);
        if after > MAX_STEPS {
            return Err(Error::new("the template does not end: too many steps"));
        }
        if before / 4096 != after / 4096 && Instant::now() > self.deadline {
            return Err(Error::new(format!("the template took longer than {} s", MAX_TIME.as_secs())));
        }
        Ok(())
    }

    /// Before `times` comparisons with a value: those of containers walk them.
    pub fn charge_compare(&self, value: &Value, times: usize) -> Result<()> {
        match value.nodes() {
            1 => Ok(()),
            nodes => self.charge(nodes.saturating_mul(times as u64).min(2 * MAX_STEPS) as usize),
        }
    }

    /// Before `bytes` are made.
    pub fn charge_bytes(&self, bytes: usize) -> Result<()> {
        let total = self.bytes.get().saturating_add(bytes);
        self.bytes.set(total);
        if total > self.max_bytes {
            return Err(Error::new(format!("the template makes more than {} MB of text", self.max_bytes >> 20)));
        }
        Ok(())
    }

    /// A value's items, paid for.
    pub fn items(&self, value: &Value) -> Result<Vec<Value>> {
        let size = match value {
            Value::Iter(_) => 0,
            other => other.length().unwrap_or(0),
        };
        self.charge(size / 4)?;
        self.charge_bytes(size * std::mem::size_of::<Value>())?;
        value.iterate()
    }

    /// str(), paid for.
    pub fn text(&self, value: &Value) -> Result<Arc<str>> {
        if let Value::Str(text, _) = value {
            return Ok(text.clone());
        }
        self.charge_value(value)?;
        let text = value.to_text();
        self.charge_bytes(text.len())?;
        Ok(text)
    }

    /// A walk over the whole of a value, paid for before it is made: a value can share its parts and
    /// so be far larger when written out than what was charged for making it.
    pub fn charge_value(&self, value: &Value) -> Result<()> {
        match value {
            Value::List(seq) | Value::Tuple(seq) => {
                self.charge(seq.items.len() + 1)?;
                seq.items.iter().try_for_each(|item| self.charge_value(item))
            }
            Value::Dict(dict) | Value::DictView(_, dict) => {
                self.charge(dict.entries.len() + 1)?;
                dict.entries.iter().try_for_each(|(key, value)| {
                    self.charge_value(key)?;
                    self.charge_value(value)
                })
            }
            Value::Str(text, _) => self.charge_bytes(text.len()),
            // Python prints where such an object lies, which is another place each time.
            Value::Iter(_)
            | Value::Method(_)
            | Value::Cycler(_)
            | Value::Joiner(_)
            | Value::Global(Global::Range | Global::Lipsum | Global::RaiseException | Global::StrftimeNow) => {
                Err(Error::new(format!("a {} has no text form", value.type_name())))
            }
            _ => Ok(()),
        }
    }

    fn deeper<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let depth = self.depth.get() + 1;
        if depth > MAX_RECURSION {
            return Err(Error::new("maximum recursion depth exceeded"));
        }
        self.depth.set(depth);
        let result = work();
        self.depth.set(depth - 1);
        result
    }

    // --- statements ---------------------------------------------------------------------------

    fn run(&self, body: &[Stmt], scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        for statement in body {
            self.charge(1)?;
            let flow = match statement {
                Stmt::Data(text) => {
                    self.write(text, out)?;
                    continue;
                }
                Stmt::Output(expression) => {
                    let value = self.eval(expression, scope)?;
                    let text = self.text(&value)?;
                    self.write(&text, out)?;
                    continue;
                }
                Stmt::Set(target, expression) => {
                    let value = self.eval(expression, scope)?;
                    self.assign(target, value, scope)?;
                    continue;
                }
                Stmt::Hide(names) => {
                    for name in names {
                        scope.set(name, Value::Undefined(format!("'{name}' is undefined").into()));
                    }
                    continue;
                }
                other => self.deeper(|| self.run_compound(other, scope, out))?,
            };
            if flow != Flow::Normal {
                return Ok(flow);
            }
        }
        Ok(Flow::Normal)
    }

    fn write(&self, text: &str, out: &mut String) -> Result<()> {
        self.charge_bytes(text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn run_compound(&self, statement: &Stmt, scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        match statement {
            Stmt::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test, scope)?.is_true() {
                        return self.run(body, scope, out);
                    }
                }
                self.run(otherwise, scope, out)
            }
            Stmt::For(definition) => {
                let iterable = self.eval(&definition.iterable, scope)?;
                self.run_loop(definition, iterable, 0, scope, out)?;
                Ok(Flow::Normal)
            }
            Stmt::SetBlock(target, filter, body) => {
                let text = self.capture(body, &Scope::new(Some(scope.clone())))?;
                let value = self.filtered(filter.as_ref(), text, scope)?;
                self.assign(target, value, scope)?;
                Ok(Flow::Normal)
            }
            Stmt::Macro(definition) => {
                scope.set(&definition.name, self.make_macro(definition, scope));
                Ok(Flow::Normal)
            }
            Stmt::CallBlock(call, body) => {
                let Expr::Call(callee, args) = call else { return Err(Error::new("expected call")) };
                let callee = self.eval(callee, scope)?;
                let mut args = self.args(args, scope)?;
                args.keyword.push(("caller".into(), self.make_macro(body, scope)));
                let value = self.call(&callee, args)?;
                self.write(&self.text(&value)?, out)?;
                Ok(Flow::Normal)
            }
            Stmt::FilterBlock(filter, body) => {
                let text = self.capture(body, &Scope::new(Some(scope.clone())))?;
                let value = self.filtered(Some(filter), text, scope)?;
                self.write(&self.text(&value)?, out)?;
                Ok(Flow::Normal)
            }
            Stmt::With(values, body) => {
                let inner = Scope::new(Some(scope.clone()));
                for (target, expression) in values {
                    let value = self.eval(expression, scope)?;
                    self.assign(target, value, &inner)?;
                }
                self.run(body, &inner, out)
            }
            Stmt::Block(body, scoped) => {
                let mut outer = scope.clone();
                while !scoped && outer.parent.as_ref().is_some_and(|parent| parent.parent.is_some()) {
                    outer = outer.parent.clone().unwrap_or(outer);
                }
                self.run(body, &Scope::new(Some(outer)), out)
            }
            Stmt::Scope(body) => self.run(body, &Scope::new(Some(scope.clone())), out),
            Stmt::Break => Ok(Flow::Break),
            Stmt::Continue => Ok(Flow::Continue),
            Stmt::Refused(message) => Err(Error::new(*message)),
            Stmt::Data(_) | Stmt::Output(_) | Stmt::Set(..) | Stmt::Hide(_) => Ok(Flow::Normal),
        }
    }

    fn capture(&self, body: &[Stmt], scope: &Rc<Scope>) -> Result<String> {
        let mut text = String::new();
        self.run(body, scope, &mut text)?;
        Ok(text)
    }

    /// The filters of a block applied to its text.
    fn filtered(&self, filter: Option<&Expr>, text: String, scope: &Rc<Scope>) -> Result<Value> {
        match filter {
            Some(Expr::Filter(inner, name, args)) => {
                let value = self.filtered(inner.as_deref(), text, scope)?;
                filters::apply(self, name, value, self.args(args, scope)?)
            }
            _ => Ok(Value::str(text)),
        }
    }

    fn assign(&self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(name, value),
            Target::Attribute(name, attribute) => match scope.get(name) {
                Some(Value::Namespace(namespace)) => {
                    let mut entries = namespace.entries.borrow_mut();
                    let old = match entries.iter_mut().find(|entry| entry.0 == *attribute) {
                        Some(entry) => Some(std::mem::replace(&mut entry.1, value)),
                        None => {
                            entries.push((attribute.clone(), value));
                            None
                        }
                    };
                    drop(entries);
                    drop(old);
                }
                _ => return Err(Error::new("cannot assign attribute on non-namespace object")),
            },
            Target::Tuple(targets) => {
                let items = self.items(&value)?;
                if items.len() != targets.len() {
                    let problem = if items.len() > targets.len() { "too many" } else { "not enough" };
                    return Err(Error::new(format!("{problem} values to unpack (expected {})", targets.len())));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, scope)?;
                }
            }
        }
        Ok(())
    }

    fn run_loop(
        &self,
        definition: &Arc<ForLoop>,
        iterable: Value,
        depth0: usize,
        scope: &Rc<Scope>,
        out: &mut String,
    ) -> Result<()> {
        let mut items = self.items(&iterable)?;
        if let Some(filter) = &definition.filter {
            let mut kept = Vec::new();
            for item in items {
                let inner = Scope::new(Some(scope.clone()));
                self.assign(&definition.target, item.clone(), &inner)?;
                if self.eval(filter, &inner)?.is_true() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        let state = Rc::new(Loop {
            items: Rc::new(items),
            index0: Cell::new(0),
            depth0,
            recursive: definition.recursive.then(|| (definition.clone(), scope.clone())),
            changed: RefCell::new(None),
        });
        let name: Arc<str> = "loop".into();
        let mut finished = false;
        for (index, item) in state.items.clone().iter().enumerate() {
            self.charge(1)?;
            state.index0.set(index);
            let inner = Scope::new(Some(scope.clone()));
            inner.set(&name, Value::Loop(state.clone()));
            self.assign(&definition.target, item.clone(), &inner)?;
            match self.run(&definition.body, &inner, out)? {
                Flow::Normal => finished = true,
                Flow::Continue => {}
                Flow::Break => break,
            }
        }
        // Also where every iteration ended early: Jinja2 notes an iteration at its end.
        if !finished {
            self.run(&definition.otherwise, &Scope::new(Some(scope.clone())), out)?;
        }
        Ok(())
    }

    /// loop(...) of a recursive loop.
    pub fn recurse(&self, state: &Loop, iterable: Value) -> Result<Value> {
        let Some((definition, scope)) = &state.recursive else {
            return Err(Error::new("The loop must have the 'recursive' marker to be called recursively."));
        };
        let mut text = String::new();
        self.deeper(|| self.run_loop(definition, iterable, state.depth0 + 1, scope, &mut text))?;
        Ok(Value::str(text))
    }

    // --- macros -------------------------------------------------------------------------------

    fn make_macro(&self, definition: &Arc<MacroDef>, scope: &Rc<Scope>) -> Value {
        let mut captured = self.captured.borrow_mut();
        if !captured.last().is_some_and(|last| Rc::ptr_eq(last, scope)) {
            captured.push(scope.clone());
        }
        Value::Macro(Rc::new(Macro { def: definition.clone(), scope: scope.clone() }))
    }

    pub fn new_namespace(&self, entries: Vec<(Arc<str>, Value)>) -> Value {
        let namespace = Rc::new(Namespace { entries: RefCell::new(entries) });
        self.namespaces.borrow_mut().push(namespace.clone());
        Value::Namespace(namespace)
    }

    pub fn call_macro(&self, value: &Macro, args: CallArgs) -> Result<Value> {
        let def = &value.def;
        let scope = Scope::new(Some(value.scope.clone()));
        let mut positional = args.positional.into_iter();
        let mut keyword = args.keyword;
        let take = |keyword: &mut Vec<(Arc<str>, Value)>, name: &str| {
            let at = keyword.iter().position(|entry| &*entry.0 == name)?;
            Some(keyword.remove(at).1)
        };
        let without_default = def.parameters.len() - def.defaults.len();
        for (index, name) in def.parameters.iter().enumerate() {
            let given = match positional.next() {
                Some(value) => {
                    if keyword.iter().any(|entry| entry.0 == *name) {
                        return Err(Error::new(format!("macro '{}' got multiple values for '{name}'", def.name)));
                    }
                    Some(value)
                }
                None => take(&mut keyword, name),
            };
            let argument = match given {
                Some(value) => value,
                None if index >= without_default => self.eval(&def.defaults[index - without_default], &scope)?,
                None => Value::Undefined(format!("parameter '{name}' was not provided").into()),
            };
            scope.set(name, argument);
        }
        let declares_caller = def.parameters.iter().any(|name| &**name == "caller");
        let caller = take(&mut keyword, "caller");
        if def.uses_caller && !declares_caller {
            let caller = caller.unwrap_or_else(|| Value::Undefined("No caller defined".into()));
            scope.set(&"caller".into(), caller);
        } else if caller.is_some() && !declares_caller {
            return Err(Error::new(format!("macro '{}' was invoked with two values for the special caller argument. This is most likely a bug.", def.name)));
        }
        if def.uses_kwargs {
            let entries = keyword.drain(..).map(|(name, value)| (Value::Str(name, false), value)).collect();
            scope.set(&"kwargs".into(), Value::dict(entries)?);
        } else if let Some((name, _)) = keyword.first() {
            return Err(Error::new(format!("macro '{}' takes no keyword argument '{name}'", def.name)));
        }
        let rest: Vec<Value> = positional.collect();
        if def.uses_varargs {
            scope.set(&"varargs".into(), Value::tuple(rest)?);
        } else if !rest.is_empty() {
            let count = def.parameters.len();
            return Err(Error::new(format!("macro '{}' takes not more than {count} argument(s)", def.name)));
        }
        let text = self.deeper(|| self.capture(&def.body, &scope))?;
        Ok(Value::str(text))
    }

    pub fn call(&self, callee: &Value, args: CallArgs) -> Result<Value> {
        self.charge(1)?;
        self.deeper(|| match callee {
            Value::Macro(value) => self.call_macro(value, args),
            Value::Method(method) => methods::call(self, &method.0, &method.1, args),
            other => ops::call_object(self, other, args),
        })
    }

    // --- expressions --------------------------------------------------------------------------

    fn args(&self, args: &Args, scope: &Rc<Scope>) -> Result<CallArgs> {
        let mut out = CallArgs::default();
        for expression in &args.positional {
            out.positional.push(self.eval(expression, scope)?);
        }
        for (name, expression) in &args.keyword {
            out.keyword.push((name.clone(), self.eval(expression, scope)?));
        }
        if let Some(star) = &args.star {
            let value = self.eval(star, scope)?;
            out.positional.extend(self.items(&value)?);
        }
        if let Some(star) = &args.double_star {
            match self.eval(star, scope)? {
                Value::Dict(dict) => {
                    for (key, value) in &dict.entries {
                        let name = key.to_text();
                        if args.keyword.iter().any(|entry| entry.0 == name) {
                            return Err(Error::new(format!("got multiple values for keyword argument '{name}'")));
                        }
                        out.keyword.push((name, value.clone()));
                    }
                }
                other => {
                    return Err(Error::new(format!(
                        "argument after ** must be a mapping, not {}",
                        other.type_name()
                    )))
                }
            }
        }
        Ok(out)
    }

    fn list(&self, expressions: &[Expr], scope: &Rc<Scope>) -> Result<Vec<Value>> {
        self.charge_bytes(expressions.len() * std::mem::size_of::<Value>())?;
        expressions.iter().map(|expression| self.eval(expression, scope)).collect()
    }

    /// Is that Jinja2's name for the template and its blocks?
    fn is_self(&self, expression: &Expr, scope: &Rc<Scope>) -> bool {
        matches!(expression, Expr::Name(name) if &**name == "self" && scope.get(name).is_none())
    }

    pub fn eval(&self, expression: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        self.charge(1)?;
        match expression {
            Expr::Const(value) => Ok(constant(value)),
            Expr::Name(name) => match scope.get(name) {
                Some(value) => Ok(value),
                None if self.is_self(expression, scope) => Err(Error::new("'self' is not supported in chat templates")),
                None => Ok(Value::Undefined(format!("'{name}' is undefined").into())),
            },
            other => self.deeper(|| self.eval_compound(other, scope)),
        }
    }

    fn eval_compound(&self, expression: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        match expression {
            Expr::Const(_) | Expr::Name(_) => self.eval(expression, scope),
            Expr::List(items) => Value::list(self.list(items, scope)?),
            Expr::Tuple(items) => Value::tuple(self.list(items, scope)?),
            Expr::Dict(items) => self.eval_dict(items, scope),
            Expr::Attribute(object, name) => {
                if !self.blocks && !name.starts_with('_') && self.is_self(object, scope) {
                    let message = format!("'jinja2.runtime.TemplateReference object' has no attribute '{name}'");
                    return Ok(Value::Undefined(message.into()));
                }
                ops::attribute(&self.eval(object, scope)?, name)
            }
            Expr::Item(object, key) => {
                let object = self.eval(object, scope)?;
                ops::item(&object, &self.eval(key, scope)?)
            }
            Expr::Slice(object, parts) => self.eval_slice(object, parts, scope),
            Expr::Call(callee, args) => {
                let callee = self.eval(callee, scope)?;
                let args = self.args(args, scope)?;
                self.call(&callee, args)
            }
            Expr::Filter(value, name, args) => {
                let Some(value) = value else { return Err(Error::new("a filter without a value")) };
                let value = self.eval(value, scope)?;
                filters::apply(self, name, value, self.args(args, scope)?)
            }
            Expr::Test(value, name, args) => {
                let value = self.eval(value, scope)?;
                tests::apply(self, name, &value, self.args(args, scope)?).map(Value::Bool)
            }
            Expr::Neg(value) => ops::negate(&self.eval(value, scope)?),
            Expr::Pos(value) => ops::plus(&self.eval(value, scope)?),
            Expr::Not(value) => Ok(Value::Bool(!self.eval(value, scope)?.is_true())),
            Expr::And(left, right) => {
                let left = self.eval(left, scope)?;
                if left.is_true() {
                    self.eval(right, scope)
                } else {
                    Ok(left)
                }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left, scope)?;
                if left.is_true() {
                    Ok(left)
                } else {
                    self.eval(right, scope)
                }
            }
            Expr::Arithmetic(operator, left, right) => {
                let left = self.eval(left, scope)?;
                let right = self.eval(right, scope)?;
                ops::arithmetic(self, *operator, &left, &right)
            }
            Expr::Concat(parts) => self.eval_concat(parts, scope),
            Expr::Compare(first, rest) => self.eval_compare(first, rest, scope),
            Expr::Conditional(test, then, otherwise) => {
                if self.eval(test, scope)?.is_true() {
                    return self.eval(then, scope);
                }
                match otherwise {
                    Some(otherwise) => self.eval(otherwise, scope),
                    None => Ok(Value::Undefined(
                        "the inline if-expression evaluated to false and no else section was defined.".into(),
                    )),
                }
            }
        }
    }

    fn eval_dict(&self, items: &[(Expr, Expr)], scope: &Rc<Scope>) -> Result<Value> {
        let mut entries = Vec::with_capacity(items.len());
        for (key, value) in items {
            entries.push((self.eval(key, scope)?, self.eval(value, scope)?));
        }
        self.charge_bytes(entries.len() * 4 * std::mem::size_of::<Value>())?;
        Value::dict(entries)
    }

    fn eval_slice(&self, object: &Expr, parts: &[Option<Expr>; 3], scope: &Rc<Scope>) -> Result<Value> {
        let object = self.eval(object, scope)?;
        let mut bounds = [const { Value::None }; 3];
        for (bound, part) in bounds.iter_mut().zip(parts) {
            if let Some(part) = part {
                *bound = self.eval(part, scope)?;
            }
        }
        ops::slice(self, &object, &bounds)
    }

    fn eval_concat(&self, parts: &[Expr], scope: &Rc<Scope>) -> Result<Value> {
        // Without autoescape Markup is joined like any other text.
        let mut out = String::new();
        for value in self.list(parts, scope)? {
            let text = self.text(&value)?;
            self.charge_bytes(text.len())?;
            out.push_str(&text);
        }
        Ok(Value::str(out))
    }

    fn eval_compare(&self, first: &Expr, rest: &[(Comparison, Expr)], scope: &Rc<Scope>) -> Result<Value> {
        let mut left = self.eval(first, scope)?;
        let mut result = true;
        for (comparison, expression) in rest {
            let right = self.eval(expression, scope)?;
            result = ops::compare(self, *comparison, &left, &right)?;
            if !result {
                break;
            }
            left = right;
        }
        Ok(Value::Bool(result))
    }
}

fn constant(value: &Const) -> Value {
    match value {
        Const::None => Value::None,
        Const::Bool(value) => Value::Bool(*value),
        Const::Int(digits) => ops::integer(digits),
        Const::Float(value) => Value::Float(*value),
        Const::Str(text) => Value::Str(text.clone(), false),
    }
}
