/* SPDX-License-Identifier: Apache-2.0
 * The C face of the crate ffi/text. Included by src/text only.
 *
 * Ownership: a BtBuffer is the crate's memory, given back with bt_buffer_free; handles are given
 * back with their own free function. Borrowed pointers live as long as their handle. Errors: a
 * function that can fail returns 0 for success and otherwise fills `error` with a message; it never
 * unwinds into the caller. Threads: handles are immutable and may be shared. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint8_t* data;
  size_t size;
  size_t capacity;
} BtBuffer;

void bt_buffer_free(BtBuffer buffer);

/* --- tokenizers ---------------------------------------------------------------------------------
 */

typedef struct BtTokenizer BtTokenizer;

enum { BT_TOKEN_EXISTS = 1, BT_TOKEN_ADDED = 2, BT_TOKEN_SPECIAL = 4 };

/* `json`: a tokenizer.json. `config`: tokenizer_config.json, or empty; the special tokens, added
 * tokens, add_bos_token, add_eos_token and split_special_tokens of it take effect as in
 * transformers. */
int bt_tokenizer_new(const uint8_t* json, size_t json_size, const uint8_t* config,
                     size_t config_size, BtTokenizer** tokenizer, BtBuffer* error);
void bt_tokenizer_free(BtTokenizer* tokenizer);

/* `ids`: 32-bit ids in the machine's byte order. */
int bt_tokenizer_encode(const BtTokenizer* tokenizer, const uint8_t* text, size_t text_size,
                        int add_special, BtBuffer* ids, BtBuffer* error);

/* One more than the largest id. */
uint32_t bt_tokenizer_id_bound(const BtTokenizer* tokenizer);
/* The token as the vocabulary spells it, borrowed; returns the flags above, 0 when there is none.
 */
uint32_t bt_tokenizer_token(const BtTokenizer* tokenizer, uint32_t id, const uint8_t** data,
                            size_t* size);
/* -1 when there is none. */
int64_t bt_tokenizer_token_id(const BtTokenizer* tokenizer, const uint8_t* token, size_t size);
/* The decoder as JSON ("null" when there is none), and the name of the model, both borrowed. */
void bt_tokenizer_decoder(const BtTokenizer* tokenizer, const uint8_t** data, size_t* size);
void bt_tokenizer_model(const BtTokenizer* tokenizer, const uint8_t** data, size_t* size);
/* What the caller should tell its user about the file, borrowed; mostly empty. */
void bt_tokenizer_warning(const BtTokenizer* tokenizer, const uint8_t** data, size_t* size);
/* 1 when the fast engine took it, 0 when the complete one did. */
int bt_tokenizer_is_fast(const BtTokenizer* tokenizer);

/* Runs one decoder of tokenizer.json over tokens; both lists as frames: a 32-bit size, then the
 * bytes. */
int bt_decoder_run(const uint8_t* json, size_t json_size, const uint8_t* tokens, size_t tokens_size,
                   BtBuffer* decoded, BtBuffer* error);

/* --- chat templates -----------------------------------------------------------------------------
 */

typedef struct BtTemplate BtTemplate;

int bt_template_new(const uint8_t* source, size_t size, BtTemplate** parsed, BtBuffer* error);
void bt_template_free(BtTemplate* parsed);
/* `variables` and `defaults`: JSON objects (or empty); a name in both has its value of `variables`.
 * `now`: local time as seconds since 1970. */
int bt_template_render(const BtTemplate* parsed, const uint8_t* variables, size_t variables_size,
                       const uint8_t* defaults, size_t defaults_size, int64_t now, BtBuffer* text,
                       BtBuffer* error);

#ifdef __cplusplus
} /* extern "C" */
#endif
