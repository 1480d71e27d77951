// SPDX-License-Identifier: Apache-2.0
// Every kernel of every CPU level against the reference, over shapes, strides and types; and for
// attention that a row's bits depend on nothing but its own sequence.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/table.h"
#include "ops/attention_testing.h"
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/reference/half.h"
#include "ops/rope.h"
#include "ops/sample.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

class Conformance : public testing::TestWithParam<IsaLevel> {
 protected:
  void SetUp() override {
    StatusOr<OpTable> made = kernels::MakeCpuTable(GetParam());
    if (!made.ok()) GTEST_SKIP() << Message(made.status());
    table_ = *made;
    FillReference(reference_);
    bench_ = std::make_unique<TestBench>(table_, 2);
    oracle_ = std::make_unique<TestBench>(reference_);
  }

  // Runs fn(context, out) at the level and at the reference and compares the two outputs.
  template <typename Fn>
  void Compare(Shape shape, int64_t pad, float relative, float absolute, Fn&& fn) {
    TestTensor got(shape, pad);
    TestTensor want(shape, pad);
    fn(bench_->context(), got.view);
    fn(oracle_->context(), want.view);
    ExpectNear(got.Values(), want.Values(), relative, absolute);
    EXPECT_TRUE(got.PaddingIntact());
  }

  static void ExpectNear(const std::vector<float>& got, const std::vector<float>& want,
                         float relative, float absolute) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(want[i]) && std::isnan(got[i])) continue;
      if (want[i] == got[i]) continue;
      ASSERT_LE(std::fabs(got[i] - want[i]), absolute + relative * std::fabs(want[i]))
          << "element " << i << ": " << got[i] << ", not " << want[i];
    }
  }

  std::mt19937 rng_{20240229};
  OpTable table_;
  OpTable reference_;
  std::unique_ptr<TestBench> bench_;
  std::unique_ptr<TestBench> oracle_;
};

constexpr int64_t kDims[] = {1, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 80, 96, 127, 576, 1031};

TEST_P(Conformance, Norms) {
  for (int64_t dim : kDims) {
    for (int64_t pad : {0, 5}) {
      for (int64_t heads : {0, 3}) {
        const Shape shape = heads == 0 ? Shape{37, dim} : Shape{5, heads, dim};
        TestTensor x(shape, pad);
        x.Fill(rng_, 3.0f);
        for (int affine = 0; affine < (heads == 0 ? 2 : 3); ++affine) {
          TestTensor weight(affine == 2 ? Shape{heads, dim} : Shape{dim});
          TestTensor bias(affine == 2 ? Shape{heads, dim} : Shape{dim});
          weight.Fill(rng_);
          bias.Fill(rng_);
          const Tensor w = affine == 0 ? Tensor() : weight.view;
          const Tensor b = affine == 0 ? Tensor() : bias.view;
          Compare(shape, pad, 2e-6f, 2e-6f, [&](const OpContext& context, const Tensor& out) {
            RmsNorm(context, x.view, w, 1e-5f, out);
          });
          Compare(shape, pad, 1e-5f, 1e-5f, [&](const OpContext& context, const Tensor& out) {
            LayerNorm(context, x.view, w, b, 1e-5f, out);
          });
          Compare(shape, pad, 1e-5f, 1e-5f, [&](const OpContext& context, const Tensor& out) {
            LayerNorm(context, x.view, Tensor(), b, 1e-5f, out);
          });
          if (heads != 0 || affine == 2) continue;
          std::vector<std::vector<float>> sums;
          Compare(shape, pad, 2e-6f, 2e-6f, [&](const OpContext& context, const Tensor& out) {
            std::mt19937 rng(7);
            TestTensor residual(shape, 2);
            residual.Fill(rng);
            AddRmsNorm(context, x.view, residual.view, w, 1e-5f, out);
            sums.push_back(residual.Values());
          });
          EXPECT_TRUE(SameBits(sums[0], sums[1]));
        }
      }
    }
  }
}

TEST_P(Conformance, NormsInPlaceAndRowByRow) {
  TestTensor x(Shape{9, 200}, 3);
  x.Fill(rng_);
  TestTensor weight(Shape{200});
  weight.Fill(rng_);
  TestTensor whole(Shape{9, 200});
  RmsNorm(bench_->context(), x.view, weight.view, 1e-6f, whole.view);
  TestTensor rows(Shape{9, 200});
  for (int64_t i = 0; i < 9; ++i)
    RmsNorm(bench_->context(), x.view.Slice(0, i, i + 1), weight.view, 1e-6f,
            rows.view.Slice(0, i, i + 1));
  RmsNorm(bench_->context(), x.view, weight.view, 1e-6f, x.view);
  EXPECT_TRUE(SameBits(whole.Values(), rows.Values()));
  EXPECT_TRUE(SameBits(whole.Values(), x.Values()));
}

TEST_P(Conformance, Rope) {
  for (RopePairing pairing : {RopePairing::kHalves, RopePairing::kInterleaved}) {
    for (int64_t half : {1, 2, 4, 7, 8, 15, 16, 20, 32, 40, 48, 64, 128}) {
      for (int64_t rest : {0, 6}) {
        const int64_t dim = 2 * half + rest;
        std::vector<int32_t> positions = {0, 1, 77, 4095, 131071};
        std::vector<float> frequencies(static_cast<std::size_t>(half));
        for (int64_t i = 0; i < half; ++i)
          frequencies[i] = std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(half));
        TestTensor cos(Shape{5, half});
        TestTensor sin(Shape{5, half});
        RopeAngles(bench_->context(), positions, frequencies, 1.25f, cos.view, sin.view);
        const uint32_t seed = rng_();
        Compare(Shape{5, 3, dim}, 4, 0.0f, 2e-6f, [&](const OpContext& context, const Tensor& x) {
          std::mt19937 rng(seed);
          std::normal_distribution<float> normal;
          for (int64_t t = 0; t < 5; ++t)
            for (int64_t h = 0; h < 3; ++h)
              for (int64_t i = 0; i < dim; ++i)
                x.data<float>()[t * x.stride(0) + h * x.stride(1) + i] = normal(rng);
          ops::Rope(context, x, cos.view, sin.view, pairing);
        });
      }
    }
  }
}

TEST_P(Conformance, Elementwise) {
  for (int64_t dim : {1, 7, 16, 33, 129, 1536}) {
    for (int64_t pad : {0, 9}) {
      TestTensor x(Shape{6, 2 * dim}, pad);
      x.Fill(rng_, 4.0f);
      const Tensor half = x.view.Slice(1, 0, dim);
      const Tensor other = x.view.Slice(1, dim, 2 * dim);
      for (int a = 0; a <= static_cast<int>(Activation::kIdentity); ++a) {
        const auto activation = static_cast<Activation>(a);
        if (activation == Activation::kXielu) continue;
        SCOPED_TRACE(a);
        Compare(Shape{6, dim}, pad, 2e-6f, 2e-6f, [&](const OpContext& context, const Tensor& out) {
          Activate(context, activation, half, out);
        });
        Compare(Shape{6, dim}, pad, 4e-6f, 1e-5f, [&](const OpContext& context, const Tensor& out) {
          GatedActivate(context, activation, x.view, out);
        });
      }
      const auto run = [&](float relative, float absolute, auto&& fn) {
        Compare(Shape{6, dim}, pad, relative, absolute, fn);
      };
      run(2e-6f, 2e-6f, [&](const OpContext& c, const Tensor& out) {
        Xielu(c, half, 0.8f, 1.1f, 0.5f, -1e-6f, out);
      });
      run(0, 0, [&](const OpContext& c, const Tensor& out) { Add(c, half, other, out); });
      run(0, 0, [&](const OpContext& c, const Tensor& out) { Mul(c, half, other, out); });
      run(0, 0, [&](const OpContext& c, const Tensor& out) { Scale(c, half, 0.37f, out); });
      run(0, 0, [&](const OpContext& c, const Tensor& out) { Clamp(c, half, -1.0f, 2.0f, out); });
      run(1e-6f, 1e-6f, [&](const OpContext& c, const Tensor& out) { Softcap(c, half, 30, out); });
      const std::vector<float> factors = {1, 2, 3, 0.1f, -1, 0};
      run(0, 0, [&](const OpContext& c, const Tensor& out) { ScaleRows(c, half, factors, out); });
      const std::vector<int32_t> indices = {5, 0, 5, 2, 1, 3};
      run(0, 0, [&](const OpContext& c, const Tensor& out) { GatherRows(c, half, indices, out); });
    }
  }
}

// What activations make of the edges and of every magnitude.
TEST_P(Conformance, ActivationsOverTheWholeRange) {
  std::vector<float> values = {0.0f, -0.0f, 1e-30f, -1e-30f, 88.0f, -88.0f, 104.0f, -104.0f, 1e30f};
  for (float x = 1e-6f; x < 100.0f; x *= 1.001f) {
    values.push_back(x);
    values.push_back(-x);
  }
  const auto n = static_cast<int64_t>(values.size());
  const Tensor x(values.data(), DType::kF32, Shape{1, n});
  std::vector<float> out(values.size());
  const Tensor to(out.data(), DType::kF32, Shape{1, n});
  const auto check = [&](Activation activation, double relative, double of_x, auto&& exact) {
    Activate(bench_->context(), activation, x, to);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double want = exact(static_cast<double>(values[i]));
      ASSERT_LE(std::fabs(out[i] - want),
                relative * std::fabs(want) + of_x * std::fabs(values[i]) + 1e-36)
          << static_cast<int>(activation) << " of " << values[i] << " is " << out[i] << ", not "
          << want;
    }
  };
  constexpr double kUlp = 0x1p-23;
  check(Activation::kTanh, 3 * kUlp, 0, [](double v) { return std::tanh(v); });
  check(Activation::kSigmoid, 4 * kUlp, 0, [](double v) { return 1 / (1 + std::exp(-v)); });
  check(Activation::kSilu, 5 * kUlp, 0, [](double v) { return v / (1 + std::exp(-v)); });
  check(Activation::kGelu, 2e-7, 2e-7,
        [](double v) { return 0.5 * v * std::erfc(-v * std::sqrt(0.5)); });
  check(Activation::kGeluTanh, 4e-7, 3e-7, [](double v) {
    return 0.5 * v * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
  });
}

TEST_P(Conformance, KvIsRoundedToNearestEven) {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0xfff00000u; bits += 0x3f7u * 16)
    values.push_back(std::bit_cast<float>(bits));
  for (float x : {65504.0f, 65519.9f, 65520.0f, 1e9f, 5.9e-8f, 2.9e-8f, 3.0e-8f, -INFINITY})
    values.push_back(x);
  for (std::size_t n : {values.size(), std::size_t{13}, std::size_t{1}}) {
    std::vector<uint16_t> got(n);
    table_.attention.store(values.data(), static_cast<int64_t>(n), DType::kBF16, got.data());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(got[i], ToBf16(values[i])) << values[i];
    table_.attention.store(values.data(), static_cast<int64_t>(n), DType::kF16, got.data());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(got[i], ToF16(values[i])) << values[i];
  }
}

AttentionCase RandomCase(std::mt19937& rng, std::vector<float>& per_head) {
  const auto pick = [&](auto... values) {
    const int list[] = {values...};
    return list[rng() % std::size(list)];
  };
  AttentionCase spec;
  spec.kv_heads = pick(1, 2, 3);
  spec.heads = spec.kv_heads * pick(1, 2, 3, 4, 7, 8);
  spec.key_dim = pick(16, 32, 64, 80, 96, 112, 128, 192, 256, 24, 5);
  spec.value_dim = rng() % 3 == 0 ? pick(16, 64, 128, 20, 3) : spec.key_dim;
  spec.dtype = static_cast<DType>(pick(static_cast<int>(DType::kF32), static_cast<int>(DType::kF16),
                                       static_cast<int>(DType::kBF16)));
  spec.page_size = pick(1, 2, 16, 64, 7, 128);
  spec.params.scale = 1.0f / std::sqrt(static_cast<float>(spec.key_dim));
  if (rng() % 3 == 0) spec.params.softcap = 5.0f;
  if (rng() % 2 == 0) spec.params.window = pick(1, 8, 63, 100, 513);
  if (rng() % 4 == 0) spec.params.chunk = pick(8, 64, 100);
  if (rng() % 2 == 0) spec.params.sinks = pick(1, 4, 70);
  std::normal_distribution<float> normal;
  per_head.resize(static_cast<std::size_t>(2 * spec.heads));
  for (float& x : per_head) x = 0.1f * normal(rng);
  if (rng() % 3 == 0)
    spec.params.sink_logits = Tensor(per_head.data(), DType::kF32, Shape{spec.heads});
  if (rng() % 4 == 0)
    spec.params.alibi_slopes = Tensor(per_head.data() + spec.heads, DType::kF32, Shape{spec.heads});
  const int count = 1 + static_cast<int>(rng() % 3);
  for (int i = 0; i < count; ++i)
    spec.lengths.push_back(
        {0, static_cast<int>(1 + rng() % (i == 0 ? 700 : 90)), static_cast<uint32_t>(i)});
  return spec;
}

std::string Describe(const AttentionCase& spec) {
  return fmt::format("heads {}/{} dims {}/{} {} page {} window {} sinks {} chunk {} cap {}",
                     spec.heads, spec.kv_heads, spec.key_dim, spec.value_dim, Name(spec.dtype),
                     spec.page_size, spec.params.window, spec.params.sinks, spec.params.chunk,
                     spec.params.softcap);
}

TEST_P(Conformance, Attention) {
  std::vector<float> per_head;
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    AttentionCase spec = RandomCase(rng_, per_head);
    for (AttentionCase::Length& length : spec.lengths) length.fresh = 1 + length.fresh % 150;
    SCOPED_TRACE(Describe(spec));
    const auto got = AttentionStage(spec, seed).RunAll(bench_->context(), 64);
    const auto want = AttentionStage(spec, seed).RunAll(oracle_->context(), 1000);
    for (std::size_t s = 0; s < got.size(); ++s) ExpectNear(got[s], want[s], 1e-5f, 1e-5f);
  }
}

// Chunks, page sizes, batches and threads change no bit.
TEST_P(Conformance, AttentionBitsDependOnTheSequenceAlone) {
  if (GetParam() == IsaLevel::kReference) GTEST_SKIP() << "the reference has one way only";
  std::vector<float> per_head;
  TestBench one(table_, 1);
  TestBench three(table_, 3);
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    AttentionCase spec = RandomCase(rng_, per_head);
    if (seed % 3 == 0) spec.lengths[0].fresh += 600;  // three segments
    SCOPED_TRACE(Describe(spec));
    const auto whole = AttentionStage(spec, seed).RunAll(one.context(), 1 << 20);
    const auto expect_same = [&](const AttentionCase& other, const OpContext& context, int chunk,
                                 const char* what) {
      const auto got = AttentionStage(other, seed).RunAll(context, chunk);
      for (std::size_t s = 0; s < got.size(); ++s)
        EXPECT_TRUE(SameBits(got[s], whole[other.lengths[s].id])) << what << ", sequence " << s;
    };
    expect_same(spec, three.context(), 1 << 20, "three threads");
    expect_same(spec, bench_->context(), 7, "chunks of 7");
    expect_same(spec, bench_->context(), 64, "chunks of 64");
    expect_same(spec, three.context(), 1, "token by token");
    for (int page_size : {1, 16, 64}) {
      AttentionCase other = spec;
      other.page_size = page_size;
      expect_same(other, three.context(), 100, "other pages");
    }
    for (const AttentionCase::Length& length : spec.lengths) {
      AttentionCase alone = spec;
      alone.lengths = {length};
      expect_same(alone, three.context(), 33, "alone");
    }
  }
}

// A long context before one query is split over its keys when there are threads to share it.
TEST_P(Conformance, SplitDecodeKeepsItsBits) {
  if (GetParam() == IsaLevel::kReference) GTEST_SKIP() << "the reference does not split";
  AttentionCase small;
  small.heads = 3;
  small.kv_heads = 1;
  small.lengths = {{0, 5000, 0}, {0, 20, 1}};
  AttentionCase windowed = small;
  windowed.params.window = 700;
  AttentionCase large;  // whose states are merged by all threads too
  large.heads = 64;
  large.value_dim = 256;
  large.lengths = {{0, 1100, 0}};
  std::vector<float> logits(64);
  for (int i = 0; i < 64; ++i) logits[static_cast<std::size_t>(i)] = 0.1f * static_cast<float>(i);
  large.params.sink_logits = Tensor(logits.data(), DType::kF32, Shape{64});
  TestBench one(table_, 1);
  TestBench four(table_, 4);
  for (AttentionCase spec : {small, windowed, large}) {
    spec.dtype = DType::kBF16;
    const int last = spec.lengths[0].fresh;
    AttentionStage a(spec, 5);
    AttentionStage b(spec, 5);
    for (int from : {0, last - 1}) {
      a.Step(one.context(), from, from == 0 ? last - 1 : last);
      b.Step(four.context(), from, from == 0 ? last - 1 : last);
    }
    EXPECT_TRUE(SameBits(a.outputs()[0], b.outputs()[0]));
    AttentionSequence sequence{0, 1, last, a.tables()[0]};
    EXPECT_GT(PlanAttention(four.context(), {&sequence, 1}, spec.page_size).merges.size(), 0u);
  }
}

// Pages behind the window may be gone: nothing of them is read.
TEST_P(Conformance, GivenBackPagesAreNotRead) {
  AttentionCase spec;
  spec.page_size = 16;
  spec.params.window = 40;
  spec.lengths = {{0, 700, 0}};
  for (int sinks : {0, 4}) {
    spec.params.sinks = sinks;
    AttentionStage kept(spec, 3);
    AttentionStage given(spec, 3);
    for (int from = 0; from < 700; from += 50) {
      kept.Step(bench_->context(), from, from + 50);
      const int first_needed = std::max(0, from - spec.params.window + 1) / spec.page_size;
      for (int page = sinks > 0 ? 1 : 0; page < first_needed; ++page)
        given.tables()[0][static_cast<std::size_t>(page)] = kNoPage;
      given.Step(bench_->context(), from, from + 50);
    }
    EXPECT_TRUE(SameBits(kept.outputs()[0], given.outputs()[0]));
  }
}

TEST_P(Conformance, ArgmaxAndBrokenRows) {
  for (int64_t n : {1, 5, 16, 33, 2048, 2049, 5000, 151936}) {
    TestTensor x(Shape{n});
    x.Fill(rng_);
    float* data = x.view.data<float>();
    EXPECT_EQ(table_.sample.argmax(data, n), reference_.sample.argmax(data, n));
    data[n / 2] = data[n - 1] = 100.0f;  // the lower of equals
    EXPECT_EQ(table_.sample.argmax(data, n), n / 2);
    std::vector<std::byte> workspace(SampleWorkspaceBytes(n));
    for (float bad : {NAN, INFINITY}) {
      data[n / 3] = bad;
      EXPECT_EQ(table_.sample.argmax(data, n), -1);
      EXPECT_EQ(table_.sample.draw(data, n, {.temperature = 1.0f}, workspace.data()), -1);
    }
    std::fill_n(data, n, -INFINITY);
    EXPECT_EQ(table_.sample.argmax(data, n), -1);
    data[n - 1] = -3.0f;
    EXPECT_EQ(table_.sample.argmax(data, n), n - 1);
    EXPECT_EQ(table_.sample.draw(data, n, {.temperature = 1.0f}, workspace.data()), n - 1);
    EXPECT_EQ(table_.sample.draw(data, n, {.temperature = 1.0f, .top_p = 0.5f}, workspace.data()),
              n - 1);
  }
}

TEST_P(Conformance, Draw) {
  const SampleRow rows[] = {
      {.temperature = 1.0f},
      {.temperature = 0.3f},
      {.temperature = 1.0f, .top_k = 2},
      {.temperature = 1.5f, .top_k = 50},
      {.temperature = 1.0f, .top_p = 0.9f},
      {.temperature = 0.7f, .top_k = 40, .top_p = 0.95f},
      {.temperature = 1.0f, .min_p = 0.05f},
      {.temperature = 1.2f, .top_k = 200, .top_p = 0.8f, .min_p = 0.01f},
      {.temperature = 2.0f, .top_p = 0.999f},
  };
  for (int64_t n : {3, 100, 4099, 50000}) {
    std::vector<std::byte> workspace(SampleWorkspaceBytes(n));
    for (float scale : {0.01f, 1.0f, 5.0f}) {
      TestTensor x(Shape{n});
      x.Fill(rng_, scale);
      if (scale == 5.0f)  // a mask
        for (int64_t i = 0; i < n; ++i)
          if (i % 3 != 0) x.view.data<float>()[i] = -INFINITY;
      for (const SampleRow& base : rows) {
        for (uint64_t seed = 0; seed < 6; ++seed) {
          SampleRow row = base;
          row.seed = seed * 0x100000001ull + 7;
          row.position = static_cast<int64_t>(seed) * 13;
          const float* data = x.view.data<float>();
          EXPECT_EQ(table_.sample.draw(data, n, row, workspace.data()),
                    reference_.sample.draw(data, n, row, workspace.data()))
              << "vocabulary " << n << " scale " << scale << " top_k " << row.top_k << " top_p "
              << row.top_p << " min_p " << row.min_p << " seed " << row.seed;
        }
      }
    }
  }
}

TEST_P(Conformance, LogSoftmax) {
  for (int64_t n : {1, 15, 257, 32003}) {
    const uint32_t seed = rng_();
    Compare(Shape{3, n}, 1, 2e-7f, 1e-6f, [&](const OpContext& context, const Tensor& logits) {
      std::mt19937 rng(seed);
      std::normal_distribution<float> normal(0.0f, 4.0f);
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t i = 0; i < n; ++i)
          logits.data<float>()[r * logits.stride(0) + i] = i % 7 == 6 ? -INFINITY : normal(rng);
      const float temperatures[] = {1.0f, 0.5f, 3.0f};
      ops::LogSoftmax(context, logits, temperatures);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, Conformance,
                         testing::Values(IsaLevel::kReference, IsaLevel::kAvx2, IsaLevel::kAvx512,
                                         IsaLevel::kAvx512VnniBf16, IsaLevel::kAmx),
                         [](const auto& info) { return std::string(Name(info.param)); });

}  // namespace
}  // namespace banyan::ops
