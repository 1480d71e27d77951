// SPDX-License-Identifier: Apache-2.0
//! Jinja2 as transformers sets it up for chat templates, with Python's values: an immutable sandbox,
//! trim_blocks, lstrip_blocks, the loop controls, the generation tag, tojson without escapes,
//! raise_exception and strftime_now. What it follows is Jinja2 3.1's own source; where that and
//! CPython decide a byte of output, so do we.
//!
//! A template is foreign code: its steps, its memory, its recursion and its values' nesting are
//! bounded, and every bound is an error with a message.

mod ast;
mod filters;
mod format;
mod json;
mod letters;
mod lexer;
mod links;
mod methods;
mod ops;
mod parser;
mod pretty;
mod render;
mod sequences;
mod statements;
mod symbols;
mod tests;
mod text;
mod time;
mod value;

use ast::Stmt;

pub struct Error {
    message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into() }
    }
    pub fn message(&self) -> &str {
        &self.message
    }
}

pub struct Template {
    body: Vec<Stmt>,
    blocks: bool,
}

impl Template {
    pub fn new(source: &str) -> Result<Template> {
        let (body, blocks) = parser::parse(source)?;
        Ok(Template { body, blocks })
    }

    /// `variables` and `defaults` are JSON objects; a name in both has its value of `variables`.
    /// `now` is local time as seconds since 1970.
    pub fn render(&self, variables: &str, defaults: &str, now: i64) -> Result<String> {
        let mut entries = json::parse_object(defaults)?;
        entries.extend(json::parse_object(variables)?);
        render::render(&self.body, self.blocks, entries, variables.len() + defaults.len(), now)
    }
}
