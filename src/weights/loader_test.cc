// SPDX-License-Identifier: Apache-2.0
#include "weights/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::TempFolder;

struct F32Tensor {
  std::string name;
  std::vector<int64_t> shape;
  float first = 0;  // the values count up from it
};

// A folder whose model.safetensors holds `tensors`; `pad` bytes come first, to misalign the rest.
std::unique_ptr<Checkpoint> MakeCheckpoint(const TempFolder& folder,
                                           const std::vector<F32Tensor>& tensors, int pad = 0) {
  std::string header = "{", data;
  if (pad > 0) {
    header +=
        fmt::format(R"("pad": {{"dtype": "U8", "shape": [{0}], "data_offsets": [0, {0}]}},)", pad);
    data.assign(static_cast<std::size_t>(pad), '\0');
  }
  for (const F32Tensor& tensor : tensors) {
    const int64_t count =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
    header += fmt::format(R"("{}": {{"dtype": "F32", "shape": {}, "data_offsets": [{}, {}]}},)",
                          tensor.name, Shape(tensor.shape).ToString(), data.size(),
                          data.size() + static_cast<std::size_t>(count) * 4);
    for (int64_t i = 0; i < count; ++i)
      data += GgufWriter::Raw(tensor.first + static_cast<float>(i));
  }
  header.back() = '}';
  while (header.size() % 8 != 0) header += ' ';  // as every writer does
  folder.Write("config.json", "{}");
  folder.Write("model.safetensors", testing::Safetensors(header, data));
  auto checkpoint = Checkpoint::Open(folder.path());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *std::move(checkpoint);
}

std::vector<float> Values(const StatusOr<Weight>& weight) {
  EXPECT_TRUE(weight.ok()) << weight.status();
  if (!weight.ok()) return {};
  const float* data = weight->tensor.data<float>();
  return {data, data + weight->tensor.NumElements()};
}

std::string Error(const Status& status) {
  EXPECT_FALSE(status.ok());
  return Message(status);
}

TEST(Loader, ReadsInPlaceAndRefusesLeftovers) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(
      folder, {{"model.layers.0.w", {2, 3}}, {"model.layers.1.w", {2, 3}, 6}, {"extra", {1}}});
  TensorTable table{.rows = {{"layers.{l}.w", "model.layers.{l}.w", "blk.{l}.w"}}};
  int64_t done = 0, total = 0;
  Loader loader(*checkpoint, table, [&](int64_t d, int64_t t) { done = d, total = t; });
  auto first = loader.Take("layers.0.w", {2, 3});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->tensor.raw(), checkpoint->Find("model.layers.0.w")->raw());
  EXPECT_TRUE(first->owned.empty());
  EXPECT_EQ(done, 24);
  EXPECT_EQ(total, 52);
  EXPECT_THAT(Error(loader.Finish()), HasSubstr("2 tensors without a use in this model: 'extra', "
                                                "'model.layers.1.w'"));
  EXPECT_THAT(Values(loader.TakeF32("layers.1.w", {2, 3})), ElementsAre(6, 7, 8, 9, 10, 11));
  EXPECT_THAT(Error(loader.Finish()), HasSubstr("'extra'"));
  table.ignored = {"*xtr*"};
  EXPECT_TRUE(loader.Finish().ok());
}

TEST(Loader, NamesWhatIsMissingOrOfAnotherShape) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"a", {2, 3}}, {"flat", {3, 1}}});
  const TensorTable table{
      .rows = {{"a", "a", ""}, {"b", "x.b|y.b", ""}, {"c", "", "c"}, {"flat", "flat", ""}}};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Error(loader.Take("a", {3, 2}).status()),
              HasSubstr("tensor 'a': has shape [2, 3], expected [3, 2]"));
  EXPECT_THAT(Error(loader.Take("b", {1}).status()), HasSubstr("tensor 'x.b' is missing"));
  EXPECT_THAT(Error(loader.Take("c", {1}).status()), HasSubstr("no tensor for 'c'"));
  EXPECT_TRUE(loader.Has("a"));
  EXPECT_FALSE(loader.Has("b"));
  EXPECT_EQ(loader.Take("flat", {3})->tensor.rank(), 1);
}

TEST(Loader, NamesAMatrixOfDoubles) {
  TempFolder folder;
  folder.Write("config.json", "{}");
  folder.Write(
      "model.safetensors",
      testing::Safetensors(R"({"a": {"dtype": "F64", "shape": [1, 2], "data_offsets": [0, 16]}}  )",
                           GgufWriter::Raw(1.0) + GgufWriter::Raw(2.0)));
  const auto checkpoint = *Checkpoint::Open(folder.path());
  const TensorTable table{.rows = {{"a", "a", ""}}};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Error(loader.Take("a", {1, 2}).status()), HasSubstr("tensor 'a' is of type f64"));
  EXPECT_THAT(Values(loader.TakeF32("a", {1, 2})), ElementsAre(1, 2));
}

TEST(Loader, SplitsAndTransposes) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"qkv", {2, 4}}, {"stack", {4, 2}}});
  const TensorTable table{.rows = {
                              {"q", "qkv", "", {.transpose = true, .parts = {1, 2, 1}, .part = 0}},
                              {"k", "qkv", "", {.transpose = true, .parts = {1, 2, 1}, .part = 1}},
                              {"v", "qkv", "", {.transpose = true, .parts = {1, 2, 1}, .part = 2}},
                              {"gate", "stack", "", {.parts = {1, 1}, .part = 0, .groups = 2}},
                              {"up", "stack", "", {.parts = {1, 1}, .part = 1, .groups = 2}},
                          }};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Values(loader.Take("q", {1, 2})), ElementsAre(0, 4));
  EXPECT_THAT(Error(loader.Finish()), HasSubstr("of tensor 'qkv' [2, 4], only 2 of 8 elements"));
  EXPECT_THAT(Values(loader.Take("k", {2, 2})), ElementsAre(1, 5, 2, 6));
  EXPECT_THAT(Values(loader.Take("v", {1, 2})), ElementsAre(3, 7));
  EXPECT_THAT(Values(loader.Take("gate", {2, 2})), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(Values(loader.Take("up", {2, 2})), ElementsAre(2, 3, 6, 7));
  EXPECT_TRUE(loader.Finish().ok());
}

TEST(Loader, SplitsAlongAnInnerAxis) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"x", {2, 4, 1}}});
  const TensorTable table{
      .rows = {{"odd", "x", "", {.parts = {1, 1}, .part = 1, .groups = 2, .axis = 1}}}};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Values(loader.Take("odd", {2, 2, 1})), ElementsAre(1, 3, 5, 7));
}

TEST(Loader, ChangesValues) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"norm", {2}}, {"a_log", {1}}});
  const TensorTable table{
      .rows = {{"norm", "norm", "", {.add = 1}}, {"a", "a_log", "", {.minus_exp = true}}}};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Values(loader.Take("norm", {2})), ElementsAre(1, 2));
  EXPECT_THAT(Values(loader.Take("a", {1})), ElementsAre(-1));
}

// gpt-oss: gate and up in turn, stored for multiplying from the right.
TEST(Loader, CutsBeforeItTransposes) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"gate_up", {2, 3, 4}}, {"bias", {2, 4}, 100}});
  const Transform up = {.transpose = true, .parts = {1, 1}, .part = 1, .groups = 2};
  const Transform gate = {.transpose = true, .parts = {1, 1}, .part = 0, .groups = 2};
  const TensorTable table{.rows = {{"experts.{e}.up.w", "gate_up", "", up},
                                   {"experts.{e}.gate.w", "gate_up", "", gate},
                                   {"experts.{e}.up.b", "bias", "", up},
                                   {"experts.{e}.gate.b", "bias", "", gate}}};
  Loader loader(*checkpoint, table);
  const auto weight = loader.Take("experts.1.up.w", {2, 3});
  EXPECT_THAT(Values(weight), ElementsAre(13, 17, 21, 15, 19, 23));
  EXPECT_EQ(weight->owned.size(), 2 * 3 * sizeof(float));
  EXPECT_THAT(Values(loader.Take("experts.1.gate.w", {2, 3})), ElementsAre(12, 16, 20, 14, 18, 22));
  EXPECT_THAT(Values(loader.Take("experts.0.up.w", {2, 3})), ElementsAre(1, 5, 9, 3, 7, 11));
  EXPECT_THAT(Values(loader.Take("experts.0.gate.w", {2, 3})), ElementsAre(0, 4, 8, 2, 6, 10));
  for (int e : {0, 1}) {
    const float first = 100.0f + 4.0f * static_cast<float>(e);
    EXPECT_THAT(Values(loader.TakeF32(fmt::format("experts.{}.gate.b", e), {2})),
                ElementsAre(first, first + 2));
    EXPECT_THAT(Values(loader.TakeF32(fmt::format("experts.{}.up.b", e), {2})),
                ElementsAre(first + 1, first + 3));
  }
  EXPECT_TRUE(loader.Finish().ok());
}

TEST(Loader, TakesItemsOfStackedExperts) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"l.0.up", {2, 1, 3}}});
  const TensorTable table{.rows = {{"l.{l}.experts.{e}.up", "l.{l}.up", ""}}};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Values(loader.Take("l.0.experts.1.up", {1, 3})), ElementsAre(3, 4, 5));
  EXPECT_THAT(Error(loader.Finish()), HasSubstr("only 3 of 6 elements"));
  EXPECT_THAT(Values(loader.Take("l.0.experts.0.up", {1, 3})), ElementsAre(0, 1, 2));
  EXPECT_TRUE(loader.Finish().ok());
  EXPECT_THAT(Error(loader.Take("l.0.experts.2.up", {1, 3}).status()),
              HasSubstr("too small for item 2"));
}

TEST(Loader, TiesWhicheverIsThere) {
  const TensorTable table{.rows = {{"embed", "embed", ""}, {"head", "head", ""}}};
  for (const char* present : {"embed", "head"}) {
    TempFolder folder;
    auto checkpoint = MakeCheckpoint(folder, {{present, {2}, 5}});
    Loader loader(*checkpoint, table);
    loader.Tie("embed", "head");
    EXPECT_THAT(Values(loader.Take("embed", {2})), ElementsAre(5, 6));
    EXPECT_EQ(loader.IsTied("head"), present == std::string("embed"));
    EXPECT_TRUE(loader.Finish().ok()) << loader.Finish();
    EXPECT_THAT(Values(loader.Take("head", {2})), ElementsAre(5, 6));
    EXPECT_TRUE(loader.Finish().ok());
    EXPECT_EQ(loader.bytes_taken(), 8);
  }
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"embed", {1}, 1}, {"head", {1}, 2}});
  Loader loader(*checkpoint, table);
  loader.Tie("embed", "head");
  EXPECT_FALSE(loader.IsTied("embed") || loader.IsTied("head"));
  EXPECT_THAT(Values(loader.Take("head", {1})), ElementsAre(2));
  EXPECT_FALSE(loader.Finish().ok());
}

TEST(Loader, ReadsCheckpointsOfTheBareBaseModel) {
  const TensorTable table{.rows = {{"wte", "transformer.wte", ""}}, .base_prefix = "transformer."};
  for (const char* name : {"wte", "transformer.wte"}) {
    TempFolder folder;
    auto checkpoint = MakeCheckpoint(folder, {{name, {1}, 3}});
    Loader loader(*checkpoint, table);
    EXPECT_THAT(Values(loader.Take("wte", {1})), ElementsAre(3));
  }
}

TEST(Loader, CopiesMisalignedTensors) {
  for (int pad : {1, 2, 3, 4}) {
    TempFolder folder;
    auto checkpoint = MakeCheckpoint(folder, {{"a", {3}, 1}}, pad);
    const TensorTable table{.rows = {{"a", "a", ""}}, .ignored = {"pad"}};
    Loader loader(*checkpoint, table);
    auto weight = loader.Take("a", {3});
    EXPECT_THAT(Values(weight), ElementsAre(1, 2, 3));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(weight->tensor.raw()) % 4, 0u);
  }
}

TEST(Loader, RefusesValuesThatAreNoNumbers) {
  TempFolder folder;
  auto checkpoint = MakeCheckpoint(folder, {{"a", {2}, std::numeric_limits<float>::infinity()}});
  const TensorTable table{.rows = {{"a", "a", ""}}};
  Loader loader(*checkpoint, table);
  EXPECT_THAT(Error(loader.TakeF32("a", {2}).status()),
              HasSubstr("tensor 'a': has inf as element 0"));
}

TEST(Loader, RefusesQuantizedScalesThatAreNoNumbers) {
  struct Case {
    uint32_t type;
    int block_elements, block_bytes, scale_offset;
  };
  for (const Case& c : std::vector<Case>{{2, 32, 18, 0},
                                         {3, 32, 20, 0},
                                         {3, 32, 20, 2},
                                         {6, 32, 22, 0},
                                         {7, 32, 24, 2},
                                         {8, 32, 34, 0},
                                         {10, 256, 84, 80},
                                         {10, 256, 84, 82},
                                         {11, 256, 110, 108},
                                         {12, 256, 144, 2},
                                         {13, 256, 176, 0},
                                         {14, 256, 210, 208}}) {
    for (bool bad : {false, true}) {
      std::string data(static_cast<std::size_t>(2 * c.block_bytes), '\0');
      // The second block's scale becomes infinite; 0xFF elsewhere would be fine.
      if (bad) data[static_cast<std::size_t>(c.block_bytes + c.scale_offset + 1)] = 0x7C;
      TempFolder folder;
      const auto path = folder.Write(
          "m.gguf", GgufWriter()
                        .String("general.architecture", "llama")
                        .Tensor("a", c.type, {static_cast<uint64_t>(2 * c.block_elements)}, data)
                        .Bytes());
      auto checkpoint = Checkpoint::Open(path);
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      const TensorTable table{.rows = {{"a", "", "a"}}};
      Loader loader(**checkpoint, table);
      auto weight = loader.Take("a", {2 * c.block_elements});
      EXPECT_EQ(weight.ok(), !bad) << c.type;
      if (bad) {
        EXPECT_THAT(Error(weight.status()), HasSubstr("block 1 of 2 has a scale"));
      }
    }
  }
}

}  // namespace
}  // namespace banyan::weights
