// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf_arch.h"

#include <algorithm>
#include <iterator>

namespace banyan::weights {
namespace {

using enum RopePairing;

constexpr std::string_view kSilu = R"({"hidden_act": "silu"})";
constexpr std::string_view kGeluTanh = R"({"hidden_act": "gelu_pytorch_tanh"})";
constexpr std::string_view kNoBias = "attention_bias= mlp_bias=";

// Sorted by name. Pairings from llama_model_rope_type; mixture and hybrid families have here what
// every family has, their own keys are read from Checkpoint::gguf().
constexpr GgufArch kArchs[] = {
    {"afmoe", "AfmoeForCausalLM", "afmoe", kHalves, kNoBias,
     R"({"hidden_act": "silu", "_sliding_window_pattern": 4})"},
    {"apertus", "ApertusForCausalLM", "apertus", kHalves,
     "mlp_bias=", R"({"hidden_act": "xielu"})"},
    {"arcee", "ArceeForCausalLM", "arcee", kNeighbours, "", R"({"hidden_act": "relu2"})"},
    // The file does not say: llama.cpp runs all as the first of them were made, with SiLU.
    {"bitnet", "BitNetForCausalLM", "bitnet", kHalves, "mlp_bias=", kSilu},
    {"chatglm", "GlmForCausalLM", "glm", kNeighbours, "mlp_bias=", kSilu},
    {"cohere2", "Cohere2ForCausalLM", "cohere2", kNeighbours,
     "mlp_bias=", R"({"hidden_act": "silu", "_sliding_window_pattern": 4})"},
    {"command-r", "CohereForCausalLM", "cohere", kNeighbours, "mlp_bias=", kSilu},
    {"deepseek2", "DeepseekV3ForCausalLM", "deepseek_v3", kNeighbours,
     "num_experts=n_routed_experts", kSilu},
    {"deepseek32", "DeepseekV32ForCausalLM", "deepseek_v32", kNeighbours,
     "num_experts=n_routed_experts", kSilu},
    {"dots1", "Dots1ForCausalLM", "dots1", kHalves, "mlp_bias= num_experts=n_routed_experts",
     kSilu},
    {"ernie4_5", "Ernie4_5ForCausalLM", "ernie4_5", kNeighbours,
     "attention_bias=use_bias mlp_bias=", kSilu},
    {"ernie4_5-moe", "Ernie4_5_MoeForCausalLM", "ernie4_5_moe", kNeighbours,
     "attention_bias=use_bias mlp_bias= num_experts=moe_num_experts num_experts_per_tok=moe_k",
     kSilu},
    {"exaone-moe", "ExaoneMoeForCausalLM", "exaone_moe", kHalves, kNoBias,
     R"({"hidden_act": "silu", "_sliding_window_pattern": 4})"},
    {"exaone4", "Exaone4ForCausalLM", "exaone4", kHalves, kNoBias,
     R"({"hidden_act": "silu", "_sliding_window_pattern": 4})"},
    {"falcon", "FalconForCausalLM", "falcon", kHalves,
     "attention_bias=bias mlp_bias= layer_norm_eps=layer_norm_epsilon "
     "intermediate_size=ffn_hidden_size num_key_value_heads=num_kv_heads",
     R"({"activation": "gelu", "alibi": false, "parallel_attn": true})"},
    {"falcon-h1", "FalconH1ForCausalLM", "falcon_h1", kHalves, "", kSilu},
    {"gemma", "GemmaForCausalLM", "gemma", kHalves, "mlp_bias=", kGeluTanh},
    {"gemma2", "Gemma2ForCausalLM", "gemma2", kHalves,
     "mlp_bias=", R"({"hidden_activation": "gelu_pytorch_tanh", "_sliding_window_pattern": 2})"},
    {"gemma3", "Gemma3ForCausalLM", "gemma3_text", kHalves,
     "mlp_bias=", R"({"hidden_activation": "gelu_pytorch_tanh", "_sliding_window_pattern": 6})"},
    {"glm-dsa", "GlmMoeDsaForCausalLM", "glm_moe_dsa", kNeighbours,
     "mlp_bias= num_experts=n_routed_experts", kSilu},
    {"glm4", "Glm4ForCausalLM", "glm4", kNeighbours, "mlp_bias=", kSilu},
    {"glm4moe", "Glm4MoeForCausalLM", "glm4_moe", kHalves, "mlp_bias= num_experts=n_routed_experts",
     kSilu},
    {"gpt-oss", "GptOssForCausalLM", "gpt_oss", kHalves, "mlp_bias= num_experts=num_local_experts",
     R"({"hidden_act": "silu", "_sliding_window_pattern": 2})"},
    {"gpt2", "GPT2LMHeadModel", "gpt2", kNone,
     "attention_bias= mlp_bias= num_key_value_heads= hidden_size=n_embd num_hidden_layers=n_layer "
     "num_attention_heads=n_head intermediate_size=n_inner max_position_embeddings=n_positions "
     "layer_norm_eps=layer_norm_epsilon",
     R"({"activation_function": "gelu_new", "scale_attn_weights": true})"},
    {"gptneox", "GPTNeoXForCausalLM", "gpt_neox", kHalves,
     "mlp_bias= num_key_value_heads=", R"({"hidden_act": "gelu"})"},
    {"granite", "GraniteForCausalLM", "granite", kNeighbours, "logit_scale=logits_scaling", kSilu},
    {"granitehybrid", "GraniteMoeHybridForCausalLM", "granitemoehybrid", kNeighbours,
     "logit_scale=logits_scaling num_experts=num_local_experts", kSilu},
    {"granitemoe", "GraniteMoeForCausalLM", "granitemoe", kNeighbours,
     "logit_scale=logits_scaling num_experts=num_local_experts", kSilu},
    {"hunyuan-dense", "HunYuanDenseV1ForCausalLM", "hunyuan_v1_dense", kHalves, "mlp_bias=", kSilu},
    {"hunyuan-moe", "HunYuanMoEV1ForCausalLM", "hunyuan_v1_moe", kHalves, "mlp_bias=", kSilu},
    {"jamba", "JambaForCausalLM", "jamba", kNone, kNoBias, kSilu},
    {"lfm2", "Lfm2ForCausalLM", "lfm2", kHalves, "attention_bias= mlp_bias= rms_norm_eps=norm_eps",
     ""},
    {"lfm2moe", "Lfm2MoeForCausalLM", "lfm2_moe", kHalves,
     "attention_bias= mlp_bias= rms_norm_eps=norm_eps", ""},
    {"llama", "LlamaForCausalLM", "llama", kNeighbours, "num_experts=num_local_experts", kSilu},
    {"llama4", "Llama4ForCausalLM", "llama4_text", kNeighbours,
     "mlp_bias= num_experts=num_local_experts", kSilu},
    {"mamba", "MambaForCausalLM", "mamba", kNone,
     "attention_bias= mlp_bias= rms_norm_eps=layer_norm_epsilon", kSilu},
    {"mamba2", "Mamba2ForCausalLM", "mamba2", kNone,
     "attention_bias= mlp_bias= rms_norm_eps=layer_norm_epsilon", kSilu},
    {"minicpm3", "MiniCPM3ForCausalLM", "minicpm3", kHalves, "mlp_bias=", kSilu},
    {"minimax-m2", "MiniMaxM2ForCausalLM", "minimax_m2", kHalves,
     "attention_bias= mlp_bias= num_experts=num_local_experts", kSilu},
    {"mistral3", "Ministral3ForCausalLM", "ministral3", kNeighbours, kNoBias, kSilu},
    {"nemotron", "NemotronForCausalLM", "nemotron", kHalves,
     "layer_norm_eps=norm_eps rms_norm_eps=", R"({"hidden_act": "relu2"})"},
    {"nemotron_h", "NemotronHForCausalLM", "nemotron_h", kNone,
     "rms_norm_eps=layer_norm_epsilon num_experts=n_routed_experts",
     R"({"mlp_hidden_act": "relu2"})"},
    {"nemotron_h_moe", "NemotronHForCausalLM", "nemotron_h", kNone,
     "rms_norm_eps=layer_norm_epsilon num_experts=n_routed_experts "
     "shared_expert_intermediate_size=moe_shared_expert_intermediate_size",
     R"({"mlp_hidden_act": "relu2"})"},
    {"olmo", "OlmoForCausalLM", "olmo", kNeighbours, "mlp_bias=", kSilu},
    {"olmo2", "Olmo2ForCausalLM", "olmo2", kHalves,
     "mlp_bias=", R"({"hidden_act": "silu", "_sliding_window_pattern": 4})"},
    {"olmoe", "OlmoeForCausalLM", "olmoe", kHalves, "mlp_bias=", kSilu},
    {"phi2", "PhiForCausalLM", "phi", kHalves, kNoBias, R"({"hidden_act": "gelu_new"})"},
    {"phi3", "Phi3ForCausalLM", "phi3", kHalves, kNoBias, kSilu},
    {"phimoe", "PhimoeForCausalLM", "phimoe", kHalves, "mlp_bias= num_experts=num_local_experts",
     kSilu},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", kHalves, kNoBias, kSilu},
    {"qwen2moe", "Qwen2MoeForCausalLM", "qwen2_moe", kHalves, kNoBias, kSilu},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", kHalves, "mlp_bias=", kSilu},
    {"qwen35", "Qwen3_5ForCausalLM", "qwen3_5_text", kHalves, "mlp_bias=", kSilu},
    {"qwen35moe", "Qwen3_5MoeForCausalLM", "qwen3_5_moe_text", kHalves, "mlp_bias=", kSilu},
    {"qwen3moe", "Qwen3MoeForCausalLM", "qwen3_moe", kHalves, "mlp_bias=", kSilu},
    {"qwen3next", "Qwen3NextForCausalLM", "qwen3_next", kHalves, "mlp_bias=", kSilu},
    {"seed_oss", "SeedOssForCausalLM", "seed_oss", kHalves, "", kSilu},
    {"smollm3", "SmolLM3ForCausalLM", "smollm3", kNeighbours, "",
     R"({"hidden_act": "silu", "no_rope_layer_interval": 4})"},
    {"stablelm", "StableLmForCausalLM", "stablelm", kHalves,
     "attention_bias=use_qkv_bias mlp_bias=", kSilu},
    {"starcoder2", "Starcoder2ForCausalLM", "starcoder2", kHalves,
     "attention_bias=use_bias mlp_bias= layer_norm_eps=norm_epsilon", kGeluTanh},
};

constexpr bool IsSorted() {
  for (std::size_t i = 1; i < std::size(kArchs); ++i)
    if (!(kArchs[i - 1].name < kArchs[i].name)) return false;
  return true;
}
static_assert(IsSorted());

}  // namespace

const GgufArch* FindGgufArch(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kArchs, name, {}, &GgufArch::name);
  return found != std::end(kArchs) && found->name == name ? found : nullptr;
}

}  // namespace banyan::weights
