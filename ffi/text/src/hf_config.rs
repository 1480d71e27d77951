// SPDX-License-Identifier: Apache-2.0
//! What tokenizer_config.json changes about a tokenizer.json, as transformers applies it when it
//! loads both: special tokens that the file lacks are added, add_bos_token and add_eos_token replace
//! the post-processor of the classes that have them. Truncation and padding are requests' business, never the tokenizer's.

use serde_json::{json, Map, Value};
use std::collections::HashMap;

const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

pub struct AddedToken<'a> {
    pub content: &'a str,
    pub id: u64,
    pub special: bool,
}

pub fn model_type(document: &Value) -> &str {
    let model = &document["model"];
    if let Some(name) = model["type"].as_str() {
        return name;
    }
    // Files older than the tag.
    if model["merges"].is_array() {
        "BPE"
    } else if model["vocab"].is_array() {
        "Unigram"
    } else if model["continuing_subword_prefix"].is_string() {
        "WordPiece"
    } else {
        "WordLevel"
    }
}

pub fn model_tokens(document: &Value) -> Result<Vec<(&str, u64)>, String> {
    let bad = || "tokenizer.json: model.vocab is not a vocabulary".to_string();
    match &document["model"]["vocab"] {
        Value::Object(vocab) => vocab
            .iter()
            .map(|(token, id)| Ok((token.as_str(), id.as_u64().ok_or_else(bad)?)))
            .collect(),
        Value::Array(vocab) => vocab
            .iter()
            .enumerate()
            .map(|(id, entry)| Ok((entry[0].as_str().ok_or_else(bad)?, id as u64)))
            .collect(),
        _ => Err(bad()),
    }
}

pub fn added_tokens(document: &Value) -> Result<Vec<AddedToken<'_>>, String> {
    let Some(tokens) = document["added_tokens"].as_array() else { return Ok(Vec::new()) };
    let bad = || "tokenizer.json: added_tokens holds an entry without content or id".to_string();
    tokens
        .iter()
        .map(|token| {
            Ok(AddedToken {
                content: token["content"].as_str().ok_or_else(bad)?,
                id: token["id"].as_u64().ok_or_else(bad)?,
                special: token["special"].as_bool().unwrap_or(false),
            })
        })
        .collect()
}

/// A special token is spelled as a string or as an AddedToken object.
pub fn token_content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

pub fn apply(document: &mut Value, config: &Value) -> Result<(), String> {
    if !document.is_object() || !document["model"].is_object() {
        return Err("tokenizer.json: expected an object with a model".to_string());
    }
    document["truncation"] = Value::Null;
    document["padding"] = Value::Null;
    if document["model"]["dropout"].is_number() {
        document["model"]["dropout"] = Value::Null; // it makes the ids random
    }
    if config.is_object() {
        add_missing_tokens(document, config)?;
    }
    keep_added_ids(document)?;
    let flags = config["add_bos_token"].is_boolean() || config["add_eos_token"].is_boolean();
    if config["bos_eos_by_flags"] == true {
        return if flags { set_post_processor(document, config) } else { Ok(()) };
    }
    // Beside a tokenizer.json, transformers drops the flags: the file's post-processor decides. This
    // one class still builds its own.
    if matches!(config["tokenizer_class"].as_str(), Some("CodeLlamaTokenizer" | "CodeLlamaTokenizerFast")) {
        let mut own = config.clone();
        own["add_bos_token"] = Value::Bool(true);
        own["add_eos_token"] = Value::Bool(false);
        return set_post_processor(document, &own);
    }
    Ok(())
}

fn flag(token: &Value, name: &str, fallback: bool) -> bool {
    token[name].as_bool().unwrap_or(fallback)
}

/// The tokens that the config names: those with an id in the order of their ids, then the named
/// ones, then the extra ones.
fn config_tokens(config: &Value) -> Vec<(&Value, bool)> {
    let mut tokens: Vec<(&Value, bool)> = Vec::new();
    if let Some(decoder) = config["added_tokens_decoder"].as_object() {
        let mut listed: Vec<(u64, &Value)> =
            decoder.iter().filter_map(|(id, token)| Some((id.parse().ok()?, token))).collect();
        listed.sort_by_key(|entry| entry.0);
        tokens.extend(listed.into_iter().map(|(_, token)| (token, flag(token, "special", false))));
    }
    tokens.extend(NAMED.iter().map(|name| (&config[*name], true)));
    for name in ["additional_special_tokens", "extra_special_tokens"] {
        match &config[name] {
            Value::Array(list) => tokens.extend(list.iter().map(|token| (token, true))),
            Value::Object(map) => tokens.extend(map.values().map(|token| (token, true))),
            _ => {}
        }
    }
    tokens
}

fn add_missing_tokens(document: &mut Value, config: &Value) -> Result<(), String> {
    let wanted = config_tokens(config);
    let mut known: HashMap<String, usize> = HashMap::new();
    for (index, token) in added_tokens(document)?.iter().enumerate() {
        known.insert(token.content.to_string(), index);
    }
    // What the vocabulary lacks is numbered on from the size of both together.
    let mut missing: Vec<(Map<String, Value>, Option<u64>)> = Vec::new();
    let mut make_special: Vec<usize> = Vec::new();
    {
        let needs_vocabulary = wanted
            .iter()
            .any(|(token, _)| token_content(token).is_some_and(|content| !known.contains_key(content)));
        let vocabulary: HashMap<&str, u64> =
            if needs_vocabulary { model_tokens(document)?.into_iter().collect() } else { HashMap::new() };
        let existing = known.len();
        let outside =
            added_tokens(document)?.iter().filter(|token| !vocabulary.contains_key(token.content)).count();
        let mut next = (vocabulary.len() + outside) as u64;
        for (token, special) in wanted {
            let Some(content) = token_content(token) else { continue };
            if content.is_empty() {
                continue;
            }
            if let Some(&index) = known.get(content) {
                if special && index < existing {
                    make_special.push(index);
                }
                continue;
            }
            known.insert(content.to_string(), usize::MAX);
            let id = vocabulary.get(content).copied().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            let entry = json!({
                "id": id, "content": content, "special": special,
                "single_word": flag(token, "single_word", false),
                "lstrip": flag(token, "lstrip", false),
                "rstrip": flag(token, "rstrip", false),
                "normalized": flag(token, "normalized", !special),
            });
            let Value::Object(entry) = entry else { continue };
            missing.push((entry, Some(id)));
        }
    }
    if missing.is_empty() && make_special.is_empty() {
        return Ok(());
    }
    if !document["added_tokens"].is_array() {
        document["added_tokens"] = json!([]);
    }
    let Some(list) = document["added_tokens"].as_array_mut() else { return Ok(()) };
    for index in make_special {
        list[index]["special"] = Value::Bool(true);
    }
    list.extend(missing.into_iter().map(|(entry, _)| Value::Object(entry)));
    list.sort_by_key(|token| token["id"].as_u64());
    Ok(())
}

/// The libraries number added tokens that the model's vocabulary lacks on from its size, whatever the
/// file says. Where that is not what it says, the vocabulary gets them, so that its ids hold. A
/// token that the vocabulary has keeps the vocabulary's id, as with the libraries.
fn keep_added_ids(document: &mut Value) -> Result<(), String> {
    let listed: HashMap<&str, u64> =
        if document["model"]["vocab"].is_array() { model_tokens(document)?.into_iter().collect() } else { HashMap::new() };
    let vocab_id = |content: &str| match &document["model"]["vocab"] {
        Value::Object(vocab) => vocab.get(content).and_then(Value::as_u64),
        _ => listed.get(content).copied(),
    };
    let mut next = document["model"]["vocab"].as_object().map_or(listed.len(), Map::len) as u64;
    let mut outside: Vec<(String, u64)> = Vec::new();
    let mut renumbered: Vec<(usize, u64)> = Vec::new();
    let mut as_stated = true;
    for (index, token) in added_tokens(document)?.iter().enumerate() {
        match vocab_id(token.content) {
            Some(id) if id == token.id => {}
            Some(id) => renumbered.push((index, id)),
            None => {
                as_stated &= token.id == next;
                next += 1;
                outside.push((token.content.to_string(), token.id));
            }
        }
    }
    for (index, id) in renumbered {
        document["added_tokens"][index]["id"] = json!(id);
    }
    if as_stated {
        return Ok(());
    }
    let mut owners: HashMap<u64, String> =
        model_tokens(document)?.into_iter().map(|(token, id)| (id, token.to_string())).collect();
    let Some(vocab) = document["model"]["vocab"].as_object_mut() else {
        return Err("tokenizer.json: added tokens whose ids do not follow the vocabulary's".to_string());
    };
    for (content, id) in outside {
        if let Some(other) = owners.insert(id, content.clone()).filter(|other| *other != content) {
            return Err(format!("tokenizer.json: id {id} is of \"{other}\" and of \"{content}\""));
        }
        vocab.insert(content, json!(id));
    }
    Ok(())
}

fn set_post_processor(document: &mut Value, config: &Value) -> Result<(), String> {
    let mut single = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
    let mut specials = Map::new();
    for (switch, name) in [("add_bos_token", "bos_token"), ("add_eos_token", "eos_token")] {
        let Some(content) = token_content(&config[name]) else { continue };
        if config[switch].as_bool() != Some(true) {
            continue;
        }
        let added = added_tokens(document)?;
        let Some(token) = added.iter().find(|token| token.content == content) else { continue };
        let piece = json!({"SpecialToken": {"id": content, "type_id": 0}});
        if name == "bos_token" {
            single.insert(0, piece);
        } else {
            single.push(piece);
        }
        specials.insert(content.to_string(), json!({"id": content, "ids": [token.id], "tokens": [content]}));
    }
    let mut pair = single.clone();
    for piece in &single {
        let mut piece = piece.clone();
        for kind in ["Sequence", "SpecialToken"] {
            if piece[kind].is_object() {
                piece[kind]["type_id"] = json!(1);
                if kind == "Sequence" {
                    piece[kind]["id"] = json!("B");
                }
            }
        }
        pair.push(piece);
    }
    document["post_processor"] =
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials});
    Ok(())
}
