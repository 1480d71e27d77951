// SPDX-License-Identifier: Apache-2.0
// From a path to a running model: reads the checkpoint, finds the family by its architecture,
// declares it, loads and checks every tensor.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "nn/model.h"
#include "weights/checkpoint.h"

namespace banyan::models {

struct LoadOptions {
  std::string dtype = "auto";  // auto | float32 | bfloat16 | float16: compute and cache type
  int64_t context_length = 0;  // 0: what the model declares
  // Latent attention: rows from which on a sequence's step expands the latents
  // (nn::LatentSpec::expand_rows); 0: never, which alone gives the same bits however a prompt is
  // cut.
  int expand_latents = 0;
  std::function<void(int64_t done, int64_t total)> progress;  // bytes of weights read
};

// kNotFound with the list of known architectures, kInvalidArgument naming the key or tensor that is
// missing, of wrong shape or left over, kUnimplemented naming a quantization or feature that has no
// implementation.
StatusOr<std::unique_ptr<nn::Model>> LoadModel(const ops::OpContext& context,
                                               const weights::Checkpoint& checkpoint,
                                               const LoadOptions& options);

// The family of a checkpoint, or what LoadModel would refuse it for, as far as that can be told of
// its config and of the names and types of its tensors. Reads no weights.
StatusOr<std::string> CheckModel(const weights::Checkpoint& checkpoint);

}  // namespace banyan::models
