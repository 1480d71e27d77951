// SPDX-License-Identifier: Apache-2.0
#include "weights/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::HasSubstr;
using testing::Safetensors;

StatusOr<std::vector<NamedTensor>> Read(std::string bytes) {
  static std::string held;  // outlives the tensors
  held = std::move(bytes);
  auto file = MappedFile::Wrap("x.safetensors", Buffer(held.data(), held.size(), {}));
  return ReadSafetensors(*file);
}

TEST(Safetensors, ReadsTensorsSortedByName) {
  auto tensors = Read(Safetensors(
      R"({"__metadata__":{"format":"pt"},"b\u00e9":{"dtype":"I64","shape":[],"data_offsets":[4,12]},)"
      R"("a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},)"
      R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[12,12]}}   )",
      std::string(12, 'x')));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 3u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].tensor.shape(), (Shape{1, 2}));
  EXPECT_EQ((*tensors)[1].name, "b\u00e9");
  EXPECT_EQ((*tensors)[1].tensor.rank(), 0);
  EXPECT_EQ((*tensors)[2].tensor.NumElements(), 0);
}

TEST(Safetensors, RefusesWhatIsWrongByName) {
  auto entry = [](std::string_view fields) { return fmt::format(R"({{"t":{{{}}}}})", fields); };
  const std::string data(8, 'x');
  struct Case {
    std::string bytes, problem;
  };
  const std::vector<Case> cases = {
      {"1234567", "7 bytes are too few"},
      {std::string(8, '\xFF') + "{}",
       "says that it has 18446744073709551615 bytes, the file has 10"},
      {Safetensors("{", ""), "not valid JSON"},
      {Safetensors("[]", ""), "an array where none belongs"},
      {Safetensors("{} {}", ""), "after the header's JSON at byte 3"},
      {Safetensors("{}", "left"), "longer than its header says"},
      {Safetensors(R"({"t":1})", ""), "a number where none belongs"},
      {Safetensors(R"({"t":"F32"})", ""), "text where an object belongs"},
      {Safetensors(R"({"__metadata__":{"a":{}}})", ""), "__metadata__ is not a map"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2])"), data), "'t': lacks one of"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1)"), data),
       "unknown key 'x'"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8])"), data),
       "'shape' twice"},
      {Safetensors(entry(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"), data),
       "tensor 't' has the type F8_E4M3"},
      {Safetensors(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), data),
       "shape [3] of F32 takes 12 bytes, its data_offsets 8"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,16])"), data),
       "end at byte 16 of the data, the file at 8: the file is cut"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), data),
       "begins at byte 8 of the data, after a gap"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), data), "has 1 items"},
      {Safetensors(entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), data),
       "negative number -2"},
      {Safetensors(entry(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), data),
       "no 64-bit integer"},
      {Safetensors(entry(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), data),
       "an array where none belongs"},
      {Safetensors(entry(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
                   data),
       "overflow"},
      {Safetensors(entry(R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8])"),
                   data),
       "overflow"},
      {Safetensors(entry(R"("dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8])"), data),
       "7 dimensions, the limit is 6"},
      {Safetensors(R"({"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                   R"("t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
                   data),
       "stands twice"},
      {Safetensors(R"({"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                   R"("u":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                   data),
       "'u' begins at byte 4 of the data, before the end of 't' at 8"},
      {Safetensors("{\"\xFF\":{}}", ""), "not valid JSON"},
      {Safetensors(std::string(100000, '['), ""), "an array where none belongs"},
  };
  for (const Case& c : cases) {
    auto tensors = Read(c.bytes);
    ASSERT_FALSE(tensors.ok()) << c.problem;
    EXPECT_THAT(Message(tensors.status()), HasSubstr(c.problem));
    EXPECT_THAT(Message(tensors.status()), HasSubstr("x.safetensors: "));
  }
}

}  // namespace
}  // namespace banyan::weights
