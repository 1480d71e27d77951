// SPDX-License-Identifier: Apache-2.0
//! Python's classes of characters and forms of letters. Rust's own are other ones: its alphabetic
//! characters take in marks and circled letters, its numeric ones are not Python's digits, and it
//! has no title case. Unicode's tables are those of regex-syntax, so characters that are newer than
//! a Python's are letters here.

use super::{Error, Result};
use std::sync::OnceLock;

/// The characters of general categories.
struct Class {
    name: &'static str,
    ranges: OnceLock<Vec<(char, char)>>,
}

impl Class {
    const fn new(name: &'static str) -> Class {
        Class { name, ranges: OnceLock::new() }
    }

    fn has(&self, c: char) -> bool {
        let ranges = self.ranges.get_or_init(|| {
            let parsed = regex_syntax::parse(self.name).map(regex_syntax::hir::Hir::into_kind);
            match parsed {
                Ok(regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class))) => {
                    class.iter().map(|range| (range.start(), range.end())).collect()
                }
                _ => Vec::new(),
            }
        });
        let after = ranges.partition_point(|range| range.0 <= c);
        after > 0 && c <= ranges[after - 1].1
    }
}

static LETTERS: Class = Class::new(r"\p{L}");
static NUMBERS: Class = Class::new(r"\p{N}");
static DECIMALS: Class = Class::new(r"\p{Nd}");

pub fn is_alpha(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { LETTERS.has(c) }
}

pub fn is_alnum(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { LETTERS.has(c) || NUMBERS.has(c) }
}

pub fn is_decimal(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { DECIMALS.has(c) }
}

/// Decimals, and numbers that are written as one digit: superscripts, circled ones and the like.
pub fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(c, '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{1369}'..='\u{1371}' | '\u{19da}' | '\u{2070}'
            | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}' | '\u{2460}'..='\u{2468}'
            | '\u{2474}'..='\u{247c}' | '\u{2488}'..='\u{2490}' | '\u{24ea}' | '\u{24f5}'..='\u{24fd}'
            | '\u{24ff}' | '\u{2776}'..='\u{277e}' | '\u{2780}'..='\u{2788}' | '\u{278a}'..='\u{2792}'
            | '\u{10a40}'..='\u{10a43}' | '\u{10e60}'..='\u{10e68}' | '\u{11052}'..='\u{1105a}'
            | '\u{1f100}'..='\u{1f10a}')
}

/// str.isnumeric. Which ideographs are numbers is a table of its own.
pub fn is_numeric(text: &str) -> Result<bool> {
    let is_ideograph =
        |c| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
    let is_number = |c: char| if c.is_ascii() { c.is_ascii_digit() } else { NUMBERS.has(c) };
    if text.is_empty() || text.chars().any(|c| !is_number(c) && !is_ideograph(c)) {
        return Ok(false);
    }
    match text.chars().any(is_ideograph) {
        true => Err(Error::new("str.isnumeric() of ideographs is not supported in chat templates")),
        false => Ok(true),
    }
}

/// Letters that are one upper and one lower case letter in one.
fn is_title_letter(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title_letter(c)
}

/// str.islower.
pub fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title_letter(c))
}

/// str.isupper.
pub fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title_letter(c))
}

/// str.istitle: capitals begin words, and nothing else does.
pub fn is_title(text: &str) -> bool {
    let (mut in_word, mut any) = (false, false);
    for c in text.chars() {
        let capital = c.is_uppercase() || is_title_letter(c);
        if (capital && in_word) || (c.is_lowercase() && !in_word) {
            return false;
        }
        in_word = is_cased(c);
        any |= in_word;
    }
    any
}

pub fn lower(text: &str) -> String {
    text.to_lowercase()
}

pub fn upper(text: &str) -> String {
    text.to_uppercase()
}

/// A character as the first of a word.
fn title_case(c: char) -> String {
    let code = c as u32;
    let single = match code {
        0x1c4..=0x1cc => 0x1c5 + (code - 0x1c4) / 3 * 3,
        0x1f1..=0x1f3 => 0x1f2,
        0x10d0..=0x10ff => code, // Georgian has capitals for whole texts only
        0x1f80..=0x1faf => code | 8,
        0x1fb3 | 0x1fbc | 0x1fc3 | 0x1fcc | 0x1ff3 | 0x1ffc => (code & !0xf) | 0xc,
        _ => 0,
    };
    if let Some(single) = char::from_u32(single).filter(|single| *single != '\0') {
        return single.to_string();
    }
    let upper: String = c.to_uppercase().collect();
    let mut chars = upper.chars();
    match (chars.next(), code) {
        (Some(_), 0x149) => upper,
        // The iota below the first letter stays below it.
        (Some(_), 0x1fb2..=0x1ff7) => match upper.strip_suffix('\u{399}') {
            Some(rest) if !rest.is_empty() => format!("{rest}\u{345}"),
            _ => upper,
        },
        (Some(first), _) => first.to_string() + &lower(chars.as_str()),
        (None, _) => upper,
    }
}

/// Each character with its lower case where it stands: the last sigma of a word has a form of its
/// own.
fn lowered(text: &str, mut each: impl FnMut(char, &str)) {
    let whole = lower(text);
    let mut rest = whole.chars();
    let mut buffer = String::new();
    for c in text.chars() {
        buffer.clear();
        buffer.extend(rest.by_ref().take(c.to_lowercase().count()));
        each(c, &buffer);
    }
}

/// str.capitalize.
pub fn capitalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    lowered(text, |c, low| match out.is_empty() {
        true => out.push_str(&title_case(c)),
        false => out.push_str(low),
    });
    out
}

/// str.title: a letter after anything but a letter is a capital.
pub fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    lowered(text, |c, low| {
        match in_word {
            true => out.push_str(low),
            false => out.push_str(&title_case(c)),
        }
        in_word = is_cased(c);
    });
    out
}

pub fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    lowered(text, |c, low| {
        if c.is_uppercase() {
            out.push_str(low);
        } else if c.is_lowercase() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    });
    out
}
