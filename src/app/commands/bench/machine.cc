// SPDX-License-Identifier: Apache-2.0
#include "app/commands/bench/machine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <vector>

#include "app/commands/bench/options.h"
#include "ops/linear.h"
#include "weights/checkpoint.h"

namespace banyan::bench {

// Eight streams a thread, the next lines of each asked for ahead: one stream alone leaves half of a
// core's bandwidth unused. One word of a line brings all of it.
StatusOr<double> ReadBandwidth(CpuDevice& device) {
  constexpr int64_t kStreams = 8, kLine = 8, kAhead = 512;  // in words of 8 bytes
  constexpr int64_t kPart = int64_t{1} << 17;
  constexpr int64_t kParts = 256;
  constexpr int64_t kStream = kPart / kStreams;
  constexpr int64_t kBytes = kParts * kPart * 8;
  constexpr int kRounds = 8;
  BANYAN_ASSIGN_OR_RETURN(const Buffer buffer,
                          device.context().backend->Allocate(kBytes, "a read"));
  std::memset(buffer.data(), 1, kBytes);
  const auto* memory = reinterpret_cast<const uint64_t*>(buffer.data());
  std::atomic<uint64_t> sink{0};
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    device.pool().ParallelFor(kParts, 1, [&](int64_t begin, int64_t end) {
      uint64_t sum = 0;
      for (int64_t part = begin; part < end; ++part) {
        for (int64_t i = 0; i < kStream; i += kLine) {
          for (int64_t stream = 0; stream < kStreams; ++stream) {
            const uint64_t* line = memory + part * kPart + stream * kStream + i;
            __builtin_prefetch(line + kAhead);
            sum += *line;
          }
        }
      }
      sink += sum;
    });
    best = std::max(best, static_cast<double>(kBytes) / Seconds(Clock::now() - start));
  }
  return best;
}

StatusOr<double> ProductRate(CpuDevice& device, DType format, DType compute) {
  constexpr int64_t kTokens = 512, kSize = 2048;
  constexpr int kRounds = 5;
  std::vector<std::byte> weight(Bytes(format, kSize * kSize));
  if (IsQuantized(format)) {
    // Blocks of zeros multiply no faster than others, and no scale among them is not a number.
    std::memset(weight.data(), 0, weight.size());
  } else {
    std::memset(weight.data(), 0x3c, weight.size());
  }
  const Tensor matrix(weight.data(), format, Shape{kSize, kSize});
  BANYAN_ASSIGN_OR_RETURN(const PackedWeight packed,
                          ops::PackLinear(device.context(), {&matrix, 1}, compute));
  std::vector<float> x(kTokens * kSize), y(kTokens * kSize);
  std::mt19937 random(1);
  for (float& value : x) value = static_cast<float>(random() % 200) / 100.0f - 1.0f;
  const Tensor in(x.data(), DType::kF32, Shape{kTokens, kSize});
  const Tensor out(y.data(), DType::kF32, Shape{kTokens, kSize});
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    device.context().scratch->Reset();
    const auto start = Clock::now();
    ops::Linear(device.context(), in, packed, Tensor(), out);
    best = std::max(best, 2.0 * kTokens * kSize * kSize / Seconds(Clock::now() - start));
  }
  return best;
}

StatusOr<DType> MainFormat(const std::string& model_path) {
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<weights::Checkpoint> checkpoint,
                          weights::Checkpoint::Open(model_path));
  std::array<int64_t, static_cast<std::size_t>(DType::kCount)> bytes{};
  for (const weights::NamedTensor& named : checkpoint->tensors())
    bytes[static_cast<std::size_t>(named.tensor.dtype())] += named.tensor.NumBytes();
  return static_cast<DType>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
}

}  // namespace banyan::bench
