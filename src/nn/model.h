// SPDX-License-Identifier: Apache-2.0
// Model: a loaded network, ready to run steps. What run/ sees of nn/, models/ and weights/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/cache_spec.h"
#include "ops/attention.h"
#include "ops/context.h"
#include "ops/state.h"
#include "tensor/tensor.h"

namespace banyan::nn {

struct ModelInfo {
  std::string family;        // registry name: "llama"
  std::string architecture;  // as the checkpoint says: "LlamaForCausalLM"
  int vocab_size = 0;
  int hidden_size = 0;
  int num_layers = 0;
  int64_t context_length = 0;  // positions that the model declares
  std::vector<TokenId>
      end_ids;  // eos of config.json / GGUF metadata (generation_config.json is read by engine/)
  std::optional<TokenId> bos_id;
  DType compute = DType::kF32;
  int64_t num_parameters = 0;
  // What a row is multiplied by: tables left out, and of experts those that it does not go through;
  // and what a row is whose logits are wanted.
  int64_t row_parameters = 0, output_parameters = 0;
  // Held by packed weights and mapped tensors; not by a table whose product is packed as well.
  int64_t weight_bytes = 0;
  int64_t looked_up_bytes = 0;  // of them, tables of which a step reads single rows only
  int64_t expert_bytes = 0;     // of them, experts of which a row goes through a share
  double expert_share = 0.0;
  std::vector<CacheGroupSpec> cache_groups;
  RopeLengths rope_lengths;
};

// What one layer has in a group's pool, by the roles of its segments; the others are empty.
struct LayerCache {
  ops::PagedKv kv;
  Tensor latent;  // [pages, page_size, 1, dim]
  Tensor index;   // [pages, page_size, heads, dim]: keys of a sparse attention's index
  Tensor conv;    // [slots, heads, dim] f32: the last inputs of a convolution
  Tensor state;   // [slots, heads, dim] f32
};

// The pools of one group, one per layer that it holds, indexed by layer number of the model.
struct CachePool {
  int page_size = 0;
  std::vector<LayerCache> layers;
};

// One step. All spans borrow from the caller for the call.
struct ForwardBatch {
  std::span<const TokenId> tokens;
  std::span<const int32_t> positions;
  // Per cache group of pages, the sequences in the order of the tokens: the same q ranges, each
  // group's own page tables. For a group of states none.
  std::span<const std::span<const ops::AttentionSequence>> sequences;
  // Per cache group: for a group of states, the sequences; for others none.
  std::span<const std::span<const ops::StateSequence>> states;
  std::span<const CachePool> pools;     // per cache group
  std::span<const int32_t> logit_rows;  // token indices whose logits are wanted
  // Per token the rope length of its row (RopeLengths), 0 for none; or empty.
  std::span<const int32_t> rope_lengths;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  // logits: [logit_rows.size(), vocab_size] f32. One step at a time.
  virtual Status Forward(const ops::OpContext& context, const ForwardBatch& batch,
                         const Tensor& logits) = 0;
  // What a number that Forward has put at OpContext::place stands for: "layer 3 attention". Any
  // thread.
  virtual std::string PlaceName(int32_t /*place*/) const { return "model"; }
};

}  // namespace banyan::nn
