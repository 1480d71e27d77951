// SPDX-License-Identifier: Apache-2.0
//! Jinja2's lexer with trim_blocks and lstrip_blocks on, as transformers sets it up: template text
//! to data and tokens. What it follows: jinja2/lexer.py of Jinja2 3.1.

use super::text::{is_space, trim_end};
use super::{Error, Result};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Data(Arc<str>),
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(Arc<str>), // decimal digits, any number of them
    Float(f64),
    Op(&'static str),
    End,
}

impl Token {
    /// As error messages name it.
    pub fn describe(&self) -> String {
        match self {
            Token::Data(_) => "template data".into(),
            Token::BlockBegin => "begin of statement block".into(),
            Token::BlockEnd => "end of statement block".into(),
            Token::VariableBegin => "begin of print statement".into(),
            Token::VariableEnd => "end of print statement".into(),
            Token::Name(name) => format!("'{name}'"),
            Token::Str(_) => "a string".into(),
            Token::Int(digits) => format!("'{digits}'"),
            Token::Float(value) => format!("'{value}'"),
            Token::Op(operator) => format!("'{operator}'"),
            Token::End => "end of template".into(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Located {
    pub token: Token,
    pub line: u32,
}

// Longest first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=",
    ".", ":", "|", ",", ";",
];

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    line_starting: bool,
    tokens: Vec<Located>,
}

pub fn tokenize(source: &str) -> Result<Vec<Located>> {
    let mut normal = source.replace("\r\n", "\n").replace('\r', "\n");
    if normal.ends_with('\n') {
        normal.pop();
    }
    let mut lexer =
        Lexer { source: &normal, at: 0, line: 1, line_starting: true, tokens: Vec::with_capacity(256) };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::new(format!("{} (line {})", message.into(), self.line)))
    }

    fn push(&mut self, token: Token) {
        self.tokens.push(Located { token, line: self.line });
    }

    fn advance(&mut self, bytes: usize) {
        let text = &self.source[self.at..self.at + bytes];
        self.line += text.bytes().filter(|&byte| byte == b'\n').count() as u32;
        self.at += bytes;
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        let size = rest.len() - rest.trim_start_matches(is_space).len();
        self.advance(size);
    }

    fn run(&mut self) -> Result<()> {
        while self.at < self.source.len() {
            let rest = self.rest();
            let Some(tag) = find_tag(rest) else {
                self.push(Token::Data(rest.into()));
                self.advance(rest.len());
                break;
            };
            let opener = &rest[tag..tag + 2];
            let sign = rest[tag + 2..].chars().next().filter(|sign| matches!(sign, '-' | '+'));
            let data = self.strip_before(&rest[..tag], sign, opener == "{{");
            if !data.is_empty() {
                self.push(Token::Data(data.into()));
            }
            let skip = tag + 2 + usize::from(sign.is_some());
            match opener {
                "{#" => {
                    self.advance(skip);
                    self.comment()?;
                }
                "{%" if raw_begin(&rest[skip..]).is_some() => {
                    self.advance(skip + raw_begin(&rest[skip..]).unwrap_or(0));
                    self.line_starting = self.source[..self.at].ends_with('\n');
                    self.raw()?;
                }
                "{%" => {
                    self.advance(skip);
                    self.push(Token::BlockBegin);
                    self.inside(true)?;
                }
                _ => {
                    self.advance(skip);
                    self.push(Token::VariableBegin);
                    self.inside(false)?;
                }
            }
        }
        self.push(Token::End);
        Ok(())
    }

    /// The data before a tag, after `-`, `+` and lstrip_blocks have done their part.
    fn strip_before(&self, data: &'a str, sign: Option<char>, variable: bool) -> &'a str {
        match sign {
            Some('-') => return trim_end(data),
            Some(_) => return data,
            None if variable => return data,
            None => {}
        }
        let line = data.rfind('\n').map_or(0, |newline| newline + 1);
        if (line > 0 || self.line_starting) && data[line..].chars().all(is_space) {
            return &data[..line];
        }
        data
    }

    /// The end of a block or comment: `-` strips what follows, otherwise one newline goes.
    fn after_end(&mut self, sign: Option<char>, trims_newline: bool) {
        let before = self.at;
        match sign {
            Some('-') => self.skip_spaces(),
            Some(_) => {}
            None if trims_newline && self.rest().starts_with('\n') => self.advance(1),
            None => {}
        }
        self.line_starting = self.source[..self.at].ends_with('\n') && self.at > before;
    }

    fn comment(&mut self) -> Result<()> {
        let rest = self.rest();
        let Some(end) = rest.find("#}") else { return self.fail("Missing end of comment tag") };
        let sign = rest[..end].chars().next_back().filter(|sign| matches!(sign, '-' | '+'));
        self.advance(end + 2);
        self.after_end(sign, true);
        Ok(())
    }

    fn raw(&mut self) -> Result<()> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find("{%") {
            let begin = from + found;
            let mut tail = &rest[begin + 2..];
            let sign = tail.chars().next().filter(|sign| matches!(sign, '-' | '+'));
            tail = &tail[usize::from(sign.is_some())..];
            if let Some(tail) = tail.trim_start_matches(is_space).strip_prefix("endraw") {
                let tail = tail.trim_start_matches(is_space);
                let end_sign = tail.chars().next().filter(|sign| matches!(sign, '-' | '+'));
                if tail[usize::from(end_sign.is_some())..].starts_with("%}") {
                    let data = self.strip_before(&rest[..begin], sign, false);
                    if !data.is_empty() {
                        self.push(Token::Data(data.into()));
                    }
                    self.advance(rest.len() - tail.len() + usize::from(end_sign.is_some()) + 2);
                    self.after_end(end_sign, true);
                    return Ok(());
                }
            }
            from = begin + 2;
        }
        self.fail("Missing end of raw directive")
    }

    fn inside(&mut self, block: bool) -> Result<()> {
        let (close, end) = if block { ("%}", Token::BlockEnd) } else { ("}}", Token::VariableEnd) };
        let mut open: Vec<&'static str> = Vec::new();
        loop {
            self.skip_spaces();
            let rest = self.rest();
            if open.is_empty() {
                let sign = rest.chars().next().filter(|&sign| sign == '-' || (block && sign == '+'));
                if rest[usize::from(sign.is_some())..].starts_with(close) {
                    self.push(end);
                    self.advance(2 + usize::from(sign.is_some()));
                    self.after_end(sign, block);
                    return Ok(());
                }
            }
            let Some(first) = rest.chars().next() else {
                return self.fail(format!("unexpected end of template, expected '{close}'"));
            };
            if first == '\'' || first == '"' {
                self.string(first)?;
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if first.is_alphanumeric() || first == '_' {
                let size = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                self.push(Token::Name(rest[..size].into()));
                self.advance(size);
            } else {
                let Some(&operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) else {
                    return self.fail(format!("unexpected char {first:?}"));
                };
                match operator {
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "{" => open.push("}"),
                    ")" | "]" | "}" => {
                        let expected = open.pop();
                        if expected != Some(operator) {
                            return self.fail(format!("unexpected '{operator}'"));
                        }
                    }
                    _ => {}
                }
                self.push(Token::Op(operator));
                self.advance(operator.len());
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<()> {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1);
        let mut escaped = false;
        let end = loop {
            match chars.next() {
                None => return self.fail("unexpected end of a string"),
                Some(_) if escaped => escaped = false,
                Some((_, '\\')) => escaped = true,
                Some((at, c)) if c == quote => break at,
                Some(_) => {}
            }
        };
        let Some(value) = unescape(&rest[1..end]) else { return self.fail("a bad escape in a string") };
        self.push(Token::Str(value.into()));
        self.advance(end + 1);
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
            if rest.len() > 2 && rest.is_char_boundary(2) && rest[..2].eq_ignore_ascii_case(prefix) {
                let size = bytes[2..].iter().take_while(|b| (**b as char).is_digit(radix) || **b == b'_').count();
                let digits = rest[2..2 + size].replace('_', "");
                if let Ok(value) = i128::from_str_radix(&digits, radix) {
                    self.push(Token::Int(value.to_string().into()));
                    self.advance(2 + size);
                    return Ok(());
                }
            }
        }
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
        let whole = digits(0);
        let mut size = whole;
        let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let mut float = false;
        let follows_dot = self.at > 0 && self.source.as_bytes()[self.at - 1] == b'.';
        if !follows_dot {
            if bytes.get(size) == Some(&b'.') && is_digit(size + 1) {
                float = true;
                size += 1 + digits(size + 1);
            }
            if matches!(bytes.get(size), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(size + 1), Some(b'+' | b'-')));
                if is_digit(size + 1 + sign) {
                    float = true;
                    size += 1 + sign + digits(size + 1 + sign);
                }
            }
        }
        let text = rest[..size].replace('_', "");
        if float {
            let Ok(value) = text.parse() else { return self.fail("a bad number") };
            self.push(Token::Float(value));
        } else {
            let digits = text.trim_start_matches('0');
            self.push(Token::Int(if digits.is_empty() { "0" } else { digits }.into()));
        }
        self.advance(size);
        Ok(())
    }
}

fn find_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|&byte| byte == b'{') {
        let at = from + found;
        if matches!(bytes.get(at + 1), Some(b'{' | b'%' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The size of `raw %}` (with what its `-` strips) at the start of a block's inside.
fn raw_begin(text: &str) -> Option<usize> {
    let tail = text.trim_start_matches(is_space).strip_prefix("raw")?.trim_start_matches(is_space);
    let tail = match tail.strip_prefix("-%}") {
        Some(tail) => tail.trim_start_matches(is_space),
        None => tail.strip_prefix("%}")?,
    };
    Some(text.len() - tail.len())
}

/// Python's unicode-escape decoding.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let hex = |chars: &mut std::iter::Peekable<std::str::Chars>, count: usize| -> Option<char> {
        let mut value = 0;
        for _ in 0..count {
            value = value * 16 + chars.next()?.to_digit(16)?;
        }
        char::from_u32(value) // half of a surrogate pair stays one in Python, which no UTF-8 text holds
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            '\n' => {}
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            c @ ('\\' | '\'' | '"') => out.push(c),
            'x' => out.push(hex(&mut chars, 2)?),
            'u' => out.push(hex(&mut chars, 4)?),
            'U' => out.push(hex(&mut chars, 8)?),
            'N' => return None,
            c @ '0'..='7' => {
                let mut value = c.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    chars.next();
                }
                out.push(char::from_u32(value)?);
            }
            c => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    Some(out)
}
