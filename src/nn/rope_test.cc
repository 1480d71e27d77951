// SPDX-License-Identifier: Apache-2.0
// Reading of the rules; their values are held against transformers by models/golden_test.cc.
#include "nn/rope.h"

#include <gtest/gtest.h>

namespace banyan::nn {
namespace {

RopeDefaults Defaults() {
  RopeDefaults defaults;
  defaults.head_dim = 16;
  defaults.max_position = 512;
  defaults.partial = true;
  return defaults;
}

StatusOr<RopeSpec> Parse(std::string_view config, const RopeDefaults& defaults = Defaults(),
                         std::string_view layer_type = {}) {
  const json::object object = *ParseJsonObject(config, "config");
  Fields fields(object, "config");
  auto spec = ParseRope(fields, defaults, layer_type);
  if (!fields.status().ok()) return fields.status();
  return spec;
}

TEST(Rope, OldAndNewNamesAreTheSame) {
  const auto old_names = Parse(R"({"rope_theta": 5e5, "partial_rotary_factor": 0.5,
      "rope_scaling": {"type": "linear", "factor": 2}})");
  const auto new_names = Parse(R"({"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear",
      "partial_rotary_factor": 0.5, "factor": 2}})");
  ASSERT_TRUE(old_names.ok() && new_names.ok());
  EXPECT_EQ(old_names->dim, 8);
  EXPECT_EQ(RopeFrequencies(*old_names, 1), RopeFrequencies(*new_names, 1));
  EXPECT_EQ(StretchedLength(*old_names, 512), 1024);
}

TEST(Rope, SilenceMeansTheFamilysDefaults) {
  RopeDefaults defaults = Defaults();
  defaults.theta = 1e6;
  defaults.partial_rotary_factor = 0.25;
  const auto spec = Parse(R"({"rope_scaling": null})", defaults);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->theta, 1e6);
  EXPECT_EQ(spec->dim, 4);
  EXPECT_EQ(spec->type, RopeType::kDefault);
}

TEST(Rope, LayerTypesHaveRulesOfTheirOwn) {
  const std::string_view config = R"({"rope_theta": 7, "rope_parameters": {
      "full_attention": {"rope_type": "default", "rope_theta": 100},
      "sliding_attention": {"rope_type": "default", "rope_theta": 200}}})";
  EXPECT_EQ(Parse(config, Defaults(), "full_attention")->theta, 100);
  EXPECT_EQ(Parse(config, Defaults(), "sliding_attention")->theta, 200);
  // A rule without layer types is not for a layer type that wants its own.
  RopeDefaults local = Defaults();
  local.nested_only = true;
  local.theta_key = "rope_local_base_freq";
  EXPECT_EQ(Parse(R"({"rope_theta": 7, "rope_local_base_freq": 9,
      "rope_scaling": {"type": "linear", "factor": 2}})",
                  local, "sliding_attention")
                ->theta,
            9);
}

TEST(Rope, ALayerTypeWithoutARuleBesideOthersIsAnError) {
  RopeDefaults local = Defaults();
  local.nested_only = true;
  const std::string_view rules = R"("rope_parameters": {"full_attention": {"rope_theta": 100}})";
  const auto missing = Parse(fmt::format("{{{}}}", rules), local, "sliding_attention");
  EXPECT_NE(Message(missing.status()).find("'rope_parameters' has no object 'sliding_attention'"),
            std::string::npos)
      << missing.status();
  // Nothing rotates by it where no layer is of that type.
  EXPECT_TRUE(Parse(fmt::format(R"({{"layer_types": ["full_attention"], {}}})", rules), local,
                    "sliding_attention")
                  .ok());
}

TEST(Rope, YarnsFactorMayBeNull) {
  const auto spec = Parse(R"({"rope_scaling": {"type": "yarn", "factor": null,
      "original_max_position_embeddings": 128}})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->factor, 4.0);
}

TEST(Rope, ErrorsNameTheKey) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"rope_scaling": {"type": "spiral"}})", "'spiral' is not known"},
      {R"({"rope_scaling": {"type": "linear"}})", "'factor' is missing"},
      {R"({"rope_scaling": {"type": "linear", "factor": -1}})", "'factor'"},
      {R"({"rope_scaling": {"type": "linear", "factor": 2, "twist": 3}})", "'twist' is not known"},
      {R"({"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 64}})",
       "'factor' is missing"},
      {R"({"rope_scaling": {"type": "yarn", "factor": "4"}})", "'factor' expected a number"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4,
           "original_max_position_embeddings": null}})",
       "'original_max_position_embeddings' is null"},
      {R"({"rope_parameters": {"rope_theta": 1e4, "factor": 4}})",
       "'rope_type' is missing, but there is 'factor'"},
      {R"({"rope_scaling": {"short_factor": [1], "long_factor": [1]}})",
       "'rope_type' is missing, but there is 'short_factor'"},
      {R"({"rope_parameters": {"rope_type": null}})", "'rope_type' is null"},
      {R"({"rope_parameters": {"rope_type": 3}})", "'rope_type' expected a string"},
      {R"({"rope_parameters": {"rope_theta": null}})", "'rope_theta' is null"},
      {R"({"rope_theta": null})", "'rope_theta' is null"},
      {R"({"rope_scaling": "linear"})", "'rope_scaling' expected an object"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
           "high_freq_factor": 4}})",
       "'high_freq_factor' is not greater"},
      {R"({"rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1]}})",
       "'short_factor' has 1 numbers"},
      {R"({"partial_rotary_factor": 0.2})", "'partial_rotary_factor' leaves 3 elements"},
      {R"({"rope_theta": 0})", "'rope_theta'"},
  };
  for (const auto& [config, problem] : cases) {
    const auto spec = Parse(config);
    ASSERT_FALSE(spec.ok()) << config;
    EXPECT_NE(Message(spec.status()).find(problem), std::string::npos) << spec.status();
  }
}

TEST(Rope, OnlySomeFamiliesTurnAPartOfAHead) {
  RopeDefaults whole = Defaults();
  whole.partial = false;
  const auto refused = Parse(R"({"partial_rotary_factor": 0.5})", whole);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(Message(refused.status()).find("'partial_rotary_factor' is 0.5"), std::string::npos)
      << refused.status();
  EXPECT_TRUE(Parse(R"({"partial_rotary_factor": 1.0})", whole).ok());
  whole.partial_rotary_factor = 0.25;  // which a family of them says
  EXPECT_TRUE(Parse(R"({"partial_rotary_factor": 0.5})", whole).ok());
}

TEST(Rope, ATrainedLengthBesideIsForOneRuleOfAllLayers) {
  const std::string_view rule =
      R"({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 40})";
  const auto flat =
      fmt::format(R"({{"original_max_position_embeddings": 24, "rope_parameters": {}}})", rule);
  const auto nested = fmt::format(
      R"({{"original_max_position_embeddings": 24, "rope_parameters": {{"full_attention": {}}}}})",
      rule);
  EXPECT_EQ(Parse(flat)->trained_length, 24);
  EXPECT_EQ(Parse(nested, Defaults(), "full_attention")->trained_length, 40);
}

TEST(Rope, RulesByLayerTypeStandUnderOneKey) {
  const std::string_view both = R"({"rope_scaling": {"rope_type": "linear", "factor": 2},
      "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 100}}})";
  const auto spec = Parse(both, Defaults(), "full_attention");
  ASSERT_FALSE(spec.ok());
  EXPECT_NE(Message(spec.status()).find("'rope_scaling' stands beside 'rope_parameters'"),
            std::string::npos)
      << spec.status();
}

TEST(Rope, AnEmptyOldRuleBesideNestedOnesIsAbsent) {
  const auto spec = Parse(R"({"rope_scaling": {}, "rope_parameters": {"full_attention":
      {"rope_type": "linear", "factor": 4}}})",
                          Defaults(), "full_attention");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->type, RopeType::kLinear);
}

TEST(Rope, AnEmptyRuleIsNotAnAbsentOne) {
  RopeDefaults defaults = Defaults();
  defaults.parameters = {{"rope_type", "linear"}, {"factor", 8.0}};
  EXPECT_EQ(Parse("{}", defaults)->type, RopeType::kLinear);
  EXPECT_EQ(Parse(R"({"rope_scaling": {}})", defaults)->type, RopeType::kLinear);
  EXPECT_EQ(Parse(R"({"rope_parameters": {}})", defaults)->type, RopeType::kDefault);
}

TEST(Rope, LongropeGoesByTheLength) {
  const auto config = [](std::string_view factors, std::string_view more = "") {
    return fmt::format(R"({{"original_max_position_embeddings": 64, "rope_scaling": {{"type":
        "longrope", "short_factor": [1,1,1,1,1,1,1,1], "long_factor": [{}]{}}}}})",
                       factors, more);
  };
  const auto spec = Parse(config("2,2,2,2,2,2,2,2"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(RopeFrequencies(*spec, 64)[0], 1.0f);
  EXPECT_EQ(RopeFrequencies(*spec, 65)[0], 0.5f);
  const RopeLengths lengths = LengthsOf({&*spec, 1});
  EXPECT_EQ(lengths.Of(64), 0);
  EXPECT_EQ(lengths.Of(65), 65);
  EXPECT_EQ(lengths.Of(100), 65);  // all long ones are alike
  // Where the two are the same, as in the files of other rules, lengths make no difference.
  const auto same = Parse(config("1,1,1,1,1,1,1,1"));
  EXPECT_EQ(LengthsOf({&*same, 1}).limit, 0);
  // Of factors for each of the two, too, which only Phi 3.5 MoE has.
  const std::string mscales =
      config("2,2,2,2,2,2,2,2", R"(, "attention_factor": 2, "short_mscale": 4, "long_mscale": 3)");
  const auto common = Parse(mscales);
  ASSERT_TRUE(common.ok()) << common.status();
  EXPECT_EQ(common->attention_factor, 2.0);
  EXPECT_EQ(common->long_attention_factor, 2.0);
  RopeDefaults phimoe = Defaults();
  phimoe.short_factors_only = true;
  const auto scaled = Parse(mscales, phimoe);
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_EQ(scaled->attention_factor, 4.0);
  EXPECT_EQ(scaled->long_attention_factor, 3.0);
  EXPECT_EQ(LengthsOf({&*scaled, 1}).limit, 64);
  EXPECT_EQ(RopeFrequencies(*scaled, 65)[0], 1.0f);
}

TEST(Rope, LimitsOfTwoRules) {
  auto one = *Parse(R"({"rope_scaling": {"type": "dynamic", "factor": 2}})"), other = one;
  EXPECT_EQ(LengthsOf({&one, 1}).Of(600), 600);
  EXPECT_EQ(LengthsOf({&one, 1}).Of(512), 0);
  other.trained_length = 100;
  const RopeSpec both[] = {one, other};
  EXPECT_EQ(LengthsOf(both).Of(101), 101);
  EXPECT_EQ(LengthsOf({}).limit, 0);
}

TEST(Rope, DynamicStretchesOnlyBeyondTheTrainedLength) {
  const auto spec = Parse(R"({"rope_scaling": {"type": "dynamic", "factor": 2}})");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(RopeFrequencies(*spec, 1), RopeFrequencies(*spec, 512));
  EXPECT_LT(RopeFrequencies(*spec, 513)[7], RopeFrequencies(*spec, 512)[7]);
  EXPECT_EQ(StretchedLength(*spec, 512), 1024);
}

}  // namespace
}  // namespace banyan::nn
