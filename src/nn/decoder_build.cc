// SPDX-License-Identifier: Apache-2.0
// Declaring a decoder's weights and its needs of the cache; decoder.cc runs it.
#include <cmath>

#include "nn/decoder.h"
#include "ops/reference/half.h"

namespace banyan::nn {
namespace {

float RoundTo(DType dtype, float value) {
  if (dtype == DType::kBF16) return ops::FromBf16(ops::ToBf16(value));
  if (dtype == DType::kF16) return ops::FromF16(ops::ToF16(value));
  return value;
}

float Softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

// ALiBi's slopes (Press et al. 2022): powers of 2^(-8 / n) for n the power of two at most the
// number of heads, the rest from the odd powers for 2n.
std::vector<float> AlibiSlopes(int heads, float scale) {
  int power = 1;
  while (power * 2 <= heads) power *= 2;
  std::vector<float> slopes;
  for (int i = 1; i <= heads; ++i) {
    const double exponent = i <= power ? -8.0 * i / power : -4.0 * (2 * (i - power) - 1) / power;
    slopes.push_back(static_cast<float>(std::exp2(exponent)) * scale);
  }
  return slopes;
}

}  // namespace

StatusOr<std::unique_ptr<Decoder>> Decoder::Build(DecoderSpec spec, Scope& scope,
                                                  weights::Loader& loader, ModelInfo info) {
  std::unique_ptr<Decoder> decoder(new Decoder(std::move(spec), std::move(info)));
  decoder->Declare(scope, loader);
  BANYAN_RETURN_IF_ERROR(scope.status());
  BANYAN_RETURN_IF_ERROR(loader.Finish());
  ModelInfo& filled = decoder->info_;
  filled.vocab_size = decoder->spec_.vocab_size;
  filled.hidden_size = decoder->spec_.hidden_size;
  filled.num_layers = static_cast<int>(decoder->spec_.layers.size());
  filled.context_length = decoder->spec_.context_length;
  filled.compute = scope.compute();
  filled.num_parameters = scope.num_parameters();
  filled.weight_bytes = scope.weight_bytes();
  filled.cache_groups = scope.cache_groups();
  return decoder;
}

void Decoder::Declare(Scope& scope, weights::Loader& loader) {
  const int hidden = spec_.hidden_size;
  const int width = spec_.embedding_dim > 0 ? spec_.embedding_dim : hidden;
  if (spec_.round_embedding_scale)
    spec_.embedding_scale = RoundTo(scope.compute(), spec_.embedding_scale);
  if (spec_.tied) loader.Tie("embed.weight", "output.weight");

  embed_ = scope.AddTable("embed.weight", spec_.vocab_size, width, Axis::kVocab);
  if (spec_.learned_positions > 0)
    positions_ = scope.AddTable("position.weight", spec_.learned_positions, hidden, Axis::kNone);
  if (width != hidden)
    embed_in_ = scope.AddLinear({{"embed_in", hidden, Axis::kHidden}}, width, Axis::kNone, false);
  for (const RopeSpec& rope : spec_.ropes) ropes_.emplace_back(rope);
  if (spec_.attention.alibi_scale != 0.0f)
    alibi_slopes_ = AlibiSlopes(spec_.attention.heads, spec_.attention.alibi_scale);
  for (std::size_t i = 0; i < spec_.layers.size() && scope.status().ok(); ++i)
    DeclareLayer(scope, static_cast<int>(i));
  if (spec_.final_norm)
    final_norm_.emplace(scope, "final_norm", spec_.norm, Shape{hidden}, Axis::kHidden);
  if (width != hidden)
    embed_out_ = scope.AddLinear({{"embed_out", width, Axis::kNone}}, hidden, Axis::kHidden, false);
  if (loader.IsTied("output.weight") || loader.IsTied("embed.weight")) {
    output_ = scope.AddLinear(embed_, spec_.output_bias ? "output.bias" : "");
  } else {
    output_ = scope.AddLinear({{"output", spec_.vocab_size, Axis::kVocab}}, width, Axis::kHidden,
                              spec_.output_bias);
  }
}

void Decoder::DeclareLayer(Scope& scope, int index) {
  const int hidden = spec_.hidden_size;
  const AttentionSpec& attention = spec_.attention;
  const int q_rows = attention.heads * attention.head_dim;
  const int kv_rows = attention.kv_heads * attention.head_dim;
  const std::string name = fmt::format("layers.{}.", index);
  Layer& layer = layers_.emplace_back();
  auto stream_norm = [&](bool wanted, std::string_view which, std::optional<Norm>& norm) {
    if (wanted)
      norm.emplace(scope, fmt::format("{}{}", name, which), spec_.norm, Shape{hidden},
                   Axis::kHidden);
  };
  stream_norm(spec_.attention_norm, "attention_norm", layer.attention_norm);
  layer.qkv = scope.AddLinear({{name + "attention.q", q_rows, Axis::kHeads},
                               {name + "attention.k", kv_rows, Axis::kKvHeads},
                               {name + "attention.v", kv_rows, Axis::kKvHeads}},
                              hidden, Axis::kHidden, attention.qkv_bias);
  auto qk_norm = [&](std::string_view which, int heads, Axis axis, std::optional<Norm>& norm) {
    using QkNorm = AttentionSpec::QkNorm;
    if (attention.qk_norm == QkNorm::kNone) return;
    const int dim = attention.head_dim;
    const Shape shape = attention.qk_norm == QkNorm::kHead      ? Shape{dim}
                        : attention.qk_norm == QkNorm::kPerHead ? Shape{heads, dim}
                                                                : Shape{heads * dim};
    norm.emplace(scope, fmt::format("{}attention.{}", name, which), attention.qk_norm_spec, shape,
                 attention.qk_norm == QkNorm::kHead ? Axis::kNone : axis);
  };
  qk_norm("q_norm", attention.heads, Axis::kHeads, layer.q_norm);
  qk_norm("k_norm", attention.kv_heads, Axis::kKvHeads, layer.k_norm);
  layer.output = scope.AddLinear({{name + "attention.output", hidden, Axis::kHidden}}, q_rows,
                                 Axis::kHeads, attention.output_bias);
  layer.group = scope.AddKv(index, attention.kv_heads, attention.head_dim);
  stream_norm(spec_.attention_post_norm, "attention_post_norm", layer.attention_post_norm);

  stream_norm(spec_.mlp_norm, "mlp_norm", layer.mlp_norm);
  const MlpSpec& mlp = spec_.mlp;
  const LinearPart up = {name + "mlp.up", mlp.intermediate, Axis::kIntermediate};
  const LinearPart gate = {name + "mlp.gate", mlp.intermediate, Axis::kIntermediate};
  layer.up = mlp.gated ? scope.AddLinear({gate, up}, hidden, Axis::kHidden, mlp.up_bias)
                       : scope.AddLinear({up}, hidden, Axis::kHidden, mlp.up_bias);
  layer.down = scope.AddLinear({{name + "mlp.down", hidden, Axis::kHidden}}, mlp.intermediate,
                               Axis::kIntermediate, mlp.down_bias);
  if (mlp.activation == ops::Activation::kXielu) DeclareXielu(scope, name, index, layer);
  stream_norm(spec_.mlp_post_norm, "mlp_post_norm", layer.mlp_post_norm);
}

// The alphas are trained before the map that keeps them positive.
void Decoder::DeclareXielu(Scope& scope, const std::string& name, int index, Layer& layer) {
  auto scalar = [&](std::string_view which, Shape shape) {
    const Vector vector = scope.AddVector(fmt::format("{}mlp.{}", name, which), shape, Axis::kNone);
    return vector.tensor.empty() ? 0.0f : *vector.tensor.data<float>();
  };
  auto& [alpha_p, alpha_n, beta, eps] = layer.xielu;
  if (spec_.xielu.empty()) {
    alpha_p = scalar("alpha_p", {1}), alpha_n = scalar("alpha_n", {1});
    beta = scalar("beta", {}), eps = scalar("eps", {});
  } else {
    layer.xielu = spec_.xielu[index];
  }
  alpha_p = Softplus(alpha_p);
  alpha_n = beta + Softplus(alpha_n);
}

}  // namespace banyan::nn
