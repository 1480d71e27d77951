// SPDX-License-Identifier: Apache-2.0
//! Jinja2's filters: those on single values here, those on sequences in sequences.rs.

use super::letters::{capitalize, is_alnum, lower, upper};
use super::render::{CallArgs, Renderer};
use super::text::{escape_html, is_space, split_lines};
use super::value::Value;
use super::{format, json, links, pretty, sequences};
use super::{Error, Result};
use std::sync::Arc;

const NAMES: [&str; 54] = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
    "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join", "last",
    "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace", "reverse",
    "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "tojson", "trim",
    "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
];

const WITHOUT_ARGUMENTS: [&str; 21] = [
    "abs", "capitalize", "count", "e", "escape", "first", "forceescape", "items", "last", "length", "list", "lower",
    "pprint", "reverse", "safe", "string", "striptags", "title", "upper", "urlencode", "wordcount",
];

pub fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Arguments by position or name, as a Python function takes them.
pub struct Bound {
    function: String,
    names: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Bound {
    pub fn new(function: &str, args: CallArgs, names: &'static [&'static str]) -> Result<Bound> {
        if args.positional.len() > names.len() {
            return Err(Error::new(format!("{function}() takes at most {} arguments", names.len())));
        }
        let mut values: Vec<Option<Value>> = args.positional.into_iter().map(Some).collect();
        values.resize_with(names.len(), || None);
        for (name, value) in args.keyword {
            match names.iter().position(|known| *known == &*name) {
                Some(at) if values[at].is_none() => values[at] = Some(value),
                Some(_) => return Err(Error::new(format!("{function}() got multiple values for argument '{name}'"))),
                None => return Err(Error::new(format!("{function}() got an unexpected keyword argument '{name}'"))),
            }
        }
        Ok(Bound { function: function.to_string(), names, values })
    }

    pub fn take(&mut self, index: usize) -> Option<Value> {
        self.values[index].take()
    }

    pub fn required(&mut self, index: usize) -> Result<Value> {
        self.take(index).ok_or_else(|| {
            Error::new(format!("{}() missing required argument: '{}'", self.function, self.names[index]))
        })
    }

    pub fn flag(&mut self, index: usize) -> bool {
        self.take(index).is_some_and(|value| value.is_true())
    }

    pub fn string(&mut self, index: usize) -> Result<Arc<str>> {
        match self.required(index)? {
            Value::Str(text, _) => Ok(text),
            other => Err(Error::new(format!(
                "{}() argument '{}' must be str, not {}",
                self.function,
                self.names[index],
                other.type_name()
            ))),
        }
    }

    pub fn integer(&mut self, index: usize) -> Result<Option<i128>> {
        match self.take(index) {
            None | Some(Value::None) => Ok(None),
            Some(value) => match value.as_int() {
                Some(number) => Ok(Some(number)),
                None => Err(Error::new(format!(
                    "'{}' object cannot be interpreted as an integer",
                    value.type_name()
                ))),
            },
        }
    }
}

pub fn apply(renderer: &Renderer, name: &str, value: Value, args: CallArgs) -> Result<Value> {
    renderer.charge(1)?;
    if WITHOUT_ARGUMENTS.contains(&name) && !(args.positional.is_empty() && args.keyword.is_empty()) {
        return Err(Error::new(format!("the filter '{name}' takes no arguments")));
    }
    match name {
        "default" | "d" => {
            let mut bound = Bound::new(name, args, &["default_value", "boolean"])?;
            let fallback = bound.take(0).unwrap_or_else(|| Value::str(""));
            let boolean = bound.flag(1);
            Ok(if value.is_undefined() || (boolean && !value.is_true()) { fallback } else { value })
        }
        "string" => match value {
            Value::Str(..) => Ok(value),
            other => Ok(Value::Str(renderer.text(&other)?, false)),
        },
        "safe" => Ok(Value::Str(renderer.text(&value)?, true)),
        "e" | "escape" | "forceescape" => {
            if name != "forceescape" && matches!(value, Value::Str(_, true)) {
                return Ok(value);
            }
            let text = renderer.text(&value)?;
            renderer.charge_bytes(6 * text.len())?;
            Ok(Value::Str(escape_html(&text).into(), true))
        }
        "tojson" => {
            renderer.charge_value(&value)?;
            json::dumps(renderer, &value, Bound::new(name, args, &["ensure_ascii", "indent", "separators", "sort_keys"])?)
                .map(Value::str)
        }
        "length" | "count" => value.length().map(|length| Value::Int(length as i128)),
        "int" => to_int(&value, args),
        "float" => to_float(&value, args),
        "abs" => match &value {
            Value::Float(number) => Ok(Value::Float(number.abs())),
            other => match other.as_int() {
                Some(number) => Ok(Value::Int(number.abs())),
                None => Err(Error::new(match other {
                    Value::Undefined(message) => message.to_string(),
                    other => format!("bad operand type for abs(): '{}'", other.type_name()),
                })),
            },
        },
        "round" => round(&value, args),
        "attr" => {
            let name = Bound::new(name, args, &["name"])?.string(0)?;
            if let Value::Undefined(message) = &value {
                return Err(Error::new(message.to_string()));
            }
            Ok(super::methods::attribute(&value, &name)?.unwrap_or_else(|| {
                Value::Undefined(format!("'{}' has no attribute '{name}'", value.type_repr()).into())
            }))
        }
        "random" => Err(Error::new("the filter 'random' is not supported in chat templates")),
        "truncate" => truncate(renderer, &value, args),
        "pprint" => pretty::pprint(renderer, &value).map(Value::str),
        "urlencode" => links::url_encode(renderer, &value).map(Value::str),
        "urlize" => links::urlize(renderer, &value, args).map(Value::str),
        "xmlattr" => links::xml_attributes(renderer, &value, args).map(Value::str),
        "capitalize" | "lower" | "upper" | "title" | "trim" | "replace" | "center" | "indent"
        | "wordcount" | "wordwrap" | "striptags" | "format" | "filesizeformat" => {
            on_text(renderer, name, &value, args)
        }
        other => sequences::apply(renderer, other, value, args),
    }
}

fn on_text(renderer: &Renderer, name: &str, value: &Value, args: CallArgs) -> Result<Value> {
    // These work on the object itself, not on its text.
    if matches!(name, "indent" | "wordwrap") && value.as_str().is_none() {
        return match value {
            Value::Undefined(message) => Err(Error::new(message.to_string())),
            other => Err(Error::new(format!("'{}' object is not a string", other.type_name()))),
        };
    }
    let text = renderer.text(value)?;
    renderer.charge_bytes(2 * text.len())?;
    let safe = matches!(value, Value::Str(_, true));
    let keep = |text: String| Ok(Value::Str(text.into(), safe));
    match name {
        "lower" => keep(lower(&text)),
        "upper" => keep(upper(&text)),
        "capitalize" => keep(capitalize(&text)),
        "title" => Ok(Value::str(title_words(&text))), // joined from its words, so never Markup
        "trim" => {
            let chars = Bound::new(name, args, &["chars"])?.take(0).unwrap_or(Value::None);
            match chars {
                Value::None => keep(text.trim_matches(is_space).to_string()),
                Value::Str(chars, _) => keep(text.trim_matches(|c| chars.contains(c)).to_string()),
                other => Err(Error::new(format!("strip arg must be None or str, not {}", other.type_name()))),
            }
        }
        "replace" => {
            let mut bound = Bound::new(name, args, &["old", "new", "count"])?;
            let (old, new) = (renderer.text(&bound.required(0)?)?, renderer.text(&bound.required(1)?)?);
            let count = bound.integer(2)?.unwrap_or(-1);
            format::replace(renderer, &text, &old, &new, count).map(Value::str)
        }
        "center" => {
            let width = Bound::new(name, args, &["width"])?.integer(0)?.unwrap_or(80).clamp(0, 1 << 30) as usize;
            renderer.charge_bytes(width)?;
            keep(format::pad(&text, width, ' ', "center"))
        }
        "indent" => indent(renderer, &text, args, safe),
        "wordcount" => {
            let words = text.split(|c: char| !(is_alnum(c) || c == '_')).filter(|word| !word.is_empty());
            Ok(Value::Int(words.count() as i128))
        }
        "wordwrap" => pretty::word_wrap(renderer, &text, args).map(Value::str),
        "striptags" => Ok(Value::str(strip_tags(&text))),
        "filesizeformat" => file_size(value, args),
        _ if !args.keyword.is_empty() && !args.positional.is_empty() => {
            Err(Error::new("can't handle positional and keyword arguments at the same time"))
        }
        _ if !args.keyword.is_empty() => {
            let entries = args.keyword.into_iter().map(|(name, value)| (Value::Str(name, false), value)).collect();
            format::percent(renderer, &text, &Value::dict(entries)?, safe).and_then(keep)
        }
        _ => format::percent(renderer, &text, &Value::tuple(args.positional)?, safe).and_then(keep),
    }
}

/// The title filter: words end at spaces, hyphens and opening brackets only.
fn title_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|c| is_space(c) || "-({[<".contains(c)) {
        let mut rest = part.chars();
        out.extend(rest.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(&lower(rest.as_str()));
    }
    out
}

fn indent(renderer: &Renderer, text: &str, args: CallArgs, safe: bool) -> Result<Value> {
    let mut bound = Bound::new("indent", args, &["width", "first", "blank"])?;
    let indention: String = match bound.take(0).unwrap_or(Value::Int(4)) {
        Value::Str(text, _) => text.to_string(),
        other => match other.as_int() {
            Some(width) => " ".repeat(width.clamp(0, 10_000) as usize),
            None => return Err(Error::new("indent() needs a width or a string")),
        },
    };
    let (first, blank) = (bound.flag(1), bound.flag(2));
    let with_end = format!("{text}\n");
    let lines = split_lines(&with_end, false);
    renderer.charge_bytes(lines.len() * (indention.len() + 1))?;
    let mut out = if first { indention.clone() } else { String::new() };
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
            if blank || !line.is_empty() {
                out.push_str(&indention);
            }
        }
        out.push_str(line);
    }
    Ok(Value::Str(out.into(), safe))
}

fn truncate(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("truncate", args, &["length", "killwords", "end", "leeway"])?;
    let length = bound.integer(0)?.unwrap_or(255);
    let kill_words = bound.flag(1);
    let end = bound.take(2).map_or_else(|| "...".into(), |end| end.to_text());
    let leeway = bound.integer(3)?.unwrap_or(5);
    let kept = length - end.chars().count() as i128;
    if kept < 0 {
        return Err(Error::new(format!("expected length >= {}, got {length}", length - kept)));
    }
    if leeway < 0 {
        return Err(Error::new(format!("expected leeway >= 0, got {leeway}")));
    }
    if value.length()? as i128 <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let Value::Str(text, safe) = value else {
        return Err(Error::new(format!("'{}' object is not a string", value.type_name())));
    };
    renderer.charge_bytes(2 * text.len() + 6 * end.len())?;
    let cut: String = text.chars().take(kept as usize).collect();
    let words = if kill_words { &*cut } else { cut.rsplit_once(' ').map_or(&*cut, |(words, _)| words) };
    let end = if *safe { escape_html(&end).into() } else { end };
    Ok(Value::Str(format!("{words}{end}").into(), *safe))
}

/// Markup.striptags, without the entities.
fn strip_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let (is_comment, from) = (rest[open..].starts_with("<!--"), &rest[open..]);
        let close = if is_comment { from.find("-->").map(|at| at + 3) } else { from.find('>').map(|at| at + 1) };
        let Some(close) = close else { break };
        out.push_str(&rest[..open]);
        rest = &from[close..];
    }
    out.push_str(rest);
    let words: Vec<&str> = out.split(is_space).filter(|word| !word.is_empty()).collect();
    words
        .join(" ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

fn file_size(value: &Value, args: CallArgs) -> Result<Value> {
    let binary = Bound::new("filesizeformat", args, &["binary"])?.flag(0);
    let bytes = match value {
        Value::Str(text, _) => text.trim().parse().ok(),
        other => other.as_number(),
    };
    let Some(bytes) = bytes else { return Err(Error::new("filesizeformat needs a number")) };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    let names = if binary { ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"] } else {
        ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    };
    if bytes == 1.0 {
        return Ok(Value::str("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::str(format!("{} Bytes", bytes as i128)));
    }
    let mut unit = base;
    for name in &names[..7] {
        unit *= base;
        if bytes < unit {
            return Ok(Value::str(format!("{:.1} {name}", base * bytes / unit)));
        }
    }
    Ok(Value::str(format!("{:.1} {}", base * bytes / (unit * base), names[7])))
}

fn to_int(value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("int", args, &["default", "base"])?;
    let fallback = bound.take(0).unwrap_or(Value::Int(0));
    let base = bound.integer(1)?.unwrap_or(10);
    let from_float = |number: f64| {
        match number {
            _ if !number.is_finite() => None,
            _ if number.abs() < 1e38 => Some(Value::Int(number as i128)),
            _ => Some(Value::BigInt(format!("{number:.0}").into())),
        }
    };
    let parsed = match value {
        Value::Str(text, _) if in_foreign_digits(text) => return Err(foreign_digits()),
        Value::Str(text, _) => {
            parse_int(text, base as u32).or_else(|| format::parse_float(text).and_then(from_float))
        }
        Value::Float(number) if number.is_infinite() => {
            return Err(Error::new("cannot convert float infinity to integer"));
        }
        Value::Float(number) => from_float(*number),
        Value::BigInt(_) => Some(value.clone()),
        Value::Undefined(message) => return Err(Error::new(message.to_string())),
        other => other.as_int().map(Value::Int),
    };
    Ok(parsed.unwrap_or(fallback))
}

/// Whether it may be a number in the digits of another script, which Python reads.
fn in_foreign_digits(text: &str) -> bool {
    !text.is_ascii() && text.chars().all(|c| c.is_numeric() || is_space(c) || "+-._eE".contains(c))
}

fn foreign_digits() -> Error {
    Error::new("numbers in other digits than ASCII's are not supported in chat templates")
}

/// int(text, base).
fn parse_int(text: &str, base: u32) -> Option<Value> {
    let text = text.trim_matches(is_space);
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let prefix = |base| match base {
        16 => ["0x", "0X"],
        8 => ["0o", "0O"],
        2 => ["0b", "0B"],
        _ => ["\0", "\0"],
    };
    let after = |base| prefix(base).iter().find_map(|prefix| digits.strip_prefix(prefix));
    let any_base = base == 0;
    // Base 0: as the prefix says, and without one not with zeros in front.
    let base = match base {
        0 => [16, 8, 2].into_iter().find(|base| after(*base).is_some()).unwrap_or(10),
        base => base,
    };
    if any_base && base == 10 && digits.starts_with('0') && digits.contains(|c| c != '0' && c != '_') {
        return None;
    }
    let digits = match after(base) {
        Some(rest) => rest.strip_prefix('_').unwrap_or(rest),
        None => digits,
    };
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") || !(2..=36).contains(&base) {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    match i128::from_str_radix(&format!("{sign}{digits}"), base) {
        Ok(number) => Some(Value::Int(number)),
        Err(_) if base == 10 => Some(Value::BigInt(format!("{sign}{}", digits.trim_start_matches('0')).into())),
        Err(_) => None,
    }
}

fn to_float(value: &Value, args: CallArgs) -> Result<Value> {
    let fallback = Bound::new("float", args, &["default"])?.take(0).unwrap_or(Value::Float(0.0));
    Ok(match value {
        Value::Str(text, _) if in_foreign_digits(text) => return Err(foreign_digits()),
        Value::Str(text, _) => format::parse_float(text).map_or(fallback, Value::Float),
        Value::Undefined(message) => return Err(Error::new(message.to_string())),
        other => other.as_number().map_or(fallback, Value::Float),
    })
}

fn round(value: &Value, args: CallArgs) -> Result<Value> {
    let mut bound = Bound::new("round", args, &["precision", "method"])?;
    let precision = bound.integer(0)?.unwrap_or(0).clamp(-400, 400) as i32;
    let method = bound.take(1).map_or_else(|| "common".into(), |method| method.to_text());
    if !matches!(&*method, "common" | "ceil" | "floor") {
        return Err(Error::new("method must be common, ceil or floor"));
    }
    if let Value::Undefined(message) = value {
        return Err(Error::new(message.to_string()));
    }
    if &*method == "common" {
        if let Some(number) = value.as_int() {
            if precision >= 0 {
                return Ok(Value::Int(number));
            }
            let unit = 10i128.checked_pow(precision.unsigned_abs()).unwrap_or(i128::MAX / 4);
            let (down, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
            let up = rest * 2 > unit || (rest * 2 == unit && down % 2 != 0);
            return Ok(Value::Int((down + i128::from(up)) * unit));
        }
    }
    if matches!(value, Value::BigInt(_)) {
        return Err(Error::new("integers beyond 127 bits cannot be rounded"));
    }
    let Some(number) = value.as_number() else {
        return Err(Error::new(format!("type {} doesn't define __round__ method", value.type_name())));
    };
    Ok(Value::Float(match &*method {
        // Formatting rounds the exact binary value, halves to even, as Python's round does.
        "common" if precision >= 0 => format!("{number:.*}", precision as usize).parse().unwrap_or(number),
        "common" => {
            let unit = 10f64.powi(-precision);
            (number / unit).round_ties_even() * unit
        }
        // By way of an integer, which has no negative zero.
        "ceil" => ((number * 10f64.powi(precision)).ceil() + 0.0) / 10f64.powi(precision),
        _ => ((number * 10f64.powi(precision)).floor() + 0.0) / 10f64.powi(precision),
    }))
}
