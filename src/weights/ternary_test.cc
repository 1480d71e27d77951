// SPDX-License-Identifier: Apache-2.0
#include "weights/ternary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "ops/linear.h"
#include "weights/loader.h"
#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::TempFolder;

std::vector<float> Values(const Weight& weight) {
  std::vector<float> out(static_cast<std::size_t>(weight.tensor.NumElements()));
  ops::Dequantize(weight.tensor, Tensor(out.data(), DType::kF32, weight.tensor.shape()));
  return out;
}

std::string Refusal(std::string_view text) {
  const auto form = ReadTernary(*ParseJsonObject(text, "test"), "config.json");
  EXPECT_FALSE(form.ok());
  return std::string(Message(form.status()));
}

TEST(Ternary, UnpacksFourRowsOfEachByte) {
  // transformers' own example: rows 0, 2, 4 and 6 of the first item, its lowest bits first.
  std::array<uint8_t, 4> bytes = {0b10100001, 0b00011000, 0b10010000, 0b00001010};
  const auto weight = UnpackTernary(Tensor(bytes.data(), DType::kU8, {2, 2}), {8, 2});
  ASSERT_TRUE(weight.ok()) << weight.status();
  EXPECT_THAT(Values(*weight), ElementsAre(0, -1, -1, 1, -1, 1, -1, 1, 1, 0, 0, -1, 1, -1, 1, -1));
  EXPECT_FALSE(UnpackTernary(Tensor(bytes.data(), DType::kU8, {2, 2}), {7, 2}).ok());
  EXPECT_FALSE(UnpackTernary(Tensor(bytes.data(), DType::kU8, {4, 1}), {8, 2}).ok());
  bytes[2] = 0b11000000;
  const auto bad = UnpackTernary(Tensor(bytes.data(), DType::kU8, {2, 2}), {8, 2});
  EXPECT_THAT(Message(bad.status()), HasSubstr("none of -1, 0 and 1 in byte 2"));
}

TEST(Ternary, RoundsToTheMeanMagnitude) {
  std::array<float, 6> trained = {0.9f, -0.3f, 0.1f, -2.0f, 0.3f, 0.0f};  // of mean 0.6
  const auto weight = RoundToTernary(Tensor(trained.data(), DType::kF32, {2, 3}));
  ASSERT_TRUE(weight.ok());
  EXPECT_FLOAT_EQ(weight->rounded->factor, 0.6f);
  EXPECT_EQ(weight->rounded->bias_factor, 1.0f);
  EXPECT_THAT(Values(*weight), ElementsAre(1, 0, 0, -1, 0, 0));
  trained[1] = INFINITY;
  EXPECT_FALSE(RoundToTernary(Tensor(trained.data(), DType::kF32, {2, 3})).ok());
}

TEST(Ternary, ReadsTransformersThreeForms) {
  const auto read = [](std::string_view text) {
    return *ReadTernary(*ParseJsonObject(text, "test"), "config.json");
  };
  EXPECT_EQ(read(R"({"quant_method": "awq"})"), TernaryForm::kNone);
  EXPECT_EQ(read(R"({"quant_method": "bitnet"})"), TernaryForm::kDivided);
  EXPECT_EQ(read(R"({"quant_method": "bitnet", "linear_class": "autobitlinear"})"),
            TernaryForm::kMultiplied);
  EXPECT_EQ(read(R"({"quant_method": "bitnet", "linear_class": "autobitlinear",
                     "quantization_mode": "online", "modules_to_not_convert": ["lm_head"]})"),
            TernaryForm::kOnline);
  EXPECT_THAT(Refusal(R"({"quant_method": "bitnet", "use_rms_norm": true})"),
              HasSubstr("quantization_config: 'use_rms_norm'"));
  EXPECT_THAT(Refusal(R"({"quant_method": "bitnet", "linear_class": "other"})"),
              HasSubstr("'linear_class': 'other'"));
  EXPECT_THAT(Refusal(R"({"quant_method": "bitnet", "quantization_mode": "later"})"),
              HasSubstr("'quantization_mode': 'later'"));
  EXPECT_THAT(Refusal(R"({"quant_method": "bitnet", "linear_class": "autobitlinear",
                          "quantization_mode": "online", "modules_to_not_convert": ["q_proj"]})"),
              HasSubstr("'modules_to_not_convert': [q_proj]"));
}

// A packed matrix of 4 x 1 and its scale, in a checkpoint of `form`.
StatusOr<Weight> TakeFrom(std::string_view form, std::string_view scale_name, float scale) {
  const TempFolder folder;
  folder.Write("config.json",
               fmt::format(R"({{"quantization_config": {{"quant_method": "bitnet", {}}}}})", form));
  const std::string header =
      fmt::format(R"({{"a.weight": {{"dtype": "U8", "shape": [1, 1], "data_offsets": [4, 5]}},)"
                  R"("{}": {{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}}})",
                  scale_name);
  folder.Write("model.safetensors",
               testing::Safetensors(header, GgufWriter::Raw(scale) + std::string("\x92")));
  BANYAN_ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::Open(folder.path()));
  TensorTable table;
  table.rows.push_back({"a.weight", "a.weight", ""});
  Loader loader(*checkpoint, table);
  auto weight = loader.TakeMatrix("a.weight", {4, 1});
  if (weight.ok()) BANYAN_RETURN_IF_ERROR(loader.Finish());
  return weight;
}

TEST(Ternary, TakesAMatrixAndItsScale) {
  auto weight = TakeFrom(R"("linear_class": "bitlinear")", "a.weight_scale", 4.0f);
  ASSERT_TRUE(weight.ok()) << weight.status();
  EXPECT_THAT(Values(*weight), ElementsAre(1, -1, 0, 1));
  EXPECT_EQ(weight->rounded->factor, 0.25f);
  EXPECT_EQ(weight->rounded->bias_factor, 1.0f);
  weight = TakeFrom(R"("linear_class": "autobitlinear")", "a.weight_scale", 4.0f);
  ASSERT_TRUE(weight.ok()) << weight.status();
  EXPECT_EQ(weight->rounded->factor, 4.0f);
  EXPECT_EQ(weight->rounded->bias_factor, 4.0f);
}

TEST(Ternary, NamesAScaleThatIsMissingOrNoNumber) {
  const auto error = [](std::string_view name, float scale) {
    const auto weight = TakeFrom(R"("linear_class": "bitlinear")", name, scale);
    EXPECT_FALSE(weight.ok());
    return std::string(Message(weight.status()));
  };
  EXPECT_THAT(error("a.weight_scales", 1.0f), HasSubstr("'a.weight_scale' is missing"));
  EXPECT_THAT(error("a.weight_scale", 0.0f), HasSubstr("'a.weight_scale'"));
  EXPECT_THAT(error("a.weight_scale", NAN), HasSubstr("'a.weight_scale'"));
}

}  // namespace
}  // namespace banyan::weights
