// SPDX-License-Identifier: Apache-2.0
#include "ops/lightning.h"

#include <algorithm>

#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/state_walk.h"

namespace banyan::ops {
namespace {

// One head of one sequence.
struct Head {
  const LightningDecays& decays;
  const AttentionSequence& sequence;
  const PagedKv& cache;
  int64_t head;
  int64_t dim;
  float* state;  // [dim, dim]

  int64_t block() const { return decays.query.dim(1); }
  const float* Table(const Tensor& table) const {
    return table.data<float>() + head * table.stride(0);
  }
  const float* At(const Tensor& pool, int64_t position) const {
    const int64_t page = sequence.pages[position / pool.dim(1)];
    return pool.data<float>() + page * pool.stride(0) + position % pool.dim(1) * pool.stride(1) +
           head * pool.stride(2);
  }
  static void Add(float factor, const float* x, int64_t dim, float* sum) {
    for (int64_t i = 0; i < dim; ++i) sum[i] += factor * x[i];
  }

  void Query(int64_t position, const float* q, float* out) const {
    const int64_t place = position % block();
    const float before = Table(decays.query)[place];
    const float* distance = Table(decays.distance);
    std::fill_n(out, dim, 0.0f);
    for (int64_t i = 0; i < dim; ++i) Add(before * q[i], state + i * dim, dim, out);
    for (int64_t j = position - place; j <= position; ++j) {
      const float* k = At(cache.keys, j);
      float product = 0.0f;
      for (int64_t i = 0; i < dim; ++i) product += q[i] * k[i];
      Add(distance[position - j] * product, At(cache.values, j), dim, out);
    }
  }

  // The block that ends at `last` becomes state.
  void Absorb(int64_t last) const {
    const float whole = decays.whole.data<float>()[head];
    const float* key = Table(decays.key);
    for (int64_t i = 0; i < dim * dim; ++i) state[i] *= whole;
    for (int64_t j = 0; j < block(); ++j) {
      const float* k = At(cache.keys, last - block() + 1 + j);
      const float* v = At(cache.values, last - block() + 1 + j);
      for (int64_t i = 0; i < dim; ++i) Add(key[j] * k[i], v, dim, state + i * dim);
    }
  }
};

}  // namespace

void LightningBlocks(const OpContext& context, const LightningDecays& decays,
                     std::span<const AttentionSequence> sequences,
                     std::span<const StateSequence> states, const Tensor& q, const PagedKv& cache,
                     const Tensor& state, const Tensor& out) {
  const int64_t heads = q.dim(1), dim = q.dim(2), size = dim * dim;
  BANYAN_DCHECK(SameRows(AsRows(q), AsRows(out)) && sequences.size() == states.size() &&
                    cache.keys.dtype() == DType::kF32 && cache.values.dtype() == DType::kF32 &&
                    cache.keys.dim(2) == heads && cache.keys.dim(3) == dim,
                "LightningBlocks: q {}, keys {} {}", q.shape().ToString(), Name(cache.keys.dtype()),
                cache.keys.shape().ToString());
  CheckStates(states, q.dim(0), state, heads * size);
  constexpr double kManyNanoseconds = 1e5;  // each item on its own
  const auto run = [&](const AttentionSequence& sequence, const StateSequence& s, int64_t head) {
    BANYAN_DCHECK(s.begin == sequence.q_begin && s.count == sequence.q_len, "rows {}, not {}",
                  s.begin, sequence.q_begin);
    float* own = StateAt(state, s.slot) + head * size;
    if (s.fresh) std::fill_n(own, size, 0.0f);
    const Head one{decays, sequence, cache, head, dim, own};
    const int64_t start = sequence.kv_len - sequence.q_len;
    RunAndSave(
        s,
        [&](int64_t first, int64_t last) {
          for (int64_t row = first; row < last; ++row) {
            const auto at = [&](const Tensor& x) {
              return x.data<float>() + (s.begin + row) * x.stride(0) + head * x.stride(1);
            };
            one.Query(start + row, at(q), at(out));
            if ((start + row + 1) % one.block() == 0) one.Absorb(start + row);
          }
        },
        [&](PageId slot) { std::copy_n(own, size, StateAt(state, slot) + head * size); });
  };
  ParallelItems(context, static_cast<int64_t>(sequences.size()) * heads, kManyNanoseconds,
                [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i)
                    run(sequences[i / heads], states[i / heads], i % heads);
                });
}

}  // namespace banyan::ops
