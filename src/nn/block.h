// SPDX-License-Identifier: Apache-2.0
// Block: what a decoder layer is made of: a mixer (attention, a recurrence) or a feed-forward
// network, between the norms and additions that nn/decoder.h does. One file each; a new kind of
// block is a file, a spec in nn/decoder_spec.h and a line in nn/decoder_build.cc.
#pragma once

#include <span>
#include <vector>

#include "nn/model.h"
#include "nn/rope.h"
#include "ops/context.h"

namespace banyan::nn {

// One forward pass, as every block sees it.
struct StepInputs {
  const ops::OpContext& context;
  const ForwardBatch& batch;
  std::span<const Rope> ropes;
  std::vector<RopeAngles> angles;         // per rope
  std::vector<ops::AttentionPlan> plans;  // per cache group; of a group of states: empty
  // Of sparse attention: written by a layer with an index, read by those after it without.
  ops::ChosenPositions chosen;
  int64_t rows() const { return static_cast<int64_t>(batch.tokens.size()); }
};

// Rows [n, heads * dim], strided or not, by heads: [n, heads, dim].
inline Tensor ByHeads(const Tensor& x, int64_t heads) {
  const int64_t dim = x.dim(1) / heads;
  return {x.raw(), x.dtype(), {x.dim(0), heads, dim}, {x.stride(0), dim, 1}};
}

class Block {
 public:
  virtual ~Block() = default;
  // in and out: [n, hidden] f32, not the same. Temporaries go back to the scratch memory.
  virtual void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const = 0;
};

}  // namespace banyan::nn
