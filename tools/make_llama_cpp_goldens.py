#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Answers of llama.cpp for a GGUF model, stored small, for a test to compare with.

  pip install llama-cpp-python==0.3.36
  tools/make_llama_cpp_goldens.py MODEL.gguf > tests/golden/smollm2/llama_cpp.json
  tools/make_llama_cpp_goldens.py MODEL.gguf --long > tests/golden/gemma3/llama_cpp.json

--long adds a text of more than 512 tokens, for models whose attention has a window.

Per text: its ids (with the BOS that the model wants, special tokens matched), the log-probability of each token given
those before it, and a greedy continuation with the gap between the two best at each step.
"""
import json
import sys

import llama_cpp
import numpy as np

TEXTS = [
    "The capital of France is",
    "Once upon a time there was a small village at the edge of a forest, where",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Water boils at 100 degrees Celsius, which is 212 degrees Fahrenheit. Ice melts at",
    "<|im_start|>user\nWhat is the largest planet of our solar system?<|im_end|>\n<|im_start|>assistant\n",
    "A library is a collection of books, and possibly other materials and media, that is accessible for use by its members. "
    "Libraries provide physical or digital materials, and may be a physical location, a virtual space, or both. A library's "
    "collection normally includes printed materials which may be borrowed, and usually also includes a reference section of "
    "publications which may only be used inside the library. Many libraries also keep newspapers, magazines, maps, films and "
    "music, and they offer quiet rooms for reading and study. The first libraries were archives of the earliest form of "
    "writing: clay tablets in cuneiform script, some of them more than four thousand years old. Today most libraries also "
    "offer access to the internet, and their staff help visitors to find the information that they need. A public library is "
    "open to everyone who lives in the city, and it is usually paid for by taxes.",
    "The water cycle describes how water moves on, above and below the surface of the Earth. The sun heats the water in the "
    "oceans, and some of it evaporates into the air as water vapor. Rising air takes the vapor up into the atmosphere, where "
    "cooler temperatures cause it to condense into clouds. Winds move the clouds around the globe, and when the drops in the "
    "clouds grow heavy enough, they fall to the ground as rain or snow. Most of the rain falls back into the oceans or onto "
    "land, where it flows over the ground into rivers, and the rivers carry the water back to the sea. Some of the water soaks "
    "into the ground, where plants take it up through their roots and give it back to the air through their leaves. In this "
    "way the same water has been moving around the planet for billions of years.",
    "Grüße aus Köln! 東京は日本の首都です。 Ça va? 😀 naïve café — 3.14159, 1,000,000 \t tabs\n\n\nlines",
]
NEW_TOKENS = 32


def log_softmax(logits):
    logits = logits.astype(np.float64)
    top = logits.max()
    return logits - top - np.log(np.exp(logits - top).sum())


def main():
    path = sys.argv[1]
    texts = TEXTS + ["\n\n".join(3 * TEXTS[5:8] + TEXTS[:5])] * ("--long" in sys.argv)
    llm = llama_cpp.Llama(path, n_ctx=2048, n_batch=2048, n_threads=2, logits_all=True, verbose=False)
    add_bos = llm.metadata.get("tokenizer.ggml.add_bos_token") == "true"
    cases = []
    for text in texts:
        ids = llm.tokenize(text.encode(), add_bos=add_bos, special=True)
        llm.reset()
        llm.eval(ids)
        rows = [log_softmax(llm.scores[i]) for i in range(len(ids))]
        prompt = [None] + [round(float(rows[i - 1][ids[i]]), 5) for i in range(1, len(ids))]
        last, greedy, gaps = rows[-1], [], []
        for _ in range(NEW_TOKENS):
            second, best = np.argsort(last)[-2:]
            greedy.append(int(best))
            gaps.append(round(float(last[best] - last[second]), 4))
            llm.eval([int(best)])
            last = log_softmax(llm.scores[llm.n_tokens - 1])
        cases.append({"text": text, "ids": ids, "prompt_logprobs": prompt, "greedy_ids": greedy,
                      "gaps": gaps})
    json.dump({"made_with": f"llama-cpp-python {llama_cpp.__version__}", "cases": cases}, sys.stdout,
              ensure_ascii=False)
    print()


main()
