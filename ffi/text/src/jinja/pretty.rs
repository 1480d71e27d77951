// SPDX-License-Identifier: Apache-2.0
//! Text laid out in lines: the filters pprint (Python's pprint.pformat) and wordwrap (its textwrap).

use super::filters::Bound;
use super::letters::{is_alnum, is_decimal};
use super::render::{CallArgs, Renderer};
use super::text::{is_space, repr_str, split_lines};
use super::value::Value;
use super::{Error, Result};
use std::cmp::Ordering;

const WIDTH: i64 = 80;

/// pprint.pformat.
pub fn pprint(renderer: &Renderer, value: &Value) -> Result<String> {
    let mut out = String::new();
    format(renderer, value, &mut out, 0, 0, 0)?;
    Ok(out)
}

fn width_of(text: &str) -> i64 {
    text.chars().count() as i64
}

fn repr_of(text: &str) -> String {
    let mut out = String::new();
    repr_str(text, &mut out);
    out
}

/// A dict's entries by their keys.
fn sorted(dict: &super::value::Dict) -> Vec<(&Value, &Value)> {
    let mut entries: Vec<(&Value, &Value)> = dict.entries.iter().map(|(key, value)| (key, value)).collect();
    entries.sort_by(|(a, _), (b, _)| key_order(a, b));
    entries
}

/// Python's order where it has one. Of the others, which a sort needs an order of too: by the names of
/// their types, then by place; NaN after all numbers.
fn key_order(a: &Value, b: &Value) -> Ordering {
    let kind = |value: &Value| match (value, value.as_number()) {
        (_, Some(number)) => ("float", number.is_nan()),
        (Value::Str(..), _) => ("str", false),
        _ => (value.type_name(), false),
    };
    // Integers that are one number as floats are told apart by the second part.
    let number = |value: &Value| {
        let size = value.as_number().unwrap_or(0.0);
        (size, value.as_int().unwrap_or(size as i128))
    };
    kind(a).cmp(&kind(b)).then_with(|| match (a, b) {
        (Value::Str(a, _), Value::Str(b, _)) => a.cmp(b),
        (Value::Tuple(a), Value::Tuple(b)) => {
            let mut orders = a.items.iter().zip(&b.items).map(|(a, b)| key_order(a, b));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| a.items.len().cmp(&b.items.len()))
        }
        _ => number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal),
    })
}

/// repr() with dicts in the order of their keys.
fn sorted_repr(value: &Value, out: &mut String) {
    let mut list = |open: &str, items: &[Value], close: &str| {
        out.push_str(open);
        for (index, item) in items.iter().enumerate() {
            out.push_str(if index > 0 { ", " } else { "" });
            sorted_repr(item, out);
        }
        out.push_str(close);
    };
    match value {
        Value::List(seq) => list("[", &seq.items, "]"),
        Value::Tuple(seq) if !seq.group => list("(", &seq.items, if seq.items.len() == 1 { ",)" } else { ")" }),
        Value::Dict(dict) => {
            out.push('{');
            for (index, (key, value)) in sorted(dict).into_iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                sorted_repr(key, out);
                out.push_str(": ");
                sorted_repr(value, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.repr()),
    }
}

/// `indent`: where the text begins in its line; `allowance`: what has to fit behind it.
fn format(
    renderer: &Renderer,
    value: &Value,
    out: &mut String,
    indent: i64,
    allowance: i64,
    level: u32,
) -> Result<()> {
    renderer.charge_value(value)?;
    let mut whole = String::new();
    sorted_repr(value, &mut whole);
    renderer.charge_bytes(2 * whole.len() + indent as usize)?;
    if width_of(&whole) <= WIDTH - indent - allowance {
        out.push_str(&whole);
        return Ok(());
    }
    let next_line = format!(",\n{}", " ".repeat(indent as usize + 1));
    let items = |out: &mut String, items: &[Value], close: &str| -> Result<()> {
        for (index, item) in items.iter().enumerate() {
            out.push_str(if index > 0 { &next_line } else { "" });
            let last = index + 1 == items.len();
            let allowance = if last { allowance + close.len() as i64 } else { 1 };
            format(renderer, item, out, indent + 1, allowance, level + 1)?;
        }
        out.push_str(close);
        Ok(())
    };
    match value {
        Value::Str(text, false) => return format_text(renderer, text, out, indent, allowance, level),
        Value::List(seq) => {
            out.push('[');
            return items(out, &seq.items, "]");
        }
        Value::Tuple(seq) if !seq.group => {
            out.push('(');
            return items(out, &seq.items, if seq.items.len() == 1 { ",)" } else { ")" });
        }
        Value::Dict(dict) => {
            out.push('{');
            let entries = sorted(dict);
            for (index, (key, value)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { &next_line } else { "" });
                let mut name = String::new();
                sorted_repr(key, &mut name);
                out.push_str(&name);
                out.push_str(": ");
                let allowance = if index + 1 == entries.len() { allowance + 1 } else { 1 };
                format(renderer, value, out, indent + 1 + width_of(&name) + 2, allowance, level + 1)?;
            }
            out.push('}');
        }
        _ => out.push_str(&whole),
    }
    Ok(())
}

/// A long string as several, one a line.
fn format_text(
    renderer: &Renderer,
    text: &str,
    out: &mut String,
    mut indent: i64,
    mut allowance: i64,
    level: u32,
) -> Result<()> {
    if level == 0 {
        (indent, allowance) = (indent + 1, allowance + 1);
    }
    let lines = split_lines(text, true);
    let mut chunks: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let is_last = index + 1 == lines.len();
        let room = WIDTH - indent;
        let whole = repr_of(line);
        if width_of(&whole) <= room - if is_last { allowance } else { 0 } {
            chunks.push(whole);
            continue;
        }
        let parts = words(line);
        let mut current = String::new();
        for (at, part) in parts.iter().enumerate() {
            let ends = is_last && at + 1 == parts.len();
            let candidate = format!("{current}{part}");
            if width_of(&repr_of(&candidate)) > room - if ends { allowance } else { 0 } {
                if !current.is_empty() {
                    chunks.push(repr_of(&current));
                }
                current = part.to_string();
            } else {
                current = candidate;
            }
        }
        if !current.is_empty() {
            chunks.push(repr_of(&current));
        }
    }
    if chunks.len() <= 1 {
        out.push_str(&repr_of(lines.last().unwrap_or(&"")));
        return Ok(());
    }
    renderer.charge_bytes(chunks.len() * (indent as usize + 1))?;
    let text = chunks.join(&format!("\n{}", " ".repeat(indent as usize)));
    out.push_str(&if level == 0 { format!("({text})") } else { text });
    Ok(())
}

/// Each word with the spaces after it; spaces at the beginning are a word of their own.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let spaces = rest[word..].find(|c| !is_space(c)).unwrap_or(rest.len() - word);
        let (first, others) = rest.split_at(word + spaces);
        words.push(first);
        rest = others;
    }
    words
}

/// The filter wordwrap: each line on its own.
pub fn word_wrap(renderer: &Renderer, text: &str, args: CallArgs) -> Result<String> {
    let mut bound = Bound::new(
        "wordwrap",
        args,
        &["width", "break_long_words", "wrapstring", "break_on_hyphens"],
    )?;
    let width = bound.integer(0)?.unwrap_or(79);
    let break_long = bound.take(1).is_none_or(|value| value.is_true());
    let between = match bound.take(2) {
        None | Some(Value::None) => "\n".into(),
        Some(Value::Str(text, false)) => text,
        Some(other) => return Err(Error::new(format!("a {} cannot join lines", other.type_name()))),
    };
    let at_hyphens = bound.take(3).is_none_or(|value| value.is_true());
    let mut lines = Vec::new();
    for line in split_lines(text, false) {
        if width <= 0 {
            return Err(Error::new(format!("invalid width {width} (must be > 0)")));
        }
        let size = line.chars().count();
        renderer.charge(size)?;
        let width = width.min(size as i128 + 1) as usize;
        // Its characters, as many parts and as many lines as it can have.
        renderer.charge_bytes(20 * size + 56 * (size / width + 1))?;
        let chars: Vec<char> = line.chars().collect();
        let wrapped = wrap(&chars, width, break_long, at_hyphens);
        renderer.charge_bytes(wrapped.iter().map(|line| line.len() + between.len()).sum())?;
        lines.push(wrapped.join(&*between));
    }
    renderer.charge_bytes(lines.iter().map(|line| line.len() + between.len()).sum())?;
    Ok(lines.join(&*between))
}

/// textwrap.wrap without its replacements.
fn wrap(chars: &[char], width: usize, break_long: bool, at_hyphens: bool) -> Vec<String> {
    let mut chunks = chunks(chars, at_hyphens);
    chunks.reverse();
    let is_blank = |&(from, to): &(usize, usize)| chars[from..to].iter().all(|&c| is_space(c));
    let mut lines: Vec<String> = Vec::new();
    while let Some(first) = chunks.last() {
        if is_blank(first) && !lines.is_empty() {
            chunks.pop();
        }
        let mut line: Vec<(usize, usize)> = Vec::new();
        let mut used = 0;
        while let Some(&(from, to)) = chunks.last() {
            if used + to - from > width {
                break;
            }
            line.push((from, to));
            used += to - from;
            chunks.pop();
        }
        if let Some((from, to)) = chunks.last_mut().filter(|(from, to)| *to - *from > width) {
            if break_long {
                let room = width - used;
                let mut cut = *from + room;
                if at_hyphens {
                    let before = &chars[*from..cut];
                    let hyphen = before.iter().rposition(|&c| c == '-').unwrap_or(0);
                    if before[..hyphen].iter().any(|&c| c != '-') {
                        cut = *from + hyphen + 1;
                    }
                }
                line.push((*from, cut));
                *from = cut;
            } else if line.is_empty() {
                line.push((*from, *to));
                chunks.pop();
            }
        }
        if line.last().is_some_and(is_blank) {
            line.pop();
        }
        if let (Some(first), Some(last)) = (line.first(), line.last()) {
            lines.push(chars[first.0..last.1].iter().collect());
        }
    }
    lines
}

/// Where a line may be broken: words, parts of hyphenated words, dashes, and the spaces between.
fn chunks(chars: &[char], at_hyphens: bool) -> Vec<(usize, usize)> {
    let at = |index: usize| chars.get(index).copied();
    let space = |c: char| matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ');
    let word = |c: char| is_alnum(c) || c == '_';
    let letter = |index: usize| at(index).is_some_and(|c| word(c) && !is_decimal(c));
    let punctuated = |index: usize| at(index).is_some_and(|c| word(c) || "!\"'&.,?".contains(c));
    let dash_before_word = |from: usize| {
        let end = (from..chars.len()).find(|&index| chars[index] != '-')?;
        (end >= from + 2 && word(chars[end])).then_some(end)
    };
    let after_hyphen = |hyphen: usize| {
        let before = (hyphen >= 2 && letter(hyphen - 1) && letter(hyphen - 2))
            || (hyphen >= 3 && punctuated(hyphen - 1) && at(hyphen - 2) == Some('-') && letter(hyphen - 3));
        let next = hyphen + 1;
        before && letter(next) && (letter(next + 1) || (at(next + 1) == Some('-') && letter(next + 2)))
    };
    let end_of = |from: usize| {
        if space(chars[from]) {
            return (from..chars.len()).find(|&index| !space(chars[index])).unwrap_or(chars.len());
        }
        if at_hyphens && from > 0 && punctuated(from - 1) {
            if let Some(end) = dash_before_word(from) {
                return end;
            }
        }
        for end in from + 1..chars.len() {
            if space(chars[end]) {
                return end;
            }
            if at_hyphens && chars[end] == '-' {
                if after_hyphen(end) {
                    return end + 1;
                }
                if punctuated(end - 1) && dash_before_word(end).is_some() {
                    return end;
                }
            }
        }
        chars.len()
    };
    let mut chunks = Vec::new();
    let mut from = 0;
    while from < chars.len() {
        let end = end_of(from);
        chunks.push((from, end));
        from = end;
    }
    chunks
}
