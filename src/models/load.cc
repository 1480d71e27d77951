// SPDX-License-Identifier: Apache-2.0
#include "models/load.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "models/model_def.h"
#include "nn/decoder.h"
#include "nn/scope.h"
#include "weights/gguf_keys.h"
#include "weights/loader.h"
#include "weights/ternary.h"

namespace banyan::models {
namespace {

// Keys that say something about training, saving or generating, or about an id that the tokenizer
// knows better: they do not change what the network computes.
constexpr std::array kHarmless = {
    "architectures",
    "model_type",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "initializer_range",
    "init_std",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "eod_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "residual_dropout",
    "embedding_dropout",
    "dropout",
    "layerdrop",
    "classifier_dropout",
    "activation_dropout",
    "pretraining_tp",
    "_name_or_path",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "auto_map",
    "is_decoder",
    "is_encoder_decoder",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "return_dict_in_generate",
    "chunk_size_feed_forward",
    "finetuning_task",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "prefix",
    "gradient_checkpointing",
    "torchscript",
    "task_specific_params",
    "tokenizer_class",
    "unsloth_version",
    "unsloth_fixed",
    "use_bfloat16",
    "tie_encoder_decoder",
    "cross_attention_hidden_size",
    "pruned_heads",
    "max_length",
    "min_length",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "vocab_size",
    "max_position_embeddings",
    "max_window_layers",
    "fsdp_plan",
    "cache_implementation",
    "rope_interleaved",
    "output_router_logits",
    "router_aux_loss_coef",
    "router_z_loss_coef",
    "router_jitter_noise",
    "input_jitter_noise",
    "quantization_config",  // which Checkpoint::Open has looked at
};

// Keys that change what some network computes: a family that does not read one does not do it.
constexpr std::array kChanging = {
    "alibi",
    "apply_residual_connection_post_layernorm",
    "post_norm",
    "attention_bias",
    "attention_multiplier",
    "attention_out_bias",
    "attn_logit_softcapping",
    "clip_qkv",
    "embedding_multiplier",
    "final_logit_softcapping",
    "layer_types",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "mlp_bias",
    "moe_intermediate_size",
    "mup_width_multiplier",
    "no_rope_layers",
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "num_experts_per_tok",
    "partial_rotary_factor",
    "qk_layernorm",
    "qk_norm",
    "qkv_bias",
    "query_pre_attn_scalar",
    "residual_multiplier",
    "rope_local_base_freq",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "rotary_emb_base",
    "rotary_pct",
    "scale_attn_by_inverse_layer_idx",
    "scale_depth",
    "scale_emb",
    "dim_model_base",
    "sliding_window",
    "sliding_window_pattern",
    "use_bidirectional_attention",
    "use_bias",
    "use_parallel_residual",
    "use_qk_norm",
    "use_qkv_bias",
    "use_sliding_window",
    "attention_sink",
    "per_layer_config",
    "head_dim",
    "num_key_value_heads",
    "embedding_size",
    "output_multiplier_scale",
    "num_nextn_predict_layers",
};

// Of these, factors that change nothing where they are 1.
constexpr std::array kFactors = {
    "embedding_multiplier",  "lm_head_multiplier",  "logit_scale", "logits_scaling",
    "partial_rotary_factor", "residual_multiplier", "rotary_pct",  "scale_emb",
};

bool IsOff(std::string_view key, const json::value& value) {
  if (value.is_null()) return true;
  if (std::ranges::find(kFactors, key) != kFactors.end())
    return value.is_number() && value.to_number<double>() == 1.0;
  if (value.is_bool()) return !value.get_bool();
  if (value.is_int64()) return value.get_int64() == 0;
  return false;
}

Status CheckUnread(const Fields& fields, std::string_view family) {
  std::string unknown;
  for (const std::string& key : fields.Unread()) {
    if (std::find(kHarmless.begin(), kHarmless.end(), key) != kHarmless.end()) continue;
    const json::value& value = fields.object().at(key);
    if (std::find(kChanging.begin(), kChanging.end(), key) != kChanging.end()) {
      if (IsOff(key, value)) continue;
      return Unimplemented("{}: '{}' = {} is not implemented for the family {}", fields.where(),
                           key, json::serialize(value), family);
    }
    unknown += fmt::format("{}{}", unknown.empty() ? "" : ", ", key);
  }
  if (!unknown.empty()) LogWarning("config keys that {} does not use: {}", family, unknown);
  return OkStatus();
}

StatusOr<std::string> Architecture(const json::object& config) {
  Fields fields(config, "config");
  const auto names = fields.Required<std::vector<std::string>>("architectures");
  if (fields.status().ok() && names.empty()) fields.Fail("architectures", "is empty");
  BANYAN_RETURN_IF_ERROR(fields.status());
  return names[0];
}

// eos_token_id is a number or a list of them.
void ReadTokenIds(Fields& fields, nn::ModelInfo& info) {
  const json::value* eos = fields.Raw("eos_token_id");
  if (eos != nullptr && eos->is_array()) {
    info.end_ids = fields.Required<std::vector<TokenId>>("eos_token_id", {0, 1 << 24});
  } else if (auto id = fields.Maybe<TokenId>("eos_token_id", {-1, 1 << 24}); id && *id >= 0) {
    info.end_ids = {*id};
  }
  if (auto bos = fields.Maybe<TokenId>("bos_token_id", {-1, 1 << 24}); bos && *bos >= 0)
    info.bos_id = bos;
}

struct Types {
  DType compute = DType::kF32;
  DType cache = DType::kF32;
};

// auto: the type that most of the weights have; quantized weights leave the products to int8 and
// the cache to f16.
StatusOr<Types> ChooseTypes(const weights::Checkpoint& checkpoint, std::string_view wanted) {
  if (wanted == "float32" || wanted == "float") return Types{DType::kF32, DType::kF32};
  if (wanted == "bfloat16") return Types{DType::kBF16, DType::kBF16};
  if (wanted == "float16" || wanted == "half") return Types{DType::kF16, DType::kF16};
  if (wanted != "auto")
    return InvalidArgument("--dtype {}: not auto, float32, bfloat16 or float16", wanted);
  std::array<int64_t, static_cast<int>(DType::kCount)> bytes{};
  bool quantized = false;
  for (const weights::NamedTensor& tensor : checkpoint.tensors()) {
    const DType dtype = tensor.tensor.dtype();
    if (tensor.tensor.rank() < 2 || (!IsFloat(dtype) && !IsQuantized(dtype))) continue;
    bytes[static_cast<int>(tensor.tensor.dtype())] += tensor.tensor.NumBytes();
    quantized = quantized || IsQuantized(tensor.tensor.dtype());
  }
  if (quantized) return Types{DType::kF32, DType::kF16};
  const auto most = std::max_element(bytes.begin(), bytes.end()) - bytes.begin();
  const DType dtype = static_cast<DType>(most);
  if (dtype == DType::kBF16 || dtype == DType::kF16) return Types{dtype, dtype};
  return Types{};
}

// A GGUF file's config is a translation: its errors name the keys that the file has.
Status InKeysOfFile(const weights::Checkpoint& checkpoint, const Status& status) {
  if (status.ok() || checkpoint.gguf() == nullptr) return status;
  return MakeStatus(status.code(), weights::InGgufKeys(*checkpoint.gguf(), Message(status)));
}

StatusOr<const ModelDef*> FindFamily(const Registry& registry, const json::object& config) {
  BANYAN_ASSIGN_OR_RETURN(const std::string architecture, Architecture(config));
  const ModelDef* def = registry.Find(architecture);
  if (def != nullptr) return def;
  return NotFound("the architecture {} is not known; known are: {}", architecture,
                  fmt::join(registry.Architectures(), ", "));
}

// All of a model but its tensors: what its family makes of the config, and `info`'s names and ids.
StatusOr<Definition> Define(const weights::Checkpoint& checkpoint, const LoadOptions& options,
                            nn::ModelInfo& info) {
  Registry registry;
  RegisterModels(registry);
  BANYAN_ASSIGN_OR_RETURN(const ModelDef* def, FindFamily(registry, checkpoint.config()));

  if (checkpoint.gguf() != nullptr)
    BANYAN_RETURN_IF_ERROR(weights::CheckGgufKeys(*checkpoint.gguf()));

  Config config(checkpoint);
  Definition definition;
  def->define(config, definition);
  const auto& layers = definition.spec.layers;
  const auto first_dense =
      std::ranges::find(layers, nn::FeedForward::kDense, &nn::LayerSpec::feed_forward) -
      layers.begin();
  if (static_cast<std::size_t>(first_dense) < layers.size() &&
      definition.spec.mlp.intermediate == 0 && config.status().ok())
    config.fields.Fail("intermediate_size", "is missing");
  if (config.gguf() && config.status().ok()) {
    const bool gate =
        checkpoint.Find(fmt::format("blk.{}.ffn_gate.weight", first_dense)) != nullptr;
    // (The gated delta rule has a tensor of that name too.)
    if (layers[0].mixer == nn::Mixer::kAttention &&
        checkpoint.Find("blk.0.attn_qkv.weight") != nullptr)
      FuseQkv(definition.tensors, definition.spec, "", "blk.{l}.attn_qkv");
    if (definition.spec.mlp.gated && !gate)
      FuseGateUp(definition.tensors, definition.spec, "", "blk.{l}.ffn_up");
  }
  info.family = def->family;
  BANYAN_ASSIGN_OR_RETURN(info.architecture, Architecture(checkpoint.config()));
  ReadTokenIds(config.fields, info);
  BANYAN_RETURN_IF_ERROR(InKeysOfFile(checkpoint, config.status()));
  BANYAN_RETURN_IF_ERROR(InKeysOfFile(checkpoint, CheckUnread(config.fields, def->family)));
  nn::DecoderSpec& spec = definition.spec;
  const bool dense = std::ranges::all_of(spec.layers, [](const nn::LayerSpec& layer) {
    return layer.mixer == nn::Mixer::kAttention && layer.feed_forward == nn::FeedForward::kDense;
  });
  BANYAN_RETURN_IF_ERROR(weights::CheckTernaryFamily(checkpoint.config(), def->family, dense));
  spec.latent.expand_rows = options.expand_latents;
  if (options.context_length > 0) {
    if (spec.learned_positions > 0 && options.context_length > spec.context_length)
      return InvalidArgument("a context of {} tokens, but the model has positions for {}",
                             options.context_length, spec.context_length);
    if (options.context_length > spec.context_length)
      LogWarning("--context-length {} is more than the {} that the model declares",
                 options.context_length, spec.context_length);
    spec.context_length = options.context_length;
  }
  return definition;
}

}  // namespace

StatusOr<std::unique_ptr<nn::Model>> LoadModel(const ops::OpContext& context,
                                               const weights::Checkpoint& checkpoint,
                                               const LoadOptions& options) {
  nn::ModelInfo info;
  BANYAN_ASSIGN_OR_RETURN(Definition definition, Define(checkpoint, options, info));
  BANYAN_ASSIGN_OR_RETURN(const Types types, ChooseTypes(checkpoint, options.dtype));
  weights::Loader loader(checkpoint, definition.tensors, options.progress);
  nn::Scope scope(context, checkpoint, loader, types.compute, types.cache);
  return nn::Decoder::Build(std::move(definition.spec), scope, loader, std::move(info));
}

StatusOr<std::string> CheckModel(const weights::Checkpoint& checkpoint) {
  nn::ModelInfo info;
  BANYAN_ASSIGN_OR_RETURN(const Definition definition, Define(checkpoint, {}, info));
  BANYAN_RETURN_IF_ERROR(weights::Loader(checkpoint, definition.tensors).CheckNames());
  return info.family;
}

void Registry::Add(ModelDef def) {
  for (const std::string& architecture : def.architectures) {
    const bool added = by_architecture_.emplace(architecture, def).second;
    BANYAN_CHECK(added, "two families claim {}", architecture);
  }
}

const ModelDef* Registry::Find(std::string_view architecture) const {
  auto found = by_architecture_.find(architecture);
  return found == by_architecture_.end() ? nullptr : &found->second;
}

std::vector<std::string> Registry::Architectures() const {
  std::vector<std::string> names;
  for (const auto& [name, def] : by_architecture_) names.push_back(name);
  return names;
}

}  // namespace banyan::models
