// SPDX-License-Identifier: Apache-2.0
//! What tokenizer_config.json changes about a tokenizer.json, as transformers applies it when it
//! loads both: the added tokens (added_tokens.rs); add_bos_token and add_eos_token replace the
//! post-processor of the classes that have them. Truncation and padding are requests' business, never the tokenizer's.

use crate::added_tokens;
use serde_json::{json, Map, Value};

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

pub fn model_tokens(vocabulary: &Value) -> Result<Vec<(&str, u64)>, String> {
    let bad = || "tokenizer.json: model.vocab is not a vocabulary".to_string();
    match vocabulary {
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

/// What it returns is a warning, if there is one.
pub fn apply(document: &mut Value, config: &Value) -> Result<Option<String>, String> {
    if !document.is_object() || !document["model"].is_object() {
        return Err("tokenizer.json: expected an object with a model".to_string());
    }
    // The token that batches are padded with has the role, where the configuration is silent.
    let mut with_pad = None;
    if config.get("pad_token").is_none() && document["padding"]["pad_token"].is_string() {
        let mut own = if config.is_object() { config.clone() } else { json!({}) };
        own["pad_token"] = document["padding"]["pad_token"].take();
        with_pad = Some(own);
    }
    let config = with_pad.as_ref().unwrap_or(config);
    document["truncation"] = Value::Null;
    document["padding"] = Value::Null;
    if document["model"]["dropout"].is_number() {
        document["model"]["dropout"] = Value::Null; // it makes the ids random
    }
    let warning = added_tokens::settle(document, config)?;
    let flags = config["add_bos_token"].is_boolean() || config["add_eos_token"].is_boolean();
    if config["bos_eos_by_flags"] == true {
        if flags {
            set_post_processor(document, config)?;
        }
        return Ok(warning);
    }
    // Beside a tokenizer.json, transformers drops the flags: the file's post-processor decides. This
    // one class still builds its own.
    if matches!(config["tokenizer_class"].as_str(), Some("CodeLlamaTokenizer" | "CodeLlamaTokenizerFast")) {
        let mut own = config.clone();
        own["add_bos_token"] = Value::Bool(true);
        own["add_eos_token"] = Value::Bool(false);
        set_post_processor(document, &own)?;
    }
    Ok(warning)
}

pub fn flag(token: &Value, name: &str, fallback: bool) -> bool {
    token[name].as_bool().unwrap_or(fallback)
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
