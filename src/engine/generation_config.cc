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
