// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {
constexpr Range kCount{1, 1 << 24};
}  // namespace

nn::DecoderSpec Config::Dims(int kv_heads, int head_dim) {
  nn::DecoderSpec spec;
  spec.vocab_size = fields.Required<int>("vocab_size", kCount);
  spec.hidden_size = fields.Required<int>("hidden_size", kCount);
  const int layers = fields.Required<int>("num_hidden_layers", {1, 4096});
  spec.layers.resize(fields.status().ok() ? layers : 1);
  // A mixture need not have a dense layer.
  const bool mixture = fields.Has("num_experts") || fields.Has("num_local_experts") ||
                       fields.Has("n_routed_experts");
  spec.mlp.intermediate = mixture && !fields.Has("intermediate_size")
                              ? 0
                              : fields.Required<int>("intermediate_size", kCount);
  Heads(spec, kv_heads, head_dim);
  return spec;
}

void Config::Heads(nn::DecoderSpec& spec, int kv_heads, int head_dim) {
  nn::AttentionSpec& attention = spec.attention;
  attention.heads = fields.Required<int>("num_attention_heads", {1, 1 << 16});
  // An explicit null stands for "as many as heads" whatever the class default is.
  const bool silent = !fields.object().contains("num_key_value_heads");
  attention.kv_heads = fields.Optional<int>(
      "num_key_value_heads", kv_heads > 0 && silent ? kv_heads : attention.heads, {1, 1 << 16});
  if (!fields.status().ok()) return;
  if (attention.heads % attention.kv_heads != 0)
    return fields.Fail("num_key_value_heads",
                       fmt::format("{} does not divide num_attention_heads {}", attention.kv_heads,
                                   attention.heads));
  // So does one for hidden_size / heads.
  const bool derived = IsNull("head_dim") || (head_dim == 0 && !fields.Has("head_dim"));
  if (derived && head_dim == 0 && spec.hidden_size % attention.heads != 0)
    return fields.Fail("num_attention_heads", fmt::format("{} does not divide hidden_size {}",
                                                          attention.heads, spec.hidden_size));
  attention.head_dim = fields.Optional<int>(
      "head_dim", derived ? spec.hidden_size / attention.heads : head_dim, {1, 1 << 14});
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
}

void Config::Rope(nn::DecoderSpec& spec, int64_t max_position, nn::RopeDefaults defaults) {
  const int64_t declared =
      fields.Optional<int64_t>("max_position_embeddings", max_position, {1, 1 << 30});
  AddRope(spec, max_position, std::move(defaults));
  spec.context_length =
      spec.ropes.empty() ? declared : nn::StretchedLength(spec.ropes[0], declared);
}

int Config::AddRope(nn::DecoderSpec& spec, int64_t max_position, nn::RopeDefaults defaults,
                    std::string_view layer_type) {
  defaults.head_dim = spec.attention.head_dim;
  defaults.max_position =
      fields.Optional<int64_t>("max_position_embeddings", max_position, {1, 1 << 30});
  if (auto interleaved = fields.Maybe<bool>("rope_interleaved"))
    defaults.pairing = *interleaved ? ops::RopePairing::kInterleaved : ops::RopePairing::kHalves;
  defaults.partial |= gguf();  // where the tensors' sizes say how much of a head turns
  if (!fields.status().ok()) return 0;
  auto rope = nn::ParseRope(fields, defaults, layer_type);
  if (!rope.ok()) {
    Fail(rope.status());
    return 0;
  }
  spec.context_length = defaults.max_position;
  spec.ropes.push_back(*std::move(rope));
  return static_cast<int>(spec.ropes.size()) - 1;
}

nn::NormSpec Config::RmsNorm(std::string_view key, double eps) {
  if (IsNull(key)) fields.Fail(key, "is null");
  return {.kind = nn::NormSpec::Kind::kRms,
          .eps = static_cast<float>(fields.Optional<double>(key, eps, {0, 1}))};
}

nn::NormSpec Config::LayerNorm(std::string_view key, double eps, bool bias) {
  if (IsNull(key)) fields.Fail(key, "is null");
  return {.kind = nn::NormSpec::Kind::kLayer,
          .eps = static_cast<float>(fields.Optional<double>(key, eps, {0, 1})),
          .bias = bias};
}

ops::Activation Config::Activation(std::initializer_list<std::string_view> keys,
                                   std::string_view fallback) {
  using enum ops::Activation;
  static const std::map<std::string, ops::Activation, std::less<>> kByName = {
      {"silu", kSilu},
      {"swish", kSilu},
      {"gelu", kGelu},
      {"gelu_python", kGelu},
      {"gelu_new", kGeluTanh},
      {"gelu_fast", kGeluTanh},
      {"gelu_pytorch_tanh", kGeluTanh},
      {"gelu_python_tanh", kGeluTanh},
      {"quick_gelu", kGeluQuick},
      {"relu", kRelu},
      {"relu2", kRelu2},
      {"sigmoid", kSigmoid},
      {"tanh", kTanh},
      {"xielu", kXielu},
      {"linear", kIdentity},
  };
  const std::string name = fields.MaybeAny<std::string>(keys).value_or(std::string(fallback));
  auto found = kByName.find(name);
  // (xIELU has tensors of its own, where a family has it.)
  if (found != kByName.end() && (found->second != kXielu || fallback == name)) return found->second;
  Fail(Unimplemented("{}: '{}': the activation '{}' is not known", fields.where(), *keys.begin(),
                     name));
  return kSilu;
}

void Config::Windows(nn::DecoderSpec& spec, int window, const std::function<bool(int)>& fallback) {
  const auto types = fields.Maybe<std::vector<std::string>>("layer_types");
  if (!fields.status().ok()) return;
  if (types && types->size() != spec.layers.size())
    return fields.Fail("layer_types", fmt::format("has {} items for {} layers", types->size(),
                                                  spec.layers.size()));
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    bool windowed = !types && fallback(static_cast<int>(i));
    if (types) {
      windowed = (*types)[i] == "sliding_attention";
      if (!windowed && (*types)[i] != "full_attention")
        return fields.Fail("layer_types",
                           fmt::format("item {}: '{}' is not known", i, (*types)[i]));
    }
    if (windowed && window <= 0)
      return fields.Fail("sliding_window",
                         "is missing or unused, but layers have sliding attention");
    spec.layers[i].window = windowed ? window : 0;
  }
}

bool Config::IsNull(std::string_view key) const {
  return fields.object().contains(json::string_view(key.data(), key.size())) && !fields.Has(key);
}

bool Config::Flag(std::string_view key, bool fallback) {
  return fields.Optional<bool>(key, fallback && !IsNull(key));
}

int Config::Window(std::string_view key, int fallback) {
  return fields.Optional<int>(key, IsNull(key) ? 0 : fallback, {gguf() ? 0.0 : 1.0, 1 << 30});
}

float Config::Softcap(std::string_view key, float fallback) {
  return fields.Optional<float>(key, IsNull(key) ? 0.0f : fallback, {gguf() ? 0.0 : 1e-6, 1e9});
}

int Config::SlidingPattern(int fallback) {
  const json::value* raw = fields.Raw("sliding_window_pattern");
  if (raw == nullptr) return fields.Optional<int>("_sliding_window_pattern", fallback, {1, 4096});
  fields.Ignore({"_sliding_window_pattern"});
  if (!raw->is_string()) return fields.Required<int>("sliding_window_pattern", {1, 4096});
  const std::string_view letters = View(raw->get_string());  // "LLLG": local ones, then a global
  if (!letters.empty() && letters.find_first_not_of('L') == letters.size() - 1 &&
      letters.back() == 'G')
    return static_cast<int>(letters.size());
  fields.Fail("sliding_window_pattern", fmt::format("'{}' is not known", letters));
  return fallback;
}

void Config::RotaryDim(const nn::DecoderSpec& spec, nn::RopeDefaults& rope) {
  rope.partial = true;
  if (const auto rotated = fields.Maybe<int>("rotary_dim", {2, 1 << 14}))
    rope.partial_rotary_factor = static_cast<double>(*rotated) / spec.attention.head_dim;
}

void Config::OptionalWindows(nn::DecoderSpec& spec, int fallback,
                             const std::function<bool(int layer)>& sliding) {
  const bool used = fields.Optional<bool>("use_sliding_window", false);
  const int window = used ? Window("sliding_window", fallback) : 0;
  fields.Ignore({"sliding_window"});
  Windows(spec, window, [&](int layer) { return window > 0 && sliding(layer); });
}

void Config::QwenWindows(nn::DecoderSpec& spec) {
  const int first = fields.Optional<int>("max_window_layers", 28, {0, 1 << 16});
  OptionalWindows(spec, 4096, [&](int layer) { return layer >= first; });
}

void Config::Biases(nn::DecoderSpec& spec, bool output, bool attention_default) {
  spec.attention.qkv_bias = fields.Optional<bool>("attention_bias", attention_default);
  spec.attention.output_bias = output && spec.attention.qkv_bias;
  spec.mlp.up_bias = spec.mlp.down_bias = fields.Optional<bool>("mlp_bias", false);
}

void Config::GraniteScales(nn::DecoderSpec& spec) {
  spec.attention.scale = fields.Optional<float>("attention_multiplier", 1.0f);
  spec.embedding_scale = fields.Optional<float>("embedding_multiplier", 1.0f);
  spec.residual_scale = fields.Optional<float>("residual_multiplier", 1.0f);
  spec.logit_scale = 1.0f / fields.Optional<float>("logits_scaling", 1.0f, {1e-6, 1e6});
}

void Config::Only(std::string_view key, bool value) {
  if (fields.Optional<bool>(key, value) != value)
    Fail(Unimplemented("{}: '{}': {} is not implemented for this family", fields.where(), key,
                       !value));
}

}  // namespace banyan::models
