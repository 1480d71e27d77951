// SPDX-License-Identifier: Apache-2.0
#include "nn/mixer_pair.h"

#include "ops/elementwise.h"

namespace banyan::nn {

MixerPair::MixerPair(Scope& scope, const std::string& name, const DecoderSpec& spec,
                     const LayerSpec& layer, int index)
    : spec_(spec.pair),
      attention_(scope, name + "attention", spec.attention, layer, spec.hidden_size, index),
      mamba_(scope, name + "mixer", spec.mamba2, spec.hidden_size, index) {}

void MixerPair::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const auto scaled = [&](const Tensor& x, float factor, const Tensor& to) {
    if (factor == 1.0f) return x;
    ops::Scale(context, x, factor, to);
    return to;
  };
  const Tensor other = context.scratch->Get(DType::kF32, in.shape());
  const Tensor attention_in =
      scaled(in, spec_.attention_in, context.scratch->Get(DType::kF32, in.shape()));
  attention_.Forward(step, attention_in, other);
  mamba_.Forward(step, in, out);
  ops::Add(context, scaled(out, spec_.mamba_out, out), scaled(other, spec_.attention_out, other),
           out);
}

}  // namespace banyan::nn
