// SPDX-License-Identifier: Apache-2.0
//! Python's three ways of filling strings: replace and padding, `%` formatting, and str.format.

use super::render::Renderer;
use super::text::{escape_html, is_space, repr_float};
use super::value::Value;
use super::{ops, Error, Result};
use std::sync::Arc;

const MAX_WIDTH: usize = 1 << 20;

/// str.replace; a negative count is no limit.
pub fn replace(renderer: &Renderer, text: &str, old: &str, new: &str, count: i128) -> Result<String> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    renderer.charge_bytes(text.len().saturating_add(found.min(count).saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, count))
}

/// str.center, ljust, rjust, zfill.
pub fn pad(text: &str, width: usize, fill: char, how: &str) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let fill = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    match how {
        "ljust" => format!("{text}{}", fill(missing)),
        "rjust" => format!("{}{text}", fill(missing)),
        "zfill" => {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text),
            };
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
        _ => {
            // Which side gets the odd one depends on the width, as in CPython.
            let left = missing / 2 + (missing & width & 1);
            format!("{}{text}{}", fill(left), fill(missing - left))
        }
    }
}

/// float(text).
pub fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let plain = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = plain.to_ascii_lowercase();
    let is_word = matches!(&*lower, "inf" | "infinity" | "nan");
    let starts_well = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !is_word && (!starts_well || plain.starts_with("._") || plain.ends_with('_') || plain.contains("__")) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// The parts of a format: [[fill]align][sign][#][0][width][,][.precision][type].
#[derive(Default, Clone)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
    given: bool, // whether there is anything in it
}

fn group(digits: &str, separator: char, every: usize) -> String {
    let mut out = String::new();
    for (index, c) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % every == 0 {
            out.push(separator);
        }
        out.push(c);
    }
    out
}

/// The digits of a float under one of the kinds e, f, g, %.
fn float_digits(value: f64, kind: char, precision: usize, alternate: bool) -> String {
    let lower = kind.to_ascii_lowercase();
    let text = if value.is_nan() {
        "nan".to_string()
    } else if value.is_infinite() {
        "inf".to_string()
    } else {
        match lower {
            'f' => format!("{value:.precision$}"),
            '%' => format!("{:.precision$}%", value * 100.0),
            'e' => exponent_form(value, precision),
            _ => {
                let precision = precision.max(1);
                let rounded = exponent_form(value, precision - 1);
                let exponent: i32 = rounded.split_once('e').and_then(|parts| parts.1.parse().ok()).unwrap_or(0);
                let text = if (-4..precision as i32).contains(&exponent) {
                    format!("{value:.*}", (precision as i32 - 1 - exponent).max(0) as usize)
                } else {
                    rounded
                };
                if alternate { text } else { strip_zeros(&text) }
            }
        }
    };
    if kind.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

fn strip_zeros(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').map_or((text, None), |parts| (parts.0, Some(parts.1)));
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    match exponent {
        Some(exponent) => format!("{mantissa}e{exponent}"),
        None => mantissa.to_string(),
    }
}

fn exponent_form(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

impl Spec {
    fn parse(text: &str) -> Result<Spec> {
        let chars: Vec<char> = text.chars().collect();
        let is_align = |c: Option<&char>| matches!(c, Some('<' | '>' | '=' | '^'));
        let mut spec = Spec { given: !text.is_empty(), ..Spec::default() };
        let mut at = 0;
        if is_align(chars.get(1)) {
            (spec.fill, spec.align, at) = (Some(chars[0]), Some(chars[1]), 2);
        } else if is_align(chars.first()) {
            (spec.align, at) = (Some(chars[0]), 1);
        }
        if let Some(sign @ ('+' | '-' | ' ')) = chars.get(at) {
            spec.sign = Some(*sign);
            at += 1;
        }
        if chars.get(at) == Some(&'#') {
            spec.alternate = true;
            at += 1;
        }
        if chars.get(at) == Some(&'0') {
            spec.fill = spec.fill.or(Some('0'));
            spec.align = spec.align.or(Some('='));
            at += 1;
        }
        let number = |at: &mut usize| -> Result<Option<usize>> {
            let begin = *at;
            while chars.get(*at).is_some_and(char::is_ascii_digit) {
                *at += 1;
            }
            let digits: String = chars[begin..*at].iter().collect();
            if digits.is_empty() {
                return Ok(None);
            }
            match digits.parse::<usize>() {
                Ok(value) if value <= MAX_WIDTH => Ok(Some(value)),
                _ => Err(Error::new("a format's width is too large")),
            }
        };
        spec.width = number(&mut at)?.unwrap_or(0);
        if let Some(separator @ (',' | '_')) = chars.get(at) {
            spec.grouping = Some(*separator);
            at += 1;
        }
        if chars.get(at) == Some(&'.') {
            at += 1;
            spec.precision =
                Some(number(&mut at)?.ok_or_else(|| Error::new("Format specifier missing precision"))?);
        }
        spec.kind = chars.get(at).copied();
        if at + usize::from(spec.kind.is_some()) < chars.len() {
            return Err(Error::new(format!("Invalid format specifier '{text}'")));
        }
        Ok(spec)
    }

    fn apply(&self, renderer: &Renderer, value: &Value) -> Result<String> {
        renderer.charge_bytes(self.width + self.precision.unwrap_or(0))?;
        let bad = || {
            Err(Error::new(format!(
                "Unknown format code '{}' for object of type '{}'",
                self.kind.unwrap_or(' '),
                value.type_name()
            )))
        };
        match (value, self.kind) {
            (Value::Str(..), None | Some('s')) if self.given && (self.sign.is_some() || self.alternate) => {
                Err(Error::new("Sign or '#' not allowed in string format specifier"))
            }
            (Value::Str(..), None | Some('s')) if self.given && self.grouping.is_some() => {
                Err(Error::new("Cannot specify a grouping with 's'."))
            }
            (Value::Str(..), None | Some('s')) if self.given && self.align == Some('=') => {
                Err(Error::new("'=' alignment not allowed in string format specifier"))
            }
            (Value::Str(text, _), None | Some('s')) => {
                let text: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
                Ok(self.pad("", &text, '<'))
            }
            (Value::Int(_) | Value::Bool(_), kind) => {
                let number = value.as_int().unwrap_or(0);
                match kind {
                    None if matches!(value, Value::Bool(_)) && !self.given => Ok(value.to_text().to_string()),
                    _ if self.given && self.precision.is_some() && !matches!(kind, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => {
                        Err(Error::new("Precision not allowed in integer format specifier"))
                    }
                    None | Some('d' | 'n' | 'b' | 'o' | 'x' | 'X') => Ok(self.integer(number)),
                    Some('c') => match u32::try_from(number).ok().and_then(char::from_u32) {
                        Some(c) => Ok(self.pad("", &c.to_string(), '<')),
                        None => Err(Error::new("%c arg not in range(0x110000)")),
                    },
                    Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => Ok(self.float(number as f64)),
                    _ => bad(),
                }
            }
            (Value::Float(number), None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%')) => {
                Ok(self.float(*number))
            }
            (Value::Str(..) | Value::Float(_), _) => bad(),
            (Value::BigInt(_), None | Some('d')) if self.grouping.is_none() => Ok(self.pad("", &value.to_text(), '>')),
            (other, None) if !self.given => Ok(other.to_text().to_string()),
            (other, _) => Err(Error::new(format!(
                "unsupported format string passed to {}.__format__",
                other.type_name()
            ))),
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        }
    }

    fn integer(&self, number: i128) -> String {
        let magnitude = number.unsigned_abs();
        let (digits, prefix) = match self.kind {
            Some('b') => (format!("{magnitude:b}"), "0b"),
            Some('o') => (format!("{magnitude:o}"), "0o"),
            Some('x') => (format!("{magnitude:x}"), "0x"),
            Some('X') => (format!("{magnitude:X}"), "0X"),
            _ => (magnitude.to_string(), ""),
        };
        let every = if prefix.is_empty() { 3 } else { 4 };
        let digits = self.grouping.map_or(digits.clone(), |separator| group(&digits, separator, every));
        let sign = format!("{}{}", self.sign(number < 0), if self.alternate { prefix } else { "" });
        self.pad(&sign, &digits, '>')
    }

    fn float(&self, number: f64) -> String {
        let magnitude = number.abs();
        let digits = match (self.kind, self.precision) {
            (None, None) => repr_float(magnitude),
            // Like g, but with at least one digit after the point.
            (None, Some(precision)) => {
                let text = float_digits(magnitude, 'g', precision, self.alternate);
                if text.contains(['.', 'e', 'n']) { text } else { text + ".0" }
            }
            (Some('n'), precision) => float_digits(magnitude, 'g', precision.unwrap_or(6), self.alternate),
            (Some(kind), precision) => float_digits(magnitude, kind, precision.unwrap_or(6), self.alternate),
        };
        let digits = match self.grouping {
            Some(separator) => {
                let end = digits.find(['.', 'e', '%']).unwrap_or(digits.len());
                group(&digits[..end], separator, 3) + &digits[end..]
            }
            None => digits,
        };
        self.pad(self.sign(number.is_sign_negative() && !number.is_nan()), &digits, '>')
    }

    fn pad(&self, sign: &str, digits: &str, default: char) -> String {
        let missing = self.width.saturating_sub(sign.chars().count() + digits.chars().count());
        let fill = |count: usize| std::iter::repeat_n(self.fill.unwrap_or(' '), count).collect::<String>();
        match self.align.unwrap_or(default) {
            '<' => format!("{sign}{digits}{}", fill(missing)),
            '^' => format!("{}{sign}{digits}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{}{digits}", fill(missing)),
            _ => format!("{}{sign}{digits}", fill(missing)),
        }
    }
}

/// ascii(), of a repr().
fn escape_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c as u32 {
            0..=0x7f => out.push(c),
            code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// `pattern % values`; of Markup, which escapes the values' texts.
pub fn percent(renderer: &Renderer, pattern: &str, values: &Value, escape: bool) -> Result<String> {
    let list: Vec<Value> = match values {
        Value::Tuple(seq) => seq.items.clone(),
        other => vec![other.clone()],
    };
    let mut next = list.iter();
    let mut named = false;
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut value = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            let name: String = chars.by_ref().take_while(|&c| c != ')').collect();
            let Value::Dict(dict) = values else { return Err(Error::new("format requires a mapping")) };
            value = dict.get(&Value::str(&*name))?.cloned();
            named = true;
            if value.is_none() {
                return Err(Error::new(format!("'{name}'")));
            }
        }
        let mut spec = Spec { align: Some('>'), ..Spec::default() };
        while let Some(&flag @ ('-' | '+' | ' ' | '0' | '#')) = chars.peek() {
            chars.next();
            match flag {
                '-' => spec.align = Some('<'),
                '0' => spec.fill = Some('0'),
                '#' => spec.alternate = true,
                sign if spec.sign != Some('+') => spec.sign = Some(sign),
                _ => {}
            }
        }
        let missing = || Error::new("not enough arguments for format string");
        let mut number = |chars: &mut std::iter::Peekable<std::str::Chars>| -> Result<Option<usize>> {
            let mut digits = String::new();
            if chars.peek() == Some(&'*') {
                chars.next();
                digits = next.next().and_then(Value::as_int).ok_or_else(missing)?.to_string();
            }
            while let Some(digit) = chars.peek().filter(|c| c.is_ascii_digit()) {
                digits.push(*digit);
                chars.next();
            }
            match digits.parse::<usize>() {
                Ok(value) if value <= MAX_WIDTH => Ok(Some(value)),
                Ok(_) => Err(Error::new("a format's width is too large")),
                Err(_) => Ok(None),
            }
        };
        spec.width = number(&mut chars)?.unwrap_or(0);
        if chars.peek() == Some(&'.') {
            chars.next();
            spec.precision = Some(number(&mut chars)?.unwrap_or(0));
        }
        while matches!(chars.peek(), Some('h' | 'l' | 'L')) {
            chars.next();
        }
        let Some(kind) = chars.next() else { return Err(Error::new("incomplete format")) };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match value {
            Some(value) => value,
            None => next.next().cloned().ok_or_else(missing)?,
        };
        if spec.fill == Some('0') && spec.align == Some('>') {
            spec.align = Some('=');
        } else if spec.align == Some('<') {
            spec.fill = None;
        }
        let text = one_percent(renderer, &mut spec, kind, &value, escape)?;
        renderer.charge_bytes(text.len())?;
        out.push_str(&text);
    }
    // What has items by key need not be used up; a list counts as that.
    let is_mapping = matches!(values, Value::Dict(_) | Value::List(_) | Value::Range(_) | Value::Undefined(_));
    if next.next().is_some() && !named && !is_mapping {
        return Err(Error::new("not all arguments converted during string formatting"));
    }
    Ok(out)
}

fn one_percent(
    renderer: &Renderer,
    spec: &mut Spec,
    kind: char,
    value: &Value,
    escape: bool,
) -> Result<String> {
    let needs_number = |what: &str| {
        Error::new(match value {
            Value::Undefined(message) => message.to_string(),
            other => format!("%{kind} format: {what} is required, not {}", other.type_name()),
        })
    };
    if escape && !matches!(kind, 's' | 'r') && (value.as_number().is_none() || matches!(kind, 'x' | 'X' | 'o' | 'c')) {
        return Err(Error::new(format!("%{kind} of such a value in Markup is not supported in chat templates")));
    }
    match kind {
        's' | 'r' | 'a' => {
            let text = if kind == 's' {
                renderer.text(value)?
            } else {
                renderer.charge_value(value)?;
                value.repr().into()
            };
            let text = if kind == 'a' && !text.is_ascii() { escape_ascii(&text).into() } else { text };
            let is_markup = kind == 's' && matches!(value, Value::Str(_, true));
            let text = if escape && !is_markup { escape_html(&text).into() } else { text };
            renderer.charge_bytes(text.len())?;
            spec.fill = None;
            spec.align = spec.align.map(|align| if align == '=' { '>' } else { align });
            spec.kind = Some('s');
            spec.apply(renderer, &Value::Str(text, false))
        }
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let number = match value {
                Value::Float(number) if matches!(kind, 'd' | 'i' | 'u') && number.abs() < 1e38 => Some(*number as i128),
                other => other.as_int(),
            };
            let number = number.ok_or_else(|| needs_number("a real number"))?;
            spec.kind = Some(if matches!(kind, 'i' | 'u') { 'd' } else { kind });
            let precision = spec.precision.take();
            let mut text = spec.apply(renderer, &Value::Int(number))?;
            if let Some(precision) = precision {
                let digits = format!("{:0precision$}", number.unsigned_abs());
                text = spec.pad(spec.sign(number < 0), &digits, '>');
            }
            Ok(text)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let number = value.as_number().ok_or_else(|| needs_number("a real number"))?;
            spec.kind = Some(kind);
            spec.apply(renderer, &Value::Float(number))
        }
        'c' => match value {
            Value::Str(text, _) if text.chars().count() == 1 => Ok(text.to_string()),
            other => {
                spec.kind = Some('c');
                spec.apply(renderer, &Value::Int(other.as_int().ok_or_else(|| needs_number("an int or char"))?))
            }
        },
        other => Err(Error::new(format!("unsupported format character '{other}'"))),
    }
}

/// How the fields so far have named positional arguments: all by their order, or all by number.
enum Numbering {
    Open,
    Automatic(usize),
    Manual,
}

impl Numbering {
    /// The index that a field's name stands for, None for a keyword.
    fn index(&mut self, name: &str) -> Result<Option<usize>> {
        if name.is_empty() {
            let next = match self {
                Numbering::Open => 0,
                Numbering::Automatic(next) => *next,
                Numbering::Manual => {
                    return Err(Error::new(
                        "cannot switch from manual field specification to automatic field numbering",
                    ))
                }
            };
            *self = Numbering::Automatic(next + 1);
            return Ok(Some(next));
        }
        let Ok(index) = name.parse::<usize>() else { return Ok(None) };
        if matches!(self, Numbering::Automatic(_)) {
            return Err(Error::new(
                "cannot switch from automatic field numbering to manual field specification",
            ));
        }
        *self = Numbering::Manual;
        Ok(Some(index))
    }
}

/// str.format.
pub fn braces(
    renderer: &Renderer,
    pattern: &str,
    positional: &[Value],
    keyword: &[(Arc<str>, Value)],
) -> Result<String> {
    braces_at(renderer, pattern, positional, keyword, &mut Numbering::Open, 3)
}

fn braces_at(
    renderer: &Renderer,
    pattern: &str,
    positional: &[Value],
    keyword: &[(Arc<str>, Value)],
    numbering: &mut Numbering,
    depth: u32,
) -> Result<String> {
    if depth == 0 {
        return Err(Error::new("Max string recursion exceeded"));
    }
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if rest.starts_with(brace) {
            out.push_str(brace);
            rest = &rest[1..];
            continue;
        }
        if brace == "}" {
            return Err(Error::new("Single '}' encountered in format string"));
        }
        let mut open = 1;
        let end = rest.char_indices().find(|(_, c)| {
            open += i32::from(*c == '{') - i32::from(*c == '}');
            open == 0
        });
        let Some((end, _)) = end else { return Err(Error::new("expected '}' before end of string")) };
        let field = &rest[..end];
        rest = &rest[end + 1..];
        let (field, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = field.split_once('!').map_or((field, None), |(name, how)| (name, Some(how)));
        let mut value = lookup(name, positional, keyword, numbering)?;
        match conversion {
            None => {}
            Some("s") => value = Value::Str(renderer.text(&value)?, false),
            Some(how @ ("r" | "a")) => {
                renderer.charge_value(&value)?;
                let text = value.repr();
                value = Value::str(if how == "a" { escape_ascii(&text) } else { text });
            }
            Some(other) => return Err(Error::new(format!("Unknown conversion specifier '{other}'"))),
        }
        let spec = braces_at(renderer, spec, positional, keyword, numbering, depth - 1)?;
        renderer.charge_value(&value)?;
        let text = Spec::parse(&spec)?.apply(renderer, &value)?;
        renderer.charge_bytes(text.len())?;
        out.push_str(&text);
    }
    out.push_str(rest);
    Ok(out)
}

/// A field's name: an argument, then .attribute and [item] parts.
fn lookup(
    name: &str,
    positional: &[Value],
    keyword: &[(Arc<str>, Value)],
    numbering: &mut Numbering,
) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    let index = numbering.index(first)?;
    let found = match index {
        Some(index) => positional.get(index),
        None => keyword.iter().find(|entry| &*entry.0 == first).map(|entry| &entry.1),
    };
    let mut value = found.cloned().ok_or_else(|| match index {
        Some(index) => {
            Error::new(format!("Replacement index {index} out of range for positional args tuple"))
        }
        None => Error::new(format!("'{first}'")),
    })?;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let Some((key, tail)) = tail.split_once(']') else {
                return Err(Error::new("Missing ']' in format string"));
            };
            let key = key.parse::<i128>().map_or_else(|_| Value::str(key), Value::Int);
            value = ops::item(&value, &key)?;
            rest = tail;
        } else {
            let tail = &rest[1..];
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            value = ops::attribute(&value, &tail[..end].into())?;
            rest = &tail[end..];
        }
    }
    Ok(value)
}
