#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Banyan beside llama.cpp on one GGUF model: decode, prefill, eight streams, in turns.

  pip install llama-cpp-python==0.3.36      (builds llama.cpp for this machine)
  tools/compare_llama_cpp.py build/release/bin/banyan MODEL.gguf [--threads 2] [--rounds 3]

Prints tokens a second of both, the best of the rounds, and their ratio.
"""
import argparse
import json
import random
import subprocess
import time

import llama_cpp

DECODE_TOKENS = 128
PREFILL_TOKENS = 512


def banyan(binary, name, model, threads, *extra):
    command = [binary, "bench", name, "--model-path", model, "--threads", str(threads), "--json", *extra]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {figure["name"]: figure["value"] for figure in figures["figures"]}


class LlamaCpp:
    def __init__(self, model, threads):
        self.llm = llama_cpp.Llama(model, n_ctx=2048, n_threads=threads, n_threads_batch=threads,
                                   n_batch=PREFILL_TOKENS, n_ubatch=PREFILL_TOKENS, verbose=False)
        self.random = random.Random(1)

    def prompt(self, length):
        return [self.random.randrange(1000, self.llm.n_vocab()) for _ in range(length)]

    def prefill(self):
        self.llm.reset()
        tokens = self.prompt(PREFILL_TOKENS)
        start = time.perf_counter()
        self.llm.eval(tokens)
        return PREFILL_TOKENS / (time.perf_counter() - start)

    def decode(self):
        self.llm.reset()
        self.llm.eval(self.prompt(128))
        batch = llama_cpp.llama_batch_init(1, 0, 1)
        context = self.llm.ctx
        start = time.perf_counter()
        for step in range(DECODE_TOKENS):
            batch.n_tokens = 1
            batch.token[0] = 1000 + step
            batch.pos[0] = 128 + step
            batch.n_seq_id[0] = 1
            batch.seq_id[0][0] = 0
            batch.logits[0] = 1
            if llama_cpp.llama_decode(context, batch) != 0:
                raise RuntimeError("llama_decode failed")
            llama_cpp.llama_get_logits_ith(context, -1)
        seconds = time.perf_counter() - start
        llama_cpp.llama_batch_free(batch)
        return DECODE_TOKENS / seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    other = LlamaCpp(args.model, args.threads)
    best = {}

    def note(name, value):
        best[name] = max(best.get(name, 0), value)

    for _ in range(args.rounds):
        note("llama.cpp decode", other.decode())
        note("llama.cpp prefill", other.prefill())
        decode = banyan(args.binary, "decode", args.model, args.threads, "--batch-size", "1", "8")
        prefill = banyan(args.binary, "prefill", args.model, args.threads, "--input-len", str(PREFILL_TOKENS))
        note("decode", decode["batch 1"])
        note("8 streams", decode["batch 8"])
        note("prefill", prefill[f"{PREFILL_TOKENS} tokens"])

    rows = [("decode, batch 1", "decode", "llama.cpp decode"),
            ("8 streams, against one", "8 streams", "llama.cpp decode"),
            (f"prefill of {PREFILL_TOKENS}", "prefill", "llama.cpp prefill")]
    print(f"{'tokens/s':<24} {'banyan':>10} {'llama.cpp':>10} {'ratio':>7}")
    for title, ours, theirs in rows:
        print(f"{title:<24} {best[ours]:>10.1f} {best[theirs]:>10.1f} {best[ours] / best[theirs]:>7.2f}")


main()
