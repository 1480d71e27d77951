// SPDX-License-Identifier: Apache-2.0
//! Jinja2's tests.

use super::ast::{Arithmetic, Comparison};
use super::filters;
use super::letters;
use super::ops;
use super::render::{CallArgs, Renderer};
use super::value::{Key, Value};
use super::{Error, Result};
use std::rc::Rc;

const NAMES: [&str; 39] = [
    "odd", "even", "divisibleby", "defined", "undefined", "filter", "test", "none", "boolean", "false", "true",
    "integer", "float", "lower", "upper", "string", "mapping", "number", "sequence", "iterable", "callable", "sameas",
    "escaped", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", "ge", ">=", "<", "lt", "lessthan",
    "<=", "le",
];

const WITH_ARGUMENT: [&str; 18] = [
    "divisibleby", "sameas", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", "ge", ">=", "<", "lt",
    "lessthan", "<=", "le",
];

pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

pub fn apply(renderer: &Renderer, name: &str, value: &Value, args: CallArgs) -> Result<bool> {
    renderer.charge(1)?;
    let wanted = usize::from(WITH_ARGUMENT.contains(&name));
    if args.positional.len() != wanted || !args.keyword.is_empty() {
        return Err(Error::new(format!("the test '{name}' takes {wanted} arguments")));
    }
    let mut positional = args.positional.into_iter();
    let mut argument = || positional.next().ok_or_else(|| Error::new(format!("the test '{name}' needs an argument")));
    let remainder = |by: &Value| ops::arithmetic(renderer, Arithmetic::Mod, value, by);
    let comparison = match name {
        "==" | "eq" | "equalto" => Some(Comparison::Eq),
        "!=" | "ne" => Some(Comparison::Ne),
        ">" | "gt" | "greaterthan" => Some(Comparison::Gt),
        ">=" | "ge" => Some(Comparison::Ge),
        "<" | "lt" | "lessthan" => Some(Comparison::Lt),
        "<=" | "le" => Some(Comparison::Le),
        "in" => Some(Comparison::In),
        _ => None,
    };
    if let Some(comparison) = comparison {
        return ops::compare(renderer, comparison, value, &argument()?);
    }
    Ok(match name {
        "odd" => remainder(&Value::Int(2))?.equals(&Value::Int(1)),
        "even" => remainder(&Value::Int(2))?.equals(&Value::Int(0)),
        "divisibleby" => remainder(&argument()?)?.equals(&Value::Int(0)),
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "filter" | "test" if value.as_str().is_none() => Key::new(value).map(|_| false)?,
        "filter" => value.as_str().is_some_and(|name| filters::is_known(name)),
        "test" => value.as_str().is_some_and(|name| is_known(name)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "false" => matches!(value, Value::Bool(false)),
        "true" => matches!(value, Value::Bool(true)),
        "integer" => matches!(value, Value::Int(_) | Value::BigInt(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Float(_)),
        "lower" => letters::is_lower(&renderer.text(value)?),
        "upper" => letters::is_upper(&renderer.text(value)?),
        "string" => matches!(value, Value::Str(..)),
        "mapping" => matches!(value, Value::Dict(_)),
        // What has both a length and items by index.
        "sequence" => matches!(
            value,
            Value::Str(..) | Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Range(_) | Value::Undefined(_)
        ),
        "iterable" => !matches!(
            value,
            Value::None
                | Value::Bool(_)
                | Value::Int(_)
                | Value::BigInt(_)
                | Value::Float(_)
                | Value::Namespace(_)
                | Value::Macro(_)
                | Value::Method(_)
                | Value::Global(_)
                | Value::Cycler(_)
                | Value::Joiner(_)
        ),
        "callable" => matches!(
            value,
            Value::Macro(_) | Value::Method(_) | Value::Global(_) | Value::Joiner(_) | Value::Loop(_) | Value::Undefined(_)
        ),
        "sameas" => same(value, &argument()?),
        "escaped" => matches!(value, Value::Str(_, true)),
        _ => return Err(Error::new(format!("No test named '{name}'."))),
    })
}

/// Python's `is`, for what a template can tell apart by it.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Bool(_), _) | (_, Value::Bool(_)) | (Value::Float(_), _) | (_, Value::Float(_)) => false,
        (a, b) => a.equals(b),
    }
}
