// SPDX-License-Identifier: Apache-2.0
// DecoderSpec: everything that tells one decoder-only transformer from another, as data. A family's
// file in models/ fills it from a config; nn/decoder.h builds and runs it.
//
// The defaults are Llama's (Touvron et al. 2023): RMS norms before attention and MLP, rotary
// positions, a gated MLP, no biases.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/norm.h"
#include "nn/recurrent_spec.h"
#include "nn/rope.h"
#include "ops/moe.h"
#include "tensor/dtype.h"

namespace banyan::nn {

// How attention and MLP join the stream x. A norm that is switched off passes its input through.
enum class Residual : uint8_t {
  kSequential,    // x += post(attention(pre(x))); x += post(mlp(pre(x)))
  kParallel,      // x += attention(pre(x)) + mlp(pre(x)), each its own norm, or one for both
  kNormAfterAdd,  // x = post(x + attention(x)); x = post(x + mlp(x)) (OPT 350m)
  kFromNorm,      // x = pre(x), x = alpha * x + beta * attention(x); the same with mlp (MiniMax)
};

struct AttentionSpec {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  bool qkv_bias = false;
  bool output_bias = false;
  float scale = 0.0f;     // of the products of queries and keys
  float softcap = 0.0f;   // 0: none
  bool alibi = false;     // as ops/attention.h has it
  float clip_qkv = 0.0f;  // 0: none; else q, k, v are clamped to [-clip, clip], normed

  // Norms of queries and keys.
  enum class QkNorm : uint8_t {
    kNone,
    kHead,     // each head by itself, one weight [head_dim] for all (Qwen 3)
    kPerHead,  // each head by itself, with its own row of a weight [heads, head_dim] (Cohere)
    kWhole,    // all heads as one vector [heads * head_dim] (OLMo 2)
  };
  QkNorm qk_norm = QkNorm::kNone;
  NormSpec qk_norm_spec;
  bool qk_norm_after_rope = false;  // Hunyuan

  bool sinks = false;  // one logit per head in the softmax's sum (gpt-oss)
  bool output_gate =
      false;  // what the heads saw is times sigmoid(gate(x)) before the output matrix
  bool output_gate_bias = false;
  std::optional<NormSpec> output_norm;  // of what all heads saw as one vector, before that matrix

  // Differential attention (nn/differential.h): the epsilon of the norm behind it.
  std::optional<float> differential_eps;
  // A dynamic mask (nn/dynamic_mask.h): how many keys a query sees at most; 0: none.
  int dynamic_mask = 0;
};

// Attention over a latent that all heads share (nn/mla.h).
struct LatentSpec {
  int heads = 0;
  int q_rank = 0;     // of the queries' own latent; 0: straight from the stream
  int rank = 0;       // of the latent
  int nope_dim = 0;   // of a head's query and key without positions
  int rope_dim = 0;   // with rotary positions, of which all heads share the key
  int value_dim = 0;  // of a head
  float scale = 0.0f;
  bool bias = false;  // of the matrices to the latents, and of the output's
  NormSpec norm;      // of the latents

  // Sparse attention (ops/sparse_index.h): heads and size of the index, and the positions that a
  // query chooses; 0: all that it sees.
  int index_heads = 0;
  int index_dim = 0;
  int index_top = 0;
  ops::RopePairing index_pairing = ops::RopePairing::kHalves;

  // A sequence with at least so many rows in a step attends to keys and values that are computed
  // from the latents (less work for long prompts, other roundings); 0: always to the latents.
  int expand_rows = 0;
};

struct MlpSpec {
  int intermediate = 0;
  bool gated = true;  // act(gate(x)) * up(x), else act(up(x))
  ops::Activation activation = ops::Activation::kSilu;
  bool up_bias = false;  // the gate's too
  bool down_bias = false;
  float gate_scale = 1.0f, down_scale = 1.0f;  // of the products' results (Falcon H1)
  std::optional<NormSpec> norm;                // of what goes into `down` (BitNet)
};

// A mixture of experts (nn/moe.h).
struct MoeSpec {
  int experts = 0;
  int intermediate = 0;  // of one expert
  ops::Routing routing;
  bool router_bias = false;
  bool correction_bias = false;  // added to the scores for choosing alone
  bool gated = true;
  ops::Activation activation = ops::Activation::kSilu;  // of the shared expert too
  float swiglu_limit = 0.0f;  // over 0: ops::ClampedSwiglu in place of `activation`
  bool expert_bias = false;
  bool scale_input = false;     // the weights multiply what goes into an expert (Llama 4)
  int latent = 0;               // 0: none; else the experts work in a space of this size
  bool latent_bias = false;     // of the matrices to it and from it
  int shared_intermediate = 0;  // 0: no expert that all rows go through
  bool shared_bias = false;
  bool shared_gate = false;  // it is weighted by sigmoid(shared_gate(x))
};

// Experts of one hidden unit each, found by product keys, beside the dense network
// (nn/retrieval.h).
struct RetrievalSpec {
  int experts = 0;
  int keys = 0;  // of each of the two halves; keys * keys is at most `experts`
  int top_k = 0;
};

// The two blocks of a layer. A layer without one has no norms for it either.
enum class Mixer : uint8_t {
  kNone,
  kAttention,           // DecoderSpec::attention
  kShortConv,           // DecoderSpec::short_conv
  kMamba,               // DecoderSpec::mamba
  kMamba2,              // DecoderSpec::mamba2
  kGatedDelta,          // DecoderSpec::gated_delta
  kLightning,           // DecoderSpec::lightning
  kAttentionAndMamba2,  // the sum of both, DecoderSpec::pair
  kLatent,              // DecoderSpec::latent
};
enum class FeedForward : uint8_t {
  kNone,
  kDense,      // DecoderSpec::mlp
  kMoe,        // DecoderSpec::moe
  kRetrieval,  // DecoderSpec::mlp and retrieval
};

// Two mixers side by side (Falcon H1): what goes into the attention and what comes out of each are
// scaled.
struct PairSpec {
  float attention_in = 1.0f, attention_out = 1.0f, mamba_out = 1.0f;
};

// Factors of Residual::kFromNorm.
struct StreamScales {
  float alpha = 1.0f, beta = 1.0f;
};

// What may differ from layer to layer.
struct LayerSpec {
  Mixer mixer = Mixer::kAttention;
  FeedForward feed_forward = FeedForward::kDense;
  int rope = 0;         // index into DecoderSpec::ropes; -1: no rotary positions
  int window = 0;       // positions that a query sees, its own included; 0: all
  int chunk = 0;        // a query sees its own chunk of so many positions only (Llama 4); 0: all
  float scale = 1.0f;   // times AttentionSpec::scale
  bool qk_norm = true;  // false: none, whatever AttentionSpec says
  bool norms_behind = false;  // post norms in place of pre norms (OLMo Hybrid)
  StreamScales mixer_scales, mlp_scales;
  bool own_index = true;  // of sparse attention; false: the last layer's choice that has one
};

struct DecoderSpec {
  int vocab_size = 0;
  int hidden_size = 0;
  int64_t context_length = 0;
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;

  AttentionSpec attention;
  LatentSpec latent;
  MlpSpec mlp;
  MoeSpec moe;
  RetrievalSpec retrieval;
  ShortConvSpec short_conv;
  MambaSpec mamba;
  Mamba2Spec mamba2;
  GatedDeltaSpec gated_delta;
  LightningSpec lightning;
  PairSpec pair;

  Residual residual = Residual::kSequential;
  NormSpec norm;  // of all norms of the stream
  bool attention_norm = true, attention_post_norm = false;
  bool mlp_norm = true, mlp_post_norm = false;
  bool final_norm = true;
  float residual_scale = 1.0f;    // times what attention and MLP add (Granite)
  bool residual_weights = false;  // x = weight * x + what they add, per element (Doge)

  float embedding_scale = 1.0f;
  bool round_embedding_scale = false;  // to the compute type first (Gemma)
  int embedding_dim = 0;               // 0: hidden_size; else projected in and out (OPT 350m)
  int64_t learned_positions = 0;       // rows of a table of position embeddings; 0: none
  int position_offset = 0;             // its row for position 0 (OPT: 2)

  // xIELU's alpha_p, alpha_n, beta and eps per layer, as trained, where the checkpoint has no
  // tensors of them (GGUF).
  std::vector<std::array<float, 4>> xielu;

  bool tied = false;  // the output matrix is the embedding
  bool output_bias = false;
  float logit_scale = 1.0f;
  float logit_softcap = 0.0f;  // 0: none
};

}  // namespace banyan::nn
