// SPDX-License-Identifier: Apache-2.0
// What a request must say in the hash model, as a function of its tokens alone. Shares no code with
// the engine: it is what the engine is held against. docs/design.md section 8.2.
#pragma once

#include <cstdint>
#include <vector>

namespace banyan::sim {

// One kind of cache of the model, in the test's own terms.
struct Layer {
  enum Type { kFull, kWindow, kChunked, kState } type = kFull;
  int window = 0;
  int sinks = 0;
};

// Whether and how the entries of longer texts are others than those of shorter ones.
struct Rope {
  int limit = 0;           // up to which all are the same; 0: always
  bool exact = false;      // each length beyond has its own, else all of them the same
  bool recompute = false;  // a text counts as long as it is now, else as its prompt; not if exact
};
// What the entries at the last position of a text of so many tokens are made from.
uint64_t Turned(const Rope& rope, uint64_t weights, int length);

// Whether a query at position p of the layer sees the entry at position j <= p.
bool Sees(const Layer& layer, int p, int j);

uint64_t Mix(uint64_t a, uint64_t b);
// What the layer keeps of the token at `position`, in a model with the given weights.
uint64_t Entry(uint64_t weights, int layer, int token, int position);
// A recurrent layer's state after one more token.
uint64_t NextState(uint64_t weights, int layer, uint64_t state, int token);

// The output of a model at position p of the tokens: a hash of all that it sees. The entries are
// those of a text of at least `length` tokens.
uint64_t Output(const std::vector<Layer>& layers, uint64_t weights, const std::vector<int>& tokens,
                int p, const Rope& rope, int length);

// The whole output of a request: up to max_new_tokens, or an end id at index min_new_tokens or
// later, or index `stop`.
std::vector<int> ExpectedOutput(const std::vector<Layer>& layers, uint64_t weights,
                                std::vector<int> prompt, int vocabulary, int max_new_tokens,
                                int min_new_tokens, const std::vector<int>& end_ids, int stop,
                                const Rope& rope = {});

}  // namespace banyan::sim
