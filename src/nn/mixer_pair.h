// SPDX-License-Identifier: Apache-2.0
// MixerPair: attention and Mamba 2 side by side on one input (Falcon H1): mamba_out * mamba(x) +
// attention_out * attention(attention_in * x). Their weights: nn/attention.h, nn/mamba2.h.
#pragma once

#include "nn/attention.h"
#include "nn/mamba2.h"

namespace banyan::nn {

class MixerPair final : public Block {
 public:
  // `name`: of the layer ("layers.3.").
  MixerPair(Scope& scope, const std::string& name, const DecoderSpec& spec, const LayerSpec& layer,
            int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const PairSpec spec_;
  const Attention attention_;
  const Mamba2 mamba_;
};

}  // namespace banyan::nn
