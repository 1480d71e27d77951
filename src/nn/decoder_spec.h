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
#include "nn/rope.h"
#include "ops/elementwise.h"
#include "tensor/dtype.h"

namespace banyan::nn {

// How attention and MLP join the stream x. A norm that is switched off passes its input through.
enum class Residual : uint8_t {
  kSequential,    // x += post(attention(pre(x))); x += post(mlp(pre(x)))
  kParallel,      // x += attention(pre(x)) + mlp(pre(x)), each its own norm, or one for both
  kNormAfterAdd,  // x = post(x + attention(x)); x = post(x + mlp(x)) (OPT 350m)
};

struct AttentionSpec {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  bool qkv_bias = false;
  bool output_bias = false;
  float scale = 0.0f;        // of the products of queries and keys
  float softcap = 0.0f;      // 0: none
  float alibi_scale = 0.0f;  // 0: none; else ALiBi's slopes times this, after `scale`
  float clip_qkv = 0.0f;     // 0: none; else q, k, v are clamped to [-clip, clip]

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
};

struct MlpSpec {
  int intermediate = 0;
  bool gated = true;  // act(gate(x)) * up(x), else act(up(x))
  ops::Activation activation = ops::Activation::kSilu;
  bool up_bias = false;  // the gate's too
  bool down_bias = false;
};

// The two blocks of a layer. A layer without one has no norms for it either.
enum class Mixer : uint8_t {
  kNone,
  kAttention,  // DecoderSpec::attention
};
enum class FeedForward : uint8_t {
  kNone,
  kDense,  // DecoderSpec::mlp
};

// What may differ from layer to layer.
struct LayerSpec {
  Mixer mixer = Mixer::kAttention;
  FeedForward feed_forward = FeedForward::kDense;
  int rope = 0;        // index into DecoderSpec::ropes; -1: no rotary positions
  int window = 0;      // positions that a query sees, its own included; 0: all
  int chunk = 0;       // a query sees its own chunk of so many positions only (Llama 4); 0: all
  float scale = 1.0f;  // times AttentionSpec::scale
};

struct DecoderSpec {
  int vocab_size = 0;
  int hidden_size = 0;
  int64_t context_length = 0;
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;

  AttentionSpec attention;
  MlpSpec mlp;

  Residual residual = Residual::kSequential;
  NormSpec norm;  // of all norms of the stream
  bool attention_norm = true, attention_post_norm = false;
  bool mlp_norm = true, mlp_post_norm = false;
  bool final_norm = true;
  float residual_scale = 1.0f;  // times what attention and MLP add (Granite)

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
