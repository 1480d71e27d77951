// SPDX-License-Identifier: Apache-2.0
//! JSON in, with integers of any size, and out, as Python's json.dumps writes it.

use super::filters::Bound;
use super::render::Renderer;
use super::text::repr_float;
use super::value::Value;
use super::{ops, Error, Result};
use std::sync::Arc;

const MAX_DEPTH: u32 = 190;

/// The entries of an object, in order; nothing for an empty text.
pub fn parse_object(text: &str) -> Result<Vec<(Value, Value)>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.spaces();
    if parser.at < text.len() {
        return parser.fail("extra text");
    }
    match value {
        Value::Dict(dict) => Ok(dict.entries.clone()),
        other => Err(Error::new(format!("expected a JSON object, found {}", other.type_name()))),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, problem: &str) -> Result<T> {
        Err(Error::new(format!("not valid JSON at byte {}: {problem}", self.at)))
    }

    fn spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: u32) -> Result<Value> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        self.spaces();
        match self.peek() {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Value::Str(self.string()?, false)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::None)] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.fail("expected a value")
            }
        }
    }

    fn object(&mut self, depth: u32) -> Result<Value> {
        self.at += 1;
        let mut entries = Vec::new();
        self.spaces();
        if self.take(b'}') {
            return Value::dict(entries);
        }
        loop {
            self.spaces();
            if self.peek() != b'"' {
                return self.fail("expected a key");
            }
            let key = self.string()?;
            self.spaces();
            if !self.take(b':') {
                return self.fail("expected ':'");
            }
            entries.push((Value::Str(key, false), self.value(depth + 1)?));
            self.spaces();
            if self.take(b'}') {
                return Value::dict(entries);
            }
            if !self.take(b',') {
                return self.fail("expected ',' or '}'");
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.spaces();
        if self.take(b']') {
            return Value::list(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.spaces();
            if self.take(b']') {
                return Value::list(items);
            }
            if !self.take(b',') {
                return self.fail("expected ',' or ']'");
            }
        }
    }

    fn number(&mut self) -> Result<Value> {
        let rest = &self.text[self.at..];
        let size = rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let digits = &rest[..size];
        let value = if digits.contains(['.', 'e', 'E']) {
            match digits.parse() {
                Ok(value) => Value::Float(value),
                Err(_) => return self.fail("a bad number"),
            }
        } else {
            let plain = digits.strip_prefix('-').unwrap_or(digits);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
                return self.fail("a bad number");
            }
            ops::integer(&digits.into())
        };
        self.at += size;
        Ok(value)
    }

    fn string(&mut self) -> Result<Arc<str>> {
        self.at += 1;
        let rest = &self.text[self.at..];
        let Some(end) = rest.find(['"', '\\']) else { return self.fail("a string without end") };
        if rest.as_bytes()[end] == b'"' {
            self.at += end + 1;
            return Ok(rest[..end].into());
        }
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find(['"', '\\']) else { return self.fail("a string without end") };
            out.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == b'"' {
                return Ok(out.into());
            }
            let escape = self.peek();
            self.at += 1;
            match escape {
                b'"' | b'\\' | b'/' => out.push(escape as char),
                b'b' => out.push('\x08'),
                b'f' => out.push('\x0c'),
                b'n' => out.push('\n'),
                b'r' => out.push('\r'),
                b't' => out.push('\t'),
                b'u' => {
                    let first = self.hex()?;
                    let mut code = first;
                    if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
                        let before = self.at;
                        self.at += 2;
                        let second = self.hex()?;
                        if (0xDC00..0xE000).contains(&second) {
                            code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        } else {
                            self.at = before;
                        }
                    }
                    match char::from_u32(code) {
                        Some(c) => out.push(c),
                        None => return self.fail("half of a surrogate pair"),
                    }
                }
                _ => return self.fail("a bad escape"),
            }
        }
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                self.at += 4;
                Ok(value)
            }
            None => self.fail("a bad escape"),
        }
    }
}

struct Writer<'a> {
    renderer: &'a Renderer,
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
    out: String,
}

/// json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False).
pub fn dumps(renderer: &Renderer, value: &Value, mut options: Bound) -> Result<String> {
    let ensure_ascii = options.flag(0);
    let indent = match options.take(1) {
        None | Some(Value::None) => None,
        Some(Value::Str(text, _)) => Some(text.to_string()),
        Some(other) => match other.as_int() {
            Some(width) => Some(" ".repeat(width.clamp(0, 1000) as usize)),
            None => return Err(Error::new("tojson: indent must be a number or a string")),
        },
    };
    let separators = match options.take(2) {
        None | Some(Value::None) => None,
        Some(pair) => match &renderer.items(&pair)?[..] {
            [item, key] => Some((item.to_text().to_string(), key.to_text().to_string())),
            _ => return Err(Error::new("tojson: separators must be two strings")),
        },
    };
    let default_item = if indent.is_some() { "," } else { ", " };
    let (item_separator, key_separator) = separators.unwrap_or((default_item.into(), ": ".into()));
    let sort_keys = options.flag(3);
    let mut writer =
        Writer { renderer, ensure_ascii, indent, item_separator, key_separator, sort_keys, out: String::new() };
    writer.value(value, 0)?;
    renderer.charge_bytes(writer.out.len())?;
    Ok(writer.out)
}

impl Writer<'_> {
    fn newline(&mut self, depth: usize) -> Result<()> {
        if let Some(indent) = &self.indent {
            self.renderer.charge_bytes(indent.len() * depth + 1)?;
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Int(_) | Value::BigInt(_) => self.out.push_str(&value.to_text()),
            Value::Float(value) => self.out.push_str(&float(*value)),
            Value::Str(text, _) => self.string(text),
            Value::List(seq) | Value::Tuple(seq) => {
                self.out.push('[');
                for (index, item) in seq.items.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(&self.item_separator);
                    }
                    self.newline(depth + 1)?;
                    self.value(item, depth + 1)?;
                }
                if !seq.items.is_empty() {
                    self.newline(depth)?;
                }
                self.out.push(']');
            }
            Value::Dict(dict) => {
                let mut entries: Vec<&(Value, Value)> = dict.entries.iter().collect();
                if self.sort_keys {
                    let mut failure = None;
                    entries.sort_by(|a, b| {
                        a.0.order(&b.0, "<").map(|order| order.unwrap_or(std::cmp::Ordering::Equal)).unwrap_or_else(
                            |error| {
                                failure.get_or_insert(error);
                                std::cmp::Ordering::Equal
                            },
                        )
                    });
                    if let Some(error) = failure {
                        return Err(error);
                    }
                }
                self.out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(&self.item_separator);
                    }
                    self.newline(depth + 1)?;
                    match key {
                        Value::Str(text, _) => self.string(text),
                        Value::None => self.out.push_str("\"null\""),
                        Value::Bool(value) => self.out.push_str(if *value { "\"true\"" } else { "\"false\"" }),
                        Value::Int(_) | Value::BigInt(_) => self.string(&key.to_text()),
                        Value::Float(value) => self.string(&float(*value)),
                        other => {
                            return Err(Error::new(format!(
                                "keys must be str, int, float, bool or None, not {}",
                                other.type_name()
                            )))
                        }
                    }
                    self.out.push_str(&self.key_separator);
                    self.value(value, depth + 1)?;
                }
                if !entries.is_empty() {
                    self.newline(depth)?;
                }
                self.out.push('}');
            }
            other => {
                return Err(Error::new(format!("Object of type {} is not JSON serializable", other.type_name())));
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                c if (c as u32) < 0x20 => self.out.push_str(&format!("\\u{:04x}", c as u32)),
                c if self.ensure_ascii && (c as u32) > 0x7e => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        repr_float(value)
    }
}
