// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "base/turn_ends.h"
#include "weights/gguf_arch.h"
#include "weights/gguf_hybrid.h"
#include "weights/gguf_keys.h"

namespace banyan::weights {
namespace {

class Translator {
 public:
  Translator(const GgufMetadata& metadata, std::vector<NamedTensor>& tensors)
      : metadata_(metadata),
        tensors_(tensors),
        prefix_(metadata.architecture() + "."),
        arch_(FindGgufArch(metadata.architecture())) {}

  StatusOr<json::object> Run() {
    if (metadata_.architecture().empty())
      return InvalidArgument("{}: 'general.architecture' is missing", metadata_.path());
    BANYAN_RETURN_IF_ERROR(Common());
    BANYAN_RETURN_IF_ERROR(Vocabulary());
    BANYAN_RETURN_IF_ERROR(Rope());
    BANYAN_RETURN_IF_ERROR(Window());
    BANYAN_RETURN_IF_ERROR(FamilyExtras());
    if (arch_ != nullptr) BANYAN_RETURN_IF_ERROR(AddHybridKeys(metadata_, *arch_, config_));
    BANYAN_RETURN_IF_ERROR(Latent());
    return std::move(config_);
  }

 private:
  std::string Full(std::string_view suffix) const { return prefix_ + std::string(suffix); }

  // Sets a common key under the family's own name.
  void Set(std::string_view common, json::value value) {
    const std::string_view name = OwnConfigKey(arch_, common);
    if (!name.empty()) config_[JsonKey(name)] = std::move(value);
  }

  const Tensor* FindTensor(std::string_view name) const {
    auto found = std::ranges::find(tensors_, name, &NamedTensor::name);
    return found == tensors_.end() ? nullptr : &found->tensor;
  }

  Status Common() {
    // Not = {name}: compilers disagree whether that is an array.
    config_["architectures"] =
        json::array(1, json::string(arch_ != nullptr ? JsonKey(arch_->architecture)
                                                     : JsonKey(metadata_.architecture())));
    config_["model_type"] =
        arch_ != nullptr ? JsonKey(arch_->model_type) : JsonKey(metadata_.architecture());
    if (arch_ != nullptr && !arch_->constants.empty()) {
      BANYAN_ASSIGN_OR_RETURN(json::object constants,
                              ParseJsonObject(arch_->constants, "constants"));
      for (auto& item : constants) config_[item.key()] = item.value();
    }
    for (const GgufKey& key : CommonGgufKeys()) BANYAN_RETURN_IF_ERROR(Apply(key));
    // llama.cpp reads a file without head_count_kv as one with a key head per query head.
    if (!metadata_.Has(Full("attention.head_count_kv")) && heads_ > 0)
      Set("num_key_value_heads", heads_);
    BANYAN_ASSIGN_OR_RETURN(auto value_length, metadata_.Int(Full("attention.value_length")));
    BANYAN_ASSIGN_OR_RETURN(auto key_length, metadata_.Int(Full("attention.key_length")));
    if (value_length && value_length != key_length) Set("v_head_dim", *value_length);
    if (!tensors_.empty()) {
      Set("attention_bias", FindTensor("blk.0.attn_q.bias") || FindTensor("blk.0.attn_qkv.bias"));
      Set("mlp_bias", FindTensor("blk.0.ffn_up.bias") != nullptr);
      Set("tie_word_embeddings", FindTensor("output.weight") == nullptr);
    }
    return OkStatus();
  }

  Status Apply(const GgufKey& mapping) {
    const std::string key = Full(mapping.gguf);
    switch (mapping.kind) {
      case GgufKey::Kind::kInt: {
        BANYAN_ASSIGN_OR_RETURN(auto value, metadata_.Int(key));
        // Dense models may say that they have no experts.
        if (value == 0 && mapping.gguf.starts_with("expert_")) break;
        if (value && mapping.config == "num_hidden_layers") {
          // Layers of multi-token prediction are counted too.
          BANYAN_ASSIGN_OR_RETURN(auto nextn, metadata_.Int(Full("nextn_predict_layers")));
          if (nextn && (*nextn < 0 || *nextn > *value))
            return InvalidArgument("{}: {} of {} layers", Full("nextn_predict_layers"), *nextn,
                                   *value);
          layers_ = *value -= nextn.value_or(0);
        }
        if (value) Set(mapping.config, *value);
        if (value && mapping.config == "hidden_size") hidden_ = *value;
        break;
      }
      case GgufKey::Kind::kFloat: {
        BANYAN_ASSIGN_OR_RETURN(auto value, metadata_.Float(key));
        if (value) Set(mapping.config, Shorten(*value));
        break;
      }
      case GgufKey::Kind::kBool: {
        BANYAN_ASSIGN_OR_RETURN(auto value, metadata_.Bool(key));
        if (value) Set(mapping.config, *value);
        break;
      }
      case GgufKey::Kind::kInts: {
        BANYAN_ASSIGN_OR_RETURN(auto values, metadata_.Ints(key));
        if (!values || values->empty()) break;
        const bool uniform =
            std::ranges::all_of(*values, [&](auto v) { return v == values->front(); });
        if (mapping.config == "num_attention_heads") heads_ = *std::ranges::max_element(*values);
        Set(mapping.config, uniform ? json::value(values->front())
                                    : json::value(json::array(values->begin(), values->end())));
        break;
      }
    }
    return OkStatus();
  }

  // GGUF keeps numbers as float32; the shortest decimal that reads back to the same float is what
  // config.json had (1e-6, not 9.99999997e-07).
  static double Shorten(double value) {
    const auto narrow = static_cast<float>(value);
    if (static_cast<double>(narrow) != value) return value;
    return std::stod(fmt::format("{}", narrow));
  }

  Status Vocabulary() {
    BANYAN_ASSIGN_OR_RETURN(auto vocab_size, metadata_.Int(Full("vocab_size")));
    const GgufValue* tokens = metadata_.Find("tokenizer.ggml.tokens");
    const Tensor* embedding = FindTensor("token_embd.weight");
    // The embedding decides: files exist whose vocab_size counts without padding.
    if (embedding != nullptr && embedding->rank() == 2)
      Set("vocab_size", embedding->dim(0));
    else if (vocab_size)
      Set("vocab_size", *vocab_size);
    else if (tokens != nullptr && tokens->is_array)
      Set("vocab_size", tokens->count);
    BANYAN_ASSIGN_OR_RETURN(auto bos, metadata_.Int("tokenizer.ggml.bos_token_id"));
    if (bos) Set("bos_token_id", *bos);
    BANYAN_ASSIGN_OR_RETURN(auto pad, metadata_.Int("tokenizer.ggml.padding_token_id"));
    if (pad) Set("pad_token_id", *pad);

    std::vector<int64_t> ends;
    auto add = [&](int64_t id) {
      if (std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
    };
    for (std::string_view key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
      BANYAN_ASSIGN_OR_RETURN(auto id, metadata_.Int(fmt::format("tokenizer.ggml.{}", key)));
      if (id) add(*id);
    }
    BANYAN_ASSIGN_OR_RETURN(auto texts, metadata_.Strings("tokenizer.ggml.tokens"));
    if (texts) AddEndTexts(*texts, add);
    if (ends.size() == 1) Set("eos_token_id", ends[0]);
    if (ends.size() > 1) Set("eos_token_id", json::array(ends.begin(), ends.end()));
    return OkStatus();
  }

  // Whatever their types say: converters have taken such tokens for ordinary ones.
  template <typename Add>
  static void AddEndTexts(const std::vector<std::string_view>& texts, const Add& add) {
    std::map<std::string_view, int64_t> found;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (!texts[i].ends_with('>') && !texts[i].ends_with(']') && !texts[i].ends_with('['))
        continue;
      if (std::ranges::find(kTurnEnds, texts[i]) != std::end(kTurnEnds))
        found.emplace(texts[i], static_cast<int64_t>(i));
    }
    // Where a turn has several messages, <|end|> ends one of them.
    const bool calls = found.contains("<|call|>") || found.contains("<|calls|>");
    if (calls && (found.contains("<|return|>") || found.contains("<|flush|>")))
      found.erase("<|end|>");
    for (const auto& [text, id] : found) add(id);
  }

  // Moves a tensor of f32 factors into the config.
  StatusOr<json::array> TakeFactors(std::string_view name) {
    json::array factors;
    auto found = std::ranges::find(tensors_, name, &NamedTensor::name);
    if (found == tensors_.end()) return factors;
    const Tensor& tensor = found->tensor;
    if (tensor.dtype() != DType::kF32 || tensor.rank() != 1)
      return InvalidArgument("{}: tensor '{}' is {} of {}, expected a list of f32",
                             metadata_.path(), name, tensor.shape().ToString(),
                             banyan::Name(tensor.dtype()));
    for (int64_t i = 0; i < tensor.dim(0); ++i) {
      float value;
      std::memcpy(&value, tensor.data<std::byte>() + i * 4, 4);
      if (!std::isfinite(value) || value <= 0)
        return DataLoss("{}: tensor '{}' has the factor {}", metadata_.path(), name, value);
      factors.push_back(Shorten(value));
    }
    tensors_.erase(found);
    return factors;
  }

  Status Rope() {
    if (arch_ == nullptr || arch_->pairing == RopePairing::kNone) return OkStatus();
    config_["rope_interleaved"] = arch_->pairing == RopePairing::kNeighbours;
    json::object rope;
    rope["rope_type"] = "default";
    BANYAN_ASSIGN_OR_RETURN(auto theta, metadata_.Float(Full("rope.freq_base")));
    rope["rope_theta"] = Shorten(theta.value_or(10000.0));
    BANYAN_ASSIGN_OR_RETURN(auto dimensions, metadata_.Int(Full("rope.dimension_count")));
    BANYAN_ASSIGN_OR_RETURN(auto key_length, metadata_.Int(Full("attention.key_length")));
    const int64_t head_dim = key_length.value_or(heads_ > 0 ? hidden_ / heads_ : 0);
    BANYAN_RETURN_IF_ERROR(Scaling(rope));
    // Whole heads too: the class of a family may say that a part of them rotates.
    if (head_dim > 0)
      rope["partial_rotary_factor"] =
          static_cast<double>(dimensions.value_or(head_dim)) / static_cast<double>(head_dim);
    BANYAN_ASSIGN_OR_RETURN(auto local, metadata_.Float(Full("rope.freq_base_swa")));
    BANYAN_ASSIGN_OR_RETURN(auto window, metadata_.Int(Full("attention.sliding_window")));
    if (arch_->name == "olmo2" && window.value_or(0) > 0) {
      // OLMo 3: the layers with a window keep the plain rule.
      json::object plain = {{"rope_type", "default"},
                            {"rope_theta", Shorten(local.value_or(theta.value_or(10000.0)))}};
      if (const json::value* part = rope.if_contains("partial_rotary_factor"))
        plain["partial_rotary_factor"] = *part;
      rope = {{"full_attention", std::move(rope)}, {"sliding_attention", std::move(plain)}};
    } else if (local && arch_->name == "gemma3") {
      config_["rope_local_base_freq"] = Shorten(*local);
    } else if (local && *local != theta.value_or(10000.0)) {
      return Unimplemented("{}: '{}' {} is not implemented for this architecture", metadata_.path(),
                           Full("rope.freq_base_swa"), *local);
    }
    config_["rope_parameters"] = std::move(rope);
    return OkStatus();
  }

  // As llama.cpp reads it: a factor without a type is a linear one, and a factor of 0 is none.
  Status Scaling(json::object& rope) {
    BANYAN_ASSIGN_OR_RETURN(const auto given, metadata_.String(Full("rope.scaling.type")));
    const std::string_view type = given.value_or("linear");
    std::string factor_key = Full("rope.scaling.factor");
    if (!metadata_.Has(factor_key)) factor_key = Full("rope.scale_linear");  // its older name
    BANYAN_ASSIGN_OR_RETURN(const auto given_factor, metadata_.Float(factor_key));
    const double factor = given_factor.value_or(0.0) == 0.0 ? 1.0 : *given_factor;
    BANYAN_ASSIGN_OR_RETURN(auto original,
                            metadata_.Int(Full("rope.scaling.original_context_length")));
    BANYAN_ASSIGN_OR_RETURN(auto attention, metadata_.Float(Full("rope.scaling.attn_factor")));
    BANYAN_ASSIGN_OR_RETURN(json::array frequencies, TakeFactors("rope_freqs.weight"));
    BANYAN_ASSIGN_OR_RETURN(json::array longs, TakeFactors("rope_factors_long.weight"));
    BANYAN_ASSIGN_OR_RETURN(json::array shorts, TakeFactors("rope_factors_short.weight"));
    const bool has_factors = !frequencies.empty() || !longs.empty() || !shorts.empty();
    if (has_factors && factor != 1.0 && type != "none")
      return Unimplemented("{}: '{}' {} beside tensors of factors has no implementation",
                           metadata_.path(), factor_key, factor);
    if (attention.value_or(1.0) != 1.0 && longs.empty() && shorts.empty() && type != "yarn")
      return Unimplemented("{}: '{}' {} has no implementation for '{}'", metadata_.path(),
                           Full("rope.scaling.attn_factor"), *attention, type);
    if (original) rope["original_max_position_embeddings"] = *original;
    if (!frequencies.empty()) {
      // Llama 3's scaling, worked out per frequency by the converter.
      rope["rope_type"] = "longrope";
      rope["short_factor"] = frequencies;
      rope["long_factor"] = std::move(frequencies);
      rope["attention_factor"] = 1.0;
    } else if (!longs.empty() || !shorts.empty()) {
      rope["rope_type"] = "longrope";
      rope["short_factor"] = std::move(shorts);
      rope["long_factor"] = std::move(longs);
      rope["attention_factor"] = Shorten(attention.value_or(1.0));
    } else if (type == "linear") {
      if (factor == 1.0) return OkStatus();
      rope["rope_type"] = "linear";
      rope["factor"] = Shorten(factor);
    } else if (type == "yarn") {
      return Yarn(rope, factor, attention);
    } else if (type == "longrope") {
      return InvalidArgument("{}: '{}' is longrope, but the rope_factors tensors are missing",
                             metadata_.path(), Full("rope.scaling.type"));
    } else if (type != "none") {
      return Unimplemented("{}: '{}' is '{}', which has no implementation", metadata_.path(),
                           Full("rope.scaling.type"), type);
    }
    return OkStatus();
  }

  Status Yarn(json::object& rope, double factor, std::optional<double> attention) {
    rope["rope_type"] = "yarn";
    rope["factor"] = Shorten(factor);
    BANYAN_ASSIGN_OR_RETURN(auto whole, metadata_.Float(Full("rope.scaling.yarn_attn_factor")));
    BANYAN_ASSIGN_OR_RETURN(auto log_multiplier,
                            metadata_.Float(Full("rope.scaling.yarn_log_multiplier")));
    if (whole) {
      rope["attention_factor"] = Shorten(*whole);
    } else if (log_multiplier && *log_multiplier != 0.0) {
      // DeepSeek's form, kept as 0.1 * mscale_all_dim; mscale is equal to it in every model that
      // llama.cpp converts, so that the factor on the rotation is 1.
      const auto mscale = Shorten(*log_multiplier * 10.0);
      rope["mscale"] = mscale;
      rope["mscale_all_dim"] = mscale;
    } else if (attention && *attention != 1.0) {
      rope["attention_factor"] = *attention * (0.1 * std::log(factor) + 1.0);
    }
    for (auto [gguf, own] :
         {std::pair{"yarn_beta_fast", "beta_fast"}, {"yarn_beta_slow", "beta_slow"}}) {
      BANYAN_ASSIGN_OR_RETURN(auto value,
                              metadata_.Float(Full(fmt::format("rope.scaling.{}", gguf))));
      if (value) rope[own] = Shorten(*value);
    }
    return OkStatus();
  }

  Status Window() {
    BANYAN_ASSIGN_OR_RETURN(auto window, metadata_.Int(Full("attention.sliding_window")));
    const json::value* pattern = config_.if_contains("_sliding_window_pattern");
    const int64_t every = pattern != nullptr ? pattern->as_int64() : 0;
    config_.erase("_sliding_window_pattern");
    if (!window || *window <= 0) return OkStatus();
    Set("sliding_window", *window);
    if (arch_ == nullptr) return OkStatus();
    // Per layer: 1 = sliding; or one number: every n-th layer is full.
    json::array types;
    const std::string key = Full("attention.sliding_window_pattern");
    const GgufValue* given = metadata_.Find(key);
    if (given != nullptr && given->is_array && given->type == GgufType::kBool) {
      const auto count =
          std::min(given->count, static_cast<uint64_t>(std::max<int64_t>(layers_, 0)));
      for (uint64_t i = 0; i < count; ++i)
        types.push_back(given->data[i] != std::byte{0} ? "sliding_attention" : "full_attention");
    } else {
      BANYAN_ASSIGN_OR_RETURN(auto period, metadata_.Int(key));
      const int64_t n = period.value_or(every);
      if (n <= 0 || layers_ <= 0 || layers_ > 100000) return OkStatus();
      for (int64_t i = 0; i < layers_; ++i)
        types.push_back((i + 1) % n == 0 ? "full_attention" : "sliding_attention");
    }
    config_["layer_types"] = std::move(types);
    return OkStatus();
  }

  // What one architecture needs beyond renaming, mostly told by which tensors there are.
  Status FamilyExtras() {
    const std::string_view name = arch_ != nullptr ? arch_->name : std::string_view();
    const bool qk_norm = FindTensor("blk.0.attn_q_norm.weight") != nullptr;
    if (name == "stablelm" || name == "phi2") config_["qk_layernorm"] = qk_norm;
    if (name == "command-r") config_["use_qk_norm"] = qk_norm;
    if (name == "smollm3" && layers_ > 0 && layers_ <= 100000) {
      json::array uses_rope;
      for (int64_t i = 0; i < layers_; ++i) uses_rope.push_back((i + 1) % 4 == 0 ? 0 : 1);
      config_["no_rope_layers"] = std::move(uses_rope);
    }
    if (name.starts_with("granite") && !config_.contains("attention_multiplier")) {
      BANYAN_ASSIGN_OR_RETURN(auto key_length, metadata_.Int(Full("attention.key_length")));
      const int64_t head_dim = key_length.value_or(heads_ > 0 ? hidden_ / heads_ : 0);
      if (head_dim > 0)
        config_["attention_multiplier"] = 1.0 / std::sqrt(static_cast<double>(head_dim));
    }
    if (name == "seed_oss")
      config_["attention_out_bias"] = FindTensor("blk.0.attn_output.bias") != nullptr;
    if (name == "falcon") {
      BANYAN_ASSIGN_OR_RETURN(auto kv_heads, metadata_.Int(Full("attention.head_count_kv")));
      const bool two_norms = FindTensor("blk.0.attn_norm_2.weight") != nullptr;
      config_["multi_query"] = kv_heads == 1;
      config_["new_decoder_architecture"] = kv_heads != 1;
      config_["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
    }
    if (name == "llama") {
      if (config_.contains("num_local_experts")) {
        config_["architectures"] = json::array(1, "MixtralForCausalLM");
        config_["model_type"] = "mixtral";
      } else if (config_.contains("sliding_window")) {
        config_["architectures"] = json::array(1, "MistralForCausalLM");
        config_["model_type"] = "mistral";
      }
    }
    if (name == "olmo2" && config_.contains("sliding_window")) {
      config_["architectures"] = json::array(1, "Olmo3ForCausalLM");
      config_["model_type"] = "olmo3";
    }
    if (name == "apertus") {
      json::object xielu;
      for (std::string_view key : {"alpha_n", "alpha_p", "beta", "eps"}) {
        BANYAN_ASSIGN_OR_RETURN(auto values, metadata_.Floats(fmt::format("xielu.{}", key)));
        if (values) xielu[JsonKey(key)] = json::array(values->begin(), values->end());
      }
      config_["xielu"] = std::move(xielu);
    }
    if (name == "gemma2" || name == "gemma3") {
      // Not in the file; the 27B models scale by the width per head instead of the head's size.
      BANYAN_ASSIGN_OR_RETURN(auto key_length, metadata_.Int(Full("attention.key_length")));
      const bool large = layers_ == (name == "gemma2" ? 46 : 62);
      if (large && heads_ > 0)
        config_["query_pre_attn_scalar"] = hidden_ / heads_;
      else if (key_length)
        config_["query_pre_attn_scalar"] = *key_length;
    }
    return OkStatus();
  }

  // Latent attention. key_length and value_length are those of a cached row where there are others
  // for the heads.
  Status Latent() {
    BANYAN_ASSIGN_OR_RETURN(auto rank, metadata_.Int(Full("attention.kv_lora_rank")));
    if (!rank) return OkStatus();
    config_["kv_lora_rank"] = *rank;
    constexpr std::pair<std::string_view, std::string_view> kPlain[] = {
        {"attention.q_lora_rank", "q_lora_rank"},
        {"rope.dimension_count", "qk_rope_head_dim"},
        {"attention.indexer.head_count", "index_n_heads"},
        {"attention.indexer.key_length", "index_head_dim"},
        {"attention.indexer.top_k", "index_topk"},
    };
    for (const auto& [gguf, own] : kPlain) {
      BANYAN_ASSIGN_OR_RETURN(auto value, metadata_.Int(Full(gguf)));
      if (value) config_[JsonKey(own)] = *value;
    }
    BANYAN_ASSIGN_OR_RETURN(auto turned, metadata_.Int(Full("rope.dimension_count")));
    for (const auto& [name, own] :
         {std::pair{"key", "qk_nope_head_dim"}, {"value", "v_head_dim"}}) {
      config_.erase(own);
      BANYAN_ASSIGN_OR_RETURN(auto length,
                              metadata_.Int(Full(fmt::format("attention.{}_length", name))));
      BANYAN_ASSIGN_OR_RETURN(auto of_head,
                              metadata_.Int(Full(fmt::format("attention.{}_length_mla", name))));
      if (!of_head) of_head = length;
      if (!of_head) continue;
      const int64_t without = own[0] == 'q' ? turned.value_or(0) : 0;
      if (without < 0 || *of_head < without)
        return InvalidArgument("{}: {} of a head's {}", Full("rope.dimension_count"), without,
                               *of_head);
      config_[own] = *of_head - without;
    }
    config_.erase("head_dim");
    config_["attention_bias"] = FindTensor("blk.0.attn_kv_a_mqa.bias") != nullptr;
    if (json::value* rope = config_.if_contains("rope_parameters"))
      rope->as_object().erase("partial_rotary_factor");
    BANYAN_ASSIGN_OR_RETURN(auto own_index, metadata_.Ints(Full("attention.indexer.types")));
    if (own_index) {
      json::array types;
      for (int64_t own : *own_index) types.push_back(own != 0 ? "full" : "shared");
      config_["indexer_types"] = std::move(types);
    }
    return LatentMoe();
  }

  // What llama.cpp does where the keys of DeepSeek's mixtures are not there.
  Status LatentMoe() {
    BANYAN_ASSIGN_OR_RETURN(auto experts, metadata_.Int(Full("expert_count")));
    if (experts.value_or(0) == 0) {
      if (arch_ != nullptr && arch_->name == "deepseek2") {
        config_["architectures"] = json::array(1, "YoutuForCausalLM");
        config_["model_type"] = "youtu";
      }
      return OkStatus();
    }
    if (!config_.contains("norm_topk_prob")) config_["norm_topk_prob"] = false;
    if (!config_.contains("routed_scaling_factor")) config_["routed_scaling_factor"] = 1.0;
    BANYAN_ASSIGN_OR_RETURN(auto gating, metadata_.Int(Full("expert_gating_func")));
    constexpr int64_t kSigmoid = 2;
    if (arch_ != nullptr && arch_->name == "deepseek2" && gating != kSigmoid) {
      config_["architectures"] = json::array(1, "DeepseekV2ForCausalLM");
      config_["model_type"] = "deepseek_v2";
      BANYAN_ASSIGN_OR_RETURN(auto groups, metadata_.Int(Full("expert_group_count")));
      config_["topk_method"] = groups.value_or(1) > 1 ? "group_limited_greedy" : "greedy";
    }
    return OkStatus();
  }

  const GgufMetadata& metadata_;
  std::vector<NamedTensor>& tensors_;
  std::string prefix_;
  const GgufArch* arch_;
  json::object config_;
  int64_t hidden_ = 0;
  int64_t heads_ = 0;
  int64_t layers_ = 0;
};

}  // namespace

StatusOr<json::object> TranslateGgufConfig(const GgufMetadata& metadata,
                                           std::vector<NamedTensor>& tensors) {
  return Translator(metadata, tensors).Run();
}

}  // namespace banyan::weights
