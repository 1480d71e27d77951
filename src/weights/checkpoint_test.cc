// SPDX-License-Identifier: Apache-2.0
#include "weights/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "weights/testing.h"

namespace banyan::weights {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::Safetensors;
using testing::TempFolder;
namespace fs = std::filesystem;

// A safetensors file with one-byte tensors of these names.
std::string Shard(const std::vector<std::string>& names) {
  std::string header = "{";
  for (std::size_t i = 0; i < names.size(); ++i)
    header += fmt::format(R"({}"{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          i == 0 ? "" : ",", names[i], i, i + 1);
  return Safetensors(header + "}", std::string(names.size(), 'x'));
}

std::string OpenError(const std::string& path) {
  auto checkpoint = Checkpoint::Open(path);
  EXPECT_FALSE(checkpoint.ok());
  return checkpoint.ok() ? "" : Message(checkpoint.status());
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(Checkpoint, AGgufFileTakesNoOtherQuantization) {
  const fs::path path = fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models/llama3_rope/model.gguf";
  const json::object overrides = {{"quantization_config", {{"quant_method", "bitnet"}}}};
  const auto checkpoint = Checkpoint::Open(path.string(), overrides);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_THAT(Message(checkpoint.status()), HasSubstr("'quantization_config'"));
  EXPECT_TRUE(Checkpoint::Open(path.string(), {{"quantization_config", nullptr}}).ok());
}

TEST(Checkpoint, OpensEveryFolderOfTheTestData) {
  int opened = 0;
  for (const char* group : {"golden_models", "models"}) {
    const fs::path root = fs::path(BANYAN_SOURCE_DIR) / "../shared/data" / group;
    if (!fs::exists(root)) GTEST_SKIP() << root << " is absent";
    for (const auto& entry : fs::directory_iterator(root)) {
      if (!entry.is_directory()) continue;
      auto checkpoint = Checkpoint::Open(entry.path().string());
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      EXPECT_FALSE((*checkpoint)->tensors().empty()) << entry.path();
      EXPECT_TRUE((*checkpoint)->config().contains("architectures")) << entry.path();
      for (const NamedTensor& tensor : (*checkpoint)->tensors())
        EXPECT_EQ((*checkpoint)->Find(tensor.name), &tensor.tensor);
      ++opened;
    }
  }
  EXPECT_GE(opened, 78);
}

TEST(Checkpoint, ReadsShardsWithAndWithoutIndex) {
  TempFolder folder;
  folder.Write("config.json", "{}");
  folder.Write("model-00001-of-00002.safetensors", Shard({"b", "a"}));
  folder.Write("model-00002-of-00002.safetensors", Shard({"c"}));
  auto plain = Checkpoint::Open(folder.path());
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ((*plain)->tensors().size(), 3u);
  EXPECT_EQ((*plain)->tensors()[0].name, "a");
  EXPECT_EQ((*plain)->Find("d"), nullptr);

  auto with_index = [&](const std::string& map) {
    folder.Write("model.safetensors.index.json", R"({"weight_map": {)" + map + "}}");
    return Checkpoint::Open(folder.path()).status();
  };
  const std::string one = R"("model-00001-of-00002.safetensors")";
  const std::string two = R"("model-00002-of-00002.safetensors")";
  EXPECT_TRUE(with_index("\"a\":" + one + ",\"b\":" + one + ",\"c\":" + two).ok());
  EXPECT_THAT(Message(with_index("\"a\":" + one + ",\"c\":" + two)),
              HasSubstr("holds the tensor 'b', which the index does not list"));
  EXPECT_THAT(
      Message(with_index("\"a\":" + one + ",\"b\":" + one + ",\"c\":" + two + ",\"d\":" + two)),
      HasSubstr("places the tensor 'd' in 'model-00002-of-00002.safetensors', which lacks it"));
  EXPECT_THAT(Message(with_index("\"a\":" + one + ",\"b\":" + two + ",\"c\":" + two)),
              HasSubstr("places the tensor 'b' in 'model-00002-of-00002.safetensors', but "
                        "'model-00001-of-00002.safetensors' holds it"));
  EXPECT_THAT(Message(with_index("\"a\":\"../a.safetensors\"")), HasSubstr("no plain file name"));
  EXPECT_THAT(Message(with_index("\"a\":7")), HasSubstr("gives 'a' no file name"));
  EXPECT_THAT(Message(with_index("")), HasSubstr("'weight_map' is missing or empty"));
  EXPECT_THAT(Message(with_index("\"a\":\"gone.safetensors\"")),
              HasSubstr("gone.safetensors: No such file"));
}

TEST(Checkpoint, RefusesIncompleteOrUnclearSets) {
  TempFolder folder;
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("config.json: No such file"));
  folder.Write("config.json", "{}");
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("has no .safetensors file"));
  folder.Write("model-00001-of-00003.safetensors", Shard({"a"}));
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("has 1 of the 3 files"));
  folder.Write("model-00003-of-00003.safetensors", Shard({"c"}));
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("'model-00002-of-00003.safetensors' is missing"));
  folder.Write("model-00002-of-00003.safetensors", Shard({"a"}));
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("two files hold the tensor 'a'"));
  folder.Write("other.safetensors", Shard({"d"}));
  EXPECT_THAT(OpenError(folder.path()),
              HasSubstr("'other.safetensors' is not one of a numbered set"));
  folder.Write("model.safetensors", Shard({"only"}));
  EXPECT_TRUE(Checkpoint::Open(folder.path()).ok());
}

TEST(Checkpoint, RefusesQuantizationByName) {
  TempFolder folder;
  folder.Write("model.safetensors", Shard({"a"}));
  for (const char* method : {"fp8", "awq", "gptq", "bitsandbytes", "compressed-tensors", "mxfp4"}) {
    folder.Write("config.json",
                 fmt::format(R"({{"quantization_config": {{"quant_method": "{}"}}}})", method));
    EXPECT_THAT(OpenError(folder.path()),
                HasSubstr(fmt::format("quantization_config of method '{}'", method)));
  }
  folder.Write("config.json", R"({"quantization_config": {"bits": 4}})");
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("of an unnamed method"));
  folder.Write("config.json",
               R"({"quantization_config": {"quant_method": "bitnet", "use_rms_norm": true}})");
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("'use_rms_norm'"));
  folder.Write("config.json", R"({"quantization_config": {"quant_method": "bitnet"}})");
  EXPECT_TRUE(Checkpoint::Open(folder.path()).ok());
  folder.Write("config.json", R"({"quantization_config": null})");
  EXPECT_TRUE(Checkpoint::Open(folder.path()).ok());
}

TEST(Checkpoint, RefusesBadConfigs) {
  TempFolder folder;
  folder.Write("model.safetensors", Shard({"a"}));
  for (const std::string& text :
       {std::string(100000, '['), std::string("{\"a\": "), std::string("[]"),
        std::string("{\"\xFF\": 1}"), std::string("{} x")}) {
    folder.Write("config.json", text);
    EXPECT_THAT(OpenError(folder.path()), HasSubstr("config.json: "));
  }
  folder.Write("config.json",
               R"({"limit": [0.0, Infinity, -Infinity, NaN, -1], "s": "NaN \" Infinity"})");
  auto checkpoint = Checkpoint::Open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(
      json::serialize((*checkpoint)->config()),
      R"({"limit":[0E0,{"__float__":"Infinity"},{"__float__":"-Infinity"},{"__float__":"NaN"},-1],)"
      R"("s":"NaN \" Infinity"})");
}

TEST(Checkpoint, RefusesWhatIsNoModelFile) {
  TempFolder folder;
  EXPECT_THAT(OpenError(folder.path() + "/gone"), HasSubstr("no such file or folder"));
  EXPECT_THAT(OpenError(folder.Write("x.bin", "x")), HasSubstr("neither a folder"));
  EXPECT_THAT(OpenError(folder.Write("empty.gguf", "")), HasSubstr("the file is empty"));
  fs::create_directory(folder.path() + "/dir.gguf");
  EXPECT_THAT(OpenError(folder.path() + "/dir.gguf"), HasSubstr("config.json: No such file"));
  fs::create_symlink("loop.gguf", folder.path() + "/loop.gguf");
  EXPECT_THAT(OpenError(folder.path() + "/loop.gguf"),
              HasSubstr("loop.gguf: Too many levels of symbolic links"));
  fs::create_symlink("gone.gguf", folder.path() + "/dangling.gguf");
  EXPECT_THAT(OpenError(folder.path() + "/dangling.gguf"), HasSubstr("no such file"));
  folder.Write("config.json", "{}");
  fs::create_directory(folder.path() + "/model.safetensors");
  EXPECT_THAT(OpenError(folder.path()), HasSubstr("model.safetensors: is a directory"));
}

TEST(Checkpoint, MapsInsteadOfCopying) {
  constexpr int64_t kBytes = 64 << 20;
  TempFolder folder;
  folder.Write("config.json", "{}");
  folder.Write(
      "model.safetensors",
      Safetensors(fmt::format(R"({{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}})",
                              kBytes / 4, kBytes),
                  std::string(kBytes, '\0')));
  const int64_t before = ResidentBytes();
  auto checkpoint = Checkpoint::Open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_LT(ResidentBytes() - before, kBytes / 8);
  const Tensor& tensor = *(*checkpoint)->Find("w");
  (*checkpoint)->Populate(tensor);
  EXPECT_GT(ResidentBytes() - before, kBytes / 2);
  (*checkpoint)->Release(tensor);
  EXPECT_LT(ResidentBytes() - before, kBytes / 8);
  double sum = 0;
  for (int64_t i = 0; i < tensor.NumElements(); i += 1024) {
    float value;
    std::memcpy(&value, tensor.data<std::byte>() + 4 * i, 4);
    sum += value;
  }
  EXPECT_EQ(sum, 0.0);
  EXPECT_GT(ResidentBytes() - before, kBytes / 2);
  (*checkpoint)->Release(tensor);
  EXPECT_LT(ResidentBytes() - before, kBytes / 8);
  EXPECT_EQ((*checkpoint)->file_bytes(),
            static_cast<int64_t>(fs::file_size(folder.path() + "/model.safetensors")));
}

}  // namespace
}  // namespace banyan::weights
