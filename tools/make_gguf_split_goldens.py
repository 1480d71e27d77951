#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/text/gguf_splits.json: how llama.cpp cuts texts under each name that a GGUF file can give its
pre-tokenizer (tokenizer.ggml.pre).

  pip install llama-cpp-python==0.3.36 gguf==0.19.0 tokenizers==0.22.2
  tools/make_gguf_split_goldens.py [--banyan build/release/bin/banyan] [--show]

The vocabulary is learnt from the texts themselves without any cut, so that it would take nearly every text as one
token: what comes out as several was cut there. Per name the file holds a hash of each text's ids; names with the same
answers share them. --banyan compares that program's ids with llama.cpp's instead of writing; --show prints each
difference as pieces.

DIFFERS lists the texts at which llama.cpp is not followed, since there it is not what the model's own tokenizer does;
the test leaves them out.
"""
import argparse
import ctypes
import json
import pathlib
import subprocess
import tempfile

import gguf
import llama_cpp
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from make_token_goldens import ROOT, hash_of

NAMES = """
default llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano deepseek-llm deepseek-coder
deepseek-v3 spark2_5 youtu falcon mpt starcoder gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum
modern-bert jais-2 jina-v1-en jina-v2-code roberta-bpe refact command-r qwen2 deepseek-r1-qwen kormo f2llmv2 qwen35
stablelm2 olmo dbrx smaug-bpe poro-chat chatglm-bpe glm4 glm5 viking jais tekken smollm codeshell bloom gpt3-finnish exaone
exaone4 exaone-moe chameleon minerva-7b megrez gpt-4o llama4 kanana2 talkie granite-embed-multi-97m tiny_aya cohere2moe
superbpe trillion granite-docling bailingmoe bailingmoe2 llada-moe seed-coder hunyuan hunyuan-dense hy_v4 joyai-llm kimi-k2
ufakzeka grok-2 afmoe laguna minimax-m2 solar-open mellum2 minicpm5
""".split()

TEXTS = [
    "Hello, world! How're you?", "I'LL we'Ve it'S he'd 'Tis don't CAN'T o'clock '' 's", " leading, trailing ",
    "two  three   four    x", "tab\tx\t\ty \tz\t z", "line\nline\n\nline\n\n\n  x", "crlf\r\nx\r\n\r\ny\r", "end   ", "end\n\n ",
    " \n \n\n x", "             x                    ", "\u00a0nbsp\u00a0\u00a0x\u3000y\u2003z\u2028w\u0085v",
    "1 12 123 1234 12345 1234567 x1y22z333w4444", "3.14159 1,000,000.00 2024-07-26T12:34", "a1b 12345678901 0x1F 1e10 v2.0.1",
    "\u0663\u0664\u0665\u0666 \u00b2\u00b3x \u2167\u2168 \u00bd \u0967\u0968\u0969\u096a \u4e00\u4e8c\u4e09\u56db",
    "if (a[i]==b->c && d!=e){f(g);} // h\n", "https://x.org/a/b?c=d&e=f#g", "path/to//file\n//\n/x", "a/\nb /\n\nc.\r\nd",
    "!!! ... ??? --- *** $$$ +=<>^~|`", "#hash @at _under_score__ -dash 'quote' \"dq\"", "$var +plus =eq ~t `b` !w", "C# C++ F# .NET a.b .c",
    "iPhone HTTPServer camelCase XMLHttp ABCdef aBC", "\u00c0\u00c9t\u00e9 \u00d1and\u00fa \u01c5ak \u00df\u1e9e \u0130\u0131 \u00c9COLE",
    "\u0416\u0443\u043a \u041c\u043e\u0441\u043a\u0432\u0430 \u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u10d0\u10d1 \u0561\u0562",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01Hello\u4e16\u754c 123\u4e2d\u6587", "\u6771\u4eac\u306f\u65e5\u672c\u306e\u30ab\u30bf\u30ab\u30ca\u3067\u3059\u3002\u30fc\uff76\uff85",
    "\ud55c\uad6d\uc5b4 \uc870\uc120\ub9d0\u3131\u314f 1\uac1c", "\u3105\u3106\u3107 \u2018x\u2019 \u201cy\u201d\u2026\u2014\uff1a\uff1b\u3001",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0eb2\u0ea5\u0eb2\u0ea7 \u1797\u17b6\u179f\u17b6 \u1019\u103c\u1014\u103a\u1019\u102c",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e \u0ba4\u0bae\u0bbf\u0bb4\u0bcd", "\u0627\u0644\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0629\u060c \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u06d4",
    "e\u0301te\u0301 n\u0303 A\u030a Ve\u0301lo \u0301x", "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f1e9\U0001f1ea x\U0001f44d\U0001f3fdy",
    "\U0001d400\U0001d401 \U00020000\U00020001 \U0001e900\U0001e922 \U00010400", "\x01\x02 \x1b[0m \x7f \x0b\x0c x\x1cy",
    "\ufeffbom \ufffd \ue000 \u0378 \u200bz", "<sentinel:12> IMGIMGABCZ IMGIMGZ", "x = 10;\n\ty = 'a\\n';\n    return 0\n",
    "(nested [brackets {here}])", "a,b;c:d.e!f?g", "\u20ac100 \u00a35 \u00a51000 50% \u00b0C \u00b11",
    "\u0142\u00f3d\u017a \u010desk\u00fd \u0111\u01b0\u1eddng \u00fevert", "100\u3007\u4e94 \u5341\u516d 5\u6708", "Don\u2019t we\u2019ll I\u2019M",
]

# Letters' cases, and marks among them, by Unicode's categories, where llama.cpp has only a-z and A-Z.
CASES = dict.fromkeys(["tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], {25, 31, 32, 33, 34})
CASES |= {"granite-embed-multi-97m": {25}, "youtu": {24, 25}}
# The same; and U+3007, which is of the Han script and no decimal digit.
CASES |= {"kimi-k2": {24, 25, 31, 32, 33, 34, 45}, "tiny_aya": {24, 25, 34, 45}, "cohere2moe": {24, 25, 34, 45}}
# Their tokenizer.json composes the text first (NFC), as that of tiny_aya does.
COMPOSED = dict.fromkeys(["qwen2", "f2llmv2", "qwen35", "hunyuan", "command-r", "modern-bert", "mpt", "olmo"], {34})
# Digits that are not ASCII's are digits.
DIFFERS = CASES | COMPOSED | {"superbpe": {15}}


def learn():
    """The merges, in order. Tokens are the 256 bytes and what the merges make."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=100000, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]


def tokens_of(merges):
    tokens = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokens.update(dict.fromkeys(left + right for left, right in merges))
    return list(tokens)


def write_gguf(path, name, tokens, merges):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list([*tokens, "<|end|>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.CONTROL])
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens))
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def silent(level, text, data):
    pass


class LlamaVocab:
    """Only the vocabulary: no context is made."""

    def __init__(self, path):
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def encode(self, text, add_special=False):
        raw = text.encode()
        room = len(raw) + 16
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), ids, room, add_special, True)
        if count < 0:
            raise RuntimeError("more ids than bytes")
        return list(ids[:count])

    def close(self):
        llama_cpp.llama_model_free(self.model)


def banyan_ids(binary, path, texts, *options):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    done = subprocess.run([binary, "tokenize", "--model", path, *options], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr.strip()
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--banyan")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("names", nargs="*", default=NAMES)
    args = parser.parse_args()
    llama_cpp.llama_log_set(silent, None)
    merges = learn()
    tokens = tokens_of(merges)
    groups = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names:
            path = f"{folder}/{name}.gguf"
            write_gguf(path, name, tokens, merges)
            llama = LlamaVocab(path)
            theirs = [llama.encode(text) for text in TEXTS]
            llama.close()
            if args.banyan:
                compare(name, theirs, banyan_ids(args.banyan, path, TEXTS, "--no-specials"), tokens, args.show)
                continue
            hashes = [None if i in DIFFERS.get(name, ()) else hash_of(ids) for i, ids in enumerate(theirs)]
            groups.setdefault(json.dumps(hashes), []).append(name)
    if args.banyan:
        return
    lines = [f'{{"names":{json.dumps(names)},"hashes":{hashes}}}' for hashes, names in groups.items()]
    target = ROOT / "tests/golden/text/gguf_splits.json"
    target.write_text('{"texts":' + json.dumps(TEXTS) + ',\n"bytes":' +
                      json.dumps(sorted(pre_tokenizers.ByteLevel.alphabet())) + ',\n"merges":' +
                      json.dumps(merges, ensure_ascii=False, separators=(",", ":")) + ',\n"groups":[\n' +
                      ",\n".join(lines) + "]}\n")


def compare(name, theirs, ours, tokens, show):
    if isinstance(ours, str):
        print(f"{name}: {ours}")
        return
    differ = [i for i in range(len(TEXTS)) if theirs[i] != ours[i]]
    print(f"{name}: {len(TEXTS) - len(differ)} of {len(TEXTS)} alike" + (f", not {differ}" if differ else ""))
    if show:
        for i in differ:
            for who, ids in (("llama", theirs[i]), ("ours ", ours[i])):
                print(f"   {i} {who}", "|".join(readable(tokens[t]) for t in ids))


def readable(token):
    table = byte_table()
    return bytes(table[c] for c in token).decode("utf-8", "backslashreplace").replace("\n", "\\n").replace("\r", "\\r")


def byte_table():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in kept}
    table.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in kept)})
    return table


if __name__ == "__main__":
    main()
