// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021): from a config's keys to frequencies, and from the
// positions of a step to the angles that ops/rope.h applies.
//
// The scaling rules are those of transformers' modeling_rope_utils: default, linear (position
// interpolation), dynamic (NTK), yarn (Peng et al. 2023), llama3, longrope (Ding et al. 2024).
// Frequencies are computed in f32 in the same order of operations, since a position in the
// thousands times a frequency one ulp away is a visibly different angle.
//
// dynamic and longrope look at how long the sequence is. A key is rotated once, when it is written
// to the cache, and may be read by any request that shares its prefix, so its angle depends on its
// position and on what its part of the cache is for: position p is turned for a sequence of
// max(p + 1, rope length) tokens (RopeLengths in cache/cache_spec.h). A prompt beyond the trained
// length has a rope length, a shorter one none, which is what transformers does with a prompt whole
// and then token by token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fields.h"
#include "cache/cache_spec.h"
#include "ops/rope.h"

namespace banyan::nn {

enum class RopeType : uint8_t { kDefault, kLinear, kDynamic, kYarn, kLlama3, kLongrope };

// One rule with its parameters, complete: nothing in it is looked up later.
struct RopeSpec {
  RopeType type = RopeType::kDefault;
  ops::RopePairing pairing = ops::RopePairing::kHalves;
  int dim = 0;  // rotated elements of each head, from its first on; even, or 0
  double theta = 10000.0;
  double factor = 1.0;
  double attention_factor = 1.0;  // times cos and sin
  double score_factor = 1.0;      // times attention's scale, in families that do so (DeepSeek)
  int64_t trained_length = 0;     // dynamic, yarn, llama3, longrope: positions before scaling
  double beta_fast = 32.0, beta_slow = 1.0;  // yarn
  bool truncate = true;                      // yarn: the ramp's ends are rounded to whole indices
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  std::vector<float> factors;                            // longrope: divisors of the frequencies
  // Those of sequences beyond the trained length, and their attention_factor; empty: the same.
  std::vector<float> long_factors;
  double long_attention_factor = 1.0;
  bool recompute = false;  // longrope: what grows beyond the trained length is computed anew

  // Llama 4's temperature (Ministral 3): queries at position p are scaled by
  // 1 + beta * log(1 + floor(p / trained_length)). 0: none.
  double query_scale_beta = 0.0;
  int64_t query_scale_offset = 0;  // added to p; Llama 4 itself counts from 1
};

// What a family's config class says where the keys are silent.
struct RopeDefaults {
  int head_dim = 0;
  ops::RopePairing pairing = ops::RopePairing::kHalves;
  double theta = 10000.0;
  double partial_rotary_factor = 1.0;
  int64_t max_position = 0;
  // The transformers 4 keys beside the rule; empty: none.
  std::string theta_key = "rope_theta";
  std::string partial_key = "partial_rotary_factor";
  // gemma3, olmo3: a rule without layer types is not for this layer type.
  bool nested_only = false;
  // The family turns a part of each head where partial_rotary_factor says so; said already by a
  // partial_rotary_factor above that is not 1. Of the others transformers leaves it out, or fails.
  bool partial = false;
  // phi3: the trained length is a key beside the rope's, and yarn and su mean longrope.
  int64_t trained_length = 0;
  bool longrope_only = false;
  bool recompute = false;  // RopeSpec's
  // phimoe, as transformers 5 has it: the long factors are read, but only their mscale counts.
  bool short_factors_only = false;
  // hunyuan: `alpha` in a dynamic rule raises theta once and for all.
  bool ntk_alpha = false;
  // What stands for `rope_parameters` when neither it nor `rope_scaling` is there (apertus, cwm).
  json::object parameters;
};

// Reads `rope_parameters` (transformers 5) or `rope_theta`, `rope_scaling` and
// `partial_rotary_factor` (transformers 4) of a model's config. `layer_type` picks one rule of a
// config that has a rule per layer type ("full_attention"), and may be empty. Problems are
// remembered in `config` and name the key; an unknown type is kUnimplemented, returned.
StatusOr<RopeSpec> ParseRope(Fields& config, const RopeDefaults& defaults,
                             std::string_view layer_type = {});

// The frequencies of a rule for a sequence of `length` tokens (only dynamic and longrope look at
// it).
std::vector<float> RopeFrequencies(const RopeSpec& spec, int64_t length);

// What the lengths of sequences change for a model with these rules.
RopeLengths LengthsOf(std::span<const RopeSpec> specs);

// Positions that the rule was made for, given the config's max_position_embeddings: linear and
// dynamic stretch it, the others have it included already (as SGLang counts).
int64_t StretchedLength(const RopeSpec& spec, int64_t max_position);

// One step's angles: cos and sin [n, dim / 2] f32 in the step's scratch memory, and the factor of
// each query where the rule scales queries.
struct RopeAngles {
  Tensor cos, sin;
  std::vector<float> query_scale;
};

class Rope {
 public:
  explicit Rope(RopeSpec spec);
  const RopeSpec& spec() const { return spec_; }

  // `lengths`: per position its row's rope length, 0 for none; or empty.
  RopeAngles Angles(const ops::OpContext& context, std::span<const int32_t> positions,
                    std::span<const int32_t> lengths) const;
  // Turns q and k [n, heads, head_dim] in place.
  void Apply(const ops::OpContext& context, const RopeAngles& angles, const Tensor& q,
             const Tensor& k) const;

 private:
  RopeSpec spec_;
  RopeLengths lengths_;
  std::vector<float> frequencies_, long_frequencies_;  // the latter of longrope
};

}  // namespace banyan::nn
