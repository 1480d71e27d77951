// SPDX-License-Identifier: Apache-2.0
#include "engine/generation_config.h"

#include <limits>
#include <optional>
#include <utility>

#include "base/fields.h"
#include "text/model_files.h"

namespace banyan {
namespace {

constexpr char kFile[] = "generation_config.json";
constexpr int64_t kMaxBytes = 1 << 20;

// Rules of transformers' generate() that are not taken from the file, and the value of each that
// changes nothing; so does null, false, or a list without entries.
constexpr std::pair<std::string_view, double> kNotDone[] = {
    {"bad_words_ids", 0},
    {"begin_suppress_tokens", 0},
    {"diversity_penalty", 0},
    {"encoder_no_repeat_ngram_size", 0},
    {"encoder_repetition_penalty", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"exponential_decay_length_penalty", 0},
    {"forced_bos_token_id", -1},
    {"forced_decoder_ids", 0},
    {"forced_eos_token_id", -1},
    {"guidance_scale", 1},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"no_repeat_ngram_size", 0},
    {"num_beams", 1},
    {"penalty_alpha", 0},
    {"sequence_bias", 0},
    {"stop_strings", 0},
    {"suppress_tokens", 0},
    {"top_h", 1},
    {"typical_p", 1},
};

bool ChangesNothing(const json::value& value, double neutral) {
  if (value.is_null()) return true;
  if (value.is_bool()) return !value.get_bool();
  if (value.is_array()) return value.get_array().empty();
  if (value.is_object()) return value.get_object().empty();
  return value.is_number() && value.to_number<double>() == neutral;
}

}  // namespace

StatusOr<GenerationConfig> ParseGenerationConfig(std::string_view text) {
  GenerationConfig out;
  BANYAN_ASSIGN_OR_RETURN(out.json, ParseJsonObject(text, kFile));
  Fields fields(out.json, kFile);
  if (const json::value* eos = fields.Raw("eos_token_id"); eos != nullptr && eos->is_array()) {
    out.end_ids = fields.Optional<std::vector<int>>("eos_token_id", {});
  } else if (const auto id = fields.Maybe<int>("eos_token_id")) {
    out.end_ids.push_back(*id);
  }
  SamplingParams& sampling = out.sampling;
  sampling.temperature = fields.Optional<float>("temperature", sampling.temperature, {0, 1e6});
  sampling.top_p = fields.Optional<float>("top_p", sampling.top_p, {0, 1});
  sampling.min_p = fields.Optional<float>("min_p", sampling.min_p, {0, 1});
  sampling.repetition_penalty =
      fields.Optional<float>("repetition_penalty", sampling.repetition_penalty, {0, 2});
  // transformers turns the filter off by 0.
  const int top_k = fields.Optional<int>("top_k", sampling.top_k, {-1, 1 << 30});
  sampling.top_k = top_k == 0 ? -1 : top_k;
  for (const auto& [key, neutral] : kNotDone) {
    const json::value* const value = fields.Raw(key);
    if (value != nullptr && !ChangesNothing(*value, neutral)) out.without_effect.emplace_back(key);
  }
  BANYAN_RETURN_IF_ERROR(fields.status());
  // Else every request that leaves it alone would be refused for what it never said.
  const Status valid = sampling.Validate(std::numeric_limits<int>::max());
  if (!valid.ok()) return InvalidArgument("{}: {}", kFile, Message(valid));
  return out;
}

StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& model_path) {
  if (model_path.ends_with(".gguf")) return GenerationConfig();
  BANYAN_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                          text::ReadFileIfAny(model_path + "/" + kFile, kMaxBytes));
  return text ? ParseGenerationConfig(*text) : GenerationConfig();
}

}  // namespace banyan
