// SPDX-License-Identifier: Apache-2.0
//! Python's values as far as templates can see them: the types, truth, equality, order and string
//! forms. Lists and dicts never change (the sandbox is immutable), so only namespaces could form
//! cycles; the renderer owns those.

use super::ast::MacroDef;
use super::render::Scope;
use super::text::repr_str;
use super::{Error, Result};
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// How deep lists, tuples and dicts may lie in each other: bounds every walk over a value.
pub const MAX_DEPTH: u32 = 200;
/// A key is made anew at each look-up.
const MAX_KEY_NODES: u64 = 1000;

#[derive(Clone)]
pub enum Value {
    /// With the message of the error that using it gives.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    /// An integer beyond that, as it was written; it can be printed and compared for equality.
    BigInt(Arc<str>),
    Float(f64),
    /// True: Markup, which escapes what is joined to it.
    Str(Arc<str>, bool),
    List(Rc<Seq>),
    Tuple(Rc<Seq>),
    Dict(Rc<Dict>),
    DictView(View, Rc<Dict>),
    Range(Rc<Range>),
    /// A generator or iterator: read once, without a length.
    Iter(Rc<Iter>),
    Namespace(Rc<Namespace>),
    Macro(Rc<Macro>),
    Method(Rc<(Value, Arc<str>)>),
    Global(Global),
    Loop(Rc<Loop>),
    Cycler(Rc<(Vec<Value>, Cell<usize>)>),
    Joiner(Rc<(Value, Cell<bool>)>),
}

pub struct Seq {
    pub items: Vec<Value>,
    depth: u32,
    nodes: u64,
    /// A tuple of groupby: also .grouper and .list.
    pub group: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum View {
    Keys,
    Values,
    Items,
}

pub struct Range {
    pub start: i128,
    pub stop: i128,
    pub step: i128,
}

pub struct Iter {
    pub items: RefCell<std::vec::IntoIter<Value>>,
    pub kind: &'static str,
    depth: u32,
}

#[derive(Default)]
pub struct Namespace {
    pub entries: RefCell<Vec<(Arc<str>, Value)>>,
}

pub struct Macro {
    pub def: Arc<MacroDef>,
    pub scope: Rc<Scope>,
}

pub struct Loop {
    pub items: Rc<Vec<Value>>,
    pub index0: Cell<usize>,
    pub depth0: usize,
    pub recursive: Option<(Arc<super::ast::ForLoop>, Rc<Scope>)>,
    pub changed: RefCell<Option<Vec<Value>>>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Global {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Lipsum,
    RaiseException,
    StrftimeNow,
}

#[derive(Default)]
pub struct Dict {
    pub entries: Vec<(Value, Value)>,
    index: HashMap<Key, usize>,
    depth: u32,
    nodes: u64,
}

/// What makes two dict keys the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    None,
    Int(i128),
    Float(u64),
    Str(Arc<str>),
    Tuple(Vec<Key>),
    /// What is only equal to itself.
    Identity(usize),
}

impl Key {
    pub fn new(value: &Value) -> Result<Key> {
        Ok(match value {
            Value::None => Key::None,
            Value::Bool(value) => Key::Int(i128::from(*value)),
            Value::Int(value) => Key::Int(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e30 => Key::Int(*value as i128),
            Value::Float(value) => Key::Float(value.to_bits()),
            Value::Str(text, _) => Key::Str(text.clone()),
            Value::BigInt(digits) => Key::Tuple(vec![Key::Str(digits.clone()), Key::None]),
            Value::Tuple(seq) if seq.nodes > MAX_KEY_NODES => {
                return Err(Error::new("a tuple with that many items cannot be a key"))
            }
            Value::Tuple(seq) => Key::Tuple(seq.items.iter().map(Key::new).collect::<Result<_>>()?),
            Value::Undefined(_) => Key::Identity(0),
            Value::Global(global) => Key::Identity(1 + *global as usize),
            Value::Namespace(object) => Key::Identity(Rc::as_ptr(object) as usize),
            Value::Macro(object) => Key::Identity(Rc::as_ptr(object) as usize),
            Value::Iter(object) => Key::Identity(Rc::as_ptr(object) as usize),
            Value::Range(object) => Key::Identity(Rc::as_ptr(object) as usize),
            other => return Err(Error::new(format!("unhashable type: '{}'", other.type_name()))),
        })
    }
}

fn depth_of(items: impl Iterator<Item = u32>) -> Result<u32> {
    let depth = 1 + items.max().unwrap_or(0);
    if depth > MAX_DEPTH {
        return Err(Error::new(format!("a value is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(depth)
}

/// Values with all that is in them; a part that is shared counts each time.
fn nodes_of<'a>(items: impl Iterator<Item = &'a Value>) -> u64 {
    items.fold(1, |sum, item| sum.saturating_add(item.nodes()))
}

impl Dict {
    pub fn new(entries: Vec<(Value, Value)>) -> Result<Dict> {
        let mut dict = Dict::default();
        dict.entries.reserve(entries.len());
        dict.depth = depth_of(entries.iter().map(|(key, value)| key.depth().max(value.depth())))?;
        dict.nodes = nodes_of(entries.iter().flat_map(|(key, value)| [key, value]));
        for (key, value) in entries {
            match dict.index.entry(Key::new(&key)?) {
                std::collections::hash_map::Entry::Occupied(at) => dict.entries[*at.get()].1 = value,
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(dict.entries.len());
                    dict.entries.push((key, value));
                }
            }
        }
        Ok(dict)
    }

    pub fn get(&self, key: &Value) -> Result<Option<&Value>> {
        Ok(self.index.get(&Key::new(key)?).map(|&at| &self.entries[at].1))
    }

    pub fn get_str(&self, key: &Arc<str>) -> Option<&Value> {
        self.index.get(&Key::Str(key.clone())).map(|&at| &self.entries[at].1)
    }
}

impl Value {
    pub fn str(text: impl Into<Arc<str>>) -> Value {
        Value::Str(text.into(), false)
    }

    pub fn seq(items: Vec<Value>) -> Result<Rc<Seq>> {
        let depth = depth_of(items.iter().map(Value::depth))?;
        let nodes = nodes_of(items.iter());
        Ok(Rc::new(Seq { items, depth, nodes, group: false }))
    }

    pub fn list(items: Vec<Value>) -> Result<Value> {
        Ok(Value::List(Value::seq(items)?))
    }

    pub fn tuple(items: Vec<Value>) -> Result<Value> {
        Ok(Value::Tuple(Value::seq(items)?))
    }

    pub fn group(key: Value, items: Vec<Value>) -> Result<Value> {
        let items = vec![key, Value::list(items)?];
        let depth = depth_of(items.iter().map(Value::depth))?;
        let nodes = nodes_of(items.iter());
        Ok(Value::Tuple(Rc::new(Seq { items, depth, nodes, group: true })))
    }

    pub fn dict(entries: Vec<(Value, Value)>) -> Result<Value> {
        Ok(Value::Dict(Rc::new(Dict::new(entries)?)))
    }

    pub fn iter(items: Vec<Value>, kind: &'static str) -> Result<Value> {
        let depth = depth_of(items.iter().map(Value::depth))?;
        Ok(Value::Iter(Rc::new(Iter { items: RefCell::new(items.into_iter()), kind, depth })))
    }

    fn depth(&self) -> u32 {
        match self {
            Value::List(seq) | Value::Tuple(seq) => seq.depth,
            Value::Dict(dict) | Value::DictView(_, dict) => dict.depth,
            Value::Iter(iter) => iter.depth,
            Value::Method(method) => method.0.depth() + 1,
            Value::Cycler(cycler) => 1 + cycler.0.iter().map(Value::depth).max().unwrap_or(0),
            Value::Joiner(joiner) => 1 + joiner.0.depth(),
            Value::Loop(state) => 1 + state.items.iter().map(Value::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What a walk over the whole of the value takes.
    pub fn nodes(&self) -> u64 {
        match self {
            Value::List(seq) | Value::Tuple(seq) => seq.nodes,
            Value::Dict(dict) | Value::DictView(_, dict) => dict.nodes,
            _ => 1,
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::BigInt(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_, false) => "str",
            Value::Str(_, true) => "Markup",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::DictView(View::Keys, _) => "dict_keys",
            Value::DictView(View::Values, _) => "dict_values",
            Value::DictView(View::Items, _) => "dict_items",
            Value::Range(_) => "range",
            Value::Iter(iter) => iter.kind,
            Value::Namespace(_) => "Namespace",
            Value::Macro(_) => "Macro",
            Value::Method(_) => "builtin_function_or_method",
            Value::Global(Global::Dict | Global::Namespace | Global::Cycler | Global::Joiner) => "type",
            Value::Global(_) => "function",
            Value::Loop(_) => "LoopContext",
            Value::Cycler(_) => "Cycler",
            Value::Joiner(_) => "Joiner",
        }
    }

    /// jinja2.utils.object_type_repr.
    pub fn type_repr(&self) -> String {
        match self {
            Value::None => "None".into(),
            Value::Str(_, true) => "markupsafe.Markup object".into(),
            Value::Namespace(_) | Value::Cycler(_) | Value::Joiner(_) => {
                format!("jinja2.utils.{} object", self.type_name())
            }
            Value::Macro(_) | Value::Loop(_) | Value::Undefined(_) => {
                format!("jinja2.runtime.{} object", self.type_name())
            }
            _ => format!("{} object", self.type_name()),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text, _) => !text.is_empty(),
            Value::List(seq) | Value::Tuple(seq) => !seq.items.is_empty(),
            Value::Dict(dict) | Value::DictView(_, dict) => !dict.entries.is_empty(),
            Value::Range(range) => range.len() > 0,
            _ => true,
        }
    }

    pub fn as_str(&self) -> Option<&Arc<str>> {
        match self {
            Value::Str(text, _) => Some(text),
            _ => None,
        }
    }

    /// A bool counts as the integer it is in Python.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::BigInt(digits) => digits.parse().ok(),
            other => other.as_int().map(|value| value as f64),
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    /// The items of an iteration over this value; an iterator is used up by it.
    pub fn iterate(&self) -> Result<Vec<Value>> {
        Ok(match self {
            Value::Undefined(_) => Vec::new(),
            // Of Markup, too, the characters are plain.
            Value::Str(text, _) => text.chars().map(|c| Value::str(c.to_string())).collect(),
            Value::List(seq) | Value::Tuple(seq) => seq.items.clone(),
            Value::Dict(dict) | Value::DictView(View::Keys, dict) => {
                dict.entries.iter().map(|entry| entry.0.clone()).collect()
            }
            Value::DictView(View::Values, dict) => dict.entries.iter().map(|entry| entry.1.clone()).collect(),
            Value::DictView(View::Items, dict) => dict
                .entries
                .iter()
                .map(|(key, value)| Value::tuple(vec![key.clone(), value.clone()]))
                .collect::<Result<_>>()?,
            Value::Range(range) => (0..range.len()).map(|i| Value::Int(range.start + i * range.step)).collect(),
            Value::Iter(iter) => iter.items.borrow_mut().by_ref().collect(),
            // It would take items away from the loop itself.
            Value::Loop(_) => return Err(Error::new("iterating 'loop' is not supported in chat templates")),
            other => return Err(Error::new(format!("'{}' object is not iterable", other.type_name()))),
        })
    }

    pub fn length(&self) -> Result<usize> {
        Ok(match self {
            Value::Undefined(_) => 0,
            Value::Str(text, _) => text.chars().count(),
            Value::List(seq) | Value::Tuple(seq) => seq.items.len(),
            Value::Dict(dict) | Value::DictView(_, dict) => dict.entries.len(),
            Value::Range(range) => range.len() as usize,
            Value::Loop(state) => state.items.len(),
            other => return Err(Error::new(format!("object of type '{}' has no len()", other.type_name()))),
        })
    }

    pub fn equals(&self, other: &Value) -> bool {
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return a == b;
        }
        match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(a, _), Value::Str(b, _)) => a == b,
            (Value::BigInt(a), Value::BigInt(b)) => a == b,
            (Value::Float(_), _) | (_, Value::Float(_)) => {
                matches!((self.as_number(), other.as_number()), (Some(a), Some(b)) if a == b)
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| a.equals(b))
            }
            (Value::Dict(a), Value::Dict(b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries.iter().all(|(key, value)| {
                        matches!(b.get(key), Ok(Some(found)) if found.equals(value))
                    })
            }
            (Value::DictView(View::Keys, a), Value::DictView(View::Keys, b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries.iter().all(|(key, _)| matches!(b.get(key), Ok(Some(_))))
            }
            (Value::DictView(View::Items, a), Value::DictView(View::Items, b)) => {
                Value::Dict(a.clone()).equals(&Value::Dict(b.clone()))
            }
            (Value::Range(a), Value::Range(b)) => {
                a.len() == b.len() && (a.len() == 0 || (a.start == b.start && (a.len() == 1 || a.step == b.step)))
            }
            (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
            (Value::Macro(a), Value::Macro(b)) => Rc::ptr_eq(a, b),
            (Value::Iter(a), Value::Iter(b)) => Rc::ptr_eq(a, b),
            (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
            (Value::Global(a), Value::Global(b)) => a == b,
            _ => false,
        }
    }

    /// None: Python refuses to order these two. `operator` is for the message.
    pub fn order(&self, other: &Value, operator: &str) -> Result<Option<Ordering>> {
        if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
            return Ok(Some(a.cmp(&b)));
        }
        match (self, other) {
            (Value::Undefined(message), _) | (_, Value::Undefined(message)) => Err(Error::new(message.to_string())),
            (Value::Str(a, _), Value::Str(b, _)) => Ok(Some(a.cmp(b))),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b) {
                        return a.order(b, operator);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => match (self.as_number(), other.as_number()) {
                (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => Err(Error::new(format!(
                    "'{operator}' not supported between instances of '{}' and '{}'",
                    self.type_name(),
                    other.type_name()
                ))),
            },
        }
    }

    /// `other in self`.
    pub fn contains(&self, item: &Value) -> Result<bool> {
        Ok(match self {
            Value::Str(text, _) => match item {
                Value::Str(part, _) => text.contains(&**part),
                other => {
                    return Err(Error::new(format!(
                        "'in <string>' requires string as left operand, not {}",
                        other.type_name()
                    )))
                }
            },
            Value::List(seq) | Value::Tuple(seq) => seq.items.iter().any(|value| value.equals(item)),
            Value::Dict(dict) | Value::DictView(View::Keys, dict) => dict.get(item)?.is_some(),
            Value::Range(range) => match item.as_int() {
                Some(value) => range.contains(value),
                None => false,
            },
            Value::Undefined(_) | Value::DictView(..) | Value::Iter(_) | Value::Loop(_) => {
                self.iterate()?.iter().any(|value| value.equals(item))
            }
            other => return Err(Error::new(format!("argument of type '{}' is not iterable", other.type_name()))),
        })
    }

    /// Python's str().
    pub fn to_text(&self) -> Arc<str> {
        match self {
            Value::Str(text, _) => text.clone(),
            Value::Undefined(_) => "".into(),
            other => {
                let mut out = String::new();
                other.write_repr(&mut out, 0);
                out.into()
            }
        }
    }

    pub fn repr(&self) -> String {
        let mut out = String::new();
        self.write_repr(&mut out, 0);
        out
    }

    fn write_repr(&self, out: &mut String, depth: u32) {
        // Only a namespace that holds itself gets this deep.
        if depth > 2 * MAX_DEPTH {
            return out.push_str("...");
        }
        let list = |out: &mut String, items: &mut dyn Iterator<Item = &Value>| {
            for (index, item) in items.enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                item.write_repr(out, depth + 1);
            }
        };
        match self {
            Value::Undefined(_) => out.push_str("Undefined"),
            Value::None => out.push_str("None"),
            Value::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::BigInt(digits) => out.push_str(digits),
            Value::Float(value) => out.push_str(&super::text::repr_float(*value)),
            Value::Str(text, false) => repr_str(text, out),
            Value::Str(text, true) => {
                out.push_str("Markup(");
                repr_str(text, out);
                out.push(')');
            }
            Value::List(seq) => {
                out.push('[');
                list(out, &mut seq.items.iter());
                out.push(']');
            }
            Value::Tuple(seq) => {
                out.push('(');
                list(out, &mut seq.items.iter());
                out.push_str(if seq.items.len() == 1 { ",)" } else { ")" });
            }
            Value::Dict(dict) => {
                out.push('{');
                for (index, (key, value)) in dict.entries.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    key.write_repr(out, depth + 1);
                    out.push_str(": ");
                    value.write_repr(out, depth + 1);
                }
                out.push('}');
            }
            Value::DictView(kind, dict) => {
                out.push_str(self.type_name());
                out.push_str("([");
                match kind {
                    View::Keys => list(out, &mut dict.entries.iter().map(|entry| &entry.0)),
                    View::Values => list(out, &mut dict.entries.iter().map(|entry| &entry.1)),
                    View::Items => {
                        for (index, (key, value)) in dict.entries.iter().enumerate() {
                            out.push_str(if index > 0 { ", (" } else { "(" });
                            list(out, &mut [key, value].into_iter());
                            out.push(')');
                        }
                    }
                }
                out.push_str("])");
            }
            Value::Range(range) if range.step == 1 => {
                out.push_str(&format!("range({}, {})", range.start, range.stop));
            }
            Value::Range(range) => {
                out.push_str(&format!("range({}, {}, {})", range.start, range.stop, range.step));
            }
            Value::Namespace(namespace) => {
                out.push_str("<Namespace {");
                for (index, (key, value)) in namespace.entries.borrow().iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    repr_str(key, out);
                    out.push_str(": ");
                    value.write_repr(out, depth + 1);
                }
                out.push_str("}>");
            }
            Value::Macro(value) => {
                out.push_str("<Macro ");
                repr_str(&value.def.name, out);
                out.push('>');
            }
            Value::Loop(state) => {
                out.push_str(&format!("<LoopContext {}/{}>", state.index0.get() + 1, state.items.len()));
            }
            Value::Global(Global::Dict) => out.push_str("<class 'dict'>"),
            Value::Global(Global::Namespace) => out.push_str("<class 'jinja2.utils.Namespace'>"),
            Value::Global(Global::Cycler) => out.push_str("<class 'jinja2.utils.Cycler'>"),
            Value::Global(Global::Joiner) => out.push_str("<class 'jinja2.utils.Joiner'>"),
            other => out.push_str(&format!("<{} object>", other.type_name())),
        }
    }
}

impl Range {
    pub fn len(&self) -> i128 {
        let span = if self.step > 0 { self.stop - self.start } else { self.start - self.stop };
        if span <= 0 {
            0
        } else {
            (span + self.step.abs() - 1) / self.step.abs()
        }
    }

    fn contains(&self, value: i128) -> bool {
        let offset = value - self.start;
        offset % self.step == 0 && (0..self.len()).contains(&(offset / self.step))
    }
}
