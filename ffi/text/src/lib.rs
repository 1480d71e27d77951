// SPDX-License-Identifier: Apache-2.0
//! The C ABI of banyan_text.h: memory, panics and strings; the work is done in the modules.

mod added_tokens;
mod engine;
mod hf_config;
mod jinja;
mod tokenizer;

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

pub use tokenizer::Tokenizer;

#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

impl Buffer {
    fn new(bytes: Vec<u8>) -> Buffer {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Buffer { data: bytes.as_mut_ptr(), size: bytes.len(), capacity: bytes.capacity() }
    }
}

/// # Safety
/// `buffer` came from this crate and is not used again.
#[no_mangle]
pub unsafe extern "C" fn bt_buffer_free(buffer: Buffer) {
    if !buffer.data.is_null() {
        drop(Vec::from_raw_parts(buffer.data, buffer.size, buffer.capacity));
    }
}

unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_string());
    format!("the library failed: {text}")
}

/// Runs `work`; stores its value in `out` or its message in `error`.
unsafe fn guard<T>(out: *mut T, error: *mut Buffer, work: impl FnOnce() -> Result<T, String>) -> i32 {
    // A caught panic is an error like any other: nothing of it belongs on the caller's stderr.
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(panic_message(payload)));
    match result {
        Ok(value) => {
            out.write(value);
            0
        }
        Err(message) => {
            error.write(Buffer::new(message.into_bytes()));
            1
        }
    }
}

/// # Safety
/// The pointers are valid for their sizes; so for every function below.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_new(
    json: *const u8,
    json_size: usize,
    config: *const u8,
    config_size: usize,
    tokenizer: *mut *mut Tokenizer,
    error: *mut Buffer,
) -> i32 {
    let (json, config) = (bytes(json, json_size), bytes(config, config_size));
    guard(tokenizer, error, || Ok(Box::into_raw(Box::new(Tokenizer::new(json, config)?))))
}

/// # Safety
/// `tokenizer` came from bt_tokenizer_new and is not used again.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(tokenizer))));
    }
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: *const u8,
    text_size: usize,
    add_special: i32,
    ids: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    let text = bytes(text, text_size);
    guard(ids, error, || {
        let text = std::str::from_utf8(text)
            .map_err(|bad| format!("the text is not UTF-8 at byte {}", bad.valid_up_to()))?;
        let ids = (*tokenizer).encode(text, add_special != 0)?;
        Ok(Buffer::new(ids.iter().flat_map(|id| id.to_ne_bytes()).collect()))
    })
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_id_bound(tokenizer: *const Tokenizer) -> u32 {
    (*tokenizer).vocabulary().id_bound()
}

unsafe fn lend(text: &str, data: *mut *const u8, size: *mut usize) {
    data.write(text.as_ptr());
    size.write(text.len());
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_token(
    tokenizer: *const Tokenizer,
    id: u32,
    data: *mut *const u8,
    size: *mut usize,
) -> u32 {
    let (text, flags) = (*tokenizer).vocabulary().token(id);
    lend(text, data, size);
    flags
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_token_id(tokenizer: *const Tokenizer, token: *const u8, size: usize) -> i64 {
    let Ok(token) = std::str::from_utf8(bytes(token, size)) else { return -1 };
    (*tokenizer).vocabulary().id(token).map_or(-1, i64::from)
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_decoder(tokenizer: *const Tokenizer, data: *mut *const u8, size: *mut usize) {
    lend((*tokenizer).decoder(), data, size);
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_model(tokenizer: *const Tokenizer, data: *mut *const u8, size: *mut usize) {
    lend((*tokenizer).model(), data, size);
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_warning(tokenizer: *const Tokenizer, data: *mut *const u8, size: *mut usize) {
    lend((*tokenizer).warning(), data, size);
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_tokenizer_is_fast(tokenizer: *const Tokenizer) -> i32 {
    i32::from((*tokenizer).is_fast())
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_decoder_run(
    json: *const u8,
    json_size: usize,
    tokens: *const u8,
    tokens_size: usize,
    decoded: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    let (json, tokens) = (bytes(json, json_size), bytes(tokens, tokens_size));
    guard(decoded, error, || Ok(Buffer::new(engine::run_decoder(json, tokens)?)))
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_template_new(
    source: *const u8,
    size: usize,
    template: *mut *mut jinja::Template,
    error: *mut Buffer,
) -> i32 {
    let source = bytes(source, size);
    guard(template, error, || {
        let source = std::str::from_utf8(source).map_err(|_| "the template is not UTF-8".to_string())?;
        let parsed = jinja::Template::new(source).map_err(|error| error.message().to_string())?;
        Ok(Box::into_raw(Box::new(parsed)))
    })
}

/// # Safety
/// `template` came from bt_template_new and is not used again.
#[no_mangle]
pub unsafe extern "C" fn bt_template_free(template: *mut jinja::Template) {
    if !template.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(template))));
    }
}

/// # Safety
/// As above.
#[no_mangle]
pub unsafe extern "C" fn bt_template_render(
    template: *const jinja::Template,
    variables: *const u8,
    variables_size: usize,
    defaults: *const u8,
    defaults_size: usize,
    now: i64,
    text: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    let (variables, defaults) = (bytes(variables, variables_size), bytes(defaults, defaults_size));
    guard(text, error, || {
        let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| "the variables are not UTF-8".to_string());
        let rendered = (*template).render(utf8(variables)?, utf8(defaults)?, now);
        Ok(Buffer::new(rendered.map_err(|error| error.message().to_string())?.into_bytes()))
    })
}
