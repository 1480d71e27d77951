#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Banyan beside llama.cpp on one GGUF model: decode, prefill, eight streams, in turns.

  pip install llama-cpp-python==0.3.36      (builds llama.cpp for this machine)
  tools/compare_llama_cpp.py build/release/bin/banyan MODEL.gguf [--threads 2] [--rounds 3] [--plain-buffers] [--json]

The two take turns; prints the median of each one's tokens a second and the median of the rounds' ratios.
--plain-buffers keeps llama.cpp from its own weight layouts: built by GCC 12 for a machine with AMX, whose tile
intrinsics do not tell that compiler what they read, it crashes without this flag.
"""
import argparse
import json
import random
import statistics
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
    def __init__(self, model, threads, plain_buffers):
        if plain_buffers:
            defaults = llama_cpp.llama_cpp.llama_model_default_params

            def plain():
                params = defaults()
                params.use_extra_bufts = False
                return params

            llama_cpp.llama_cpp.llama_model_default_params = plain
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
    parser.add_argument("--plain-buffers", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    other = LlamaCpp(args.model, args.threads, args.plain_buffers)
    rounds = []
    for _ in range(args.rounds):
        theirs = {"decode": other.decode(), "prefill": other.prefill()}
        decode = banyan(args.binary, "decode", args.model, args.threads, "--batch-size", "1", "8")
        prefill = banyan(args.binary, "prefill", args.model, args.threads, "--input-len", str(PREFILL_TOKENS))
        one, eight = decode["batch 1"], decode["batch 8"]
        rounds.append({"decode, batch 1": (one, theirs["decode"]),
                       f"prefill of {PREFILL_TOKENS}": (prefill[f"{PREFILL_TOKENS} tokens"], theirs["prefill"]),
                       "8 streams, against its one": (eight, theirs["decode"]),
                       "8 streams, against our one": (eight, one)})

    rows = []
    for title in rounds[0]:
        pairs = [figures[title] for figures in rounds]
        rows.append({"name": title, "banyan": statistics.median(ours for ours, _ in pairs),
                     "other": statistics.median(other for _, other in pairs),
                     "ratio": statistics.median(ours / other for ours, other in pairs)})
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'tokens/s':<28} {'banyan':>10} {'other':>10} {'ratio':>7}")
    for row in rows:
        print(f"{row['name']:<28} {row['banyan']:>10.1f} {row['other']:>10.1f} {row['ratio']:>7.2f}")


main()
