// SPDX-License-Identifier: Apache-2.0
//! Python's operators, subscripts and calls of objects other than macros and methods.

use super::ast::{Arithmetic, Comparison};
use super::render::{CallArgs, Renderer};
use super::value::{Global, Range, Value, View};
use super::{format, methods, text, time};
use super::{Error, Result};
use std::cell::Cell;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

const MAX_RANGE: i128 = 100_000; // the sandbox's

pub fn integer(digits: &Arc<str>) -> Value {
    digits.parse().map_or_else(|_| Value::BigInt(digits.clone()), Value::Int)
}

fn too_large() -> Error {
    Error::new("integers beyond 127 bits cannot be computed with")
}

fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    for side in [left, right] {
        if let Value::Undefined(message) = side {
            return Error::new(message.to_string());
        }
    }
    Error::new(format!(
        "unsupported operand type(s) for {operator}: '{}' and '{}'",
        left.type_name(),
        right.type_name()
    ))
}

pub fn negate(value: &Value) -> Result<Value> {
    match value {
        Value::Float(value) => Ok(Value::Float(-value)),
        Value::BigInt(digits) => Ok(match digits.strip_prefix('-') {
            Some(digits) => integer(&digits.into()),
            None => integer(&format!("-{digits}").into()),
        }),
        Value::Undefined(message) => Err(Error::new(message.to_string())),
        other => match other.as_int() {
            Some(value) => value.checked_neg().map(Value::Int).ok_or_else(too_large),
            None => Err(Error::new(format!("bad operand type for unary -: '{}'", other.type_name()))),
        },
    }
}

pub fn plus(value: &Value) -> Result<Value> {
    match value {
        Value::Float(_) | Value::BigInt(_) => Ok(value.clone()),
        Value::Undefined(message) => Err(Error::new(message.to_string())),
        other => match other.as_int() {
            Some(value) => Ok(Value::Int(value)),
            None => Err(Error::new(format!("bad operand type for unary +: '{}'", other.type_name()))),
        },
    }
}

pub fn arithmetic(renderer: &Renderer, operator: Arithmetic, left: &Value, right: &Value) -> Result<Value> {
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return integers(operator, a, b);
    }
    match (operator, left, right) {
        (Arithmetic::Add, Value::Str(a, a_safe), Value::Str(b, b_safe)) => {
            renderer.charge_bytes(a.len() + b.len())?;
            if a_safe == b_safe {
                return Ok(Value::Str([&**a, &**b].concat().into(), *a_safe));
            }
            let escape = |text: &str, safe: bool| if safe { text.to_string() } else { text::escape_html(text) };
            Ok(Value::Str((escape(a, *a_safe) + &escape(b, *b_safe)).into(), true))
        }
        (Arithmetic::Add, Value::List(a), Value::List(b)) => {
            renderer.charge_bytes((a.items.len() + b.items.len()) * std::mem::size_of::<Value>())?;
            Value::list([&a.items[..], &b.items[..]].concat())
        }
        (Arithmetic::Add, Value::Tuple(a), Value::Tuple(b)) => {
            renderer.charge_bytes((a.items.len() + b.items.len()) * std::mem::size_of::<Value>())?;
            Value::tuple([&a.items[..], &b.items[..]].concat())
        }
        (Arithmetic::Mul, Value::Str(..) | Value::List(_) | Value::Tuple(_), count) if count.as_int().is_some() => {
            repeat(renderer, left, count)
        }
        (Arithmetic::Mul, count, Value::Str(..) | Value::List(_) | Value::Tuple(_)) if count.as_int().is_some() => {
            repeat(renderer, right, count)
        }
        (Arithmetic::Mod, Value::Str(pattern, safe), _) => {
            let text = format::percent(renderer, pattern, right, *safe)?;
            Ok(Value::Str(text.into(), *safe))
        }
        _ => match (left.as_number(), right.as_number()) {
            // With a float the result is a float, which can be computed.
            (Some(_), Some(_))
                if !matches!((left, right), (Value::Float(_), _) | (_, Value::Float(_))) =>
            {
                Err(too_large())
            }
            (Some(a), Some(b)) => floats(operator, a, b),
            _ => Err(unsupported(symbol(operator), left, right)),
        },
    }
}

fn symbol(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Add => "+",
        Arithmetic::Sub => "-",
        Arithmetic::Mul => "*",
        Arithmetic::Div => "/",
        Arithmetic::FloorDiv => "//",
        Arithmetic::Mod => "%",
        Arithmetic::Pow => "** or pow()",
    }
}

fn repeat(renderer: &Renderer, value: &Value, count: &Value) -> Result<Value> {
    let count = count.as_int().unwrap_or(0).clamp(0, i128::from(u32::MAX)) as usize;
    let unit = match value {
        Value::Str(text, _) => text.len(),
        Value::List(seq) | Value::Tuple(seq) => seq.items.len() * std::mem::size_of::<Value>(),
        _ => 0,
    };
    renderer.charge_bytes(unit.saturating_mul(count))?;
    let items = |items: &[Value]| -> Vec<Value> {
        if items.is_empty() {
            return Vec::new();
        }
        (0..count).flat_map(|_| items.iter().cloned()).collect()
    };
    match value {
        Value::Str(text, _) if text.is_empty() => Ok(value.clone()),
        Value::Str(text, safe) => Ok(Value::Str(text.repeat(count).into(), *safe)),
        Value::Tuple(seq) => Value::tuple(items(&seq.items)),
        Value::List(seq) => Value::list(items(&seq.items)),
        other => Ok(other.clone()),
    }
}

fn integers(operator: Arithmetic, a: i128, b: i128) -> Result<Value> {
    let zero = |what: &str| Error::new(format!("integer {what} by zero"));
    let floor = |a: i128, b: i128| a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0);
    let result = match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Sub => a.checked_sub(b),
        Arithmetic::Mul => a.checked_mul(b),
        Arithmetic::Div if b == 0 => return Err(Error::new("division by zero")),
        // Beyond this the two would be rounded before they are divided.
        Arithmetic::Div if a.unsigned_abs().max(b.unsigned_abs()) > 1 << 53 => return Err(too_large()),
        Arithmetic::Div => return Ok(Value::Float(a as f64 / b as f64)),
        Arithmetic::FloorDiv | Arithmetic::Mod if b == 0 => return Err(zero("division or modulo")),
        Arithmetic::FloorDiv | Arithmetic::Mod if a == i128::MIN => None,
        Arithmetic::FloorDiv => Some(floor(a, b)),
        Arithmetic::Mod => Some(a - floor(a, b) * b),
        Arithmetic::Pow if b < 0 && a == 0 => {
            return Err(Error::new("0.0 cannot be raised to a negative power"));
        }
        Arithmetic::Pow if b < 0 => return Ok(Value::Float((a as f64).powf(b as f64))),
        Arithmetic::Pow => match a {
            0 | 1 => Some(if b == 0 { 1 } else { a }),
            -1 => Some(if b % 2 == 0 { 1 } else { -1 }),
            _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        },
    };
    result.map(Value::Int).ok_or_else(too_large)
}

/// Where C has infinities or no number, Python has errors and complex numbers.
fn power(a: f64, b: f64) -> Result<f64> {
    if a == 0.0 && b < 0.0 {
        return Err(Error::new("0.0 cannot be raised to a negative power"));
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return Err(Error::new("complex numbers are not supported in chat templates"));
    }
    let result = a.powf(b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(Error::new("Numerical result out of range"));
    }
    Ok(result)
}

fn floats(operator: Arithmetic, a: f64, b: f64) -> Result<Value> {
    if b == 0.0 && matches!(operator, Arithmetic::Div | Arithmetic::FloorDiv | Arithmetic::Mod) {
        return Err(Error::new("float division by zero"));
    }
    let modulo = |a: f64, b: f64| {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
            rest + b
        } else if rest == 0.0 {
            0f64.copysign(b)
        } else {
            rest
        }
    };
    Ok(Value::Float(match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::FloorDiv => {
            // CPython's float_divmod, step by step.
            let rest = a % b;
            let quotient = (a - rest) / b - f64::from(u8::from(rest != 0.0 && (rest < 0.0) != (b < 0.0)));
            let floor = quotient.floor();
            match quotient {
                0.0 => 0f64.copysign(a / b),
                _ if quotient - floor > 0.5 => floor + 1.0,
                _ => floor,
            }
        }
        Arithmetic::Mod => modulo(a, b),
        Arithmetic::Pow => power(a, b)?,
    }))
}

pub fn compare(renderer: &Renderer, comparison: Comparison, left: &Value, right: &Value) -> Result<bool> {
    // Comparing containers walks them as far as both go.
    let smaller = if left.nodes() < right.nodes() { left } else { right };
    renderer.charge_compare(smaller, 1)?;
    let ordered = |operator: &str, accept: fn(Ordering) -> bool| -> Result<bool> {
        Ok(left.order(right, operator)?.is_some_and(accept))
    };
    match comparison {
        Comparison::Eq => Ok(left.equals(right)),
        Comparison::Ne => Ok(!left.equals(right)),
        Comparison::Lt => ordered("<", |order| order == Ordering::Less),
        Comparison::Le => ordered("<=", |order| order != Ordering::Greater),
        Comparison::Gt => ordered(">", |order| order == Ordering::Greater),
        Comparison::Ge => ordered(">=", |order| order != Ordering::Less),
        Comparison::In | Comparison::NotIn => {
            let items = right.length().unwrap_or(0);
            renderer.charge(items / 16)?;
            renderer.charge_compare(left, items)?;
            Ok(right.contains(left)? == (comparison == Comparison::In))
        }
    }
}

fn missing_attribute(object: &Value, name: &str) -> Value {
    Value::Undefined(format!("'{}' has no attribute '{name}'", object.type_repr()).into())
}

fn missing_item(object: &Value, key: &Value) -> Value {
    match key {
        Value::Str(name, _) => missing_attribute(object, name),
        key => Value::Undefined(format!("{} has no element {}", object.type_repr(), key.repr()).into()),
    }
}

/// `object.name`: the attribute, else the item.
pub fn attribute(object: &Value, name: &Arc<str>) -> Result<Value> {
    if let Value::Undefined(message) = object {
        // Python's own attributes of the class stay reachable; no template wants them.
        return Err(Error::new(message.to_string()));
    }
    if let Some(value) = methods::attribute(object, name)? {
        return Ok(value);
    }
    if let Value::Dict(dict) = object {
        if let Some(value) = dict.get_str(name) {
            return Ok(value.clone());
        }
    }
    Ok(missing_attribute(object, name))
}

fn element(items: &[Value], index: i128) -> Option<&Value> {
    let index = if index < 0 { index + items.len() as i128 } else { index };
    usize::try_from(index).ok().and_then(|index| items.get(index))
}

/// `object[key]`: the item, else the attribute.
pub fn item(object: &Value, key: &Value) -> Result<Value> {
    let found = match object {
        Value::Undefined(message) => return Err(Error::new(message.to_string())),
        Value::Dict(dict) => dict.get(key).ok().flatten().cloned(),
        Value::List(seq) | Value::Tuple(seq) => key.as_int().and_then(|index| element(&seq.items, index)).cloned(),
        Value::Str(text, safe) => key.as_int().and_then(|index| {
            let index = if index < 0 { index + text.chars().count() as i128 } else { index };
            let c = text.chars().nth(usize::try_from(index).ok()?)?;
            Some(Value::Str(c.to_string().into(), *safe))
        }),
        Value::Range(range) => key.as_int().and_then(|index| {
            let index = if index < 0 { index + range.len() } else { index };
            (0..range.len()).contains(&index).then(|| Value::Int(range.start + index * range.step))
        }),
        _ => None,
    };
    if let Some(value) = found {
        return Ok(value);
    }
    if let Value::Str(name, _) = key {
        if let Some(value) = methods::attribute(object, name)? {
            return Ok(value);
        }
    }
    Ok(missing_item(object, key))
}

pub fn slice(renderer: &Renderer, object: &Value, bounds: &[Value; 3]) -> Result<Value> {
    if let Value::Undefined(message) = object {
        return Err(Error::new(message.to_string()));
    }
    let length = match object {
        Value::Str(..) | Value::List(_) | Value::Tuple(_) | Value::Range(_) => object.length()? as i128,
        // Slices go straight to Python: no undefined value comes of a wrong type.
        other => return Err(Error::new(format!("'{}' object is not subscriptable", other.type_name()))),
    };
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = match bound {
            Value::None => None,
            other => match other.as_int() {
                Some(value) => Some(value),
                None => return Err(Error::new("slice indices must be integers or None")),
            },
        };
    }
    let step = numbers[2].unwrap_or(1);
    if step == 0 {
        return Err(Error::new("slice step cannot be zero"));
    }
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |number: Option<i128>, fallback: i128| match number {
        None => fallback,
        Some(value) if value < 0 => value.saturating_add(length).max(low),
        Some(value) => value.min(high),
    };
    let start = place(numbers[0], if step > 0 { low } else { high });
    let stop = place(numbers[1], if step > 0 { high } else { low });
    let mut indices = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        indices.push(at as usize);
        at = at.saturating_add(step);
    }
    renderer.charge(indices.len() / 16)?;
    renderer.charge_bytes(indices.len() * 8)?;
    match object {
        Value::Str(text, safe) => {
            let sliced: String = if step == 1 {
                text.chars().skip(start as usize).take(indices.len()).collect()
            } else {
                let chars: Vec<char> = text.chars().collect();
                indices.iter().map(|&index| chars[index]).collect()
            };
            renderer.charge_bytes(sliced.len())?;
            Ok(Value::Str(sliced.into(), *safe))
        }
        Value::List(seq) => Value::list(indices.iter().map(|&index| seq.items[index].clone()).collect()),
        Value::Tuple(seq) => Value::tuple(indices.iter().map(|&index| seq.items[index].clone()).collect()),
        Value::Range(range) => Ok(Value::Range(Rc::new(Range {
            start: range.start + start * range.step,
            stop: range.start + stop * range.step,
            step: range.step * step,
        }))),
        other => Ok(other.clone()),
    }
}

fn range(args: &CallArgs) -> Result<Value> {
    let mut numbers = Vec::new();
    for value in &args.positional {
        let number = value.as_int().filter(|number| i64::try_from(*number).is_ok());
        numbers.push(number.ok_or_else(|| match value {
            Value::Undefined(message) => Error::new(message.to_string()),
            other => Error::new(format!("'{}' object cannot be interpreted as an integer", other.type_name())),
        })?);
    }
    let (start, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(Error::new("range expected 1 to 3 arguments")),
    };
    if step == 0 {
        return Err(Error::new("range() arg 3 must not be zero"));
    }
    let range = Range { start, stop, step };
    if range.len() > MAX_RANGE {
        return Err(Error::new(format!(
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_RANGE})."
        )));
    }
    Ok(Value::Range(Rc::new(range)))
}

/// dict(...) and namespace(...) take the same arguments.
fn pairs(renderer: &Renderer, args: CallArgs) -> Result<Vec<(Value, Value)>> {
    let mut entries = Vec::new();
    for value in &args.positional {
        match value {
            Value::Dict(dict) => entries.extend(dict.entries.iter().cloned()),
            other => {
                for pair in renderer.items(other)? {
                    let mut pair = renderer.items(&pair)?;
                    match (pair.pop(), pair.pop(), pair.pop()) {
                        (Some(value), Some(key), None) => entries.push((key, value)),
                        _ => return Err(Error::new("dictionary update sequence element must have length 2")),
                    }
                }
            }
        }
    }
    entries.extend(args.keyword.into_iter().map(|(name, value)| (Value::Str(name, false), value)));
    renderer.charge_bytes(entries.len() * 4 * std::mem::size_of::<Value>())?;
    Ok(entries)
}

pub fn call_object(renderer: &Renderer, callee: &Value, mut args: CallArgs) -> Result<Value> {
    match callee {
        Value::Global(Global::Range) => range(&args),
        Value::Global(Global::Dict) => Value::dict(pairs(renderer, args)?),
        Value::Global(Global::Namespace) => {
            let dict = Value::dict(pairs(renderer, args)?)?;
            let Value::Dict(dict) = dict else { return Ok(dict) };
            Ok(renderer.new_namespace(
                dict.entries.iter().map(|(key, value)| (key.to_text(), value.clone())).collect(),
            ))
        }
        Value::Global(Global::RaiseException) => {
            let message = args.positional.first().or_else(|| args.keyword.first().map(|entry| &entry.1));
            Err(match message {
                Some(message) => Error::new(renderer.text(message)?.to_string()),
                None => Error::new("raise_exception() missing 1 required positional argument: 'message'"),
            })
        }
        Value::Global(Global::StrftimeNow) => {
            let pattern = args.positional.first().or_else(|| args.keyword.first().map(|entry| &entry.1));
            match pattern.and_then(Value::as_str) {
                Some(pattern) => Ok(Value::str(time::strftime(renderer.now(), pattern)?)),
                None => Err(Error::new("strftime_now() needs a format")),
            }
        }
        Value::Global(Global::Cycler) if args.positional.is_empty() => {
            Err(Error::new("at least one item has to be provided"))
        }
        Value::Global(Global::Cycler) => Ok(Value::Cycler(Rc::new((args.positional, Cell::new(0))))),
        Value::Global(Global::Joiner) => {
            let separator = if args.positional.is_empty() { Value::str(", ") } else { args.positional.remove(0) };
            Ok(Value::Joiner(Rc::new((separator, Cell::new(false)))))
        }
        Value::Global(Global::Lipsum) => Err(Error::new("lipsum is not supported in chat templates")),
        Value::Joiner(joiner) => {
            Ok(if joiner.1.replace(true) { joiner.0.clone() } else { Value::str("") })
        }
        Value::Loop(state) => match args.positional.pop() {
            Some(iterable) => renderer.recurse(state, iterable),
            None => Err(Error::new("loop() needs what to iterate over")),
        },
        Value::Undefined(message) => Err(Error::new(message.to_string())),
        other => Err(Error::new(format!("'{}' object is not callable", other.type_name()))),
    }
}

/// dict.items(), .keys(), .values().
pub fn view(kind: View, object: &Value) -> Option<Value> {
    match object {
        Value::Dict(dict) => Some(Value::DictView(kind, dict.clone())),
        _ => None,
    }
}
