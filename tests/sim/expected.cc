// SPDX-License-Identifier: Apache-2.0
#include "sim/expected.h"

#include <algorithm>

namespace banyan::sim {

bool Sees(const Layer& layer, int p, int j) {
  if (layer.type == Layer::kWindow) return j > p - layer.window || j < layer.sinks;
  if (layer.type == Layer::kChunked) return j / layer.window == p / layer.window;
  return true;
}

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t h = (a ^ (b + 0x9E3779B97F4A7C15ull + (a << 6) + (a >> 2))) * 0xFF51AFD7ED558CCDull;
  return h ^ (h >> 32);
}

uint64_t Entry(uint64_t weights, int layer, int token, int position) {
  return Mix(Mix(weights + static_cast<uint64_t>(layer), token), position);
}

uint64_t NextState(uint64_t weights, int layer, uint64_t state, int token) {
  return Mix(Mix(weights + static_cast<uint64_t>(layer), state), token);
}

uint64_t Turned(const Rope& rope, uint64_t weights, int length) {
  if (rope.limit == 0 || length <= rope.limit) return weights;
  return Mix(weights, rope.exact ? length : -1);
}

uint64_t Output(const std::vector<Layer>& layers, uint64_t weights, const std::vector<int>& tokens,
                int p, const Rope& rope, int length) {
  uint64_t h = weights;
  for (int layer = 0; layer < static_cast<int>(layers.size()); ++layer) {
    uint64_t state = 0;
    for (int j = 0; j <= p; ++j) {
      if (layers[layer].type == Layer::kState) {
        state = NextState(weights, layer, state, tokens[j]);
      } else if (Sees(layers[layer], p, j)) {
        h = Mix(h, Entry(Turned(rope, weights, std::max(j + 1, length)), layer, tokens[j], j));
      }
    }
    h = Mix(h, state);
  }
  return h;
}

std::vector<int> ExpectedOutput(const std::vector<Layer>& layers, uint64_t weights,
                                std::vector<int> prompt, int vocabulary, int max_new_tokens,
                                int min_new_tokens, const std::vector<int>& end_ids, int stop,
                                const Rope& rope) {
  const auto prompt_length = static_cast<int>(prompt.size());
  std::vector<int> tokens = std::move(prompt), output;
  while (static_cast<int>(output.size()) < max_new_tokens) {
    const auto size = static_cast<int>(tokens.size());
    const uint64_t h =
        Output(layers, weights, tokens, size - 1, rope, rope.recompute ? size : prompt_length);
    output.push_back(static_cast<int>(h % vocabulary));
    tokens.push_back(output.back());
    const int index = static_cast<int>(output.size()) - 1;
    const bool end = std::count(end_ids.begin(), end_ids.end(), output.back()) > 0;
    if (index == stop || (end && index >= min_new_tokens)) break;
  }
  return output;
}

}  // namespace banyan::sim
