// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/linear.h"
#include "weights/checkpoint.h"
#include "weights/mapped_file.h"
#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::ElementsAre;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::TempFolder;

StatusOr<std::unique_ptr<GgufMetadata>> Parse(const std::string& bytes) {
  auto* copy = new std::string(bytes);
  return GgufMetadata::Parse(MappedFile::Wrap(
      "x.gguf", Buffer(copy->data(), copy->size(), [copy](void*, std::size_t) { delete copy; })));
}

std::string ErrorOf(const std::string& bytes) {
  TempFolder folder;
  auto checkpoint = Checkpoint::Open(folder.Write("m.gguf", bytes));
  EXPECT_FALSE(checkpoint.ok());
  return checkpoint.ok() ? "" : Message(checkpoint.status());
}

TEST(Gguf, ReadsTypedValues) {
  auto metadata = Parse(GgufWriter(2)
                            .Key("u8", 0, GgufWriter::Raw<uint8_t>(200))
                            .Key("i16", 3, GgufWriter::Raw<int16_t>(-5))
                            .Key("u64", 10, GgufWriter::Raw<uint64_t>(1) + "")
                            .Key("huge", 10, GgufWriter::Raw<uint64_t>(~0ull))
                            .Key("yes", 7, std::string("\1", 1))
                            .F32("f", 0.5f)
                            .String("s", "text")
                            .Array<std::string>("list", 8, {"a", "", "\xFF"})
                            .Array<float>("floats", 6, {1.5f, -2.0f})
                            .Array<int32_t>("ints", 5, {3, -4})
                            .Bytes());
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  const GgufMetadata& m = **metadata;
  EXPECT_EQ(m.version(), 2u);
  EXPECT_EQ(**m.Int("u8"), 200);
  EXPECT_EQ(**m.Int("i16"), -5);
  EXPECT_EQ(**m.Int("u64"), 1);
  EXPECT_THAT(Message(m.Int("huge").status()), HasSubstr("'huge' is of type uint64"));
  EXPECT_EQ(**m.Bool("yes"), true);
  EXPECT_EQ(**m.Float("f"), 0.5);
  EXPECT_EQ(**m.Float("i16"), -5.0);
  EXPECT_EQ(**m.String("s"), "text");
  EXPECT_THAT(**m.Strings("list"), ElementsAre("a", "", "\xFF"));
  EXPECT_THAT(**m.Floats("floats"), ElementsAre(1.5, -2.0));
  EXPECT_THAT(**m.Ints("ints"), ElementsAre(3, -4));
  EXPECT_THAT(**m.Ints("i16"), ElementsAre(-5));
  EXPECT_FALSE(m.Int("absent")->has_value());
  EXPECT_FALSE(m.String("f").ok());
  EXPECT_FALSE(m.Int("f").ok());
  EXPECT_FALSE(m.Int("ints").ok());
  EXPECT_FALSE(m.Floats("list").ok());
  EXPECT_EQ(m.keys().front(), "u8");
}

TEST(Gguf, EveryCutIsAnError) {
  const std::string whole = GgufWriter()
                                .String("general.architecture", "llama")
                                .Array<std::string>("list", 8, {"a", "b"})
                                .Array<uint16_t>("n", 2, {1, 2})
                                .Tensor("t", 0, {2, 2}, std::string(16, 'x'))
                                .Bytes();
  TempFolder folder;
  ASSERT_TRUE(Checkpoint::Open(folder.Write("m.gguf", whole)).ok());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(Checkpoint::Open(folder.Write("m.gguf", whole.substr(0, size))).ok()) << size;
}

TEST(Gguf, RefusesWhatIsWrongByName) {
  auto key = [](uint32_t type, std::string_view value) {
    return GgufWriter().Key("k", type, value).Bytes();
  };
  using W = GgufWriter;
  const std::string llama = "llama";
  auto tensor = [&](uint32_t type, const std::vector<uint64_t>& dims, uint64_t offset = 0) {
    return W().String("general.architecture", "llama").TensorAt("t", type, dims, offset).Bytes() +
           std::string(64, '\0');
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "the file is empty"},
      {"GGML" + std::string(20, '\0'), "is not a GGUF file"},
      {W(1).Bytes(), "GGUF version 1"},
      {W(0x03000000).Bytes(), "big-endian"},
      {W(4).Bytes(), "GGUF version 4"},
      {"GGUF" + W::Raw<uint32_t>(3) + W::Raw<uint64_t>(0) + W::Raw<uint64_t>(1ull << 60),
       "says that it has 1152921504606846976 metadata keys, in 0 bytes"},
      {"GGUF" + W::Raw<uint32_t>(3) + W::Raw<uint64_t>(1ull << 60) + W::Raw<uint64_t>(0),
       "says that it has 1152921504606846976 tensors, in 0 bytes"},
      {key(13, "x"), "'k' has the value type 13"},
      {key(8, W::Raw<uint64_t>(~0ull)), "needs 18446744073709551615 bytes"},
      {key(9, W::Raw<uint32_t>(4) + W::Raw<uint64_t>(1ull << 62)),
       "'k' says that it has 4611686018427387904 items"},
      {key(9, W::Raw<uint32_t>(8) + W::Raw<uint64_t>(1ull << 61)),
       "'k' says that it has 2305843009213693952 strings"},
      {key(9, W::Raw<uint32_t>(9) + W::Raw<uint64_t>(1)), "array of arrays"},
      {W().U32("k", 1).U32("k", 2).Bytes(), "the key 'k' stands twice"},
      {W().U32("\xC0\x80", 1).Bytes(), "not UTF-8"},
      {W().U32("general.alignment", 24).Bytes(), "no power of two"},
      {W().U32("general.alignment", 0).Bytes(), "no power of two"},
      {W().TensorAt("t", 0, {1}, 0).TensorAt("t", 0, {1}, 32).Bytes(), "tensor 't' stands twice"},
      {W().TensorAt("t", 0, {1, 1, 1, 1, 1}, 0).Bytes(), "5 dimensions, the limit is 4"},
      {tensor(0, {1ull << 33, 1ull << 33}), "'t': its dimensions overflow"},
      {tensor(0, {1ull << 63}), "'t': its dimensions overflow"},
      {tensor(0, {64}), "'t' needs 256 bytes from byte 0 of the data, which has 64"},
      {tensor(0, {1}, 1ull << 63), "needs 4 bytes from byte 9223372036854775808"},
      {tensor(0, {1}, 8), "no multiple of the alignment 32"},
      {tensor(2, {33}), "rows of 33 elements, no multiple of Q4_0's 32"},
      {tensor(16, {256}), "tensor 't' has the type IQ2_XXS"},
      {tensor(39, {32}), "tensor 't' has the type MXFP4"},
      {tensor(99, {32}), "the unknown type number 99"},
      {W().String("general.architecture", "llama")
               .TensorAt("t", 0, {16}, 0)
               .TensorAt("u", 0, {8}, 32)
               .Bytes() +
           std::string(64, '\0'),
       "'u' begins at byte 32 of the data, before the end of 't' at 64"},
      {W().U32("x", 1).Bytes(), "'general.architecture' is missing"},
  };
  for (const auto& [bytes, problem] : cases)
    EXPECT_THAT(ErrorOf(bytes), AllOf(HasSubstr("m.gguf: "), HasSubstr(problem)));
}

// A folder with a set of `count` files of one tensor each; `wrong` may change the file's head.
struct SplitSet {
  int count = 3;
  int64_t number_of_second = 1;
  int64_t count_in_second = 3;
  uint32_t tensors = 3;
  std::string name_in_second = "t1";

  std::string WriteTo(const TempFolder& folder) const {
    for (int i = 0; i < count; ++i) {
      GgufWriter writer;
      if (i == 0)
        writer.String("general.architecture", "llama").U32("split.tensors.count", tensors);
      writer.U32("split.no", static_cast<uint32_t>(i == 1 ? number_of_second : i));
      writer.U32("split.count", static_cast<uint32_t>(i == 1 ? count_in_second : count));
      writer.Tensor(i == 1 ? name_in_second : fmt::format("t{}", i), 0, {2}, std::string(8, 'x'));
      folder.Write(fmt::format("m-{:05}-of-{:05}.gguf", i + 1, count), writer.Bytes());
    }
    return folder.path() + fmt::format("/m-00001-of-{:05}.gguf", count);
  }
};

TEST(Gguf, ReadsSplitSetsAndChecksThem) {
  TempFolder folder;
  const std::string first = SplitSet().WriteTo(folder);
  auto checkpoint = Checkpoint::Open(first);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->tensors().size(), 3u);
  auto second = Checkpoint::Open(folder.path() + "/m-00002-of-00003.gguf");
  EXPECT_THAT(Message(second.status()), HasSubstr("is part 2 of 3; open the first"));

  auto error = [&](const SplitSet& set) {
    return Message(Checkpoint::Open(set.WriteTo(folder)).status());
  };
  EXPECT_THAT(error({.number_of_second = 2}),
              HasSubstr("says that it is part 3 of 3, its name says 2 of 3"));
  EXPECT_THAT(error({.count_in_second = 4}), HasSubstr("part 2 of 4"));
  EXPECT_THAT(error({.tensors = 5}), HasSubstr("the set has 5 tensors, its 3 files have 3"));
  EXPECT_THAT(error({.name_in_second = "t0"}),
              HasSubstr("two files of the set hold the tensor 't0'"));
  std::filesystem::remove(folder.path() + "/m-00003-of-00003.gguf");
  SplitSet().WriteTo(folder);
  std::filesystem::remove(folder.path() + "/m-00003-of-00003.gguf");
  EXPECT_THAT(Message(Checkpoint::Open(first).status()),
              HasSubstr("m-00003-of-00003.gguf: No such file"));
  std::filesystem::rename(first, folder.path() + "/other.gguf");
  EXPECT_THAT(Message(Checkpoint::Open(folder.path() + "/other.gguf").status()),
              HasSubstr("its name does not end in -00001-of-00003.gguf"));
}

TEST(Gguf, ReadsAndDequantizesEveryTypeAsTheGgufPackageDoes) {
  const std::string folder = std::string(BANYAN_SOURCE_DIR) + "/tests/golden/gguf/";
  auto checkpoint = Checkpoint::Open(folder + "types.gguf");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->tensors().size(), 13u);
  for (const NamedTensor& named : (*checkpoint)->tensors()) {
    EXPECT_EQ(named.name, Name(named.tensor.dtype()));
    ASSERT_EQ(named.tensor.shape(), (Shape{2, 768}));
    auto blocks = MappedFile::Open(folder + named.name + ".bin");
    auto values = MappedFile::Open(folder + named.name + ".f32");
    ASSERT_TRUE(blocks.ok() && values.ok());
    ASSERT_EQ(static_cast<int64_t>((*blocks)->size()), named.tensor.NumBytes());
    EXPECT_EQ(std::memcmp((*blocks)->bytes().data(), named.tensor.raw(), (*blocks)->size()), 0);
    std::vector<float> ours(2 * 768);
    ops::Dequantize(named.tensor, Tensor(ours.data(), DType::kF32, {2, 768}));
    // Bit for bit.
    ASSERT_EQ((*values)->size(), ours.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(ours.data(), (*values)->bytes().data(), (*values)->size()), 0)
        << named.name;
  }
}

}  // namespace
}  // namespace banyan::weights
