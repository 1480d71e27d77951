// SPDX-License-Identifier: Apache-2.0
// Choosing tokens over a level's Vec. Nothing sorts or exponentiates the whole vocabulary where a
// bound shows that it need not.
#pragma once

#include <math.h>

#include "kernels/cpu/generic/math.h"
#include "ops/gumbel.h"
#include "ops/sample.h"

namespace banyan::kernels {

template <class V>
struct Sample {
  using F = typename V::F;
  using I = typename V::I;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr float kInfinity = __builtin_inff();
  static constexpr float kLowest = -3.4028234e38f;

  struct Candidate {
    uint32_t key;  // ascending where logits descend
    uint32_t id;
  };

  // The largest element and the chunk of kChunk elements in which it first comes.
  static constexpr int64_t kChunk = 2048;
  struct Peak {
    float value = -kInfinity;
    int64_t chunk = 0;
    bool valid = false;  // no NaN, no +infinity, something finite
  };

  static Peak FindPeak(const float* x, int64_t n) {
    Peak peak;
    auto nan = V::IsNan(V::Zero());
    for (int64_t begin = 0; begin < n; begin += kChunk) {
      const int64_t end = begin + kChunk < n ? begin + kChunk : n;
      F a = V::Set(-kInfinity);
      F b = a;
      int64_t i = begin;
      for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
        const F u = V::Load(x + i);
        const F v = V::Load(x + i + kLanes);
        nan = V::Or(nan, V::IsNan(u + v));  // also where the infinities meet: not valid either
        a = V::Max(a, u);
        b = V::Max(b, v);
      }
      float max = V::ReduceMax(V::Max(a, b));
      for (; i < end; ++i) {
        if (x[i] != x[i]) return peak;
        max = x[i] > max ? x[i] : max;
      }
      if (max > peak.value) {
        peak.value = max;
        peak.chunk = begin;
      }
    }
    peak.valid = !V::Any(nan) && peak.value > -kInfinity && peak.value < kInfinity;
    return peak;
  }

  static int32_t Argmax(const float* x, int64_t n) {
    const Peak peak = FindPeak(x, n);
    if (!peak.valid) return -1;
    int64_t i = peak.chunk;
    while (x[i] != peak.value) ++i;
    return static_cast<int32_t>(i);
  }

  // Without the division where the temperature is 1.
  template <bool kDivide>
  static void LogSoftmaxRow(float* x, int64_t n, float temperature, float max) {
    const F t = V::Set(temperature);
    const F shift = V::Set(max);
    const auto centered = [&](F v) { return kDivide ? v / t - shift : v - shift; };
    auto sum = V::ZeroD();
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) sum = V::AddD(sum, Math<V>::Exp(centered(V::Load(x + i))));
    if (i < n) {
      alignas(64) float rest[kLanes];
      for (int64_t lane = 0; lane < kLanes; ++lane)
        rest[lane] = i + lane < n ? x[i + lane] : -kInfinity;
      sum = V::AddD(sum, Math<V>::Exp(centered(V::Load(rest))));
    }
    const F log_sum = V::Set(static_cast<float>(log(V::ReduceAddD(sum))));
    for (i = 0; i + kLanes <= n; i += kLanes) V::Store(x + i, centered(V::Load(x + i)) - log_sum);
    if (i < n) V::StoreN(x + i, centered(V::LoadN(x + i, n - i)) - log_sum, n - i);
  }

  static void LogSoftmax(float* x, int64_t n, float temperature) {
    const float max = FindPeak(x, n).value / temperature;
    if (temperature == 1.0f) {
      LogSoftmaxRow<false>(x, n, temperature, max);
    } else {
      LogSoftmaxRow<true>(x, n, temperature, max);
    }
  }

  // MurmurHash3's last word and finish, for columns [column, column + kLanes).
  static I Hash(uint32_t prefix, int64_t column) {
    I word = V::AddI(V::SetI(static_cast<uint32_t>(column)), V::IotaI());
    word = V::MulI(word, V::SetI(0xcc9e2d51u));
    word = V::template RotateLeft<15>(word);
    word = V::MulI(word, V::SetI(0x1b873593u));
    I hash = V::template RotateLeft<13>(V::XorI(V::SetI(prefix), word));
    hash = V::AddI(V::MulI(hash, V::SetI(5)), V::SetI(0xe6546b64u));
    hash = V::XorI(hash, V::SetI(16));
    hash = V::XorI(hash, V::template ShiftRight<16>(hash));
    hash = V::MulI(hash, V::SetI(0x85ebca6bu));
    hash = V::XorI(hash, V::template ShiftRight<13>(hash));
    hash = V::MulI(hash, V::SetI(0xc2b2ae35u));
    return V::XorI(hash, V::template ShiftRight<16>(hash));
  }

  // Above the Gumbel noise of each hash by at most 1.1. With c = 2^32 - 1 - hash: -ln u >= 1 - u =
  // c / (2^32 - 1), so the noise is at most 32 ln 2 - ln c; log2 is bounded from below by the
  // float's own bits, exponent and mantissa read as one number.
  static F NoiseBound(I hash) {
    const I half = V::template ShiftRight<1>(V::XorI(hash, V::SetI(0xffffffffu)));  // c / 2, down
    const F at_least = V::Max(V::ToFloat(half), V::Set(0.5f));
    const F bits = V::ToFloat(V::Cast(at_least));
    constexpr float kLn2 = 0.69314718056f;
    return V::Fnma(bits, V::Set(kLn2 * 0x1p-23f), V::Set(kLn2 * 158.0f + 0.01f));
  }

  // Column of the largest x / temperature + noise, the lowest of equals; `start` is a column that
  // is likely to score high.
  static int64_t ArgmaxWithNoise(const float* x, int64_t n, float temperature,
                                 const ops::SampleRow& row, int64_t start) {
    const uint32_t prefix = ops::SampleHashPrefix(row.seed, row.position);
    const auto score = [&](int64_t i) {
      return static_cast<double>(x[i] / temperature) +
             ops::Gumbel(row.seed, row.position, static_cast<uint32_t>(i));
    };
    double best = score(start);
    int64_t column = start;
    const F t = V::Set(temperature);
    for (int64_t i = 0; i < n; i += kLanes) {
      const F logit = i + kLanes <= n ? V::Load(x + i) : V::LoadN(x + i, n - i);
      const F bound = logit / t + NoiseBound(Hash(prefix, i));
      const F bar = V::Set(static_cast<float>(best - 1e-6 * fabs(best)));  // rounding aside
      uint32_t above = V::Bits(V::Less(bar, bound));
      for (; above != 0; above &= above - 1) {
        const int64_t at = i + __builtin_ctz(above);
        if (at >= n) break;
        const double value = score(at);
        if (value > best || (value == best && at < column)) {
          best = value;
          column = at;
        }
      }
    }
    return column;
  }

  static uint32_t Bits(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof(bits));
    return bits;
  }
  // Order-preserving and back: the largest float has the smallest key.
  static uint32_t Key(float x) {
    const uint32_t bits = Bits(x + 0.0f);  // one zero
    return (bits >> 31) != 0 ? bits : ~bits & 0x7fffffffu;
  }
  static float Unkey(uint32_t key) {
    const uint32_t bits = (key >> 31) != 0 ? key : ~key & 0x7fffffffu;
    float x;
    __builtin_memcpy(&x, &bits, sizeof(x));
    return x;
  }

  // Stable, by key; the result lies in `other`.
  static void RadixSort(Candidate* items, Candidate* other, int64_t n, uint32_t* counts) {
    constexpr int kBits = 11;
    constexpr uint32_t kBuckets = 1u << kBits;
    __builtin_memset(counts, 0, 3 * kBuckets * sizeof(uint32_t));
    for (int64_t i = 0; i < n; ++i)
      for (int pass = 0; pass < 3; ++pass)
        ++counts[pass * kBuckets + (items[i].key >> (pass * kBits) & (kBuckets - 1))];
    for (int pass = 0; pass < 3; ++pass) {
      uint32_t* count = counts + pass * kBuckets;
      uint32_t begin = 0;
      for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
        const uint32_t size = count[bucket];
        count[bucket] = begin;
        begin += size;
      }
      for (int64_t i = 0; i < n; ++i)
        other[count[items[i].key >> (pass * kBits) & (kBuckets - 1)]++] = items[i];
      Candidate* swap = items;
      items = other;
      other = swap;
    }
  }

  // How many logits lie within some depths of the largest, and their weight.
  static constexpr int kLevels = 12;
  static constexpr float kDepths[kLevels] = {1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 26, 34};
  struct Levels {
    int64_t count[kLevels];
    double mass[kLevels];
    double total;
  };

  static Levels Measure(const float* x, int64_t n, float temperature, float max) {
    const F t = V::Set(temperature);
    const F shift = V::Set(max);
    F mass[kLevels];
    Levels levels;
    for (int l = 0; l < kLevels; ++l) {
      mass[l] = V::Zero();
      levels.count[l] = 0;
    }
    auto total = V::ZeroD();
    const auto add = [&](F logit) {
      const F depth = shift - logit;
      const F weight = Math<V>::Exp(V::Zero() - depth);
      total = V::AddD(total, weight);
#pragma GCC unroll 12
      for (int l = 0; l < kLevels; ++l) {
        const auto in = V::NotLess(V::Set(kDepths[l]), depth);
        mass[l] = mass[l] + V::ZeroUnless(in, weight);
        levels.count[l] += __builtin_popcount(V::Bits(in));
      }
    };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) add(V::Load(x + i) / t);
    if (i < n) {
      alignas(64) float rest[kLanes];
      for (int64_t lane = 0; lane < kLanes; ++lane)
        rest[lane] = i + lane < n ? x[i + lane] / temperature : -kInfinity;
      add(V::Load(rest));
    }
    for (int l = 0; l < kLevels; ++l) levels.mass[l] = static_cast<double>(V::ReduceAdd(mass[l]));
    levels.total = V::ReduceAddD(total);
    return levels;
  }

  // All ids whose x / temperature is at least `bar`, in order; their number.
  static int64_t Collect(const float* x, int64_t n, float temperature, float bar, Candidate* out) {
    const F t = V::Set(temperature);
    const F b = V::Set(bar);
    int64_t count = 0;
    const auto take = [&](int64_t i) {
      out[count++] = {Key(x[i] / temperature), static_cast<uint32_t>(i)};
    };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      uint32_t bits = V::Bits(V::NotLess(V::Load(x + i) / t, b));
      for (; bits != 0; bits &= bits - 1) take(i + __builtin_ctz(bits));
    }
    for (; i < n; ++i)
      if (x[i] / temperature >= bar) take(i);
    return count;
  }

  static int32_t Draw(const float* x, int64_t n, const ops::SampleRow& row, std::byte* workspace) {
    const Peak peak = FindPeak(x, n);
    if (!peak.valid) return -1;
    const float temperature = row.temperature;
    const bool by_count = row.top_k > 0 && row.top_k < n;
    const bool by_mass = row.top_p < 1.0f;
    if (!by_count && !by_mass && row.min_p <= 0.0f) {
      int64_t start = peak.chunk;
      while (x[start] != peak.value) ++start;
      return static_cast<int32_t>(ArgmaxWithNoise(x, n, temperature, row, start));
    }
    const float max = peak.value / temperature;
    double total = 0.0;
    float bar = row.min_p > 0.0f ? max + logf(row.min_p) - 0.001f : kLowest;
    if (by_count || by_mass) {
      const Levels levels = Measure(x, n, temperature, max);
      total = levels.total;
      // The highest bar of which it is known that nothing below it passes.
      for (int i = 0; i < kLevels; ++i) {
        if ((by_count && levels.count[i] >= row.top_k) ||
            (by_mass && levels.mass[i] > row.top_p * total * 1.001)) {
          bar = max - kDepths[i] > bar ? max - kDepths[i] : bar;
          break;
        }
      }
    }
    auto* items = reinterpret_cast<Candidate*>(workspace);
    Candidate* sorted = items + n;
    const int64_t count = Collect(x, n, temperature, bar, items);
    RadixSort(items, sorted, count, reinterpret_cast<uint32_t*>(sorted + n));
    auto* logits = reinterpret_cast<float*>(items);
    double before = 0.0;
    int64_t kept = 0;
    for (; kept < count && !(by_count && kept >= row.top_k); ++kept) {
      logits[kept] = Unkey(sorted[kept].key);
      if (!by_mass && row.min_p <= 0.0f) continue;
      const double weight = exp(static_cast<double>(logits[kept]) - max);
      if ((by_mass && before > row.top_p) || weight < row.min_p) break;
      before += by_mass ? weight / total : 0.0;
    }
    return static_cast<int32_t>(sorted[ArgmaxWithNoise(logits, kept, 1.0f, row, 0)].id);
  }

  static void Fill(ops::OpTable& table) { table.sample = {Argmax, Draw, LogSoftmax}; }
};

}  // namespace banyan::kernels
