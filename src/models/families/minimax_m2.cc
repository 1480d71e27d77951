// SPDX-License-Identifier: Apache-2.0
// MiniMax M2: norms over all heads of q and of k, sigmoid routing with a correction.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineMinimaxM2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kWhole;
  spec.attention.qk_norm_spec = spec.norm;
  config.Only("use_qk_norm", true);
  nn::RopeDefaults rope;
  rope.theta = 5000000.0;
  config.RotaryDim(spec, rope);
  config.Rope(spec, 196608, std::move(rope));
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.score = ops::Routing::Score::kSigmoid;
  spec.moe.routing.normalize = true;
  spec.moe.correction_bias = true;
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec,
         {.block = "model.layers.{l}.block_sparse_moe",
          .gate = "w1",
          .up = "w3",
          .down = "w2",
          .correction = "e_score_correction_bias"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMinimaxM2(models::Registry& registry) {
  registry.Add({"minimax_m2", {"MiniMaxM2ForCausalLM"}, models::DefineMinimaxM2});
}
}  // namespace banyan
