// SPDX-License-Identifier: Apache-2.0
//! The attributes and methods of Python's objects that the sandbox lets a template reach.

use super::filters::Bound;
use super::letters::{lower, upper};
use super::render::{CallArgs, Renderer};
use super::text::{is_printable, is_space, split_lines};
use super::value::{Loop, Value, View};
use super::{format, letters, ops};
use super::{Error, Result};
use std::sync::Arc;

const STR: [&str; 44] = [
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map",
    "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric",
    "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
    "startswith", "strip", "swapcase", "title", "upper",
];
const MUTATORS_LIST: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const MUTATORS_DICT: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];

/// getattr(): None when the object has no such attribute. An unsafe one is undefined, with the
/// sandbox's message.
pub fn attribute(object: &Value, name: &Arc<str>) -> Result<Option<Value>> {
    let method = || Ok(Some(Value::Method(std::rc::Rc::new((object.clone(), name.clone())))));
    let unsafe_method = || {
        let message = format!("access to attribute '{name}' of '{}' object is unsafe.", object.type_name());
        Ok(Some(Value::Undefined(message.into())))
    };
    if is_beyond_us(object, name) {
        return Err(Error::new(format!("{}.{name} is not supported in chat templates", object.type_name())));
    }
    match object {
        Value::Str(..) if STR.contains(&&**name) || matches!(&**name, "zfill") => method(),
        Value::List(_) if MUTATORS_LIST.contains(&&**name) => unsafe_method(),
        Value::List(_) if matches!(&**name, "index" | "count" | "copy") => method(),
        Value::Tuple(seq) if seq.group && matches!(&**name, "grouper" | "list") => {
            Ok(Some(seq.items[usize::from(&**name == "list")].clone()))
        }
        Value::Tuple(_) if matches!(&**name, "index" | "count") => method(),
        Value::Dict(_) if MUTATORS_DICT.contains(&&**name) => unsafe_method(),
        Value::Dict(_) if matches!(&**name, "get" | "items" | "keys" | "values" | "copy") => method(),
        Value::Bool(_) | Value::Int(_) if matches!(&**name, "bit_length" | "bit_count" | "conjugate") => method(),
        Value::Bool(_) | Value::Int(_) => Ok(match &**name {
            "real" | "numerator" => object.as_int().map(Value::Int),
            "imag" => Some(Value::Int(0)),
            "denominator" => Some(Value::Int(1)),
            _ => None,
        }),
        Value::Float(_) if matches!(&**name, "is_integer" | "conjugate") => method(),
        Value::Float(_) => Ok(match &**name {
            "real" => Some(object.clone()),
            "imag" => Some(Value::Float(0.0)),
            _ => None,
        }),
        Value::Namespace(namespace) => {
            Ok(namespace.entries.borrow().iter().find(|entry| entry.0 == *name).map(|entry| entry.1.clone()))
        }
        Value::Range(range) => Ok(match &**name {
            "start" => Some(Value::Int(range.start)),
            "stop" => Some(Value::Int(range.stop)),
            "step" => Some(Value::Int(range.step)),
            "index" | "count" => return method(),
            _ => None,
        }),
        Value::Macro(value) => macro_attribute(value, name),
        Value::Loop(state) => loop_attribute(object, state, name),
        Value::Cycler(cycler) => Ok(match &**name {
            "next" | "reset" => return method(),
            "current" => Some(cycler.0[cycler.1.get()].clone()),
            "items" => Some(Value::tuple(cycler.0.clone())?),
            _ => None,
        }),
        _ => Ok(None),
    }
}

/// Attributes that Python's objects have and ours do not.
fn is_beyond_us(object: &Value, name: &str) -> bool {
    match object {
        Value::Str(_, safe) => {
            matches!(name, "encode" | "translate" | "maketrans")
                || (*safe && matches!(
                    name,
                    "escape" | "unescape" | "striptags" | "format" | "format_map" | "join" | "replace" | "ljust" | "rjust"
                        | "center"
                ))
        }
        Value::Dict(_) => name == "fromkeys",
        Value::DictView(..) => matches!(name, "isdisjoint" | "mapping"),
        Value::Bool(_) | Value::Int(_) => {
            matches!(name, "as_integer_ratio" | "from_bytes" | "to_bytes" | "is_integer")
        }
        Value::BigInt(_) => matches!(
            name,
            "as_integer_ratio" | "bit_count" | "bit_length" | "conjugate" | "denominator" | "from_bytes" | "imag"
                | "is_integer" | "numerator" | "real" | "to_bytes"
        ),
        Value::Float(_) => matches!(name, "as_integer_ratio" | "fromhex" | "hex"),
        Value::Macro(_) => name == "explicit_caller",
        Value::Cycler(_) => name == "pos",
        Value::Joiner(_) => matches!(name, "sep" | "used"),
        Value::Iter(_) => matches!(name, "send" | "throw" | "close"),
        _ => false,
    }
}

fn macro_attribute(value: &super::value::Macro, name: &str) -> Result<Option<Value>> {
    let def = &value.def;
    Ok(Some(match name {
        "name" => Value::Str(def.name.clone(), false),
        "arguments" => {
            Value::tuple(def.parameters.iter().map(|name| Value::Str(name.clone(), false)).collect())?
        }
        "catch_kwargs" => Value::Bool(def.uses_kwargs),
        "catch_varargs" => Value::Bool(def.uses_varargs),
        "caller" => Value::Bool(def.uses_caller),
        _ => return Ok(None),
    }))
}

fn loop_attribute(object: &Value, state: &Loop, name: &Arc<str>) -> Result<Option<Value>> {
    let (index, length) = (state.index0.get(), state.items.len());
    let number = |value: usize| Value::Int(value as i128);
    Ok(Some(match &**name {
        "index" => number(index + 1),
        "index0" => number(index),
        "revindex" => number(length - index),
        "revindex0" => number(length - index - 1),
        "first" => Value::Bool(index == 0),
        "last" => Value::Bool(index + 1 == length),
        "length" => number(length),
        "depth" => number(state.depth0 + 1),
        "depth0" => number(state.depth0),
        "previtem" => match index.checked_sub(1) {
            Some(previous) => state.items[previous].clone(),
            None => Value::Undefined("there is no previous item".into()),
        },
        "nextitem" => match state.items.get(index + 1) {
            Some(next) => next.clone(),
            None => Value::Undefined("there is no next item".into()),
        },
        "cycle" | "changed" => Value::Method(std::rc::Rc::new((object.clone(), name.clone()))),
        _ => return Ok(None),
    }))
}

pub fn call(renderer: &Renderer, object: &Value, name: &Arc<str>, args: CallArgs) -> Result<Value> {
    match object {
        Value::Str(text, safe) => {
            renderer.charge_bytes(text.len())?;
            let result = call_str(renderer, text, name, args)?;
            // Markup's methods give Markup.
            let mark = |value: &Value| match value {
                Value::Str(text, _) => Value::Str(text.clone(), true),
                other => other.clone(),
            };
            match &result {
                Value::List(seq) if *safe => Value::list(seq.items.iter().map(mark).collect()),
                Value::Tuple(seq) if *safe => Value::tuple(seq.items.iter().map(mark).collect()),
                other if *safe => Ok(mark(other)),
                _ => Ok(result),
            }
        }
        Value::Dict(dict) => match &**name {
            "items" => Ok(ops::view(View::Items, object).unwrap_or(Value::None)),
            "keys" => Ok(ops::view(View::Keys, object).unwrap_or(Value::None)),
            "values" => Ok(ops::view(View::Values, object).unwrap_or(Value::None)),
            "copy" => Ok(object.clone()),
            _ => {
                let mut bound = Bound::new("get", args, &["key", "default"])?;
                let (key, fallback) = (bound.required(0)?, bound.take(1).unwrap_or(Value::None));
                Ok(dict.get(&key)?.cloned().unwrap_or(fallback))
            }
        },
        Value::List(_) | Value::Tuple(_) | Value::Range(_) => {
            if &**name == "copy" {
                return Ok(object.clone());
            }
            let needle = Bound::new(name, args, &["value"])?.required(0)?;
            let items = renderer.items(object)?;
            renderer.charge_compare(&needle, items.len())?;
            if &**name == "count" {
                return Ok(Value::Int(items.iter().filter(|item| item.equals(&needle)).count() as i128));
            }
            match items.iter().position(|item| item.equals(&needle)) {
                Some(at) => Ok(Value::Int(at as i128)),
                None => Err(Error::new(format!("{} is not in {}", needle.repr(), object.type_name()))),
            }
        }
        Value::Int(_) | Value::Bool(_) => {
            let value = object.as_int().unwrap_or(0).unsigned_abs();
            Ok(match &**name {
                "bit_length" => Value::Int(i128::from(128 - value.leading_zeros())),
                "bit_count" => Value::Int(i128::from(value.count_ones())),
                _ => Value::Int(object.as_int().unwrap_or(0)),
            })
        }
        Value::Float(value) => Ok(match &**name {
            "is_integer" => Value::Bool(value.fract() == 0.0),
            _ => object.clone(),
        }),
        Value::Loop(state) if &**name == "cycle" => {
            if args.positional.is_empty() {
                return Err(Error::new("no items for cycling given"));
            }
            Ok(args.positional[state.index0.get() % args.positional.len()].clone())
        }
        Value::Loop(state) => {
            args.positional.iter().try_for_each(|value| renderer.charge_compare(value, 1))?;
            let mut last = state.changed.borrow_mut();
            let same = last.as_ref().is_some_and(|last| {
                last.len() == args.positional.len() && last.iter().zip(&args.positional).all(|(a, b)| a.equals(b))
            });
            *last = Some(args.positional);
            Ok(Value::Bool(!same))
        }
        Value::Cycler(cycler) => {
            let current = cycler.0[cycler.1.get()].clone();
            let next = if &**name == "reset" { 0 } else { (cycler.1.get() + 1) % cycler.0.len() };
            cycler.1.set(next);
            Ok(if &**name == "reset" { Value::None } else { current })
        }
        other => Err(Error::new(format!("'{}' object is not callable", other.type_name()))),
    }
}

fn all(text: &str, accept: impl Fn(char) -> bool) -> Value {
    Value::Bool(!text.is_empty() && text.chars().all(accept))
}

fn beyond_ascii(name: &str) -> Error {
    Error::new(format!("str.{name}() beyond ASCII is not supported in chat templates"))
}

fn call_str(renderer: &Renderer, text: &Arc<str>, name: &str, args: CallArgs) -> Result<Value> {
    match name {
        "casefold" if !text.is_ascii() => Err(beyond_ascii(name)),
        "lower" | "casefold" => Ok(Value::str(lower(text))),
        "upper" => Ok(Value::str(upper(text))),
        "capitalize" => Ok(Value::str(letters::capitalize(text))),
        "title" => Ok(Value::str(letters::title(text))),
        "swapcase" => Ok(Value::str(letters::swap_case(text))),
        "isalnum" => Ok(all(text, letters::is_alnum)),
        "isalpha" => Ok(all(text, letters::is_alpha)),
        "isascii" => Ok(Value::Bool(text.is_ascii())),
        "isdecimal" => Ok(all(text, letters::is_decimal)),
        "isdigit" => Ok(all(text, letters::is_digit)),
        "isnumeric" => letters::is_numeric(text).map(Value::Bool),
        "isidentifier" if !text.is_ascii() => Err(beyond_ascii(name)),
        "isidentifier" => {
            let word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            Ok(Value::Bool(word && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit())))
        }
        "islower" => Ok(Value::Bool(letters::is_lower(text))),
        "isupper" => Ok(Value::Bool(letters::is_upper(text))),
        "istitle" => Ok(Value::Bool(letters::is_title(text))),
        "isprintable" => Ok(Value::Bool(text.chars().all(is_printable))),
        "isspace" => Ok(all(text, is_space)),
        "strip" | "lstrip" | "rstrip" => strip(text, name, args),
        "split" | "rsplit" => split(renderer, text, name, args),
        "splitlines" => {
            let keep = Bound::new(name, args, &["keepends"])?.take(0).is_some_and(|keep| keep.is_true());
            let lines = split_lines(text, keep);
            renderer.charge_bytes(lines.len() * std::mem::size_of::<Value>())?;
            Value::list(lines.into_iter().map(Value::str).collect())
        }
        "startswith" | "endswith" => starts_or_ends(text, name, args),
        "replace" => {
            let mut bound = Bound::new(name, args, &["old", "new", "count"])?;
            let (old, new) = (bound.string(0)?, bound.string(1)?);
            let count = bound.integer(2)?.unwrap_or(-1);
            format::replace(renderer, text, &old, &new, count).map(Value::str)
        }
        "removeprefix" | "removesuffix" => {
            let part = Bound::new(name, args, &["part"])?.string(0)?;
            let rest = match name {
                "removeprefix" => text.strip_prefix(&*part),
                _ => text.strip_suffix(&*part),
            };
            Ok(Value::str(rest.unwrap_or(text)))
        }
        "join" => {
            let iterable = Bound::new(name, args, &["iterable"])?.required(0)?;
            join(renderer, text, &renderer.items(&iterable)?)
        }
        "find" | "rfind" | "index" | "rindex" | "count" => find(text, name, args),
        "partition" | "rpartition" => {
            let separator = Bound::new(name, args, &["sep"])?.string(0)?;
            if separator.is_empty() {
                return Err(Error::new("empty separator"));
            }
            let found = if name == "partition" { text.split_once(&*separator) } else { text.rsplit_once(&*separator) };
            let parts = match found {
                Some((before, after)) => [before, &*separator, after],
                None if name == "partition" => [&**text, "", ""],
                None => ["", "", &**text],
            };
            Value::tuple(parts.into_iter().map(Value::str).collect())
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let mut bound = Bound::new(name, args, &["width", "fillchar"])?;
            let width = bound.integer(0)?.unwrap_or(0).clamp(0, i128::from(i32::MAX)) as usize;
            let fill = match bound.take(1) {
                Some(fill) => fill.as_str().and_then(|fill| fill.chars().next()).unwrap_or(' '),
                None => ' ',
            };
            renderer.charge_bytes(width)?;
            Ok(Value::str(format::pad(text, width, fill, name)))
        }
        "expandtabs" => {
            let size = Bound::new(name, args, &["tabsize"])?.integer(0)?.unwrap_or(8).clamp(0, 1000) as usize;
            let mut out = String::new();
            let mut column = 0;
            for c in text.chars() {
                match c {
                    '\t' if size > 0 => {
                        let count = size - column % size;
                        renderer.charge_bytes(count)?;
                        out.extend(std::iter::repeat_n(' ', count));
                        column += count;
                    }
                    '\t' => {}
                    c => {
                        column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                        out.push(c);
                    }
                }
            }
            Ok(Value::str(out))
        }
        "format" => format::braces(renderer, text, &args.positional, &args.keyword).map(Value::str),
        "format_map" => {
            let map = Bound::new(name, args, &["mapping"])?.required(0)?;
            let Value::Dict(dict) = map else { return Err(Error::new("format_map() needs a mapping")) };
            let named: Vec<(Arc<str>, Value)> =
                dict.entries.iter().map(|(key, value)| (key.to_text(), value.clone())).collect();
            format::braces(renderer, text, &[], &named).map(Value::str)
        }
        _ => Err(Error::new(format!("str.{name}() is not supported in chat templates"))),
    }
}

fn strip(text: &str, name: &str, args: CallArgs) -> Result<Value> {
    let chars = Bound::new(name, args, &["chars"])?.take(0).unwrap_or(Value::None);
    let set: Option<Vec<char>> = match &chars {
        Value::None => None,
        Value::Str(chars, _) => Some(chars.chars().collect()),
        other => {
            return Err(Error::new(format!("{name} arg must be None or str, not {}", other.type_name())));
        }
    };
    let gone = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.contains(&c));
    Ok(Value::str(match name {
        "lstrip" => text.trim_start_matches(gone),
        "rstrip" => text.trim_end_matches(gone),
        _ => text.trim_matches(gone),
    }))
}

fn split(renderer: &Renderer, text: &str, name: &str, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new(name, args, &["sep", "maxsplit"])?;
    let separator = bound.take(0).unwrap_or(Value::None);
    let limit = bound.integer(1)?.unwrap_or(-1);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
    let from_right = name == "rsplit";
    let mut parts: Vec<&str> = Vec::new();
    match &separator {
        Value::None => {
            let mut rest = text;
            loop {
                rest = if from_right { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) };
                if rest.is_empty() {
                    break;
                }
                let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
                let (Some(cut), true) = (cut, parts.len() < limit) else {
                    let whole = if from_right {
                        rest.trim_start_matches(|c| is_space(c) && cut.is_some() && parts.len() < limit)
                    } else {
                        rest
                    };
                    parts.push(whole);
                    break;
                };
                if from_right {
                    let size = rest[cut..].chars().next().map_or(1, char::len_utf8);
                    parts.push(&rest[cut + size..]);
                    rest = &rest[..cut];
                } else {
                    parts.push(&rest[..cut]);
                    rest = &rest[cut..];
                }
            }
        }
        Value::Str(separator, _) if separator.is_empty() => return Err(Error::new("empty separator")),
        Value::Str(separator, _) => {
            if from_right {
                parts.extend(text.rsplitn(limit + 1, &**separator));
            } else {
                parts.extend(text.splitn(limit + 1, &**separator));
            }
        }
        other => return Err(Error::new(format!("must be str or None, not {}", other.type_name()))),
    }
    if from_right {
        parts.reverse();
    }
    renderer.charge_bytes(parts.len() * std::mem::size_of::<Value>())?;
    Value::list(parts.into_iter().map(Value::str).collect())
}

/// The part of `text` that start and end arguments (counted in characters) leave.
fn window(text: &str, start: Option<i128>, end: Option<i128>) -> (usize, &str) {
    let length = text.chars().count() as i128;
    let place = |number: i128| (if number < 0 { number.saturating_add(length) } else { number }).clamp(0, length);
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(length)));
    let byte = |index: i128| text.char_indices().nth(index as usize).map_or(text.len(), |entry| entry.0);
    if start == 0 && end == length {
        return (0, text);
    }
    (start as usize, &text[byte(start)..byte(end.max(start))])
}

fn starts_or_ends(text: &str, name: &str, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new(name, args, &["part", "start", "end"])?;
    let part = bound.required(0)?;
    let (_, text) = window(text, bound.integer(1)?, bound.integer(2)?);
    let test = |part: &Value| match part.as_str() {
        Some(part) if name == "startswith" => Ok(text.starts_with(&**part)),
        Some(part) => Ok(text.ends_with(&**part)),
        None => Err(Error::new(format!(
            "{name} first arg must be str or a tuple of str, not {}",
            part.type_name()
        ))),
    };
    if let Value::Tuple(parts) = &part {
        for part in &parts.items {
            if test(part)? {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    test(&part).map(Value::Bool)
}

fn find(text: &str, name: &str, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new(name, args, &["part", "start", "end"])?;
    let part = bound.string(0)?;
    let (offset, text) = window(text, bound.integer(1)?, bound.integer(2)?);
    if name == "count" {
        let count = if part.is_empty() { text.chars().count() + 1 } else { text.matches(&*part).count() };
        return Ok(Value::Int(count as i128));
    }
    let found = if name.starts_with('r') { text.rfind(&*part) } else { text.find(&*part) };
    match found {
        Some(at) => Ok(Value::Int((offset + text[..at].chars().count()) as i128)),
        None if name.ends_with("find") => Ok(Value::Int(-1)),
        None => Err(Error::new("substring not found")),
    }
}

/// str.join: strings only.
fn join(renderer: &Renderer, separator: &str, items: &[Value]) -> Result<Value> {
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        let Some(part) = item.as_str() else {
            return Err(Error::new(format!(
                "sequence item {index}: expected str instance, {} found",
                item.type_name()
            )));
        };
        renderer.charge_bytes(part.len() + separator.len())?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(part);
    }
    Ok(Value::str(out))
}
