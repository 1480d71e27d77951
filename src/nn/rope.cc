// SPDX-License-Identifier: Apache-2.0
#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "ops/elementwise.h"

namespace banyan::nn {
namespace {

// 1 / theta^(2i / dim), rounded to f32 where transformers rounds.
std::vector<float> BaseFrequencies(double theta, int dim) {
  std::vector<float> out(dim / 2);
  for (int i = 0; i < dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    out[i] = 1.0f / static_cast<float>(std::pow(static_cast<float>(theta), exponent));
  }
  return out;
}

// Index (as a real number) of the pair that turns `rotations` times within the trained length.
double YarnIndex(const RopeSpec& spec, double rotations) {
  const double length = static_cast<double>(spec.trained_length);
  return spec.dim * std::log(length / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(spec.theta));
}

std::vector<float> YarnFrequencies(const RopeSpec& spec) {
  double low = YarnIndex(spec, spec.beta_fast), high = YarnIndex(spec, spec.beta_slow);
  if (spec.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, spec.dim - 1.0);
  if (low == high) high += 0.001;
  std::vector<float> out = BaseFrequencies(spec.theta, spec.dim);
  for (int i = 0; i < spec.dim / 2; ++i) {
    const float power = 1.0f / out[i];
    const float interpolated = 1.0f / (static_cast<float>(spec.factor) * power);
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1.0f - ramp;
    out[i] = interpolated * (1.0f - keep) + out[i] * keep;
  }
  return out;
}

void Llama3Smooth(const RopeSpec& spec, std::vector<float>& frequencies) {
  const float length = static_cast<float>(spec.trained_length);
  const float factor = static_cast<float>(spec.factor);
  const float low = static_cast<float>(spec.low_freq_factor);
  const float high = static_cast<float>(spec.high_freq_factor);
  for (float& frequency : frequencies) {
    const float wavelength = 2.0f * std::numbers::pi_v<float> / frequency;
    if (wavelength > length / low) {
      frequency /= factor;
    } else if (wavelength >= length / high) {
      const float smooth = (length / wavelength - low) / (high - low);
      frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

std::optional<RopeType> TypeByName(std::string_view name, const RopeDefaults& defaults) {
  if (name == "default" || name == "mrope") return RopeType::kDefault;  // mrope of text is plain
  if (name == "linear") return RopeType::kLinear;
  if (name == "dynamic") return RopeType::kDynamic;
  if (name == "longrope" || name == "su") return RopeType::kLongrope;
  if (name == "yarn") return defaults.longrope_only ? RopeType::kLongrope : RopeType::kYarn;
  if (name == "llama3") return RopeType::kLlama3;
  return std::nullopt;
}

double YarnScale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

constexpr Range kPositive{1e-9, 1e12};
constexpr Range kLength{1, 1e12};
constexpr Range kShare{1e-6, 1};

void ParseYarn(Fields& rope, int64_t max_position, RopeSpec& spec) {
  // A factor that is null stands for how much longer than trained the model is declared to be.
  const bool derived = rope.object().contains("factor") && !rope.Has("factor");
  spec.factor = derived ? static_cast<double>(max_position) / spec.trained_length
                        : rope.Required<double>("factor", kPositive);
  const double mscale = rope.Optional<double>("mscale", 0.0);
  const double mscale_all = rope.Optional<double>("mscale_all_dim", 0.0);
  const double implied = mscale != 0.0 && mscale_all != 0.0
                             ? YarnScale(spec.factor, mscale) / YarnScale(spec.factor, mscale_all)
                             : YarnScale(spec.factor, 1.0);
  spec.attention_factor = rope.Optional<double>("attention_factor", implied, kPositive);
  if (mscale_all != 0.0) spec.score_factor = std::pow(YarnScale(spec.factor, mscale_all), 2);
  spec.beta_fast = rope.Optional<double>("beta_fast", 32.0, {0, 1e9});
  spec.beta_slow = rope.Optional<double>("beta_slow", 1.0, {0, 1e9});
  if (spec.beta_fast == 0.0) spec.beta_fast = 32.0;  // zero counts as unset, as in transformers
  if (spec.beta_slow == 0.0) spec.beta_slow = 1.0;
  spec.truncate = rope.Optional<bool>("truncate", true);
}

void ParseLongrope(Fields& rope, const RopeDefaults& defaults, RopeSpec& spec) {
  auto factors_of = [&](std::string_view key) {
    auto factors = rope.Required<std::vector<float>>(key, kPositive);
    if (rope.status().ok() && static_cast<int>(factors.size()) != spec.dim / 2)
      rope.Fail(key, fmt::format("has {} numbers, the rotated part of a head needs {}",
                                 factors.size(), spec.dim / 2));
    return factors;
  };
  auto short_factors = factors_of("short_factor");
  auto long_factors = factors_of("long_factor");
  const double factor = rope.Optional<double>(
      "factor", static_cast<double>(defaults.max_position) / spec.trained_length, kPositive);
  const double implied =
      factor <= 1.0
          ? 1.0
          : std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(spec.trained_length)));
  spec.attention_factor = rope.Optional<double>("attention_factor", implied, kPositive);
  spec.long_attention_factor = spec.attention_factor;
  if (defaults.short_factors_only) {
    spec.attention_factor = rope.Optional<double>("short_mscale", spec.attention_factor, kPositive);
    spec.long_attention_factor =
        rope.Optional<double>("long_mscale", spec.long_attention_factor, kPositive);
    long_factors = short_factors;
  }
  spec.factors = std::move(short_factors);
  if (long_factors != spec.factors || spec.long_attention_factor != spec.attention_factor)
    spec.long_factors = std::move(long_factors);
  spec.recompute = defaults.recompute;
}

void ParseParameters(Fields& rope, const RopeDefaults& defaults, RopeSpec& spec) {
  switch (spec.type) {
    case RopeType::kDefault:
      break;
    case RopeType::kLinear:
      spec.factor = rope.Required<double>("factor", kPositive);
      break;
    case RopeType::kDynamic: {
      spec.trained_length = defaults.max_position;
      const double alpha = defaults.ntk_alpha ? rope.Optional<double>("alpha", 0.0) : 0.0;
      if (spec.dim <= 2) return rope.Fail("type", "dynamic needs more than two rotated elements");
      if (alpha > 0.0) {
        spec.type = RopeType::kDefault;
        spec.theta *= std::pow(alpha, static_cast<double>(spec.dim) / (spec.dim - 2));
      } else {
        spec.factor = rope.Required<double>("factor", kPositive);
      }
      break;
    }
    case RopeType::kYarn:
      ParseYarn(rope, defaults.max_position, spec);
      break;
    case RopeType::kLlama3:
      spec.factor = rope.Required<double>("factor", kPositive);
      spec.low_freq_factor = rope.Required<double>("low_freq_factor", kPositive);
      spec.high_freq_factor = rope.Required<double>("high_freq_factor", kPositive);
      if (rope.status().ok() && spec.high_freq_factor <= spec.low_freq_factor)
        rope.Fail("high_freq_factor", "is not greater than low_freq_factor");
      break;
    case RopeType::kLongrope:
      ParseLongrope(rope, defaults, spec);
      break;
  }
}

// The object that holds the rule, and the key it stands under.
struct Source {
  json::object object;
  std::string key;
  bool nested = false;  // in an object of its layer type
};

bool HasLayersOf(const json::object& config, std::string_view layer_type) {
  const json::value* types = config.if_contains("layer_types");
  if (types == nullptr || !types->is_array()) return true;
  return std::ranges::any_of(types->get_array(), [&](const json::value& type) {
    return type.is_string() && View(type.get_string()) == layer_type;
  });
}

Source FindSource(Fields& config, const RopeDefaults& defaults, std::string_view layer_type) {
  for (std::string_view key : {"rope_scaling", "rope_parameters"}) {
    auto found = config.Maybe<json::object>(key);
    // (An empty rule is one; but an empty rope_scaling counts as absent.)
    if (!found || (found->empty() && key == "rope_scaling")) continue;
    if (!layer_type.empty() && key == "rope_scaling" && config.Has("rope_parameters"))
      config.Fail("rope_scaling", "stands beside 'rope_parameters'");
    if (!layer_type.empty()) {
      const json::value* nested =
          found->if_contains(json::string_view(layer_type.data(), layer_type.size()));
      if (nested != nullptr && nested->is_object())
        return {nested->get_object(), fmt::format("{}.{}", key, layer_type), true};
      // Where other layers have a rule of their own, these need one too.
      const bool by_type =
          std::ranges::any_of(*found, [](const auto& item) { return item.value().is_object(); });
      if (nested != nullptr || by_type) {
        if (HasLayersOf(config.object(), layer_type))
          config.Fail(key, fmt::format("has no object '{}'", layer_type));
        return {defaults.parameters, std::string(key)};
      }
    }
    if (!defaults.nested_only) return {*found, std::string(key)};
  }
  return {defaults.parameters, "rope_parameters"};
}

// The rule's name. A rule that scales must have one: without, its numbers would be left out.
std::string TypeName(Fields& rope) {
  const auto new_name = rope.Maybe<std::string>("rope_type");
  const auto old_name = rope.Maybe<std::string>("type");
  if (new_name || old_name) return new_name ? *new_name : *old_name;
  for (std::string_view key :
       {"factor", "attention_factor", "short_factor", "long_factor", "low_freq_factor",
        "high_freq_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "alpha"})
    if (rope.Has(key)) rope.Fail("rope_type", fmt::format("is missing, but there is '{}'", key));
  if (rope.object().contains("rope_type")) rope.Fail("rope_type", "is null");
  return "default";
}

}  // namespace

StatusOr<RopeSpec> ParseRope(Fields& config, const RopeDefaults& defaults,
                             std::string_view layer_type) {
  RopeSpec spec;
  spec.pairing = defaults.pairing;
  Source source = FindSource(config, defaults, layer_type);
  Fields rope(source.object, fmt::format("{}: {}", config.where(), source.key));

  const std::string name = TypeName(rope);
  const auto type = TypeByName(name, defaults);
  if (!type)
    return Unimplemented(
        "{}: '{}': rope type '{}' is not known (default, linear, dynamic, yarn, llama3, longrope)",
        config.where(), source.key, name);
  spec.type = *type;

  // transformers 4 has the two beside the rule, 5 within it.
  auto beside_or = [&](const std::string& key, double fallback, Range range) {
    return key.empty() ? fallback : config.Optional<double>(key, fallback, range);
  };
  spec.theta = rope.Optional<double>(
      "rope_theta", beside_or(defaults.theta_key, defaults.theta, kPositive), kPositive);
  const json::object& outer = config.object();
  const bool is_null = rope.object().contains("rope_theta")
                           ? !rope.Has("rope_theta")
                           : outer.contains(defaults.theta_key) && !config.Has(defaults.theta_key);
  if (is_null) rope.Fail("rope_theta", "is null");
  const double partial = rope.Optional<double>(
      "partial_rotary_factor",
      beside_or(defaults.partial_key, defaults.partial_rotary_factor, kShare), kShare);
  if (partial != 1.0 && defaults.partial_rotary_factor == 1.0 && !defaults.partial)
    rope.Fail("partial_rotary_factor",
              fmt::format("is {}, but this family turns whole heads", partial));
  spec.dim = static_cast<int>(defaults.head_dim * partial);
  if (spec.dim < 2 || spec.dim % 2 != 0 || spec.dim > defaults.head_dim)
    rope.Fail(
        "partial_rotary_factor",
        fmt::format("leaves {} elements of a head of {} to rotate: not an even number of them",
                    spec.dim, defaults.head_dim));

  // The one beside is for a rule of all layers.
  auto beside = config.Maybe<int64_t>("original_max_position_embeddings", kLength);
  if (source.nested) beside.reset();
  const auto within = rope.Maybe<int64_t>("original_max_position_embeddings", kLength);
  const int64_t otherwise = defaults.trained_length > 0 ? defaults.trained_length
                                                        : within.value_or(defaults.max_position);
  spec.trained_length = std::max<int64_t>(1, beside.value_or(otherwise));
  if (rope.object().contains("original_max_position_embeddings") && !within && !beside)
    rope.Fail("original_max_position_embeddings", "is null");
  spec.query_scale_beta = rope.Optional<double>("llama_4_scaling_beta", 0.0, {0, 1e6});
  if (spec.type == RopeType::kYarn && spec.theta <= 1.0)
    rope.Fail("rope_theta", "must be over 1 for yarn");
  if (rope.status().ok()) ParseParameters(rope, defaults, spec);

  // What other types read, and what repeats the config, changes nothing here.
  rope.Ignore({"factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
               "truncate", "short_factor", "long_factor", "short_mscale", "long_mscale",
               "low_freq_factor", "high_freq_factor", "max_position_embeddings", "mrope_section",
               "mrope_interleaved", "finetuned"});
  for (const std::string& key : rope.Unread()) rope.Fail(key, "is not known");
  BANYAN_RETURN_IF_ERROR(rope.status());
  return spec;
}

RopeLengths LengthsOf(std::span<const RopeSpec> specs) {
  RopeLengths all;
  for (const RopeSpec& spec : specs) {
    const bool dynamic = spec.type == RopeType::kDynamic;
    if (!dynamic && spec.long_factors.empty()) continue;
    // Of two limits, each length beyond the lower one is told apart.
    all.exact |= dynamic || (all.limit > 0 && all.limit != spec.trained_length);
    all.limit = all.limit > 0 ? std::min(all.limit, spec.trained_length) : spec.trained_length;
    all.recompute |= spec.recompute;
  }
  return all;
}

std::vector<float> RopeFrequencies(const RopeSpec& spec, int64_t length) {
  double theta = spec.theta;
  if (spec.type == RopeType::kDynamic && length > spec.trained_length) {
    const double stretch =
        spec.factor * static_cast<double>(length) / static_cast<double>(spec.trained_length) -
        (spec.factor - 1.0);
    theta *= std::pow(stretch, static_cast<double>(spec.dim) / (spec.dim - 2));
  }
  std::vector<float> out =
      spec.type == RopeType::kYarn ? YarnFrequencies(spec) : BaseFrequencies(theta, spec.dim);
  if (spec.type == RopeType::kLinear)
    for (float& frequency : out) frequency /= static_cast<float>(spec.factor);
  if (spec.type == RopeType::kLlama3) Llama3Smooth(spec, out);
  const bool is_long = length > spec.trained_length && !spec.long_factors.empty();
  const std::vector<float>& factors = is_long ? spec.long_factors : spec.factors;
  for (std::size_t i = 0; i < factors.size() && i < out.size(); ++i)
    out[i] = 1.0f / (factors[i] * (1.0f / out[i]));
  return out;
}

int64_t StretchedLength(const RopeSpec& spec, int64_t max_position) {
  const bool stretches = spec.type == RopeType::kLinear || spec.type == RopeType::kDynamic;
  if (!stretches || spec.factor <= 1.0) return max_position;
  return static_cast<int64_t>(static_cast<double>(max_position) * spec.factor);
}

Rope::Rope(RopeSpec spec)
    : spec_(std::move(spec)),
      lengths_(LengthsOf({&spec_, 1})),
      frequencies_(RopeFrequencies(spec_, 1)) {
  if (!spec_.long_factors.empty())
    long_frequencies_ = RopeFrequencies(spec_, spec_.trained_length + 1);
}

RopeAngles Rope::Angles(const ops::OpContext& context, std::span<const int32_t> positions,
                        std::span<const int32_t> lengths) const {
  const std::size_t n = positions.size();
  RopeAngles angles;
  angles.cos = context.scratch->Get(DType::kF32, {static_cast<int64_t>(n), spec_.dim / 2});
  angles.sin = context.scratch->Get(DType::kF32, {static_cast<int64_t>(n), spec_.dim / 2});
  auto fill = [&](std::size_t begin, std::size_t end, std::span<const float> frequencies,
                  double factor) {
    const auto scale = static_cast<float>(factor);
    const auto from = static_cast<int64_t>(begin), to = static_cast<int64_t>(end);
    ops::RopeAngles(context, positions.subspan(begin, end - begin), frequencies, scale,
                    angles.cos.Slice(0, from, to), angles.sin.Slice(0, from, to));
  };
  auto length_of = [&](std::size_t i) {
    return lengths_.Of(std::max(positions[i] + 1, lengths.empty() ? 0 : lengths[i]));
  };
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    const int32_t length = length_of(begin);
    for (end = begin + 1; end < n && length_of(end) == length;) ++end;
    if (length == 0) {
      fill(begin, end, frequencies_, spec_.attention_factor);
    } else if (!long_frequencies_.empty()) {
      fill(begin, end, long_frequencies_, spec_.long_attention_factor);
    } else {
      fill(begin, end, RopeFrequencies(spec_, length), spec_.attention_factor);
    }
  }
  if (spec_.query_scale_beta > 0.0) {
    for (int32_t position : positions) {
      const auto multiple =
          static_cast<double>((position + spec_.query_scale_offset) / spec_.trained_length);
      angles.query_scale.push_back(
          static_cast<float>(1.0 + spec_.query_scale_beta * std::log(1.0 + multiple)));
    }
  }
  return angles;
}

void Rope::Apply(const ops::OpContext& context, const RopeAngles& angles, const Tensor& q,
                 const Tensor& k) const {
  if (spec_.dim > 0) {
    ops::Rope(context, q, angles.cos, angles.sin, spec_.pairing);
    ops::Rope(context, k, angles.cos, angles.sin, spec_.pairing);
  }
  if (!angles.query_scale.empty()) {
    const Tensor rows(q.raw(), q.dtype(), {q.dim(0), q.dim(1) * q.dim(2)}, {q.stride(0), 1});
    ops::ScaleRows(context, rows, angles.query_scale, rows);
  }
}

}  // namespace banyan::nn
