// SPDX-License-Identifier: Apache-2.0
// Scores of a sparse attention's index (ops/sparse_index.h) over a level's Vec, with attention's
// way of multiplying queries and keys: blocks of 64 keys, transposed once for all rows, which are
// the queries times the heads.
#pragma once

#include "kernels/cpu/generic/attention.h"

namespace banyan::kernels {

template <class V, class Tiles = NoTiles>
struct Index {
  using F = typename V::F;
  using Task = ops::IndexTask;
  using Blocks = Attention<V, Tiles>;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kBlock = Blocks::kBlock;

  static std::size_t WorkspaceBytes(int64_t rows, int64_t heads, int64_t dim) {
    const int64_t padded = Blocks::PadRows(rows * heads);
    int64_t floats = Blocks::RoundUp(padded * dim) + padded * kBlock + dim * kBlock;
    if (Tiles::kAny) floats += padded * dim;
    return static_cast<std::size_t>(floats) * sizeof(float);
  }

  static bool TilesServe(const Task& task) {
    if constexpr (Tiles::kAny) return Tiles::ServeRows(task.dtype, task.dim);
    return false;
  }

  template <DType kType>
  static void ScoreBlock(const Task& task, const ops::AttentionTask& where, int64_t block,
                         const float* q, float* keys, float* products) {
    const int64_t rows = task.rows * task.heads;
    const char* at[kBlock];
    const char* unused[kBlock];
    Blocks::Locate(where, block, task.key_end, block, at, unused);
    if (TilesServe(task)) {
      if constexpr (Tiles::kAny) {
        const auto placed = Tiles::Place(at, kBlock, task.dim, keys);
        for (int64_t row = 0; row < rows; row += 16)
          Tiles::Scores(q + row * task.dim, task.dim, placed, kBlock, products + row * kBlock,
                        kBlock);
      }
    } else {
      Blocks::template TransposeKeys<kType>(at, task.dim, keys);
      Blocks::Multiply(
          rows, kBlock, q, task.dim,
          [&](int64_t k, int64_t i) { return V::Load(keys + k * kBlock + i); }, 0, task.dim,
          nullptr, products, kBlock);
    }
    const int64_t count = task.key_end - block < kBlock ? task.key_end - block : kBlock;
    for (int64_t row = 0; row < task.rows; ++row) {
      const float* product = products + row * task.heads * kBlock;
      const float* weights = task.weights + row * task.weights_stride;
      float* scores = task.scores + row * task.scores_stride + block;
      for (int64_t i = 0; i < count; i += kLanes) {
        F sum = V::Zero();
        for (int64_t h = 0; h < task.heads; ++h)
          sum =
              V::Fma(V::Set(weights[h]), V::Max(V::Load(product + h * kBlock + i), V::Zero()), sum);
        if (count - i >= kLanes) {
          V::Store(scores + i, sum);
        } else {
          V::StoreN(scores + i, sum, count - i);
        }
      }
    }
  }

  static void Score(const Task& task) {
    const int64_t padded = Blocks::PadRows(task.rows * task.heads);
    auto* q = reinterpret_cast<float*>(task.workspace);
    float* products = q + Blocks::RoundUp(padded * task.dim);
    float* keys = products + padded * kBlock;
    // The same queries as attention would copy, and the keys where it would find them.
    ops::AttentionTask where;
    where.q = task.q;
    where.q_stride = task.q_stride;
    where.q_head_stride = task.q_head_stride;
    where.rows = static_cast<int32_t>(task.rows);
    where.group = static_cast<int32_t>(task.heads);
    where.key_dim = static_cast<int32_t>(task.dim);
    where.scale = task.scale;
    where.keys = where.values = task.keys;
    where.dtype = task.dtype;
    where.page_size = task.page_size;
    where.key_page_stride = where.value_page_stride = task.page_stride;
    where.key_token_stride = where.value_token_stride = task.token_stride;
    where.pages = task.pages;
    typename Blocks::Workspace w;
    w.q = q;
    Blocks::CopyQueries(where, w);
    if constexpr (Tiles::kAny) {
      if (TilesServe(task)) {
        float* queries = keys + task.dim * kBlock;
        Tiles::Begin(q, task.rows * task.heads, task.dim, queries);
        q = queries;
      }
    }
    for (int64_t block = task.key_begin; block < task.key_end; block += kBlock) {
      if (task.dtype == DType::kBF16) {
        ScoreBlock<DType::kBF16>(task, where, block, q, keys, products);
      } else if (task.dtype == DType::kF16) {
        ScoreBlock<DType::kF16>(task, where, block, q, keys, products);
      } else {
        ScoreBlock<DType::kF32>(task, where, block, q, keys, products);
      }
    }
    if constexpr (Tiles::kAny)
      if (TilesServe(task)) Tiles::End();
  }

  static void Fill(ops::OpTable& table) { table.index = {WorkspaceBytes, Score}; }
};

}  // namespace banyan::kernels
