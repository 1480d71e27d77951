// SPDX-License-Identifier: Apache-2.0
//! A tokenizer.json made usable: the engine that encodes and the table of its tokens. Decoding is
//! done by the caller, from the table and the decoder's description.

use crate::engine::Engine;
use crate::hf_config;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const EXISTS: u32 = 1;
const ADDED: u32 = 2;
const SPECIAL: u32 = 4;

/// A tokenizer's two files.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub json: &'a [u8],
    pub config: &'a Value,
}

impl<'a> Source<'a> {
    /// The tokenizer.json as the configuration changes it.
    pub fn document(&self) -> Result<Value, String> {
        let mut document: Value =
            serde_json::from_slice(self.json).map_err(|error| format!("tokenizer.json: {error}"))?;
        hf_config::apply(&mut document, self.config)?;
        Ok(document)
    }

    /// The same, but with an empty list in the place of the model's merges, which are returned as
    /// they stand in the file: half a million pairs of strings are most of a start's time and
    /// memory as a tree, and nothing here looks into them. None where they are not pairs. Then the
    /// warning, if there is one.
    pub fn document_beside_merges(&self) -> Result<(Value, Option<&'a str>, Option<String>), String> {
        let (mut document, merges) = match without_merges(self.json) {
            Some((document, merges)) => (document, Some(merges)),
            None => (serde_json::from_slice(self.json).map_err(|error| format!("tokenizer.json: {error}"))?, None),
        };
        let warning = hf_config::apply(&mut document, self.config)?;
        Ok((document, merges, warning))
    }
}

/// None also for what is no such file, whose error the whole reading tells.
fn without_merges(json: &[u8]) -> Option<(Value, &str)> {
    let parts: BTreeMap<String, &RawValue> = serde_json::from_slice(json).ok()?;
    let model: BTreeMap<String, &RawValue> = serde_json::from_str(parts.get("model")?.get()).ok()?;
    let merges = model.get("merges")?.get();
    let pairs = merges.strip_prefix('[')?.trim_start().starts_with('[');
    // The engines need not agree on halves of a character.
    if !pairs || merges.contains("\\ud") || merges.contains("\\uD") {
        return None;
    }
    // The first of the model, so that no part of it has another list of that name in front of them.
    let mut tree = Map::new();
    tree.insert("merges".to_string(), Value::Array(Vec::new()));
    for (key, text) in model.iter().filter(|(key, _)| *key != "merges") {
        tree.insert(key.clone(), serde_json::from_str(text.get()).ok()?);
    }
    let mut document = Map::new();
    document.insert("model".to_string(), Value::Object(tree));
    for (key, text) in parts.iter().filter(|(key, _)| *key != "model") {
        document.insert(key.clone(), serde_json::from_str(text.get()).ok()?);
    }
    Some((Value::Object(document), merges))
}

pub struct Tokenizer {
    engine: Engine,
    vocabulary: Vocabulary,
    decoder: String,
    model: String,
    warning: String,
}

impl Tokenizer {
    pub fn new(json: &[u8], config: &[u8]) -> Result<Tokenizer, String> {
        let config: Value = if config.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(config).map_err(|error| format!("tokenizer_config.json: {error}"))?
        };
        let source = Source { json, config: &config };
        let (document, merges, warning) = source.document_beside_merges()?;
        let vocabulary = Vocabulary::new(&document)?;
        let decoder = document.get("decoder").unwrap_or(&Value::Null).to_string();
        let model = hf_config::model_type(&document).to_string();
        let split_special = config.get("split_special_tokens").and_then(Value::as_bool).unwrap_or(false);
        let engine = Engine::new(document, merges, source, split_special)?;
        Ok(Tokenizer { engine, vocabulary, decoder, model, warning: warning.unwrap_or_default() })
    }

    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, String> {
        self.engine.encode(text, add_special)
    }
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }
    pub fn decoder(&self) -> &str {
        &self.decoder
    }
    pub fn model(&self) -> &str {
        &self.model
    }
    pub fn warning(&self) -> &str {
        &self.warning
    }
    pub fn is_fast(&self) -> bool {
        self.engine.is_fast()
    }
}

/// Tokens by id, in one string.
pub struct Vocabulary {
    text: String,
    entries: Vec<(u32, u32, u32)>, // begin, size, flags
}

impl Vocabulary {
    fn new(document: &Value) -> Result<Vocabulary, String> {
        let model: Vec<(&str, u64)> = hf_config::model_tokens(&document["model"]["vocab"])?;
        let added = hf_config::added_tokens(document)?;
        let largest = model.iter().map(|token| token.1).chain(added.iter().map(|token| token.id)).max();
        let bound = largest.map_or(0, |id| id.saturating_add(1));
        let count = model.len() + added.len();
        // Ids may have gaps, but a table is never larger than the file justifies.
        if bound > 16 * count as u64 + 65536 {
            return Err(format!("tokenizer.json: id {} is far beyond its {count} tokens", bound - 1));
        }
        let mut table = Vocabulary {
            text: String::new(),
            entries: vec![(0, 0, 0); bound as usize],
        };
        for (token, id) in model {
            table.set(id, token, EXISTS)?;
        }
        for token in added {
            table.set(token.id, token.content, EXISTS | ADDED | if token.special { SPECIAL } else { 0 })?;
        }
        Ok(table)
    }

    fn set(&mut self, id: u64, token: &str, flags: u32) -> Result<(), String> {
        let begin = u32::try_from(self.text.len()).map_err(|_| "the vocabulary is larger than 4 GiB")?;
        self.text.push_str(token);
        self.entries[id as usize] = (begin, token.len() as u32, flags);
        Ok(())
    }

    pub fn id_bound(&self) -> u32 {
        self.entries.len() as u32
    }

    pub fn token(&self, id: u32) -> (&str, u32) {
        match self.entries.get(id as usize) {
            Some(&(begin, size, flags)) => (&self.text[begin as usize..(begin + size) as usize], flags),
            None => ("", 0),
        }
    }

    /// By looking through all of them, which for the few that are asked for takes less than a table.
    pub fn id(&self, token: &str) -> Option<u32> {
        (0..self.id_bound()).rev().find(|&id| self.token(id).1 != 0 && self.token(id).0 == token)
    }
}
