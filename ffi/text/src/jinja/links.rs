// SPDX-License-Identifier: Apache-2.0
//! The filters that write URLs and attributes: urlencode, urlize and xmlattr.

use super::filters::Bound;
use super::letters::{is_alnum, is_decimal};
use super::render::{CallArgs, Renderer};
use super::text::{escape_html, is_space};
use super::value::Value;
use super::{Error, Result};
use std::sync::Arc;

/// markupsafe.escape.
fn escaped(renderer: &Renderer, value: &Value) -> Result<Arc<str>> {
    let text = renderer.text(value)?;
    if matches!(value, Value::Str(_, true)) {
        return Ok(text);
    }
    renderer.charge_bytes(6 * text.len())?;
    Ok(escape_html(&text).into())
}

pub fn xml_attributes(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<String> {
    let auto_space = Bound::new("xmlattr", args, &["autospace"])?.take(0).is_none_or(|value| value.is_true());
    let entries = match value {
        Value::Dict(dict) => &dict.entries,
        Value::Undefined(message) => return Err(Error::new(message.to_string())),
        other => return Err(Error::new(format!("'{}' object has no attribute 'items'", other.type_name()))),
    };
    let mut items = Vec::new();
    for (key, value) in entries {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let Value::Str(name, _) = key else {
            return Err(Error::new(format!("expected string or bytes-like object, got '{}'", key.type_name())));
        };
        if name.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c', '/', '>', '=']) {
            return Err(Error::new(format!("Invalid character in attribute name: {}", key.repr())));
        }
        let (key, value) = (escaped(renderer, key)?, escaped(renderer, value)?);
        // Text that is safe already is copied here for the first time: once, and again when joined.
        renderer.charge_bytes(2 * (key.len() + value.len() + 4))?;
        items.push(format!("{key}=\"{value}\""));
    }
    let space = if auto_space && !items.is_empty() { " " } else { "" };
    Ok(format!("{space}{}", items.join(" ")))
}

/// A string for a path, anything else that can be iterated as the pairs of a query.
pub fn url_encode(renderer: &Renderer, value: &Value) -> Result<String> {
    let pairs = match value {
        Value::Dict(dict) => dict.entries.clone(),
        Value::List(_) | Value::Tuple(_) | Value::Range(_) | Value::DictView(..) | Value::Iter(_) => {
            renderer.items(value)?.iter().map(pair).collect::<Result<_>>()?
        }
        Value::Loop(_) => return Err(Error::new("iterating 'loop' is not supported in chat templates")),
        other => {
            let text = renderer.text(other)?;
            renderer.charge_bytes(3 * text.len())?;
            return Ok(quote(&text, true));
        }
    };
    let mut parts = Vec::new();
    for (key, value) in &pairs {
        let (key, value) = (renderer.text(key)?, renderer.text(value)?);
        renderer.charge_bytes(3 * (key.len() + value.len()))?;
        parts.push(format!("{}={}", quote(&key, false), quote(&value, false)));
    }
    Ok(parts.join("&"))
}

fn pair(item: &Value) -> Result<(Value, Value)> {
    let items = item.iterate().map_err(|_| {
        Error::new(format!("cannot unpack non-iterable {} object", item.type_name()))
    })?;
    match <[Value; 2]>::try_from(items) {
        Ok([key, value]) => Ok((key, value)),
        Err(items) if items.len() > 2 => Err(Error::new("too many values to unpack (expected 2)")),
        Err(items) => Err(Error::new(format!("not enough values to unpack (expected 2, got {})", items.len()))),
    }
}

fn quote(text: &str, is_path: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(byte as char),
            b'/' if is_path => out.push('/'),
            b' ' if !is_path => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub fn urlize(renderer: &Renderer, value: &Value, args: CallArgs) -> Result<String> {
    let mut bound =
        Bound::new("urlize", args, &["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"])?;
    let limit = bound.integer(0)?;
    let no_follow = bound.flag(1);
    let target = bound.take(2).filter(|value| value.is_true());
    let rel = match bound.take(3).filter(|value| value.is_true()) {
        Some(rel) => renderer.text(&rel)?,
        None => "".into(),
    };
    let mut parts: Vec<&str> = rel.split(is_space).filter(|part| !part.is_empty()).collect();
    parts.push("noopener");
    if no_follow {
        parts.push("nofollow");
    }
    parts.sort_unstable();
    parts.dedup();
    let mut attributes = format!(" rel=\"{}\"", escape_html(&parts.join(" ")));
    if let Some(target) = target {
        attributes += &format!(" target=\"{}\"", escaped(renderer, &target)?);
    }
    let mut schemes = Vec::new();
    let mut scheme_steps = 0; // to compare a word with all of them
    if let Some(list) = bound.take(4).filter(|value| value.is_true()) {
        for scheme in renderer.items(&list)? {
            let text = renderer.text(&scheme)?;
            renderer.charge_bytes(text.len())?;
            if !is_scheme(&text) {
                return Err(Error::new(format!("{} is not a valid URI scheme prefix.", scheme.repr())));
            }
            scheme_steps += 1 + text.len() / 64;
            schemes.push(text);
        }
    }
    let text = escaped(renderer, value)?;
    let mut out = String::new();
    let mut rest = &*text;
    while let Some(first) = rest.chars().next() {
        let blank = is_space(first);
        let size = rest.find(|c| is_space(c) != blank).unwrap_or(rest.len());
        let (word, others) = rest.split_at(size);
        rest = others;
        if blank {
            renderer.charge_bytes(word.len())?;
            out.push_str(word);
            continue;
        }
        let (head, middle, tail) = bare_link(word);
        renderer.charge_bytes(word.len())?;
        let shown = trimmed(middle.clone(), limit);
        let link = |target: &str, attributes: &str, shown: &str| {
            let link = format!("<a href=\"{target}\"{attributes}>{shown}</a>");
            renderer.charge_bytes(link.len()).map(|()| link)
        };
        let middle = if is_web(&middle) {
            if middle.starts_with("https://") || middle.starts_with("http://") {
                link(&middle, &attributes, &shown)?
            } else {
                link(&format!("https://{middle}"), &attributes, &shown)?
            }
        } else if let Some(address) = middle.strip_prefix("mailto:").filter(|address| is_mail(address)) {
            link(&middle, "", address)?
        } else if !middle.starts_with("www.") && !middle.starts_with('@') && !middle.contains(':') && is_mail(&middle) {
            link(&format!("mailto:{middle}"), "", &middle)?
        } else {
            let mut middle = middle;
            renderer.charge(scheme_steps)?;
            for scheme in &schemes {
                if middle != **scheme && middle.starts_with(&**scheme) {
                    middle = link(&middle, &attributes, &middle)?;
                }
            }
            middle
        };
        out.push_str(head);
        out.push_str(&middle);
        out.push_str(tail);
    }
    Ok(out)
}

/// A word without the brackets and stops around it; brackets that a link opens stay with it.
fn bare_link(word: &str) -> (&str, String, &str) {
    let mut from = 0;
    while let Some(open) = ["(", "<", "&lt;"].into_iter().find(|open| word[from..].starts_with(*open)) {
        from += open.len();
    }
    let mut to = word.len();
    while let Some(stop) = [")", ">", ".", ",", "&gt;"].into_iter().find(|stop| word[from..to].ends_with(*stop)) {
        to -= stop.len();
    }
    let mut middle = word[from..to].to_string();
    let mut tail = &word[to..];
    for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
        let opened = middle.matches(open).count();
        if opened <= middle.matches(close).count() {
            continue;
        }
        for _ in 0..opened.min(tail.matches(close).count()) {
            let Some(at) = tail.find(close) else { break };
            let (taken, left) = tail.split_at(at + close.len());
            middle += taken;
            tail = left;
        }
    }
    (&word[..from], middle, tail)
}

fn trimmed(mut text: String, limit: Option<i128>) -> String {
    let Some(limit) = limit else { return text };
    let size = text.chars().count() as i128;
    if size <= limit {
        return text;
    }
    let kept = if limit < 0 { (size + limit).max(0) } else { limit };
    if let Some((at, _)) = text.char_indices().nth(kept as usize) {
        text.truncate(at);
    }
    text + "..."
}

fn is_word(c: char) -> bool {
    is_alnum(c) || c == '_'
}

fn is_scheme(text: &str) -> bool {
    let Some((name, slashes)) = text.split_once(':') else { return false };
    name.chars().count() >= 2
        && name.chars().all(|c| is_word(c) || "+-.".contains(c))
        && matches!(slashes, "" | "/" | "//")
}

fn is_mail(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else { return false };
    let Some((hosts, top)) = domain.rsplit_once('.') else { return false };
    !name.is_empty()
        && hosts.starts_with(is_word)
        && hosts.chars().all(|c| is_word(c) || c == '-' || c == '.')
        && !top.is_empty()
        && top.chars().all(is_word)
}

fn is_web(text: &str) -> bool {
    // Python's letters regardless of case are also these four.
    let folded: String = text
        .chars()
        .map(|c| match c {
            '\u{130}' | '\u{131}' => 'i',
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    let with_scheme = folded.strip_prefix("https://").or_else(|| folded.strip_prefix("http://"));
    if with_scheme.is_some_and(|rest| is_site(host(rest)) || is_address(rest)) {
        return true;
    }
    let whole = host(&folded);
    folded.strip_prefix("www.").is_some_and(|rest| is_site(host(rest)))
        || whole.and_then(|name| name.rsplit_once('.')).is_some_and(|(names, top)| {
            matches!(top, "com" | "net" | "int" | "edu" | "gov" | "org" | "info" | "mil")
                && names.split('.').all(|name| (2..=63).contains(&name.chars().count()) && is_label(name))
        })
}

/// What stands before a path and a port; None for a broken port.
fn host(text: &str) -> Option<&str> {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    without_port(&text[..end])
}

fn without_port(text: &str) -> Option<&str> {
    let Some((name, port)) = text.split_once(':') else { return Some(text) };
    ((1..=5).contains(&port.chars().count()) && port.chars().all(is_decimal)).then_some(name)
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| is_word(c) || c == '%' || c == '-')
}

fn is_site(name: Option<&str>) -> bool {
    let Some(name) = name else { return false };
    let (names, top) = name.rsplit_once('.').map_or((None, name), |(names, top)| (Some(names), top));
    let plain = (2..=63).contains(&top.len()) && top.bytes().all(|c| c.is_ascii_lowercase());
    let encoded = top.strip_prefix("xn--").is_some_and(|rest| {
        (2..=59).contains(&rest.chars().count()) && rest.chars().all(|c| is_word(c) || c == '%')
    });
    (plain || encoded) && names.is_none_or(|names| names.split('.').all(is_label))
}

/// IPv4 by its digits; IPv6 in brackets, by its groups.
fn is_address(text: &str) -> bool {
    if let Some((inside, behind)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let groups: Vec<&str> = inside.split(':').collect();
        let hex = |group: &str| group.chars().all(|c| c.is_ascii_hexdigit() || is_decimal(c));
        // Two groups with their colons, then one to six pieces of up to four digits, with or without.
        let Some((last, others)) = groups.get(2..).and_then(|groups| groups.split_last()) else { return false };
        let pieces = |group: &str| group.chars().count().div_ceil(4);
        let needed: usize = others.iter().map(|group| pieces(group).max(1)).sum::<usize>() + pieces(last);
        return groups.iter().all(|group| hex(group))
            && groups[..2].iter().all(|group| group.chars().count() <= 4)
            && needed <= 6
            && (host(behind) == Some(""));
    }
    let Some(name) = host(text) else { return false };
    let groups: Vec<&str> = name.split('.').collect();
    groups.len() == 4
        && groups.iter().all(|group| (1..=3).contains(&group.chars().count()) && group.chars().all(is_decimal))
}
