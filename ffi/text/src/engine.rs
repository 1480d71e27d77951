// SPDX-License-Identifier: Apache-2.0
//! The two tokenizer libraries behind one face. The fast one (tokenizers 1.0) reads only a canonical
//! file and refuses what it cannot do exactly; the complete one (0.22) takes the rest.

use crate::tokenizer::Source;
use serde_json::Value;
use std::sync::OnceLock;
use tokenizers_fast::pipeline::{EncodeOptions, PipelineToken, PipelineTokenizer};

pub enum Engine {
    Fast { tokenizer: Box<PipelineTokenizer>, split_special: bool, stand_ins: Option<StandIns> },
    Full(Box<tokenizers_full::Tokenizer>),
}

/// The fast engine wants a token for each byte, which not every byte-level vocabulary has. It gets
/// stand-ins from the id `first` on; a text that has such a byte goes to the complete engine, which
/// is made when first needed.
pub struct StandIns {
    first: u32,
    json: Vec<u8>,
    config: Value,
    full: OnceLock<Result<tokenizers_full::Tokenizer, String>>,
}

impl StandIns {
    fn full(&self, split_special: bool) -> Result<&tokenizers_full::Tokenizer, String> {
        let made = self.full.get_or_init(|| {
            full(&Source { json: &self.json, config: &self.config }.document()?, split_special)
        });
        made.as_ref().map_err(String::clone)
    }
}

impl Engine {
    /// `document` is that of `source`, which is read again for the second engine; `merges` those that
    /// it lacks.
    pub fn new(
        mut document: Value,
        merges: Option<&str>,
        source: Source,
        split_special: bool,
    ) -> Result<Engine, String> {
        check_charsmaps(&document["normalizer"])?;
        if fast_is_exact(&document) {
            let first = add_stand_ins(&mut document);
            if let Some(tokenizer) = fast(document, merges) {
                let stand_ins = first.map(|first| StandIns {
                    first,
                    json: source.json.to_vec(),
                    config: source.config.clone(),
                    full: OnceLock::new(),
                });
                return Ok(Engine::Fast { tokenizer: Box::new(tokenizer), split_special, stand_ins });
            }
        }
        document = source.document()?;
        Ok(Engine::Full(Box::new(full(&document, split_special)?)))
    }

    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, String> {
        match self {
            Engine::Fast { tokenizer, split_special, stand_ins } => {
                let options = EncodeOptions {
                    add_special_tokens: add_special,
                    encode_special_tokens: *split_special,
                    ..EncodeOptions::default()
                };
                let mut ids: Vec<PipelineToken> = Vec::with_capacity(text.len() / 3 + 8);
                tokenizer.encode_into(text, &options, &mut ids).map_err(|error| error.to_string())?;
                let ids: Vec<u32> = ids.into_iter().map(u32::from).collect();
                match stand_ins {
                    Some(missing) if ids.iter().any(|&id| id >= missing.first) => {
                        encode_full(missing.full(*split_special)?, text, add_special)
                    }
                    _ => Ok(ids),
                }
            }
            Engine::Full(tokenizer) => encode_full(tokenizer, text, add_special),
        }
    }

    pub fn is_fast(&self) -> bool {
        matches!(self, Engine::Fast { .. })
    }
}

fn full(document: &Value, split_special: bool) -> Result<tokenizers_full::Tokenizer, String> {
    let json = serde_json::to_vec(document).map_err(|error| error.to_string())?;
    let mut tokenizer = tokenizers_full::Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
    tokenizer.set_encode_special_tokens(split_special);
    Ok(tokenizer)
}

fn encode_full(
    tokenizer: &tokenizers_full::Tokenizer,
    text: &str,
    add_special: bool,
) -> Result<Vec<u32>, String> {
    let encoding = tokenizer.encode_fast(text, add_special).map_err(|error| error.to_string())?;
    Ok(encoding.get_ids().to_vec())
}

/// Gives a byte-level vocabulary the bytes that it lacks; the first id that they get.
fn add_stand_ins(document: &mut Value) -> Option<u32> {
    let is_byte_level = |step: &Value| step["type"] == "ByteLevel";
    let steps = &document["pre_tokenizer"];
    let among = steps["pretokenizers"].as_array().is_some_and(|list| list.iter().any(is_byte_level));
    if !among && !is_byte_level(steps) {
        return None;
    }
    let vocab = document["model"]["vocab"].as_object()?;
    let missing: Vec<String> = tokenizers_full::pre_tokenizers::byte_level::ByteLevel::alphabet()
        .into_iter()
        .map(String::from)
        .filter(|byte| !vocab.contains_key(byte))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let added = document["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let ids = added.iter().map(|token| &token["id"]).chain(document["model"]["vocab"].as_object()?.values());
    let first = u32::try_from(ids.filter_map(Value::as_u64).max()? + 1).ok()?;
    // The libraries number added tokens on from the vocabulary's size: these get theirs first.
    let outside: Vec<(String, Value)> =
        added.iter().filter_map(|token| Some((token["content"].as_str()?.to_string(), token["id"].clone()))).collect();
    let vocab = document["model"]["vocab"].as_object_mut()?;
    for (content, id) in outside {
        vocab.entry(content).or_insert(id);
    }
    for (id, byte) in (first..).zip(missing) {
        vocab.insert(byte, Value::from(id));
    }
    Some(first)
}

/// The libraries allocate whatever a precompiled map's first four bytes (its trie's size) say.
fn check_charsmaps(normalizer: &Value) -> Result<(), String> {
    if let Some(steps) = normalizer["normalizers"].as_array() {
        steps.iter().try_for_each(check_charsmaps)?;
    }
    let Some(map) = normalizer["precompiled_charsmap"].as_str() else { return Ok(()) };
    let mut head = 0u64; // the six bytes of eight base64 digits
    for digit in map.bytes().take(8) {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => 0,
        };
        head = head << 6 | u64::from(value);
    }
    let trie = u32::from_le_bytes([(head >> 40) as u8, (head >> 32) as u8, (head >> 24) as u8, (head >> 16) as u8]);
    if map.len() >= 8 && trie as usize > map.len() / 4 * 3 {
        return Err(format!("precompiled_charsmap: its trie is said to take {trie} bytes, of {} digits in all", map.len()));
    }
    Ok(())
}

/// Where the fast engine's ids are known to differ from the complete one's.
fn fast_is_exact(document: &Value) -> bool {
    let none = Vec::new();
    let added = document["added_tokens"].as_array().unwrap_or(&none);
    let any = |flag: &str| added.iter().any(|token| token[flag] == true);
    // It judges a word's edge, and the spaces that a token takes with it, only from what the tokens
    // before it have left.
    let edge_space = |token: &Value| {
        let content = token["content"].as_str().unwrap_or("");
        content.starts_with(char::is_whitespace) || content.ends_with(char::is_whitespace)
    };
    let strips = |token: &Value| token["lstrip"] == true || token["rstrip"] == true;
    let changed = |token: &Value| token["normalized"] == true && !document["normalizer"].is_null();
    // It leaves out what BPE puts to a word's parts.
    let affix = |name: &str| document["model"][name].as_str().is_some_and(|text| !text.is_empty());
    if document["model"]["type"] != "WordPiece" && (affix("continuing_subword_prefix") || affix("end_of_word_suffix")) {
        return false;
    }
    if any("single_word")
        || added.iter().any(|token| strips(token) && changed(token))
        || (added.iter().any(strips) && added.iter().any(edge_space))
    {
        return false;
    }
    // It makes a normalizer of a Metaspace pre-tokenizer, which then comes before the search for
    // normalized added tokens and no longer knows whether a normalizer has cut what stood before.
    let pre_tokenizer = &document["pre_tokenizer"];
    let steps = match pre_tokenizer["pretokenizers"].as_array() {
        Some(steps) => steps.iter().collect(),
        None => vec![pre_tokenizer],
    };
    let Some(metaspace) = steps.into_iter().find(|step| step["type"] == "Metaspace") else { return true };
    let first_only = metaspace["prepend_scheme"] == "first";
    !any("normalized") && !(first_only && !document["normalizer"].is_null())
}

/// The fast engine knows a pattern by its spelling: line ends as escapes, but for DeepSeek's, which it
/// knows with the characters themselves; numbers by a step of their own.
fn spell_patterns(step: &mut Value) {
    const DEEPSEEK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"##;
    if let Some(steps) = step["pretokenizers"].as_array_mut() {
        return steps.iter_mut().for_each(spell_patterns);
    }
    let Some(pattern) = step["pattern"]["Regex"].as_str() else { return };
    let isolates = step["behavior"] == "Isolated" && step["invert"] != true;
    if isolates && matches!(pattern, r"\p{N}" | r"\p{N}+") {
        *step = serde_json::json!({"type": "Digits", "individual_digits": pattern == r"\p{N}"});
        return;
    }
    let escaped = pattern.replace('\r', "\\r").replace('\n', "\\n");
    let known = escaped.starts_with(DEEPSEEK);
    let spelled = if known { escaped.replace("\\r", "\r").replace("\\n", "\n") } else { escaped };
    step["pattern"]["Regex"] = Value::String(spelled);
}

fn fast(mut document: Value, merges: Option<&str>) -> Option<PipelineTokenizer> {
    let build = std::panic::AssertUnwindSafe(|| {
        if document["pre_tokenizer"].is_object() {
            spell_patterns(&mut document["pre_tokenizer"]);
        }
        tokenizers_fast::canonicalize_value(&mut document).ok()?;
        let mut text = serde_json::to_string(&document).ok()?;
        drop(document);
        if let Some(merges) = merges {
            // Within a string a quotation mark has a backslash before it.
            const NONE: &str = "\"merges\":[]";
            let end = text.find(NONE)? + NONE.len();
            text.replace_range(end - 2..end, merges);
        }
        let tokenizer = tokenizers_fast::from_json(&text).ok()?;
        // What it cannot split it refuses only when it meets text.
        let mut ids = Vec::new();
        tokenizer.encode_into("Aa 1.\n\u{e9}\u{4e2d}", &EncodeOptions::default(), &mut ids).ok()?;
        Some(tokenizer)
    });
    // A panic while it reads is a refusal as well.
    std::panic::catch_unwind(build).ok().flatten()
}

/// Tokens come and go as frames: a 32-bit size in the machine's byte order, then the bytes.
pub fn run_decoder(json: &[u8], mut frames: &[u8]) -> Result<Vec<u8>, String> {
    use tokenizers_full::Decoder;
    let decoder: tokenizers_full::DecoderWrapper =
        serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut tokens = Vec::new();
    while let Some((size, rest)) = frames.split_first_chunk::<4>() {
        let size = u32::from_ne_bytes(*size) as usize;
        let token = rest.get(..size).ok_or("a cut frame")?;
        tokens.push(String::from_utf8_lossy(token).into_owned());
        frames = &rest[size..];
    }
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for token in decoder.decode_chain(tokens).map_err(|error| error.to_string())? {
        out.extend_from_slice(&(token.len() as u32).to_ne_bytes());
        out.extend_from_slice(token.as_bytes());
    }
    Ok(out)
}
