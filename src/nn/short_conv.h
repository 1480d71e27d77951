// SPDX-License-Identifier: Apache-2.0
// ShortConv: a gated convolution over a few positions, LFM2's mixer: output(C * conv(B * x)), where
// B, C and x are projections of the input.
//
// Logical names of its weights, under NAME ("layers.3.mixer"):
//   NAME.in.weight [3 * hidden, hidden] (B, C, x), NAME.conv.weight, NAME.output.weight, their
//   .bias
#pragma once

#include <string>

#include "nn/block.h"
#include "nn/causal_conv.h"
#include "nn/recurrent_spec.h"

namespace banyan::nn {

class ShortConv final : public Block {
 public:
  ShortConv(Scope& scope, const std::string& name, const ShortConvSpec& spec, int hidden,
            int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const int hidden_, index_;
  Linear in_, output_;
  CausalConv conv_;
  int group_ = 0;
};

}  // namespace banyan::nn
