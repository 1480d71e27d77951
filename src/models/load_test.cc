// SPDX-License-Identifier: Apache-2.0
// What LoadModel refuses, and by which name: a good checkpoint with one thing changed.
#include "models/load.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "models/model_def.h"
#include "models/testing.h"
#include "weights/testing.h"

namespace banyan::models {
namespace {

namespace fs = std::filesystem;

std::string Read(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class LoadTest : public ::testing::Test {
 protected:
  void SetUp() override { UseModel("llama"); }

  void UseModel(std::string_view name) {
    const fs::path source = fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models" / name;
    config_ = *ParseJsonObject(Read(source / "config.json"), "config.json");
    weights_ = Read(source / "model.safetensors");
  }

  StatusOr<std::unique_ptr<nn::Model>> Load(const LoadOptions& options = {}) {
    folder_.Write("config.json", json::serialize(config_));
    folder_.Write("model.safetensors", weights_);
    BANYAN_ASSIGN_OR_RETURN(checkpoint_, weights::Checkpoint::Open(folder_.path()));
    return LoadModel(device_.context(), *checkpoint_, options);
  }

  // What the family makes of the config.
  nn::DecoderSpec Define() {
    folder_.Write("config.json", json::serialize(config_));
    folder_.Write("model.safetensors", weights_);
    checkpoint_ = *weights::Checkpoint::Open(folder_.path());
    Registry registry;
    RegisterModels(registry);
    Config config(*checkpoint_);
    Definition definition;
    const auto architecture = json::value_to<std::string>(config_.at("architectures").at(0));
    registry.Find(architecture)->define(config, definition);
    EXPECT_TRUE(config.status().ok()) << config.status();
    return definition.spec;
  }

  void ExpectError(StatusCode code, std::string_view part) {
    const auto model = Load();
    EXPECT_EQ(model.status().code(), code) << model.status();
    EXPECT_NE(Message(model.status()).find(part), std::string::npos) << model.status();
  }

  // Renames a tensor in the file's header to another name of the same length.
  void RenameTensor(std::string_view from, std::string_view to) {
    ASSERT_EQ(from.size(), to.size());
    const std::size_t at = weights_.find(from);
    ASSERT_NE(at, weights_.npos);
    weights_.replace(at, to.size(), to);
  }

  TestDevice device_;
  weights::testing::TempFolder folder_;
  json::object config_;
  std::string weights_;
  std::unique_ptr<weights::Checkpoint> checkpoint_;
};

TEST_F(LoadTest, FillsTheInfo) {
  config_["eos_token_id"] = {2, 7};
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  const nn::ModelInfo& info = (*model)->info();
  EXPECT_EQ(info.family, "llama");
  EXPECT_EQ(info.architecture, "LlamaForCausalLM");
  EXPECT_EQ(info.vocab_size, 128);
  EXPECT_EQ(info.hidden_size, 64);
  EXPECT_EQ(info.num_layers, 2);
  EXPECT_EQ(info.context_length, 512);
  EXPECT_EQ(info.end_ids, (std::vector<TokenId>{2, 7}));
  EXPECT_EQ(info.bos_id, 1);
  EXPECT_EQ(info.compute, DType::kBF16);
  int64_t parameters = 0, in_layers = 0;
  for (const auto& tensor : checkpoint_->tensors()) {
    parameters += tensor.tensor.NumElements();
    const bool outside = tensor.name.find("embed_tokens") != tensor.name.npos ||
                         tensor.name.find("lm_head") != tensor.name.npos;
    if (!outside) in_layers += tensor.tensor.NumElements();
  }
  EXPECT_EQ(info.num_parameters, parameters);
  EXPECT_EQ(info.row_parameters, in_layers);
  EXPECT_EQ(info.output_parameters, 128 * 64);
  ASSERT_EQ(info.cache_groups.size(), 1u);
  EXPECT_EQ(info.cache_groups[0].segments.size(), 4u);  // k and v of two layers
  EXPECT_EQ(info.cache_groups[0].BytesPerToken(), 2 * 2 * 2 * 16 * 2);
}

TEST_F(LoadTest, ARowGoesThroughItsExpertsOnly) {
  UseModel("mixtral");
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  const nn::ModelInfo& info = (*model)->info();
  const int64_t experts = 2 * 6 * 3 * 24 * 64, tables = 128 * 64;
  EXPECT_EQ(info.row_parameters,
            info.num_parameters - tables - info.output_parameters - experts / 2);  // three of six
}

TEST_F(LoadTest, DtypeSetsComputeAndCache) {
  const auto model = Load({.dtype = "float32"});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().compute, DType::kF32);
  EXPECT_EQ((*model)->info().cache_groups[0].segments[0].dtype, DType::kF32);
  EXPECT_EQ(Load({.dtype = "int8"}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(LoadTest, UnknownArchitectureListsTheKnown) {
  config_["architectures"] = {"ElizaForCausalLM"};
  ExpectError(StatusCode::kNotFound, "ElizaForCausalLM is not known; known are: AfmoeForCausalLM");
}

TEST_F(LoadTest, MissingKeysAreNamed) {
  for (const char* key : {"hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "architectures"}) {
    const json::value saved = config_.at(key);
    config_.erase(key);
    ExpectError(StatusCode::kInvalidArgument, fmt::format("'{}' is missing", key));
    config_[key] = saved;
  }
}

TEST_F(LoadTest, ValuesOutOfRangeAreNamed) {
  config_["num_hidden_layers"] = 0;
  ExpectError(StatusCode::kInvalidArgument, "'num_hidden_layers'");
  config_["num_hidden_layers"] = 2;
  config_["num_key_value_heads"] = 3;
  ExpectError(StatusCode::kInvalidArgument, "'num_key_value_heads' 3 does not divide");
}

TEST_F(LoadTest, ZeroIsNoLimit) {
  UseModel("mistral");
  config_["sliding_window"] = 0;
  ExpectError(StatusCode::kInvalidArgument, "'sliding_window' 0 is not within");
  UseModel("gemma2");
  config_["attn_logit_softcapping"] = 0.0;
  ExpectError(StatusCode::kInvalidArgument, "'attn_logit_softcapping' 0 is not within");
  UseModel("olmo");
  config_["clip_qkv"] = 0.0;
  ExpectError(StatusCode::kInvalidArgument, "'clip_qkv' 0 is not within");
  for (const char* name : {"qwen2", "qwen2_moe", "smollm3"}) {
    UseModel(name);
    config_["sliding_window"] = 0;  // of one that is not used
    EXPECT_TRUE(Load().ok()) << name;
    config_["layer_types"].as_array()[0] = "sliding_attention";
    ExpectError(StatusCode::kInvalidArgument, "'sliding_window' is missing or unused");
  }
}

// transformers 5 reads one of the two in each class, and Gemma 3's attention has no cap.
TEST_F(LoadTest, GemmasReadWhatTheirClassesDo) {
  const auto activation = [&](const char* name) {
    UseModel(name);
    config_["hidden_act"] = "gelu";
    config_["hidden_activation"] = "relu";
    config_["attn_logit_softcapping"] = 3.0;
    if (std::string_view(name) == "gemma") config_.erase("attn_logit_softcapping");
    return Define().mlp.activation;
  };
  for (const char* name : {"gemma", "gemma2", "gemma3_text", "vaultgemma"})
    EXPECT_EQ(activation(name), ops::Activation::kRelu) << name;
  activation("gemma2");
  EXPECT_EQ(Define().attention.softcap, 3.0f);
  activation("gemma3_text");
  EXPECT_EQ(Define().attention.softcap, 0.0f);
}

TEST_F(LoadTest, ANullHeadSizeIsAShareOfTheHiddenSize) {
  UseModel("seed_oss");
  config_.erase("head_dim");
  EXPECT_EQ(Define().attention.head_dim, 128);
  config_["head_dim"] = nullptr;
  EXPECT_EQ(Define().attention.head_dim, 16);
}

// Falcon Mamba 7B says 16 times the width, and half of that.
TEST_F(LoadTest, MambasInnerWidthWinsOverItsFactor) {
  UseModel("falcon_mamba");
  config_["expand"] = 16;
  EXPECT_TRUE(Load().ok());
  EXPECT_EQ(Define().mamba.inner, 96);
  config_.erase("intermediate_size");
  EXPECT_EQ(Define().mamba.inner, 16 * 48);
}

// As LFM 2's and Command R7B's own files.
TEST_F(LoadTest, KeysThatRepeatOrSayNothingAreNoHindrance) {
  UseModel("lfm2");
  config_.erase("rope_parameters");
  config_["theta"] = config_["rope_theta"] = 1e6;
  EXPECT_TRUE(Load().ok());
  config_["theta"] = 5e5;
  ExpectError(StatusCode::kInvalidArgument, "'theta' 500000 is not rope_theta 1000000");
  UseModel("cohere2");
  config_["rotary_pct"] = 1.0;
  EXPECT_TRUE(Load().ok());
  config_["rotary_pct"] = 1;
  EXPECT_TRUE(Load().ok());
  config_["rotary_pct"] = nullptr;
  EXPECT_TRUE(Load().ok());
  for (const double part : {0.0, 0.5}) {
    config_["rotary_pct"] = part;
    ExpectError(StatusCode::kUnimplemented, "'rotary_pct' = ");
  }
}

// As transformers 4.57 saves the class.
TEST_F(LoadTest, GptNeoxSaysItsRopeTwice) {
  UseModel("gpt_neox");
  config_.erase("rope_parameters");
  config_["rotary_emb_base"] = config_["rope_theta"] = 10000;
  config_["rotary_pct"] = config_["partial_rotary_factor"] = 0.25;
  config_["rope_scaling"] = nullptr;
  EXPECT_TRUE(Load().ok());
  config_["rope_theta"] = 500;
  ExpectError(StatusCode::kInvalidArgument, "'rope_theta' 500 is not rotary_emb_base 10000");
  config_["rope_theta"] = 10000;
  config_["partial_rotary_factor"] = 0.5;
  ExpectError(StatusCode::kInvalidArgument, "'partial_rotary_factor' 0.5 is not rotary_pct");
}

TEST_F(LoadTest, OfAFlagNullMeansNo) {
  UseModel("falcon");
  EXPECT_EQ(Define().attention.kv_heads, 1);
  EXPECT_EQ(Define().residual, nn::Residual::kParallel);
  config_["multi_query"] = nullptr;
  config_["parallel_attn"] = nullptr;
  EXPECT_EQ(Define().attention.kv_heads, 4);
  EXPECT_EQ(Define().residual, nn::Residual::kSequential);
  UseModel("bamba");
  EXPECT_TRUE(Define().mamba2.conv_bias);
  config_["mamba_conv_bias"] = nullptr;
  EXPECT_FALSE(Define().mamba2.conv_bias);
}

TEST_F(LoadTest, DenseLayersOfMixturesNeedTheirSize) {
  UseModel("glm4_moe");
  config_.erase("intermediate_size");
  ExpectError(StatusCode::kInvalidArgument, "'intermediate_size' is missing");
}

TEST_F(LoadTest, ErrorsAboutGgufFilesNameTheirKeys) {
  const std::string good =
      Read(fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models/llama/model.gguf");
  // With one of the keys misspelt.
  const auto without = [&](std::string key) {
    std::string bytes = good;
    const std::size_t at = bytes.find(key);
    EXPECT_NE(at, bytes.npos) << key;
    if (at != bytes.npos) bytes[at + key.size() - 1] = '?';
    const auto checkpoint = weights::Checkpoint::Open(folder_.Write("model.gguf", bytes));
    if (!checkpoint.ok()) return Message(checkpoint.status());
    return Message(LoadModel(device_.context(), **checkpoint, {}).status());
  };
  for (std::string_view key : {"llama.block_count", "llama.embedding_length",
                               "llama.feed_forward_length", "llama.attention.head_count",
                               "llama.attention.layer_norm_rms_epsilon", "llama.context_length"}) {
    const std::string message = without(std::string(key));
    EXPECT_NE(message.find(fmt::format("'{}' is missing", key)), message.npos) << message;
  }
}

TEST_F(LoadTest, NullIsNoNumber) {
  config_["rms_norm_eps"] = nullptr;
  ExpectError(StatusCode::kInvalidArgument, "'rms_norm_eps' is null");
  config_["rms_norm_eps"] = 1e-6;
  config_["bos_token_id"] = "1";
  ExpectError(StatusCode::kInvalidArgument, "'bos_token_id' expected an integer");
}

TEST_F(LoadTest, WhatWouldChangeTheAnswerIsDoneOrRefused) {
  config_["hidden_act"] = "snake";
  ExpectError(StatusCode::kUnimplemented, "'hidden_act': the activation 'snake'");
  config_["hidden_act"] = "xielu";  // Apertus has tensors for it
  ExpectError(StatusCode::kUnimplemented, "'hidden_act': the activation 'xielu'");
  config_["hidden_act"] = "silu";
  config_["sliding_window"] = 128;  // not Llama's
  ExpectError(StatusCode::kUnimplemented, "'sliding_window' = 128");
  config_["sliding_window"] = nullptr;
  config_["quantization_config"] = {{"quant_method", "awq"}};
  ExpectError(StatusCode::kUnimplemented, "method 'awq'");
}

TEST_F(LoadTest, TheSparseMixerIsOfTwoExperts) {
  UseModel("phimoe");
  ASSERT_TRUE(Load().ok());
  config_["num_experts_per_tok"] = 3;
  ExpectError(StatusCode::kInvalidArgument, "'num_experts_per_tok' other than 2");
}

TEST_F(LoadTest, MinimaxTurnsAsMuchOfAHeadAsItSays) {
  for (const char* name : {"minimax", "minimax_m2"}) {
    UseModel(name);
    config_["rope_parameters"].as_object().erase("partial_rotary_factor");
    config_["rotary_dim"] = 8;
    EXPECT_EQ(Define().ropes.at(0).dim, 8) << name;
    config_["rotary_dim"] = 32;  // of 16
    ExpectError(StatusCode::kInvalidArgument, "leaves 32 elements of a head of 16");
  }
}

TEST_F(LoadTest, RopeInterleaveIsAKeyOfSomeFamilies) {
  const auto pairing = [&](const char* name, json::value value) {
    UseModel(name);
    config_["rope_interleave"] = std::move(value);
    return Define().ropes.at(0).pairing;
  };
  for (const json::value& value : {json::value(false), json::value(nullptr)}) {
    EXPECT_EQ(pairing("deepseek_v3", value), ops::RopePairing::kHalves);
    for (const char* name : {"deepseek_v2", "deepseek_v32", "glm_moe_dsa"})
      EXPECT_EQ(pairing(name, value), ops::RopePairing::kInterleaved) << name;
  }
  EXPECT_EQ(pairing("minicpm3", true), ops::RopePairing::kHalves);
}

TEST_F(LoadTest, LayersOfBothNamesMayAgree) {
  UseModel("granitemoehybrid");
  config_["layers_block_type"] = config_["layer_types"];
  EXPECT_TRUE(Load().ok());
  config_["layers_block_type"].as_array()[0] =
      config_["layer_types"].at(0) == "mamba" ? "attention" : "mamba";
  ExpectError(StatusCode::kUnimplemented, "'layer_types' = ");
}

TEST_F(LoadTest, FamiliesRefuseWhatTheirAttentionCannotDo) {
  UseModel("diffllama");
  ASSERT_TRUE(Load().ok());
  config_["num_key_value_heads"] = 1;
  ExpectError(StatusCode::kInvalidArgument, "'num_key_value_heads' 1 is odd");
  UseModel("doge");
  ASSERT_TRUE(Load().ok());
  config_["sliding_window"] = 13;
  ExpectError(StatusCode::kUnimplemented, "'sliding_window': 13 is over 'keep_window_size' 12");
  UseModel("doge_moe");
  ASSERT_TRUE(Load().ok());
  config_["num_experts_per_tok"] = 26;
  ExpectError(StatusCode::kInvalidArgument, "'num_experts_per_tok' 26 is more than the 25");
}

TEST_F(LoadTest, TernaryMatricesAreOfDenseFamilies) {
  UseModel("bitnet_bitlinear");
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().compute, DType::kBF16);
  const json::value quantization = config_["quantization_config"];
  UseModel("qwen3_moe");
  config_["quantization_config"] = quantization;
  ExpectError(StatusCode::kUnimplemented, "method 'bitnet' has no implementation for qwen3_moe");
  UseModel("olmo2");
  config_["quantization_config"] = {{"quant_method", "bitnet"},
                                    {"linear_class", "autobitlinear"},
                                    {"quantization_mode", "online"}};
  ExpectError(StatusCode::kUnimplemented, "method 'bitnet' has no implementation for olmo2");
}

TEST_F(LoadTest, WrongShapesNameTheTensor) {
  config_["intermediate_size"] = 97;
  ExpectError(StatusCode::kInvalidArgument, "mlp.");
}

TEST_F(LoadTest, LeftOverAndMissingTensorsAreNamed) {
  RenameTensor("model.layers.1.mlp.up_proj.bias", "model.layers.1.mlp.up_proj.bios");
  ExpectError(StatusCode::kInvalidArgument, "model.layers.1.mlp.up_proj.bias");
  RenameTensor("model.layers.1.mlp.up_proj.bios", "model.layers.1.mlp.up_proj.bias");
  config_["num_hidden_layers"] = 1;
  ExpectError(StatusCode::kInvalidArgument, "model.layers.1.");
}

TEST_F(LoadTest, MixturesThatDoNotFitAreRefused) {
  UseModel("qwen3_moe");
  ASSERT_TRUE(Load().ok());
  config_["num_experts_per_tok"] = 7;
  ExpectError(StatusCode::kInvalidArgument, "a choice of 7 of 6 experts");
  config_["num_experts_per_tok"] = {2, 3};
  ExpectError(StatusCode::kInvalidArgument, "'num_experts_per_tok' is not the same in all layers");
  config_["num_experts_per_tok"] = {3, 3};
  EXPECT_TRUE(Load().ok());
  config_["num_local_experts"] = 5;
  ExpectError(StatusCode::kInvalidArgument, "'model.layers.0.mlp.gate.weight': has shape [6, 64]");
  config_["num_local_experts"] = nullptr;
  ExpectError(StatusCode::kInvalidArgument, "'num_experts' is missing");
  config_["num_local_experts"] = 6;
  RenameTensor("mlp.experts.5.up_proj.weight", "mlp.experts.6.up_proj.weight");
  ExpectError(StatusCode::kInvalidArgument, "mlp.experts.5.up_proj.weight' is missing");
}

// llama.cpp turns sequences beyond the trained length by them, in these two families alike.
TEST_F(LoadTest, LongRopeFactorsOfGgufFilesCount) {
  for (const char* name : {"phi3", "phimoe"}) {
    const std::string arch = name;
    weights::testing::GgufWriter writer;
    writer.String("general.architecture", arch)
        .U32(arch + ".block_count", 1)
        .U32(arch + ".context_length", 512)
        .U32(arch + ".embedding_length", 16)
        .U32(arch + ".feed_forward_length", 32)
        .U32(arch + ".attention.head_count", 4)
        .U32(arch + ".attention.head_count_kv", 4)
        .F32(arch + ".attention.layer_norm_rms_epsilon", 1e-6f)
        .U32(arch + ".rope.dimension_count", 4)
        .U32(arch + ".rope.scaling.original_context_length", 128)
        .F32(arch + ".rope.scaling.attn_factor", 1.25f)
        .Tensor("token_embd.weight", 0, {16, 3}, std::string(192, '\0'))
        .Tensor("rope_factors_short.weight", 0, {2}, writer.Raw(1.0f) + writer.Raw(2.0f))
        .Tensor("rope_factors_long.weight", 0, {2}, writer.Raw(1.0f) + writer.Raw(8.0f));
    if (arch == "phimoe")
      writer.U32("phimoe.expert_count", 2)
          .U32("phimoe.expert_used_count", 2)
          .Tensor("blk.0.ffn_gate_inp.weight", 0, {16, 2}, std::string(128, '\0'))
          .Tensor("blk.0.ffn_up_exps.weight", 0, {16, 8, 2}, std::string(1024, '\0'));
    const auto checkpoint = weights::Checkpoint::Open(folder_.Write("model.gguf", writer.Bytes()));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    Registry registry;
    RegisterModels(registry);
    Config config(**checkpoint);
    Definition definition;
    registry.Find(arch == "phi3" ? "Phi3ForCausalLM" : "PhimoeForCausalLM")
        ->define(config, definition);
    ASSERT_TRUE(config.status().ok()) << config.status();
    ASSERT_EQ(definition.spec.ropes.size(), 1u) << arch;
    const nn::RopeSpec& rope = definition.spec.ropes[0];
    EXPECT_EQ(rope.trained_length, 128) << arch;
    EXPECT_EQ(rope.factors, (std::vector<float>{1, 2})) << arch;
    EXPECT_EQ(rope.long_factors, (std::vector<float>{1, 8})) << arch;
    EXPECT_EQ(rope.attention_factor, 1.25) << arch;
    EXPECT_EQ(rope.long_attention_factor, 1.25) << arch;
  }
}

TEST_F(LoadTest, TokensOutsideTheVocabularyAreRefused) {
  const auto model = Load();
  ASSERT_TRUE(model.ok());
  const TokenId token = 128;
  const int32_t position = 0;
  const PageId page = 1;
  const ops::AttentionSequence sequence{0, 1, 1, {&page, 1}};
  const std::span<const ops::AttentionSequence> group(&sequence, 1);
  const nn::CachePool pool{16, {}};
  const std::span<const ops::StateSequence> no_states;
  const Status status = (*model)->Forward(
      device_.context(),
      {{&token, 1}, {&position, 1}, {&group, 1}, {&no_states, 1}, {&pool, 1}, {}}, Tensor());
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
}

}  // namespace
}  // namespace banyan::models
