#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/text/token_hashes.json: for each tokenizer of the shared data a hash of the
ids that Hugging Face's tokenizers gives each of its hard texts (no BOS or EOS). The texts
themselves stay in the shared data.

Usage: make_token_goldens.py [SHARED_DATA]    needs: tokenizers==0.22.2
"""
import json
import lzma
import pathlib
import sys

from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ["gpt-oss", "deepseek-v3", "mistral-tekken", "t5-small", "llama2"]


def hash_of(ids):
    """FNV-1a over the ids as little-endian 32-bit numbers."""
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def main():
    shared = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "../shared/data")
    texts = json.loads((shared / "tokenizers/texts.json").read_text("utf-8"))
    lines = []
    for name in NAMES:
        with lzma.open(shared / f"tokenizers/{name}/tokenizer.json.xz") as file:
            tokenizer = Tokenizer.from_str(file.read().decode("utf-8"))
        hashes = [hash_of(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
        lines.append(f"{json.dumps(name)}: {json.dumps(hashes)}")
    target = ROOT / "tests/golden/text/token_hashes.json"
    target.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
