// SPDX-License-Identifier: Apache-2.0
//! The two tokenizer libraries behind one face. The fast one (tokenizers 1.0) reads only a canonical
//! file and refuses what it cannot do exactly; the complete one (0.22) takes the rest.

use serde_json::Value;
use tokenizers_fast::pipeline::{EncodeOptions, PipelineToken, PipelineTokenizer};

pub enum Engine {
    Fast { tokenizer: Box<PipelineTokenizer>, split_special: bool },
    Full(Box<tokenizers_full::Tokenizer>),
}

impl Engine {
    /// `document` yields the tokenizer.json; it is asked again for the second engine, which is rare.
    pub fn new(document: &dyn Fn() -> Result<Value, String>, split_special: bool) -> Result<Engine, String> {
        let first = document()?;
        let fast = if fast_is_exact(&first) { fast(first) } else { None };
        if let Some(tokenizer) = fast {
            return Ok(Engine::Fast { tokenizer: Box::new(tokenizer), split_special });
        }
        let text = serde_json::to_vec(&document()?).map_err(|error| error.to_string())?;
        let mut tokenizer = tokenizers_full::Tokenizer::from_bytes(text).map_err(|error| error.to_string())?;
        tokenizer.set_encode_special_tokens(split_special);
        Ok(Engine::Full(Box::new(tokenizer)))
    }

    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, String> {
        match self {
            Engine::Fast { tokenizer, split_special } => {
                let options = EncodeOptions {
                    add_special_tokens: add_special,
                    encode_special_tokens: *split_special,
                    ..EncodeOptions::default()
                };
                let mut ids: Vec<PipelineToken> = Vec::with_capacity(text.len() / 3 + 8);
                tokenizer.encode_into(text, &options, &mut ids).map_err(|error| error.to_string())?;
                Ok(ids.into_iter().map(u32::from).collect())
            }
            Engine::Full(tokenizer) => tokenizer
                .encode_fast(text, add_special)
                .map(|encoding| encoding.get_ids().to_vec())
                .map_err(|error| error.to_string()),
        }
    }

    pub fn is_fast(&self) -> bool {
        matches!(self, Engine::Fast { .. })
    }
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

fn fast(mut document: Value) -> Option<PipelineTokenizer> {
    let build = std::panic::AssertUnwindSafe(|| {
        if document["pre_tokenizer"].is_object() {
            spell_patterns(&mut document["pre_tokenizer"]);
        }
        tokenizers_fast::canonicalize_value(&mut document).ok()?;
        let text = serde_json::to_string(&document).ok()?;
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
