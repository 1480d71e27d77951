// SPDX-License-Identifier: Apache-2.0
//! The added tokens of a tokenizer: those of tokenizer.json, then those that its configuration adds
//! or changes, each with the id and the flags that transformers ends up with when it loads both.

use crate::hf_config::{flag, model_tokens, token_content};
use serde_json::{json, Map, Value};
use std::collections::{HashMap, HashSet};

const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Puts them into the document; a warning where ids are not those that tokenizer.json states.
pub fn settle(document: &mut Value, config: &Value) -> Result<Option<String>, String> {
    let stated = match document["added_tokens"].take() {
        Value::Array(tokens) => tokens,
        _ => Vec::new(),
    };
    let mut table = Table::new(&document["model"]["vocab"])?;
    for token in &stated {
        if !token["content"].is_string() || !token["id"].is_u64() {
            return Err("tokenizer.json: added_tokens holds an entry without content or id".to_string());
        }
        table.add(token, flag(token, "special", false));
    }
    let in_gaps = table.take_stated_ids(&stated);
    let warning = renumbered(&stated, &table);
    // The configuration's come in a second call, which counts on from the largest added id.
    let largest = table.tokens.iter().filter_map(|token| token["id"].as_u64()).max();
    table.next = largest.max(in_gaps).map_or(table.size, |id| id.saturating_add(1).max(table.size));
    if config.is_object() {
        let listed: HashSet<u64> = stated.iter().filter_map(|token| token["id"].as_u64()).collect();
        table.add_of_config(config, &listed);
    }
    let mut tokens = table.tokens;
    tokens.sort_by_key(|token| token["id"].as_u64());
    keep_ids(document, &tokens);
    document["added_tokens"] = Value::Array(tokens);
    Ok(warning)
}

fn renumbered(stated: &[Value], table: &Table) -> Option<String> {
    let given = |token: &Value| Some(&table.tokens[*table.known.get(token["content"].as_str()?)?]["id"]);
    let mut differing = stated.iter().filter(|token| given(token).is_some_and(|id| *id != token["id"]));
    let first = differing.next()?;
    let others = differing.count();
    let also = if others > 0 { format!(" (and {others} more)") } else { String::new() };
    Some(format!(
        "tokenizer.json: the added token {} has the id {} that the libraries give it, not {} as stated{also}",
        first["content"],
        given(first)?,
        first["id"]
    ))
}

struct Table<'a> {
    vocabulary: &'a Value,
    places: HashMap<&'a str, u64>, // of a vocabulary that is a list
    size: u64,
    next: u64,
    tokens: Vec<Value>,
    known: HashMap<String, usize>, // by content, its place in `tokens`
}

impl<'a> Table<'a> {
    fn new(vocabulary: &'a Value) -> Result<Table<'a>, String> {
        let (places, size) = match vocabulary {
            Value::Object(tokens) => (HashMap::new(), tokens.len()),
            list => (model_tokens(list)?.into_iter().collect(), list.as_array().map_or(0, Vec::len)),
        };
        let size = size as u64;
        Ok(Table { vocabulary, places, size, next: size, tokens: Vec::new(), known: HashMap::new() })
    }

    /// Adds a token, or gives one that is there other flags.
    fn add(&mut self, token: &Value, special: bool) {
        let Some(content) = token_content(token).filter(|content| !content.is_empty()) else { return };
        let mut entry = json!({
            "id": 0, "content": content, "special": special,
            "single_word": flag(token, "single_word", false),
            "lstrip": flag(token, "lstrip", false),
            "rstrip": flag(token, "rstrip", false),
            "normalized": flag(token, "normalized", !special),
        });
        if let Some(&at) = self.known.get(content) {
            let old = &mut self.tokens[at];
            entry["id"] = old["id"].clone();
            if old["special"] == true {
                entry["special"] = Value::Bool(true); // decoding leaves it out ever after
            }
            *old = entry;
            return;
        }
        let id = match self.vocabulary {
            Value::Object(tokens) => tokens.get(content).and_then(Value::as_u64),
            _ => self.places.get(content).copied(),
        };
        entry["id"] = json!(id.unwrap_or(self.next));
        self.next += u64::from(id.is_none());
        self.known.insert(content.to_string(), self.tokens.len());
        self.tokens.push(entry);
    }

    /// A vocabulary with gaps has pieces beyond its size, whose ids the libraries give a second time.
    /// No model was trained with that: where the file states free ids, they hold. Returns the largest
    /// id of the vocabulary if it does so.
    fn take_stated_ids(&mut self, stated: &[Value]) -> Option<u64> {
        let Value::Object(vocabulary) = self.vocabulary else { return None };
        let largest = vocabulary.values().filter_map(Value::as_u64).max().filter(|id| *id >= self.size)?;
        let mut taken: HashSet<u64> = vocabulary.values().filter_map(Value::as_u64).collect();
        let outside = |token: &Value| !vocabulary.contains_key(token["content"].as_str().unwrap_or(""));
        let twice = |token: &Value| token["id"].as_u64().is_some_and(|id| taken.contains(&id));
        if !self.tokens.iter().any(|token| outside(token) && twice(token)) {
            return None;
        }
        let ids: HashMap<&str, u64> =
            stated.iter().rev().filter_map(|token| Some((token["content"].as_str()?, token["id"].as_u64()?))).collect();
        for content in self.known.keys().filter(|content| !vocabulary.contains_key(*content)) {
            if !taken.insert(*ids.get(content.as_str())?) {
                return None;
            }
        }
        for token in self.tokens.iter_mut() {
            let content = token["content"].as_str().unwrap_or("");
            if let Some(id) = ids.get(content).filter(|_| !vocabulary.contains_key(content)) {
                token["id"] = json!(id);
            }
        }
        Some(largest)
    }

    /// `listed`: the ids that tokenizer.json states.
    fn add_of_config(&mut self, config: &Value, listed: &HashSet<u64>) {
        let named = named_tokens(config);
        let complete = config["added_tokens_decoder"].as_object();
        let list = |name: &str| config[name].as_array().map_or(&[][..], Vec::as_slice);
        // The older name counts where the newer one is missing; of special_tokens_map.json also beside
        // tokens with names.
        let extra = match config.get("extra_special_tokens") {
            Some(Value::Array(list)) => list.as_slice(),
            Some(Value::Null) => &[],
            Some(Value::Object(_)) if complete.is_some() => &[],
            _ => list("additional_special_tokens"),
        };
        let names: HashSet<&str> = named.iter().filter_map(|token| token_content(token)).collect();
        // What transformers looks at before it makes objects of the configuration's tokens.
        let texts: HashSet<&str> = NAMED
            .iter()
            .map(|name| &config[*name])
            .chain(list("extra_special_tokens"))
            .filter(|token| token["__type"].is_null())
            .filter_map(token_content)
            .collect();

        let mut numbered: Vec<(u64, Value)> = Vec::new();
        if let Some(tokens) = complete {
            numbered.extend(tokens.iter().filter_map(|(id, token)| Some((id.parse().ok()?, token.clone()))));
        } else if let Some(tokens) = config["added_tokens.json"].as_object() {
            for (content, id) in tokens {
                let Some(id) = id.as_u64().filter(|id| !listed.contains(id)) else { continue };
                let special = texts.contains(content.as_str());
                numbered.push((id, json!({"content": content, "special": special, "normalized": !special})));
            }
        }
        numbered.sort_by_key(|entry| entry.0);
        for (_, token) in &numbered {
            let content = token_content(token).unwrap_or("");
            self.add(token, flag(token, "special", false) || names.contains(content));
        }
        let before: HashSet<String> = self.known.keys().cloned().collect();
        for token in &named {
            let Some(content) = token_content(token) else { continue };
            if !before.contains(content) {
                self.add(token, true);
            } else if complete.is_none() || config["bos_eos_by_flags"] == true {
                // The file's own tokens were added again, by their names special.
                let at = self.known[content];
                self.tokens[at]["special"] = Value::Bool(true);
            }
        }
        for token in extra {
            let Some(content) = token_content(token).filter(|content| !before.contains(*content)) else { continue };
            self.add(token, token.is_string() || flag(token, "special", false) || names.contains(content));
        }
    }
}

/// The tokens with a role: the usual ones, then the model's own.
fn named_tokens(config: &Value) -> Vec<&Value> {
    let mut named: Vec<&Value> = NAMED.iter().map(|name| &config[*name]).collect();
    if let Some(members) = config.as_object() {
        let own = members.iter().filter(|(name, _)| name.ends_with("_token") && !NAMED.contains(&name.as_str()));
        named.extend(own.map(|(_, token)| token));
    }
    for list in ["model_specific_special_tokens", "extra_special_tokens"] {
        named.extend(config[list].as_object().into_iter().flat_map(Map::values));
    }
    named.retain(|token| token_content(token).is_some());
    named
}

/// The libraries number added tokens that the vocabulary lacks on from its size. Where that does not
/// come to these ids, the vocabulary gets the tokens.
fn keep_ids(document: &mut Value, tokens: &[Value]) {
    let Some(vocabulary) = document["model"]["vocab"].as_object_mut() else { return };
    let outside: Vec<&Value> =
        tokens.iter().filter(|token| !vocabulary.contains_key(token["content"].as_str().unwrap_or(""))).collect();
    let mut ids: Vec<u64> = outside.iter().filter_map(|token| token["id"].as_u64()).collect();
    ids.dedup();
    if ids.into_iter().zip(vocabulary.len() as u64..).all(|(id, next)| id == next) {
        return;
    }
    for token in outside {
        vocabulary.insert(token["content"].as_str().unwrap_or("").to_string(), token["id"].clone());
    }
}
