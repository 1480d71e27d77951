// SPDX-License-Identifier: Apache-2.0
// ModelDef: a family's entry in the registry, and what its file uses to turn a config into a
// DecoderSpec and a table of tensor names. docs/howto/model-family.md shows one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "nn/decoder_spec.h"
#include "weights/checkpoint.h"
#include "weights/tensor_table.h"

namespace banyan::models {

// What a family makes of a config.
struct Definition {
  nn::DecoderSpec spec;
  weights::TensorTable tensors;
};

// A config being read. Families read keys with `fields` and the helpers below; what a helper reads
// has transformers' meaning, and the defaults of transformers' own config class are the arguments.
class Config {
 public:
  explicit Config(const weights::Checkpoint& checkpoint)
      : fields(checkpoint.config(), "config"), checkpoint_(checkpoint) {}

  Fields fields;

  bool HasTensor(std::string_view name) const { return checkpoint_.Find(name) != nullptr; }
  // Rows of a tensor (its first dimension); 0 where there is none.
  int64_t TensorRows(std::string_view name) const {
    const Tensor* tensor = checkpoint_.Find(name);
    return tensor == nullptr || tensor->rank() == 0 ? 0 : tensor->dim(0);
  }
  bool gguf() const { return checkpoint_.format() == weights::Format::kGguf; }
  const weights::GgufMetadata* metadata() const { return checkpoint_.gguf(); }

  // vocab_size, hidden_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim,
  // intermediate_size. `kv_heads` and `head_dim` are the defaults: 0 means as many as heads, and
  // hidden_size / heads.
  nn::DecoderSpec Dims(int kv_heads = 0, int head_dim = 0);
  // num_attention_heads, num_key_value_heads and head_dim alone.
  void Heads(nn::DecoderSpec& spec, int kv_heads = 0, int head_dim = 0);
  // The length of the context, and rope number 0 for all layers. The defaults' head_dim and
  // max_position are filled in here.
  void Rope(nn::DecoderSpec& spec, int64_t max_position, nn::RopeDefaults defaults = {});
  // Adds a rope for one layer type and returns its number.
  int AddRope(nn::DecoderSpec& spec, int64_t max_position, nn::RopeDefaults defaults,
              std::string_view layer_type = {});
  nn::NormSpec RmsNorm(std::string_view key, double eps);
  nn::NormSpec LayerNorm(std::string_view key, double eps, bool bias = true);
  ops::Activation Activation(std::initializer_list<std::string_view> keys,
                             std::string_view fallback);
  // layer_types, or `fallback(layer)` where the key is absent: true where the layer's attention
  // sees a window. Sets the windows of the spec's layers to `window`.
  void Windows(nn::DecoderSpec& spec, int window, const std::function<bool(int)>& fallback);
  void Tied(nn::DecoderSpec& spec, bool fallback) {
    spec.tied = fields.Optional<bool>("tie_word_embeddings", fallback);
  }
  // A flag of which null means no, as in Python; `fallback` where it is absent.
  bool Flag(std::string_view key, bool fallback);
  // A window's length: 0 where the key is null (or a GGUF file says zero), `fallback` where it is
  // absent.
  int Window(std::string_view key, int fallback);
  // Every how many layers one has full attention.
  int SlidingPattern(int fallback);
  // A mixture of experts in the layers for which `sparse` holds: how many experts, how many of them
  // a row takes (under any of the names in use) and the size of one, `intermediate`. GGUF: where
  // the file has one, and of the size that its tensors have.
  void Moe(
      nn::DecoderSpec& spec, std::string_view intermediate,
      const std::function<bool(int)>& sparse = [](int) { return true; });
  // After Moe: experts that every row goes through, `key` of them, as one wide one.
  void SharedExperts(nn::DecoderSpec& spec, std::string_view key, int fallback);
  // The routing of DeepSeek-V3 and those after it: sigmoids, a correction for choosing, groups.
  void GroupedRouting(nn::DecoderSpec& spec, bool normalize, double scale = 1.0, int groups = 1,
                      int top_groups = 1);
  // Qwen's keys of a mixture: sparse layers, weights that sum to 1.
  void QwenMoe(nn::DecoderSpec& spec);
  // Granite's four multipliers.
  void GraniteScales(nn::DecoderSpec& spec);
  // The layers of multi-token prediction, behind the others, are not used: their tensors are
  // ignored.
  void DropNextnLayers(Definition& definition);
  // rotary_dim: how many elements of a head turn (MiniMax).
  void RotaryDim(const nn::DecoderSpec& spec, nn::RopeDefaults& rope);
  // Windows where use_sliding_window says so, by default in the layers that `sliding` names.
  void OptionalWindows(nn::DecoderSpec& spec, int fallback,
                       const std::function<bool(int layer)>& sliding);
  // Qwen's rule: the layers from max_window_layers on, and only if use_sliding_window says so.
  void QwenWindows(nn::DecoderSpec& spec);
  // A limit: 0, for none, where the key is null (or a GGUF file says zero), `fallback` where it is
  // absent.
  float Softcap(std::string_view key, float fallback);
  // attention_bias (of q, k and v, and of the output matrix if `output`) and mlp_bias.
  void Biases(nn::DecoderSpec& spec, bool output = true, bool attention_default = false);
  // A key that may only have the value that we implement.
  void Only(std::string_view key, bool value);

  // Failures that are not about a key's value (an unknown rope type).
  Status status() const { return status_.ok() ? fields.status() : status_; }
  void Fail(const Status& status) {
    if (status_.ok()) status_ = status;
  }

 private:
  bool IsNull(std::string_view key) const;  // there, and null
  void MoeOfTensors(nn::DecoderSpec& spec);
  const weights::Checkpoint& checkpoint_;
  Status status_;
};

struct ModelDef {
  std::string family;                      // "llama"; also config.json's model_type
  std::vector<std::string> architectures;  // "LlamaForCausalLM"
  void (*define)(Config& config, Definition& definition);
};

class Registry {
 public:
  void Add(ModelDef def);
  const ModelDef* Find(std::string_view architecture) const;
  std::vector<std::string> Architectures() const;  // sorted

 private:
  std::map<std::string, ModelDef, std::less<>> by_architecture_;
};

// The tensor names most families share: Llama's in Hugging Face's files, and GGUF's. Rows that a
// model does not declare do no harm.
weights::TensorTable LlamaTensors();
// Sets the names of NAME.weight and NAME.bias ("layers.{l}.mlp.up"); alternatives are separated by
// '|'. An empty `gguf` keeps GGUF's name.
void Rename(weights::TensorTable& table, std::string_view logical, std::string_view safetensors,
            std::string_view gguf = {});
// The row of a logical name with its ".weight" or ".bias", to set its transforms.
weights::TensorRow& Row(weights::TensorTable& table, std::string_view logical);
// The norms of the stream are stored as their distance from one, in safetensors (GGUF's conversion
// adds it).
void AddOneToNorms(weights::TensorTable& table);
// The file has one tensor for several weights, stacked: q, k and v (in `groups` stacks, each with
// its share of the heads), or gate and up. An empty name leaves that format as it is; GGUF files
// that are fused are noticed by LoadModel.
void FuseQkv(weights::TensorTable& table, const nn::DecoderSpec& spec, std::string_view safetensors,
             std::string_view gguf, int64_t groups = 1);
void FuseGateUp(weights::TensorTable& table, const nn::DecoderSpec& spec,
                std::string_view safetensors, std::string_view gguf);

// What Hugging Face's files call the parts of a mixture, within `block`.
struct MoeNames {
  std::string_view block = "model.layers.{l}.mlp";
  std::string_view router = "gate";
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";  // of block.experts.{e}
  std::string_view shared = "shared_experts";
  std::string_view shared_gate = "shared_expert_gate";
  std::string_view correction = "gate.e_score_correction_bias";
};
// The names of a mixture's tensors, one per expert or of all experts stacked.
void AddMoe(weights::TensorTable& table, const nn::DecoderSpec& spec, const MoeNames& names = {});
// Safetensors of all experts that multiply from the right: block.gate_up_proj [experts, hidden,
// groups of `parts` gate and up], block.down_proj [experts, intermediate, hidden], and *_bias.
void AddExpertsByColumns(weights::TensorTable& table, std::string_view block,
                         const std::vector<int64_t>& parts, int64_t groups);
// Granite's: gate and up of all experts in input_linear, and of the shared one in its own.
void AddGraniteMoe(weights::TensorTable& table, const nn::DecoderSpec& spec);

}  // namespace banyan::models

namespace banyan {
using ModelRegistry = models::Registry;
void RegisterModels(models::Registry& registry);  // made by CMake from families/
}  // namespace banyan
