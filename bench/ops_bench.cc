// SPDX-License-Identifier: Apache-2.0
// Attention, experts, recurrences, norms and sampling on all usable cores, each with its ratio to a
// bound measured in the same run: the rate at which the cores read memory, their peak of fused
// multiply-adds, or that of bf16 tile products.
//
//   ops_bench [--isa=avx2] [--threads=1] [--benchmark_filter=decode]
//
// With one thread all rates are of CPU time.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_testing.h"
#include "kernels/cpu/table.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/head_linear.h"
#include "ops/moe.h"
#include "ops/norm.h"
#include "ops/recurrence.h"
#include "ops/sample.h"
#include "ops/scan.h"
#include "ops/sparse_index.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

std::unique_ptr<TestBench> bench;
double read_gb_per_s = 0.0;
double gflop_per_s = 0.0;
double tile_gflop_per_s = 0.0;  // 0: none

// On one thread the time of the process, so that other programs disturb less.
double Seconds() {
  if (bench->pool.size() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Best of five.
template <typename Fn>
double BestSeconds(Fn&& fn) {
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double begin = Seconds();
    bench->pool.RunOnAll(fn);
    best = std::min(best, Seconds() - begin);
  }
  return best;
}

__attribute__((target("avx2"))) void ReadMemory(const std::byte* from, std::size_t bytes) {
  __m256i sum[4] = {};
  for (std::size_t i = 0; i + 128 <= bytes; i += 128)
    for (std::size_t j = 0; j < 4; ++j)
      sum[j] = _mm256_xor_si256(
          sum[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i + 32 * j)));
  benchmark::DoNotOptimize(sum);
}

constexpr int64_t kFmaRounds = 20'000'000;
__attribute__((target("avx2,fma"))) void Multiply256() {
  __m256 sum[10];
  for (__m256& s : sum) s = _mm256_set1_ps(1.0f);
  const __m256 x = _mm256_set1_ps(0.5f);
  for (int64_t i = 0; i < kFmaRounds; ++i)
#pragma GCC unroll 10
    for (__m256& s : sum) s = _mm256_fmadd_ps(s, x, x);
  benchmark::DoNotOptimize(sum);
}
__attribute__((target("avx512f"))) void Multiply512() {
  __m512 sum[10];
  for (__m512& s : sum) s = _mm512_set1_ps(1.0f);
  const __m512 x = _mm512_set1_ps(0.5f);
  for (int64_t i = 0; i < kFmaRounds; ++i)
#pragma GCC unroll 10
    for (__m512& s : sum) s = _mm512_fmadd_ps(s, x, x);
  benchmark::DoNotOptimize(sum);
}

constexpr int64_t kTileRounds = 500'000;
__attribute__((target("amx-tile,amx-bf16"))) void MultiplyTiles() {
  struct alignas(64) {
    uint8_t palette[16] = {1};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  __asm__ volatile("ldtilecfg %0" ::"m"(config));  // which also clears the tiles
  for (int64_t i = 0; i < kTileRounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

void MeasureBounds(IsaLevel level) {
  const int threads = bench->pool.size();
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  Buffer memory = *bench->backend->Allocate(kBytes * static_cast<std::size_t>(threads), "bench");
  std::memset(memory.data(), 1, memory.size());
  read_gb_per_s = static_cast<double>(memory.size()) / 1e9 / BestSeconds([&](int thread) {
                    ReadMemory(memory.data() + kBytes * static_cast<std::size_t>(thread), kBytes);
                  });
  const bool wide = level >= IsaLevel::kAvx512;
  gflop_per_s = 2.0 * 10 * (wide ? 16 : 8) * kFmaRounds * threads / 1e9 /
                BestSeconds([&](int) { wide ? Multiply512() : Multiply256(); });
  if (level == IsaLevel::kAmx)
    tile_gflop_per_s = 2.0 * 4 * 16 * 16 * 32 * kTileRounds * threads / 1e9 /
                       BestSeconds([](int) { MultiplyTiles(); });
  std::printf(
      "%d threads, %s: read %.1f GB/s, multiply-add %.0f GFLOP/s, bf16 tiles %.0f GFLOP/s\n",
      threads, std::string(Name(level)).c_str(), read_gb_per_s, gflop_per_s, tile_gflop_per_s);
}

void ReportBytes(benchmark::State& state, double bytes) {
  const double rate = bytes * static_cast<double>(state.iterations()) / 1e9;
  state.counters["GB/s"] = benchmark::Counter(rate, benchmark::Counter::kIsRate);
  state.counters["of_read"] = benchmark::Counter(rate / read_gb_per_s, benchmark::Counter::kIsRate);
}

void ReportFlops(benchmark::State& state, double flops) {
  const double rate = flops * static_cast<double>(state.iterations()) / 1e9;
  state.counters["GFLOP/s"] = benchmark::Counter(rate, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(rate / gflop_per_s, benchmark::Counter::kIsRate);
}

// heads, kv heads, head size, batch, context, new tokens per sequence, page size, dtype, and
// whether a page holds its keys head by head (else token by token)
void BM_Attention(benchmark::State& state) {
  const int heads = static_cast<int>(state.range(0));
  const int kv_heads = static_cast<int>(state.range(1));
  const int dim = static_cast<int>(state.range(2));
  const int batch = static_cast<int>(state.range(3));
  const int context = static_cast<int>(state.range(4));
  const int fresh = static_cast<int>(state.range(5));
  const int page_size = static_cast<int>(state.range(6));
  const auto dtype = static_cast<DType>(state.range(7));
  const int pages_each = (context + page_size - 1) / page_size;
  const int64_t pages = int64_t{pages_each} * batch + 1;
  const Shape shape{pages, page_size, kv_heads, dim};
  const auto bytes = static_cast<std::size_t>(Bytes(dtype, shape.NumElements()));
  Buffer keys = *bench->backend->Allocate(bytes, "keys");
  Buffer values = *bench->backend->Allocate(bytes, "values");
  std::memset(keys.data(), 0x3c, bytes);
  std::memset(values.data(), 0x3c, bytes);
  std::vector<PageId> table(static_cast<std::size_t>(pages - 1));
  std::iota(table.begin(), table.end(), 1);
  std::shuffle(table.begin(), table.end(), std::mt19937(1));
  std::vector<AttentionSequence> sequences;
  for (int i = 0; i < batch; ++i)
    sequences.push_back({i * fresh, fresh, context,
                         std::span<const PageId>(table).subspan(
                             static_cast<std::size_t>(i) * pages_each, pages_each)});
  std::mt19937 rng(1);
  TestTensor q(Shape{int64_t{batch} * fresh, heads, dim});
  TestTensor out(Shape{int64_t{batch} * fresh, heads, dim});
  q.Fill(rng);
  const Shape strides =
      state.range(8) != 0
          ? Shape{int64_t{page_size} * kv_heads * dim, dim, int64_t{page_size} * dim, 1}
          : Shape{int64_t{page_size} * kv_heads * dim, int64_t{kv_heads} * dim, dim, 1};
  const PagedKv cache{Tensor(keys.data(), dtype, shape, strides),
                      Tensor(values.data(), dtype, shape, strides)};
  AttentionParams params;
  params.scale = 0.1f;
  const AttentionPlan plan = PlanAttention(bench->context(), sequences, page_size);
  for (auto _ : state) {
    Attention(bench->context(), plan, params, q.view, cache, out.view);
    benchmark::ClobberMemory();
  }
  if (fresh == 1) {
    ReportBytes(state, 2.0 * batch * Bytes(dtype, int64_t{context} * kv_heads * dim));
  } else {
    ReportFlops(state, 4.0 * batch * heads * dim * fresh * (context - (fresh - 1) / 2.0));
  }
}
constexpr int kBf16 = static_cast<int>(DType::kBF16);
constexpr int kF16 = static_cast<int>(DType::kF16);
constexpr int kF32 = static_cast<int>(DType::kF32);
constexpr int kQ40 = static_cast<int>(DType::kQ4_0);
constexpr int kQ8 = static_cast<int>(DType::kQ8_0);
constexpr int kQ4K = static_cast<int>(DType::kQ4_K);
constexpr int kQ6K = static_cast<int>(DType::kQ6_K);

// Experts of a layer, how many a row takes, hidden size, size of an expert, rows, dtype of gate and
// up, of down, size of a shared expert. Each row's choice is at random; the rate is of the weights
// of the experts that some row takes.
void BM_Experts(benchmark::State& state) {
  const auto count = static_cast<int>(state.range(0));
  const auto k = static_cast<int>(state.range(1));
  const int64_t hidden = state.range(2), size = state.range(3), n = state.range(4);
  const auto up_type = static_cast<DType>(state.range(5));
  const auto down_type = static_cast<DType>(state.range(6));
  const int64_t shared_size = state.range(7);
  std::mt19937 rng(1);
  std::vector<kernels::Matrix> raw;  // read in place where the type is plain
  const auto pack = [&](DType dtype, int experts, int64_t rows, int64_t cols) {
    std::vector<Tensor> tensors;
    raw.push_back(kernels::RandomMatrix(dtype, rows, cols, rng));
    const kernels::Matrix first = raw.back();
    tensors.push_back(raw.back().tensor);
    for (int e = 1; e < experts; ++e) {
      raw.push_back({first.bytes, Tensor()});
      tensors.push_back(raw.back().tensor = Tensor(raw.back().bytes.data(), dtype, {rows, cols}));
    }
    return *PackExperts(bench->context(), tensors, dtype == DType::kF32 ? DType::kF32 : dtype);
  };
  const auto mlp = [&](int experts, int64_t rows) {
    ExpertMlp made;
    made.gate = pack(up_type, experts, rows, hidden);
    made.up = pack(up_type, experts, rows, hidden);
    made.down = pack(down_type, experts, hidden, rows);
    return made;
  };
  const ExpertMlp routed = mlp(count, size);
  const ExpertMlp shared = shared_size > 0 ? mlp(1, shared_size) : ExpertMlp();
  if (IsQuantized(up_type)) raw.clear();
  TestTensor x(Shape{n, hidden}), weights(Shape{n, k}), out(Shape{n, hidden});
  x.Fill(rng);
  weights.Fill(rng);
  std::vector<int32_t> ids(static_cast<std::size_t>(n * k)), all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  ExpertsCall call{.x = x.view, .routed = &routed, .weights = weights.view, .out = out.view};
  call.ids = Tensor(ids.data(), DType::kI32, {n, k});
  if (shared_size > 0) call.shared = &shared;
  double chosen = 0.0;  // experts that were read
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<bool> taken(all.size());
    for (int64_t i = 0; i < n; ++i) {
      std::shuffle(all.begin(), all.end(), rng);
      std::copy_n(all.begin(), k, ids.begin() + i * k);
      for (int s = 0; s < k; ++s) taken[all[s]] = true;
    }
    chosen += static_cast<double>(std::count(taken.begin(), taken.end(), true));
    state.ResumeTiming();
    Experts(bench->context(), call);
    benchmark::ClobberMemory();
  }
  const auto bytes = [&](int64_t rows) {
    return static_cast<double>(2 * Bytes(up_type, rows * hidden) + Bytes(down_type, rows * hidden));
  };
  const auto runs = static_cast<double>(state.iterations());
  if (n <= 32) {
    ReportBytes(state, chosen / runs * bytes(size) + bytes(shared_size));
  } else {
    ReportFlops(state, 6.0 * static_cast<double>(n * hidden * (k * size + shared_size)));
  }
}

// The share that is reached of what memory and arithmetic together allow. With tiles an operand of
// 16 bits of mantissa is two bf16 numbers: each product of theirs is two. bound_of_read: the share
// of the read rate that could be reached at all.
void ReportBoth(benchmark::State& state, double bytes, double flops) {
  ReportBytes(state, bytes);
  ReportFlops(state, flops);
  const double read_seconds = bytes / 1e9 / read_gb_per_s;
  const double rate = tile_gflop_per_s > 0 ? tile_gflop_per_s / 2 : gflop_per_s;
  const double seconds = std::max(read_seconds, flops / 1e9 / rate);
  state.counters["of_bound"] = benchmark::Counter(seconds * static_cast<double>(state.iterations()),
                                                  benchmark::Counter::kIsRate);
  state.counters["bound_of_read"] = read_seconds / seconds;
}

// Attention to latents of 512 + 64: heads, sequences, context, new tokens per sequence, chosen
// positions (0: all).
void BM_Latent(benchmark::State& state) {
  constexpr int kWidth = 576, kRank = 512, kPage = 16;
  const int heads = static_cast<int>(state.range(0)), batch = static_cast<int>(state.range(1));
  const int context = static_cast<int>(state.range(2)), fresh = static_cast<int>(state.range(3));
  const int most = static_cast<int>(state.range(4));
  const int pages_each = (context + kPage - 1) / kPage;
  const Shape shape{int64_t{pages_each} * batch + 1, kPage, 1, kWidth};
  Buffer memory = *bench->backend->Allocate(
      static_cast<std::size_t>(Bytes(DType::kBF16, shape.NumElements())), "latents");
  std::memset(memory.data(), 0x3c, memory.size());
  std::vector<PageId> table(static_cast<std::size_t>(shape[0] - 1));
  std::iota(table.begin(), table.end(), 1);
  std::shuffle(table.begin(), table.end(), std::mt19937(1));
  std::vector<AttentionSequence> sequences;
  for (int i = 0; i < batch; ++i)
    sequences.push_back({i * fresh, fresh, context,
                         std::span<const PageId>(table).subspan(
                             static_cast<std::size_t>(i) * pages_each, pages_each)});
  std::mt19937 rng(1);
  const int64_t rows = int64_t{batch} * fresh;
  TestTensor q(Shape{rows, heads, kWidth}), out(Shape{rows, heads, kRank});
  q.Fill(rng);
  AttentionParams params;
  params.scale = 0.1f;
  std::vector<int32_t> positions(static_cast<std::size_t>(rows * most));
  std::vector<int32_t> counts(static_cast<std::size_t>(rows), most);
  if (most > 0) {
    for (std::size_t i = 0; i < positions.size(); ++i)
      positions[i] = static_cast<int32_t>(i % most * (context / most));
    params.chosen = {Tensor(positions.data(), DType::kI32, {rows, most}),
                     Tensor(counts.data(), DType::kI32, {rows})};
  }
  const Tensor keys(memory.data(), DType::kBF16, shape);
  const PagedKv cache{keys, keys.Slice(3, 0, kRank)};
  const AttentionPlan plan = PlanAttention(bench->context(), sequences, kPage, most);
  for (auto _ : state) {
    Attention(bench->context(), plan, params, q.view, cache, out.view);
    benchmark::ClobberMemory();
  }
  const double seen = most > 0 ? most : context - (fresh - 1) / 2.0;
  const double read = most > 0 ? static_cast<double>(rows) * most : double{1} * batch * context;
  ReportBoth(state, read * kWidth * 2,
             2.0 * static_cast<double>(rows) * heads * seen * (kWidth + kRank));
}

// What surrounds it, with one matrix per head: heads, rows and columns of a matrix, tokens.
void BM_HeadLinear(benchmark::State& state) {
  const int64_t heads = state.range(0), rows = state.range(1), cols = state.range(2);
  const int64_t n = state.range(3);
  Buffer memory = *bench->backend->Allocate(
      static_cast<std::size_t>(Bytes(DType::kBF16, heads * rows * cols)), "matrices");
  std::memset(memory.data(), 0x3c, memory.size());
  const Tensor all(memory.data(), DType::kBF16, {heads, rows, cols});
  std::vector<Tensor> matrices;
  for (int64_t h = 0; h < heads; ++h) matrices.push_back(all.Row(h));
  const ExpertMatrix matrix = *PackExperts(bench->context(), matrices, DType::kBF16);
  std::mt19937 rng(1);
  TestTensor x(Shape{n, heads, cols}), out(Shape{n, heads, rows});
  x.Fill(rng);
  for (auto _ : state) {
    HeadLinear(bench->context(), x.view, matrix, 0, out.view);
    benchmark::ClobberMemory();
  }
  if (n <= 32) {
    ReportBytes(state, static_cast<double>(all.NumBytes()));
  } else {
    ReportFlops(state, 2.0 * static_cast<double>(n * heads * rows * cols));
  }
}

// The index of sparse attention: heads, size of a head, context, new tokens; 2048 are chosen.
void BM_SparseIndex(benchmark::State& state) {
  constexpr int kPage = 16, kMost = 2048;
  const int heads = static_cast<int>(state.range(0)), dim = static_cast<int>(state.range(1));
  const int context = static_cast<int>(state.range(2)), fresh = static_cast<int>(state.range(3));
  std::mt19937 rng(1);
  TestTensor q(Shape{fresh, heads, dim}), weights(Shape{fresh, heads});
  std::vector<uint16_t> bits(static_cast<std::size_t>((context + kPage) * dim));
  for (uint16_t& x : bits) x = static_cast<uint16_t>(0x3c00 | (rng() & 0x80ff));
  const Tensor keys(bits.data(), DType::kBF16, {context / kPage + 1, kPage, 1, dim});
  q.Fill(rng);
  weights.Fill(rng);
  std::vector<PageId> table(static_cast<std::size_t>(context / kPage));
  std::iota(table.begin(), table.end(), 1);
  const AttentionSequence sequence{0, fresh, context, table};
  const AttentionPlan plan = PlanAttention(bench->context(), {&sequence, 1}, kPage);
  std::vector<int32_t> positions(static_cast<std::size_t>(fresh * kMost));
  std::vector<int32_t> counts(static_cast<std::size_t>(fresh));
  const ChosenPositions chosen{Tensor(positions.data(), DType::kI32, {fresh, kMost}),
                               Tensor(counts.data(), DType::kI32, {fresh})};
  for (auto _ : state) {
    ChoosePositions(bench->context(), plan,
                    {.q = q.view, .weights = weights.view, .keys = keys, .most = kMost}, chosen);
    benchmark::ClobberMemory();
  }
  ReportBoth(state, 2.0 * context * dim, 2.0 * fresh * heads * dim * (context - (fresh - 1) / 2.0));
}

// States of more sequences than any cache holds, taken in turn.
struct StatePool {
  explicit StatePool(int64_t state_size)
      : slots(std::max<int64_t>(2, (int64_t{256} << 20) / (4 * state_size))),
        memory(
            *bench->backend->Allocate(static_cast<std::size_t>(4 * slots * state_size), "states")),
        state(memory.data(), DType::kF32, {slots, state_size}) {
    std::memset(memory.data(), 0, memory.size());
  }
  // `rows` rows of one sequence, whose state was not used lately.
  StateSequence Next(int64_t rows) {
    slot = (slot + 1) % slots;
    return {0, static_cast<int32_t>(rows), static_cast<PageId>(slot), false, {}};
  }
  int64_t slots;
  Buffer memory;
  Tensor state;
  int64_t slot = 0;
};

// One row: what moves is the state, in and out. More: multiply-adds.
void ReportState(benchmark::State& state, int64_t rows, double state_bytes, double other_bytes,
                 double flops) {
  if (rows > 1) return ReportFlops(state, flops);
  ReportBytes(state, 2 * state_bytes + other_bytes);
  state.counters["in_of_read"] = benchmark::Counter(
      (state_bytes + other_bytes) * static_cast<double>(state.iterations()) / 1e9 / read_gb_per_s,
      benchmark::Counter::kIsRate);
}

// heads, key heads, key size, value size, delta rule, rows of one sequence
void BM_Recurrence(benchmark::State& state) {
  const int64_t heads = state.range(0), key_heads = state.range(1), key_dim = state.range(2);
  const int64_t value_dim = state.range(3), rows = state.range(5);
  std::mt19937 rng(1);
  TestTensor q(Shape{rows, key_heads, key_dim}), k(Shape{rows, key_heads, key_dim});
  TestTensor v(Shape{rows, heads, value_dim}), out(Shape{rows, heads, value_dim});
  TestTensor decay(Shape{rows, heads}), beta(Shape{rows, heads});
  q.Fill(rng), k.Fill(rng, 0.05f), v.Fill(rng);
  decay.ForEach([](float& x) { x = 0.9f; });
  beta.ForEach([](float& x) { x = 0.5f; });
  RecurrenceInputs inputs{q.view, k.view, v.view, decay.view, beta.view, {}, state.range(4) != 0};
  const int64_t size = heads * key_dim * value_dim;
  StatePool pool(size);
  for (auto _ : state) {
    const StateSequence sequence = pool.Next(rows);
    LinearRecurrence(bench->context(), inputs, {&sequence, 1}, pool.state, out.view);
  }
  const double flops = (inputs.delta ? 7.0 : 5.0) * static_cast<double>(size * rows);
  ReportState(state, rows, 4.0 * static_cast<double>(size), 0, flops);
}

// channels, state size, rows of one sequence
void BM_Scan(benchmark::State& state) {
  const int64_t channels = state.range(0), state_dim = state.range(1), rows = state.range(2);
  std::mt19937 rng(1);
  TestTensor x(Shape{rows, channels}), dt(Shape{rows, channels}), z(Shape{rows, channels});
  TestTensor b(Shape{rows, state_dim}), c(Shape{rows, state_dim}), out(Shape{rows, channels});
  TestTensor a(Shape{channels, state_dim}), skip(Shape{channels});
  for (TestTensor* tensor : {&x, &dt, &z, &b, &c, &skip}) tensor->Fill(rng);
  a.ForEach([](float& value) { value = -1.0f; });
  StatePool pool(channels * state_dim);
  for (auto _ : state) {
    const StateSequence sequence = pool.Next(rows);
    SelectiveScan(bench->context(), {x.view, dt.view, b.view, c.view, z.view, a.view, skip.view},
                  {&sequence, 1}, pool.state, out.view);
  }
  const auto size = static_cast<double>(channels * state_dim);
  ReportState(state, rows, 4 * size, 4 * size, 25 * size * static_cast<double>(rows));
}

void BM_RmsNorm(benchmark::State& state) {
  std::mt19937 rng(1);
  TestTensor x(Shape{state.range(0), state.range(1)});
  TestTensor weight(Shape{state.range(1)});
  TestTensor out(Shape{state.range(0), state.range(1)});
  x.Fill(rng);
  weight.Fill(rng);
  for (auto _ : state) RmsNorm(bench->context(), x.view, weight.view, 1e-5f, out.view);
  ReportBytes(state, 8.0 * static_cast<double>(state.range(0) * state.range(1)));
}

void BM_Silu(benchmark::State& state) {
  std::mt19937 rng(1);
  TestTensor x(Shape{state.range(0), 2 * state.range(1)});
  TestTensor out(Shape{state.range(0), state.range(1)});
  x.Fill(rng);
  for (auto _ : state) GatedActivate(bench->context(), Activation::kSilu, x.view, out.view);
  ReportBytes(state, 12.0 * static_cast<double>(state.range(0) * state.range(1)));
}

// rows, vocabulary, kind: 0 greedy, 1 temperature, 2 top_k 50, 3 top_p 0.95
void BM_Sample(benchmark::State& state) {
  const int64_t rows = state.range(0);
  std::mt19937 rng(1);
  TestTensor logits(Shape{rows, state.range(1)});
  logits.Fill(rng, 3.0f);
  SampleRow kinds[] = {{.temperature = 0.0f},
                       {.temperature = 0.8f},
                       {.temperature = 0.8f, .top_k = 50},
                       {.temperature = 0.8f, .top_p = 0.95f}};
  std::vector<SampleRow> params(static_cast<std::size_t>(rows), kinds[state.range(2)]);
  std::vector<int32_t> tokens(static_cast<std::size_t>(rows));
  uint64_t seed = 0;
  for (auto _ : state) {
    for (SampleRow& row : params) row.seed = ++seed;
    Sample(bench->context(), logits.view, params, tokens);
  }
  ReportBytes(state, 4.0 * static_cast<double>(rows * state.range(1)));
}

void BM_LogSoftmax(benchmark::State& state) {
  std::mt19937 rng(1);
  TestTensor logits(Shape{state.range(0), state.range(1)});
  logits.Fill(rng, 3.0f);
  const std::vector<float> ones(static_cast<std::size_t>(state.range(0)), 1.0f);
  for (auto _ : state) LogSoftmax(bench->context(), logits.view, ones);
  ReportBytes(state, 8.0 * static_cast<double>(state.range(0) * state.range(1)));
}

}  // namespace

void Register(bool real_time) {
  const auto time = [&](benchmark::internal::Benchmark* b) {
    if (real_time) b->UseRealTime();
  };
  time(benchmark::RegisterBenchmark("decode", BM_Attention)
           ->Args({9, 3, 64, 1, 512, 1, 16, kBf16, 0})
           ->Args({9, 3, 64, 1, 512, 1, 16, kBf16, 1})
           ->Args({9, 3, 64, 1, 8192, 1, 16, kBf16, 0})
           ->Args({9, 3, 64, 1, 8192, 1, 16, kBf16, 1})
           ->Args({9, 3, 64, 16, 1024, 1, 16, kBf16, 0})
           ->Args({9, 3, 64, 16, 1024, 1, 16, kBf16, 1})
           ->Args({32, 8, 128, 1, 8192, 1, 16, kBf16, 0})
           ->Args({32, 8, 128, 1, 8192, 1, 16, kBf16, 1})
           ->Args({32, 8, 128, 1, 32768, 1, 16, kBf16, 0})
           ->Args({32, 8, 128, 1, 32768, 1, 16, kBf16, 1})
           ->Args({32, 8, 128, 1, 32768, 1, 1, kBf16, 0})
           ->Args({32, 8, 128, 1, 32768, 1, 1, kBf16, 1})
           ->Args({32, 8, 128, 1, 32768, 1, 16, kF16, 0})
           ->Args({32, 8, 128, 1, 32768, 1, 16, kF16, 1})
           ->Args({32, 8, 128, 1, 32768, 1, 16, kF32, 0})
           ->Args({32, 8, 128, 1, 32768, 1, 16, kF32, 1})
           ->Args({32, 32, 128, 1, 8192, 1, 16, kBf16, 0})
           ->Args({32, 32, 128, 1, 8192, 1, 16, kBf16, 1}));
  time(benchmark::RegisterBenchmark("prefill", BM_Attention)
           ->Args({9, 3, 64, 1, 512, 512, 16, kBf16, 1})
           ->Args({9, 3, 64, 1, 2048, 2048, 16, kBf16, 1})
           ->Args({32, 8, 128, 1, 2048, 2048, 16, kBf16, 1})
           ->Args({32, 8, 128, 1, 8192, 512, 16, kBf16, 1})
           ->Args({32, 32, 128, 1, 2048, 2048, 16, kBf16, 1})
           ->Args({12, 12, 80, 1, 2048, 2048, 16, kF32, 1}));
  // Qwen3-30B-A3B, gpt-oss-20b, DeepSeek-V2-Lite, Mixtral 8x7B (fewer of its experts).
  auto* experts = benchmark::RegisterBenchmark("experts", BM_Experts);
  for (int64_t rows : {1, 4, 16}) {
    experts->Args({128, 8, 2048, 768, rows, kQ4K, kQ6K, 0});
    experts->Args({64, 6, 2048, 1408, rows, kQ4K, kQ8, 2816});
    experts->Args({32, 4, 2880, 2880, rows, kQ8, kQ8, 0});
    experts->Args({4, 2, 4096, 14336, rows, kQ40, kQ40, 0});
    experts->Args({64, 8, 2048, 768, rows, kBf16, kBf16, 0});
  }
  experts->Args({128, 8, 2048, 768, 512, kQ4K, kQ6K, 0});
  experts->Args({64, 8, 2048, 768, 512, kBf16, kBf16, 0});
  time(experts->Unit(benchmark::kMicrosecond));
  // DeepSeek-V2-Lite, GLM 4.7 Flash, Kimi K2 and GLM 5, DeepSeek-V3.
  auto* latent = benchmark::RegisterBenchmark("latent", BM_Latent);
  for (int heads : {16, 20, 64, 128}) {
    latent->Args({heads, 1, 4096, 1, 0});
    latent->Args({heads, 8, 4096, 1, 0});
  }
  latent->Args({64, 1, 65536, 1, 2048})->Args({128, 1, 65536, 1, 2048});
  latent->Args({16, 1, 1024, 1024, 0})->Args({128, 1, 1024, 256, 0});
  time(latent->Unit(benchmark::kMicrosecond));
  auto* head_linear = benchmark::RegisterBenchmark("head_linear", BM_HeadLinear);
  for (int n : {1, 8, 512}) {
    head_linear->Args({128, 512, 128, n})->Args({128, 128, 512, n});
    head_linear->Args({16, 512, 128, n})->Args({16, 128, 512, n});
  }
  time(head_linear->Unit(benchmark::kMicrosecond));
  time(benchmark::RegisterBenchmark("sparse_index", BM_SparseIndex)
           ->Unit(benchmark::kMicrosecond)
           ->Args({64, 128, 65536, 1})
           ->Args({32, 128, 65536, 1})
           ->Args({64, 128, 8192, 64}));
  time(benchmark::RegisterBenchmark("gated_delta", BM_Recurrence)  // Qwen3-Next 80B, Qwen 3.5
           ->Args({32, 16, 128, 128, 1, 1})
           ->Args({48, 16, 128, 128, 1, 1})
           ->Args({32, 16, 128, 128, 1, 256}));
  time(benchmark::RegisterBenchmark("mamba2", BM_Recurrence)  // Mamba 2 2.7B, Nemotron H 8B
           ->Args({80, 1, 128, 64, 0, 1})
           ->Args({128, 8, 128, 64, 0, 1})
           ->Args({128, 8, 128, 64, 0, 256}));
  time(benchmark::RegisterBenchmark("lightning", BM_Recurrence)  // MiniMax 01
           ->Args({64, 64, 128, 128, 0, 1})
           ->Args({64, 64, 128, 128, 0, 256}));
  time(benchmark::RegisterBenchmark("mamba", BM_Scan)  // Mamba 2.8B, Jamba 1.5 Large
           ->Args({5120, 16, 1})
           ->Args({16384, 16, 1})
           ->Args({16384, 16, 256}));
  time(benchmark::RegisterBenchmark("rms_norm", BM_RmsNorm)
           ->Args({1, 576})
           ->Args({1, 4096})
           ->Args({512, 4096}));
  time(benchmark::RegisterBenchmark("gated_silu", BM_Silu)->Args({1, 1536})->Args({512, 14336}));
  time(benchmark::RegisterBenchmark("sample", BM_Sample)
           ->Args({64, 151936, 0})
           ->Args({64, 151936, 1})
           ->Args({64, 151936, 2})
           ->Args({64, 151936, 3})
           ->Unit(benchmark::kMillisecond));
  time(benchmark::RegisterBenchmark("log_softmax", BM_LogSoftmax)->Args({64, 151936}));
}

}  // namespace banyan::ops

namespace {

// Takes --NAME=VALUE off the arguments.
std::string TakeFlag(int& argc, char** argv, const std::string& name, std::string value) {
  const std::string prefix = "--" + name + "=";
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).substr(0, prefix.size()) != prefix) continue;
    value = argv[i] + prefix.size();
    std::rotate(argv + i, argv + i + 1, argv + argc--);
    break;
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  using banyan::ops::bench;
  std::vector<int> cores = banyan::UsableCores();
  const auto level = banyan::kernels::ParseIsa(TakeFlag(argc, argv, "isa", "auto"));
  const int threads = std::atoi(TakeFlag(argc, argv, "threads", "0").c_str());
  if (threads > 0) cores.resize(static_cast<std::size_t>(threads), cores[0]);
  if (!level.ok()) {
    std::fprintf(stderr, "%s\n", banyan::Message(level.status()).c_str());
    return 1;
  }
  bench = std::make_unique<banyan::ops::TestBench>(*banyan::kernels::MakeCpuTable(*level), cores);
  banyan::ops::MeasureBounds(*level);
  banyan::ops::Register(cores.size() > 1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  bench.reset();
  return 0;
}
