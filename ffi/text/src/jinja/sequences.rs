// SPDX-License-Identifier: Apache-2.0
//! Jinja2's filters on sequences. Where Jinja2 gives a generator, so do these (read once, without a
//! length), though its items are made at once.

use super::filters::{self, Bound};
use super::letters::lower;
use super::render::{CallArgs, Renderer};
use super::value::{Key, Value, View};
use super::{ops, tests};
use super::{Error, Result};
use std::cmp::Ordering;
use std::sync::Arc;

pub fn apply(renderer: &Renderer, name: &str, value: Value, args: CallArgs) -> Result<Value> {
    match name {
        "list" => Value::list(renderer.items(&value)?),
        "items" => match &value {
            Value::Undefined(_) => Value::iter(Vec::new(), "generator"),
            Value::Dict(dict) => Value::iter(Value::DictView(View::Items, dict.clone()).iterate()?, "generator"),
            _ => Err(Error::new("Can only get item pairs from a mapping.")),
        },
        "join" => join(renderer, &value, args),
        "first" => {
            let first = renderer.items(&value)?.into_iter().next();
            Ok(first.unwrap_or_else(|| Value::Undefined("No first item, sequence was empty.".into())))
        }
        "last" => {
            if matches!(value, Value::Iter(_)) {
                return Err(Error::new(format!("'{}' object is not reversible", value.type_name())));
            }
            let last = renderer.items(&value)?.pop();
            Ok(last.unwrap_or_else(|| Value::Undefined("No last item, sequence was empty.".into())))
        }
        "reverse" => match &value {
            Value::Str(text, safe) => Ok(Value::Str(text.chars().rev().collect::<String>().into(), *safe)),
            other => {
                let mut items = renderer.items(other)?;
                items.reverse();
                Value::iter(items, "list_reverseiterator")
            }
        },
        "sort" => {
            let mut bound = Bound::new(name, args, &["reverse", "case_sensitive", "attribute"])?;
            let (reverse, case_sensitive) = (bound.flag(0), bound.flag(1));
            let attribute = bound.take(2).unwrap_or(Value::None);
            let items = renderer.items(&value)?;
            Value::list(sorted(renderer, items, |item| {
                // Several attributes: in turn.
                let paths: Vec<Value> = match &attribute {
                    Value::Str(text, _) if text.contains(',') => text.split(',').map(Value::str).collect(),
                    other => vec![other.clone()],
                };
                paths
                    .iter()
                    .map(|path| Ok(fold_case(&attribute_of(item, path, None)?, case_sensitive)))
                    .collect::<Result<Vec<Value>>>()
                    .and_then(Value::list)
            }, reverse)?)
        }
        "dictsort" => {
            let mut bound = Bound::new(name, args, &["case_sensitive", "by", "reverse"])?;
            let case_sensitive = bound.flag(0);
            let by = bound.take(1).map_or_else(|| "key".into(), |by| by.to_text());
            let position = match &*by {
                "key" => 0,
                "value" => 1,
                _ => return Err(Error::new("You can only sort by either \"key\" or \"value\"")),
            };
            let reverse = bound.flag(2);
            let Value::Dict(dict) = &value else {
                return Err(Error::new(match &value {
                    Value::Undefined(message) => message.to_string(),
                    other => format!("'{}' object has no attribute 'items'", other.type_name()),
                }));
            };
            let items = Value::DictView(View::Items, dict.clone()).iterate()?;
            let key = |item: &Value| Ok(fold_case(&ops::item(item, &Value::Int(position))?, case_sensitive));
            Value::list(sorted(renderer, items, key, reverse)?)
        }
        "unique" => {
            let mut bound = Bound::new(name, args, &["case_sensitive", "attribute"])?;
            let (case_sensitive, attribute) = (bound.flag(0), bound.take(1).unwrap_or(Value::None));
            let mut seen = std::collections::HashSet::new();
            let mut kept = Vec::new();
            for item in renderer.items(&value)? {
                if seen.insert(Key::new(&fold_case(&attribute_of(&item, &attribute, None)?, case_sensitive))?) {
                    kept.push(item);
                }
            }
            Value::iter(kept, "generator")
        }
        "min" | "max" => {
            let mut bound = Bound::new(name, args, &["case_sensitive", "attribute"])?;
            let (case_sensitive, attribute) = (bound.flag(0), bound.take(1).unwrap_or(Value::None));
            let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
            let mut best: Option<(Value, Value)> = None;
            for item in renderer.items(&value)? {
                let key = fold_case(&attribute_of(&item, &attribute, None)?, case_sensitive);
                renderer.charge_compare(&key, 1)?;
                let better = match &best {
                    None => true,
                    Some((_, than)) => key.order(than, if name == "min" { "<" } else { ">" })? == Some(wanted),
                };
                if better {
                    best = Some((item, key));
                }
            }
            Ok(best.map_or_else(
                || Value::Undefined("No aggregated item, sequence was empty.".into()),
                |(item, _)| item,
            ))
        }
        "sum" => {
            let mut bound = Bound::new(name, args, &["attribute", "start"])?;
            let attribute = bound.take(0).unwrap_or(Value::None);
            let mut total = bound.take(1).unwrap_or(Value::Int(0));
            if total.as_str().is_some() {
                return Err(Error::new("sum() can't sum strings [use ''.join(seq) instead]"));
            }
            for item in renderer.items(&value)? {
                let item = attribute_of(&item, &attribute, None)?;
                total = ops::arithmetic(renderer, super::ast::Arithmetic::Add, &total, &item)?;
            }
            Ok(total)
        }
        "map" => map(renderer, &value, args),
        "select" | "reject" | "selectattr" | "rejectattr" => select(renderer, name, &value, args),
        "groupby" => group_by(renderer, &value, args),
        "batch" => batch(renderer, &value, args),
        "slice" => slices(renderer, &value, args),
        _ => Err(Error::new(format!("No filter named '{name}'."))),
    }
}

fn fold_case(value: &Value, case_sensitive: bool) -> Value {
    match value {
        Value::Str(text, safe) if !case_sensitive => Value::Str(lower(text).into(), *safe),
        other => other.clone(),
    }
}

/// Jinja2's make_attrgetter: "a.b.0" reads through items; nothing is the value itself.
fn attribute_of(value: &Value, path: &Value, fallback: Option<&Value>) -> Result<Value> {
    let mut found = value.clone();
    match path {
        Value::None => return Ok(found),
        Value::Str(path, _) => {
            for part in path.split('.') {
                let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                let key = if is_number { ops::integer(&part.into()) } else { Value::str(part) };
                found = ops::item(&found, &key)?;
                found = or_default(found, fallback);
            }
        }
        other => found = or_default(ops::item(&found, other)?, fallback),
    }
    Ok(found)
}

fn or_default(value: Value, fallback: Option<&Value>) -> Value {
    match fallback {
        Some(fallback) if value.is_undefined() => fallback.clone(),
        _ => value,
    }
}

/// A stable sort, of which every comparison may fail.
fn sorted(
    renderer: &Renderer,
    items: Vec<Value>,
    key: impl Fn(&Value) -> Result<Value>,
    reverse: bool,
) -> Result<Vec<Value>> {
    renderer.charge(items.len() * 8)?;
    let mut keyed = items.into_iter().map(|item| Ok((key(&item)?, item))).collect::<Result<Vec<_>>>()?;
    let rounds = keyed.len().checked_ilog2().unwrap_or(0) as usize + 1;
    keyed.iter().try_for_each(|entry| renderer.charge_compare(&entry.0, rounds))?;
    let mut failure = None;
    keyed.sort_by(|a, b| {
        let order = match a.0.order(&b.0, "<") {
            Ok(order) => order.unwrap_or(Ordering::Equal),
            Err(error) => {
                failure.get_or_insert(error);
                Ordering::Equal
            }
        };
        if reverse { order.reverse() } else { order }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|entry| entry.1).collect()),
    }
}

fn join(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("join", args, &["d", "attribute"])?;
    let separator = match bound.take(0) {
        Some(separator) => renderer.text(&separator)?,
        None => "".into(),
    };
    let attribute = bound.take(1).unwrap_or(Value::None);
    let mut out = String::new();
    for (index, item) in renderer.items(value)?.iter().enumerate() {
        let text = renderer.text(&attribute_of(item, &attribute, None)?)?;
        renderer.charge_bytes(text.len() + separator.len())?;
        if index > 0 {
            out.push_str(&separator);
        }
        out.push_str(&text);
    }
    Ok(Value::str(out))
}

fn map(renderer: &Renderer, value: &Value, mut args: CallArgs) -> Result<Value> {
    if !value.is_true() {
        return Value::iter(Vec::new(), "generator"); // also of None, which cannot be iterated
    }
    let items = renderer.items(value)?;
    let mut out = Vec::with_capacity(items.len());
    if args.positional.is_empty() && args.keyword.iter().any(|entry| &*entry.0 == "attribute") {
        let mut bound = Bound::new("map", args, &["attribute", "default"])?;
        let (attribute, fallback) = (bound.required(0)?, bound.take(1));
        for item in &items {
            renderer.charge(1)?;
            out.push(attribute_of(item, &attribute, fallback.as_ref())?);
        }
        return Value::iter(out, "generator");
    }
    if args.positional.is_empty() {
        return Err(Error::new("map requires a filter argument"));
    }
    let Value::Str(name, _) = args.positional.remove(0) else {
        return Err(Error::new("map requires a filter argument"));
    };
    if !filters::is_known(&name) {
        return Err(Error::new(format!("No filter named '{name}'.")));
    }
    for item in items {
        let args = CallArgs { positional: args.positional.clone(), keyword: args.keyword.clone() };
        out.push(filters::apply(renderer, &name, item, args)?);
    }
    Value::iter(out, "generator")
}

fn select(renderer: &Renderer, name: &str, value: &Value, mut args: CallArgs) -> Result<Value> {
    if !value.is_true() {
        return Value::iter(Vec::new(), "generator");
    }
    let mut attribute = Value::None;
    if name.ends_with("attr") {
        if args.positional.is_empty() {
            return Err(Error::new("Missing parameter for attribute name"));
        }
        attribute = args.positional.remove(0);
    }
    let test: Option<Arc<str>> = if args.positional.is_empty() {
        None
    } else {
        let test = args.positional.remove(0).to_text();
        if !tests::is_known(&test) {
            return Err(Error::new(format!("No test named '{test}'.")));
        }
        Some(test)
    };
    let wanted = name.starts_with("select");
    let mut kept = Vec::new();
    for item in renderer.items(value)? {
        renderer.charge(1)?;
        let subject = attribute_of(&item, &attribute, None)?;
        let passes = match &test {
            None => subject.is_true(),
            Some(test) => {
                let args = CallArgs { positional: args.positional.clone(), keyword: args.keyword.clone() };
                tests::apply(renderer, test, &subject, args)?
            }
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Value::iter(kept, "generator")
}

fn group_by(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("groupby", args, &["attribute", "default", "case_sensitive"])?;
    let attribute = bound.required(0)?;
    let fallback = bound.take(1);
    let case_sensitive = bound.flag(2);
    let raw = |item: &Value| attribute_of(item, &attribute, fallback.as_ref());
    let key = |item: &Value| Ok(fold_case(&raw(item)?, case_sensitive));
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted(renderer, renderer.items(value)?, key, false)? {
        let item_key = key(&item)?;
        match groups.last_mut() {
            Some((last, items)) if last.equals(&item_key) => items.push(item),
            _ => groups.push((item_key, vec![item])),
        }
    }
    let mut out = Vec::with_capacity(groups.len());
    for (_, items) in groups {
        // The group's name is the first member's own spelling.
        out.push(Value::group(raw(&items[0])?, items)?);
    }
    Value::list(out)
}

fn batch(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("batch", args, &["linecount", "fill_with"])?;
    let size = bound.integer(0)?.unwrap_or(0);
    let fill = bound.take(1).filter(|fill| !matches!(fill, Value::None));
    if size < 1 {
        return Err(Error::new("batch needs a positive number"));
    }
    let size = size.min(1 << 24) as usize;
    let mut out = Vec::new();
    for chunk in renderer.items(value)?.chunks(size) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = &fill {
            renderer.charge_bytes((size - chunk.len()) * std::mem::size_of::<Value>())?;
            chunk.resize(size, fill.clone());
        }
        out.push(Value::list(chunk)?);
    }
    Value::iter(out, "generator")
}

fn slices(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("slice", args, &["slices", "fill_with"])?;
    let count = bound.integer(0)?.unwrap_or(0);
    let fill = bound.take(1).filter(|fill| !matches!(fill, Value::None));
    if !(1..=1 << 20).contains(&count) {
        return Err(Error::new("slice needs a positive number"));
    }
    let count = count as usize;
    let items = renderer.items(value)?;
    renderer.charge_bytes(count * std::mem::size_of::<Value>())?;
    let (size, extra) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let mut out = Vec::new();
    for index in 0..count {
        let mut part: Vec<Value> = rest.by_ref().take(size + usize::from(index < extra)).collect();
        if let (Some(fill), true) = (&fill, index >= extra) {
            part.push(fill.clone());
        }
        out.push(Value::list(part)?);
    }
    Value::iter(out, "generator")
}
