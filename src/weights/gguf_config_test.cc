// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "weights/checkpoint.h"
#include "weights/gguf_keys.h"
#include "weights/testing.h"

namespace banyan::weights {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::TempFolder;

GgufWriter Model(const std::string& arch) {
  GgufWriter writer;
  writer.String("general.architecture", arch)
      .U32(arch + ".block_count", 4)
      .U32(arch + ".context_length", 512)
      .U32(arch + ".embedding_length", 64)
      .U32(arch + ".feed_forward_length", 128)
      .U32(arch + ".attention.head_count", 4)
      .U32(arch + ".attention.head_count_kv", 2)
      .F32(arch + ".attention.layer_norm_rms_epsilon", 1e-6f)
      .F32(arch + ".attention.layer_norm_epsilon", 1e-5f)
      .Tensor("token_embd.weight", 0, {2, 3}, std::string(24, '\0'));
  return writer;
}

// Opens the file's bytes; `tensors` gets the names left.
StatusOr<json::object> Config(const GgufWriter& writer,
                              std::vector<std::string>* tensors = nullptr) {
  TempFolder folder;
  auto checkpoint = Checkpoint::Open(folder.Write("m.gguf", writer.Bytes()));
  if (!checkpoint.ok()) return checkpoint.status();
  if (tensors != nullptr)
    for (const NamedTensor& tensor : (*checkpoint)->tensors()) tensors->push_back(tensor.name);
  return (*checkpoint)->config();
}

std::string Text(const StatusOr<json::object>& config) {
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? json::serialize(*config) : "";
}

json::value Parse(std::string_view text) { return *ParseJson(text); }

TEST(GgufConfig, LlamaReadsAsItsConfigJson) {
  auto config = Config(Model("llama")
                           .F32("llama.rope.freq_base", 500000.0f)
                           .U32("llama.rope.dimension_count", 16)
                           .U32("tokenizer.ggml.bos_token_id", 1)
                           .U32("tokenizer.ggml.eos_token_id", 2));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(json::value(*config), Parse(R"({
      "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
      "num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 128,
      "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
      "layer_norm_eps": 1e-5,
      "max_position_embeddings": 512, "attention_bias": false, "mlp_bias": false,
      "tie_word_embeddings": true, "vocab_size": 3, "bos_token_id": 1, "eos_token_id": 2,
      "rope_interleaved": true,
      "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0,
                          "partial_rotary_factor": 1.0}})"));
}

TEST(GgufConfig, FamiliesHaveTheirOwnNames) {
  EXPECT_THAT(
      Text(Config(Model("gpt2"))),
      AllOf(HasSubstr(R"("n_embd":64)"), HasSubstr(R"("n_layer":4)"), HasSubstr(R"("n_head":4)"),
            HasSubstr(R"("n_inner":128)"), HasSubstr(R"("layer_norm_epsilon":1E-5)"),
            ::testing::Not(HasSubstr("rope")), ::testing::Not(HasSubstr("num_key"))));
  EXPECT_THAT(
      Text(Config(
          Model("granite").F32("granite.logit_scale", 8).F32("granite.attention.scale", 0.5f))),
      AllOf(HasSubstr(R"("logits_scaling":8E0)"), HasSubstr(R"("attention_multiplier":5E-1)"),
            HasSubstr(R"("rope_interleaved":true)")));
  EXPECT_THAT(Text(Config(Model("qwen2"))),
              AllOf(HasSubstr("Qwen2ForCausalLM"), HasSubstr(R"("rope_interleaved":false)")));
  EXPECT_THAT(Text(Config(Model("stablelm").U32("stablelm.rope.dimension_count", 4))),
              HasSubstr(R"("partial_rotary_factor":2.5E-1)"));
  EXPECT_THAT(Text(Config(Model("smollm3"))), HasSubstr(R"("no_rope_layers":[1,1,1,0])"));
  EXPECT_THAT(
      Text(Config(Model("gemma2").U32("gemma2.attention.sliding_window", 8))),
      HasSubstr(
          R"("layer_types":["sliding_attention","full_attention","sliding_attention","full_attention"])"));
  EXPECT_THAT(Text(Config(Model("llama").U32("llama.expert_count", 8))),
              AllOf(HasSubstr("MixtralForCausalLM"), HasSubstr(R"("num_local_experts":8)")));
  EXPECT_THAT(Text(Config(Model("llama").U32("llama.attention.sliding_window", 8))),
              HasSubstr("MistralForCausalLM"));
  // OLMo 3 has windows, and no rope scaling where they are.
  EXPECT_THAT(
      Text(Config(Model("olmo2")
                      .U32("olmo2.attention.sliding_window", 8)
                      .F32("olmo2.rope.freq_base", 500000.0f)
                      .String("olmo2.rope.scaling.type", "yarn")
                      .F32("olmo2.rope.scaling.factor", 8.0f))),
      AllOf(HasSubstr("Olmo3ForCausalLM"), HasSubstr(R"("model_type":"olmo3")"),
            HasSubstr(R"("full_attention":{"rope_type":"yarn","rope_theta":5E5,"factor":8E0)"),
            HasSubstr(R"("sliding_attention":{"rope_type":"default","rope_theta":5E5,)")));
  EXPECT_THAT(Text(Config(Model("olmo2").U32("olmo2.attention.sliding_window", 0))),
              HasSubstr("Olmo2ForCausalLM"));
  EXPECT_THAT(Text(Config(Model("some-new-one"))),
              HasSubstr(R"("architectures":["some-new-one"])"));
}

TEST(GgufConfig, MixturesReadAsTheirConfigJson) {
  EXPECT_THAT(
      Text(Config(
          Model("llama").U32("llama.expert_count", 8).U32("llama.attention.sliding_window", 8))),
      HasSubstr("MixtralForCausalLM"));
  // Layers of multi-token prediction are no layers of the model.
  const std::string key = "exaone-moe.";
  EXPECT_THAT(Text(Config(Model("exaone-moe")
                              .U32(key + "nextn_predict_layers", 1)
                              .U32(key + "attention.sliding_window", 8)
                              .U32(key + "expert_count", 8)
                              .U32(key + "expert_used_count", 2)
                              .U32(key + "expert_group_count", 4)
                              .U32(key + "expert_group_used_count", 2)
                              .F32(key + "expert_weights_scale", 2.5f))),
              AllOf(HasSubstr("ExaoneMoeForCausalLM"), HasSubstr(R"("num_hidden_layers":3)"),
                    HasSubstr(R"("num_nextn_predict_layers":1)"), HasSubstr(R"("n_group":4)"),
                    HasSubstr(R"("topk_group":2)"), HasSubstr(R"("num_experts_per_tok":2)"),
                    HasSubstr(R"("routed_scaling_factor":2.5E0)"),
                    HasSubstr(R"("layer_types":["sliding_attention","sliding_attention",)"
                              R"("sliding_attention"])")));
}

TEST(GgufConfig, PerLayerNumbersStayArraysOnlyWhenTheyDiffer) {
  const auto with = [](const std::vector<int32_t>& kv) {
    GgufWriter writer;
    writer.String("general.architecture", "none").Array("none.attention.head_count_kv", 5, kv);
    return Text(Config(writer));
  };
  EXPECT_THAT(with({2, 2, 2}), HasSubstr(R"("num_key_value_heads":2)"));
  EXPECT_THAT(with({2, 4}), HasSubstr(R"("num_key_value_heads":[2,4])"));
}

TEST(GgufConfig, LayersWithoutKeyHeadsDoNotAttend) {
  GgufWriter writer;
  writer.String("general.architecture", "nemotron_h")
      .U32("nemotron_h.block_count", 3)
      .U32("nemotron_h.context_length", 512)
      .F32("nemotron_h.attention.layer_norm_rms_epsilon", 1e-6f)
      .U32("nemotron_h.embedding_length", 64)
      .U32("nemotron_h.attention.head_count", 4)
      .Array("nemotron_h.attention.head_count_kv", 5, std::vector<int32_t>{0, 2, 0})
      .Array("nemotron_h.feed_forward_length", 5, std::vector<int32_t>{0, 0, 96})
      .U32("nemotron_h.ssm.conv_kernel", 4)
      .U32("nemotron_h.ssm.state_size", 16)
      .U32("nemotron_h.ssm.group_count", 2)
      .U32("nemotron_h.ssm.time_step_rank", 8)
      .U32("nemotron_h.ssm.inner_size", 128)
      .Tensor("token_embd.weight", 0, {2, 3}, std::string(24, '\0'));
  auto config = Config(writer);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->at("layer_types"), Parse(R"(["linear_attention", "full_attention", "mlp"])"));
  EXPECT_EQ(config->at("num_key_value_heads"), 2);
  EXPECT_EQ(config->at("intermediate_size"), 96);
  EXPECT_EQ(config->at("mamba_num_heads"), 8);
  EXPECT_EQ(config->at("mamba_head_dim"), 16);
  EXPECT_EQ(config->at("ssm_state_size"), 16);

  GgufWriter odd = Model("mamba2");
  odd.U32("mamba2.ssm.inner_size", 100)
      .U32("mamba2.ssm.time_step_rank", 8)
      .U32("mamba2.ssm.conv_kernel", 4)
      .U32("mamba2.ssm.state_size", 16)
      .U32("mamba2.ssm.group_count", 2);
  auto bad = Config(odd);
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(Message(bad.status()), HasSubstr("'mamba2.ssm.inner_size' 100"));
}

TEST(GgufConfig, RopeFactorsBecomeLongrope) {
  const std::array<float, 2> factors{1.0f, 8.0f};
  const std::string bytes(reinterpret_cast<const char*>(factors.data()), sizeof(factors));
  std::vector<std::string> tensors;
  EXPECT_THAT(
      Text(Config(Model("llama").Tensor("rope_freqs.weight", 0, {2}, bytes), &tensors)),
      HasSubstr(
          R"("rope_parameters":{"rope_type":"longrope","rope_theta":1E4,"short_factor":[1E0,8E0],)"
          R"("long_factor":[1E0,8E0],"attention_factor":1E0,"partial_rotary_factor":1E0})"));
  EXPECT_THAT(tensors, ::testing::ElementsAre("token_embd.weight"));
  EXPECT_THAT(
      Text(Config(Model("phi3")
                      .F32("phi3.rope.scaling.attn_factor", 1.25f)
                      .U32("phi3.rope.scaling.original_context_length", 128)
                      .Tensor("rope_factors_long.weight", 0, {2}, bytes)
                      .Tensor("rope_factors_short.weight", 0, {1}, bytes.substr(0, 4)))),
      AllOf(HasSubstr(R"("short_factor":[1E0],"long_factor":[1E0,8E0],"attention_factor":1.25E0)"),
            HasSubstr(R"("original_max_position_embeddings":128)")));
  const std::string nan = GgufWriter::Raw(std::nanf("")) + bytes.substr(4);
  EXPECT_THAT(Message(Config(Model("llama").Tensor("rope_freqs.weight", 0, {2}, nan)).status()),
              HasSubstr("'rope_freqs.weight' has the factor nan"));
}

TEST(GgufConfig, RopeScalings) {
  const auto rope = [](GgufWriter& writer) { return Text(Config(writer)); };
  EXPECT_THAT(rope(Model("qwen2")
                       .String("qwen2.rope.scaling.type", "linear")
                       .F32("qwen2.rope.scaling.factor", 4)),
              HasSubstr(R"("rope_type":"linear","rope_theta":1E4,"factor":4E0)"));
  EXPECT_THAT(
      rope(Model("qwen2")
               .String("qwen2.rope.scaling.type", "yarn")
               .F32("qwen2.rope.scaling.factor", 4)
               .U32("qwen2.rope.scaling.original_context_length", 128)
               .F32("qwen2.rope.scaling.yarn_beta_fast", 16)),
      HasSubstr(
          R"("rope_type":"yarn","rope_theta":1E4,"original_max_position_embeddings":128,"factor":4E0,"beta_fast":1.6E1)"));
  EXPECT_THAT(rope(Model("qwen2").String("qwen2.rope.scaling.type", "none")),
              HasSubstr(R"("rope_type":"default")"));
  // A factor without a type is a linear one; 0 is none.
  for (const char* key : {"qwen2.rope.scaling.factor", "qwen2.rope.scale_linear"}) {
    EXPECT_THAT(rope(Model("qwen2").F32(key, 4)),
                HasSubstr(R"("rope_type":"linear","rope_theta":1E4,"factor":4E0)"));
    EXPECT_THAT(rope(Model("qwen2").F32(key, 0)), HasSubstr(R"("rope_type":"default")"));
  }
  EXPECT_THAT(Message(Config(Model("qwen2").F32("qwen2.rope.scaling.attn_factor", 2)).status()),
              HasSubstr("'qwen2.rope.scaling.attn_factor' 2"));
  EXPECT_THAT(Message(Config(Model("qwen2").F32("qwen2.rope.freq_base_swa", 2)).status()),
              HasSubstr("'qwen2.rope.freq_base_swa' 2"));
  // All of each head, where the family's class would rotate a quarter.
  EXPECT_THAT(rope(Model("gptneox")
                       .Key("gptneox.use_parallel_residual", 7, std::string(1, '\1'))
                       .U32("gptneox.rope.dimension_count", 16)),
              HasSubstr(R"("partial_rotary_factor":1E0)"));
  EXPECT_THAT(Message(Config(Model("qwen2").String("qwen2.rope.scaling.type", "new")).status()),
              HasSubstr("'qwen2.rope.scaling.type' is 'new'"));
  EXPECT_THAT(
      Message(Config(Model("qwen2").String("qwen2.rope.scaling.type", "longrope")).status()),
      HasSubstr("the rope_factors tensors are missing"));
}

TEST(GgufConfig, EveryEndOfTurnIsAnEnd) {
  const auto ends = [](const std::vector<std::string>& tokens) {
    return Text(Config(Model("llama")
                           .U32("tokenizer.ggml.eos_token_id", 0)
                           .Array<std::string>("tokenizer.ggml.tokens", 8, tokens)));
  };
  EXPECT_THAT(ends({"<|endoftext|>", "a", "<|im_end|>", "<|end|>"}),
              HasSubstr(R"("eos_token_id":[0,3,2])"));
  // In the format of gpt-oss a message's end is not the turn's.
  EXPECT_THAT(ends({"<|return|>", "<|end|>", "<|call|>", "<|start|>"}),
              HasSubstr(R"("eos_token_id":[0,2])"));
}

TEST(GgufConfig, WhatLlamaCppRequiresIsNotDefaulted) {
  const auto check = [](const GgufWriter& writer) {
    TempFolder folder;
    auto metadata = GgufMetadata::Open(folder.Write("m.gguf", writer.Bytes()));
    return metadata.ok() ? Message(CheckGgufKeys(**metadata)) : Message(metadata.status());
  };
  const auto without = [&](std::string_view key) {
    GgufWriter writer;
    writer.String("general.architecture", "llama");
    if (key != "context_length") writer.U32("llama.context_length", 512);
    if (key != "epsilon") writer.F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    return check(writer);
  };
  EXPECT_EQ(without(""), "");
  EXPECT_THAT(without("context_length"), HasSubstr("'llama.context_length' is missing"));
  EXPECT_THAT(without("epsilon"), HasSubstr("'llama.attention.layer_norm_rms_epsilon' is missing"));
  EXPECT_THAT(check(Model("gemma3")), HasSubstr("'gemma3.attention.sliding_window' is missing"));
  EXPECT_THAT(check(Model("mamba")), HasSubstr("'mamba.ssm.conv_kernel' is missing"));
  EXPECT_EQ(check(Model("gpt2")), "");
  EXPECT_EQ(check(GgufWriter().String("general.architecture", "none")), "");
}

TEST(GgufConfig, ErrorsNameTheFilesKeys) {
  const auto named = [](const std::string& arch, std::string_view message) {
    TempFolder folder;
    GgufWriter writer;
    writer.String("general.architecture", arch);
    auto metadata = GgufMetadata::Open(folder.Write("m.gguf", writer.Bytes()));
    return InGgufKeys(**metadata, message);
  };
  EXPECT_EQ(named("llama", "config: 'hidden_size' is missing"),
            "config: 'llama.embedding_length' is missing");
  EXPECT_EQ(named("gpt2", "config: 'n_embd' is missing"),
            "config: 'gpt2.embedding_length' is missing");
  EXPECT_EQ(named("mamba", "config: 'state_size' is missing"),
            "config: 'mamba.ssm.state_size' is missing");
  EXPECT_EQ(
      named("llama", "config: 'num_key_value_heads' 3 does not divide num_attention_heads 4"),
      "config: 'llama.attention.head_count_kv' 3 does not divide llama.attention.head_count 4");
  EXPECT_EQ(named("dots1", "config: 'num_experts' is missing"),
            "config: 'dots1.expert_count' is missing");
  EXPECT_EQ(named("qwen2", "config: rope_parameters: 'factor' -1 is not a factor"),
            "config: rope_parameters: 'qwen2.rope.scaling.factor' -1 is not a factor");
}

TEST(GgufConfig, WrongTypesAreNamed) {
  GgufWriter writer;
  writer.String("general.architecture", "none").String("none.block_count", "four");
  EXPECT_THAT(Message(Config(writer).status()),
              HasSubstr("'none.block_count' is of type string, expected an integer"));
}

}  // namespace
}  // namespace banyan::weights
