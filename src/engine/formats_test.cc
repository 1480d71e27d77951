// SPDX-License-Identifier: Apache-2.0
// SmolLM2 in the other forms that GGUF files have: its 4-bit matrices written out as F32, F16 and
// Q8_0, each served through the whole engine and held against the file that they come from. The
// rest of the file (configuration, vocabulary, template) stays byte for byte. Skipped where the
// model is not there.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "ops/linear.h"
#include "ops/reference/half.h"
#include "weights/checkpoint.h"
#include "weights/gguf.h"

namespace banyan {
namespace {

namespace fs = std::filesystem;

// ggml_type of the files that are written.
uint32_t GgmlType(DType dtype) { return dtype == DType::kF32 ? 0 : dtype == DType::kF16 ? 1 : 8; }

std::string Encode(DType dtype, const std::vector<float>& values) {
  std::string out;
  const auto append = [&](const void* data, std::size_t size) {
    out.append(static_cast<const char*>(data), size);
  };
  if (dtype == DType::kF32) {
    append(values.data(), values.size() * sizeof(float));
  } else if (dtype == DType::kF16) {
    out.reserve(values.size() * 2);
    for (const float value : values) {
      const uint16_t half = ops::ToF16(value);
      append(&half, 2);
    }
  } else {
    out.reserve(values.size() / 32 * 34);
    for (std::size_t block = 0; block < values.size(); block += 32) {
      const float* x = &values[block];
      float largest = 0;
      for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
      const uint16_t scale = ops::ToF16(largest / 127);
      append(&scale, 2);
      for (int i = 0; i < 32; ++i) {
        const float code = largest > 0 ? std::nearbyint(x[i] * 127 / largest) : 0;
        out.push_back(static_cast<char>(static_cast<int8_t>(code)));
      }
    }
  }
  return out;
}

// Writes `from` again with its matrices as `dtype`.
void Convert(const std::string& from, const std::string& to, DType dtype) {
  const auto checkpoint = weights::Checkpoint::Open(from);
  ASSERT_TRUE(checkpoint.ok()) << Message(checkpoint.status());
  const auto metadata = weights::GgufMetadata::Open(from);
  ASSERT_TRUE(metadata.ok()) << Message(metadata.status());
  const std::vector<weights::GgufTensor>& tensors = (*metadata)->tensors();
  // Before a key or a name stands its length.
  const char* keys = (*metadata)->keys().front().data() - 8;
  const char* names = tensors.front().name.data() - 8;

  std::ofstream file(to, std::ios::binary);
  const auto number = [&](auto value) {
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
  };
  file.write("GGUF", 4);
  number((*metadata)->version());
  number(uint64_t{tensors.size()});
  number(uint64_t{(*metadata)->keys().size()});
  file.write(keys, names - keys);
  const uint64_t alignment = (*metadata)->alignment();
  const auto type_of = [&](const weights::GgufTensor& tensor) {
    return tensor.rank == 2 ? dtype : DType::kF32;
  };
  const auto pad = [&](uint64_t size) { return (size + alignment - 1) / alignment * alignment; };
  uint64_t offset = 0;
  for (const weights::GgufTensor& tensor : tensors) {
    number(uint64_t{tensor.name.size()});
    file.write(tensor.name.data(), static_cast<std::streamsize>(tensor.name.size()));
    number(static_cast<uint32_t>(tensor.rank));
    uint64_t elements = 1;
    for (int i = 0; i < tensor.rank; ++i) {
      number(tensor.dims[i]);
      elements *= tensor.dims[i];
    }
    number(GgmlType(type_of(tensor)));
    number(offset);
    offset += pad(static_cast<uint64_t>(Bytes(type_of(tensor), static_cast<int64_t>(elements))));
  }
  const auto fill = [&] {
    while (static_cast<uint64_t>(file.tellp()) % alignment != 0) file.put('\0');
  };
  fill();
  for (const weights::GgufTensor& tensor : tensors) {
    const Tensor* stored = (*checkpoint)->Find(tensor.name);
    ASSERT_NE(stored, nullptr) << tensor.name;
    std::vector<float> values(static_cast<std::size_t>(stored->NumElements()));
    ops::Dequantize(*stored, Tensor(values.data(), DType::kF32, stored->shape()));
    const std::string bytes = Encode(type_of(tensor), values);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    fill();
  }
  ASSERT_TRUE(file.flush()) << to;
}

// What a served model makes of the same texts.
struct Answers {
  std::vector<double> prompt_logprobs;
  std::vector<TokenId> greedy;
  std::vector<double> gaps;  // at each of them, between the two best
};

Answers Ask(const std::string& model) {
  Answers out;
  EngineConfig config;
  config.model_path = model;
  config.max_total_tokens = 1024;
  config.max_running_requests = 4;
  auto engine = Engine::Start(config);
  EXPECT_TRUE(engine.ok()) << Message(engine.status());
  if (!engine.ok()) return out;
  for (const char* text :
       {"The banyan is a fig that begins its life growing on another plant. Its seeds are carried "
        "by birds, and they germinate in a crack of a tree or of a house.",
        "Water boils at 100 degrees Celsius at sea level. On a mountain the air is thinner, and "
        "so"}) {
    GenerateRequest request;
    request.input_ids = *(*engine)->tokenizer()->Encode(text, true);
    request.sampling.temperature = 0;
    request.sampling.max_new_tokens = 12;
    request.sampling.ignore_eos = true;
    request.logprobs = {.enabled = true, .prompt_start = 0, .top_n = 2};
    request.stream = false;
    std::promise<GenerateUpdate> end;
    const auto id = (*engine)->Submit(
        request, [&end](GenerateUpdate update) { end.set_value(std::move(update)); });
    EXPECT_TRUE(id.ok()) << Message(id.status());
    if (!id.ok()) return out;
    const GenerateUpdate update = end.get_future().get();
    EXPECT_TRUE(update.finish && update.finish->status.ok());
    for (std::size_t i = 1; i < update.prompt_logprobs.size(); ++i)
      out.prompt_logprobs.push_back(*update.prompt_logprobs[i].logprob);
    out.greedy.insert(out.greedy.end(), update.tokens.begin(), update.tokens.end());
    for (const TokenLogprob& logprob : update.logprobs)
      out.gaps.push_back(logprob.top[0].first - logprob.top[1].first);
  }
  return out;
}

TEST(RealModelFormats, SmolLm2IsTheSameInF32F16AndQ8) {
  fs::path file = fs::path(BANYAN_SOURCE_DIR) / "build/models/smollm2";
  file /= "SmolLM2-135M-Instruct.Q4_1.gguf";
  if (const char* given = std::getenv("BANYAN_SMOLLM2")) file = given;
  if (!fs::exists(file))
    GTEST_SKIP() << file << " is not there: run scripts/setup, or set BANYAN_SMOLLM2";
  const Answers original = Ask(file.string());
  ASSERT_EQ(original.greedy.size(), 24u);

  // The products of Q4_1 and Q8_0 round what they multiply to 8 bits, which moves a token's
  // log-probability by 0.06 on average; Q8_0 rounds the weights a second time. F16 has three
  // decimals of them.
  struct Format {
    const char* name;
    DType dtype;
    double mean_distance;
  };
  Answers exact;  // of F32
  for (const Format& format : {Format{"F32", DType::kF32, 0.09}, Format{"F16", DType::kF16, 0.09},
                               Format{"Q8_0", DType::kQ8_0, 0.12}}) {
    const fs::path path =
        fs::path(testing::TempDir()) / fmt::format("smollm2.{}.gguf", format.name);
    Convert(file.string(), path.string(), format.dtype);
    const Answers answers = Ask(path.string());
    fs::remove(path);
    const auto compare = [&](const Answers& to, double mean_distance, double gap) {
      ASSERT_EQ(answers.prompt_logprobs.size(), to.prompt_logprobs.size()) << format.name;
      double distance = 0, difference = 0;
      for (std::size_t i = 0; i < to.prompt_logprobs.size(); ++i) {
        difference += answers.prompt_logprobs[i] - to.prompt_logprobs[i];
        distance += std::fabs(answers.prompt_logprobs[i] - to.prompt_logprobs[i]);
      }
      const auto count = static_cast<double>(to.prompt_logprobs.size());
      std::printf("%s: mean distance %.4f, mean difference %.4f\n", format.name, distance / count,
                  difference / count);
      EXPECT_LT(distance / count, mean_distance) << format.name;
      EXPECT_LT(std::fabs(difference / count), mean_distance * 2 / 3) << format.name;
      // Of each text up to the first choice between two that were near each other.
      for (std::size_t begin = 0; begin < to.greedy.size(); begin += 12) {
        for (std::size_t i = begin; i < begin + 12; ++i) {
          if (answers.greedy[i] == to.greedy[i]) continue;
          EXPECT_LT(to.gaps[i], gap) << format.name << ", output token " << i;
          break;
        }
      }
    };
    compare(original, format.mean_distance, 0.5);
    if (format.dtype == DType::kF32) exact = answers;
    if (format.dtype == DType::kF16) compare(exact, 0.02, 0.1);
  }
}

}  // namespace
}  // namespace banyan
