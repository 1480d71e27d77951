// SPDX-License-Identifier: Apache-2.0
// Paged attention over a level's Vec: decode and prefill are one algorithm, so that a query gets
// the same bits in either.
//
// The rows of a task are its queries times the query heads of one kv head. Keys are taken in blocks
// of 64 at fixed absolute positions. A block's keys are transposed to [key_dim][64] f32, its values
// copied to [64][value_dim] f32, once for all rows. Then, for every row by itself:
//   scores    one chain of fused multiply-adds over key_dim per key, in order;
//   softmax   online, one maximum and one sum per block;
//   output    one chain of fused multiply-adds over the block's keys per value element, in order.
// A hidden key has weight 0 exactly and changes nothing, and so a row's result does not depend on
// which other rows share its task. Blocks make segments of 512 positions, each reduced from an
// empty state; the states of segments are folded in ascending order. A level's matrix registers
// take a segment as one: all scores, their maximum and weights, then the output.
#pragma once

#include "kernels/cpu/generic/math.h"

namespace banyan::kernels {

// No matrix registers.
struct NoTiles {
  static constexpr bool kAny = false;
  static bool Fits(int64_t, int64_t) { return false; }
};

// `Tiles`: a level's matrix registers, which take the two products of a segment where they serve a
// task (amx/attention.cc); whether they do follows from the task's types and dimensions alone.
template <class V, class Tiles = NoTiles>
struct Attention {
  using F = typename V::F;
  using Task = ops::AttentionTask;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kBlock = 64;
  static constexpr int64_t kSegment = 512;
  static constexpr int64_t kBlockVecs = kBlock / kLanes;
  // Rows taken together, unless one query's group is larger: enough to make little of a block's
  // transposition, few enough for their state to stay in the second-level cache.
  static constexpr int64_t kTileRows = 128;
  static constexpr float kHidden = -__builtin_inff();

  static constexpr int64_t RoundUp(int64_t n) { return (n + 15) / 16 * 16; }

  // What a row has gathered so far: the largest score, the sum of weights relative to it, and the
  // weighted values.
  struct State {
    float* max;
    float* sum;
    float* values;  // [rows][value_stride]
  };

  // Asks for the lines of a task's keys and values in their order, before they are used. For Tiles.
  struct Ahead {
    const Task& task;
    int64_t block;  // of the row that comes next
    int64_t end;    // of the positions that the task sees
    int64_t row = 0;
    bool value = false;          // the row's value comes next
    bool apart;                  // values are not parts of their keys
    int64_t lead = 0;            // lines asked for that the task has not come to yet
    const char* next = nullptr;  // of the lines that follow each other
    const char* stop = nullptr;
    const char* keys[kBlock];
    const char* values[kBlock];

    explicit Ahead(const Task& t)
        : task(t),
          block(t.partials == nullptr ? 0 : t.segment_begin * kSegment),
          end(int64_t{t.position} + t.rows),
          apart(!ValuesInKeys(t)) {
      if (t.partials != nullptr && t.segment_end * kSegment < end) end = t.segment_end * kSegment;
      Find();
    }
    int64_t BlockLines() const {
      return kBlock * (task.key_dim + (apart ? task.value_dim : 0)) * 2 / 64;
    }
    void Find() {
      row = 0;
      while (block < end && !Seen(task, block)) block += kBlock;
      if (block < end)
        Locate(task, block, int64_t{task.position} + task.rows, task.position, keys, values);
    }
    // The rows that lie one behind the other; false behind the last.
    bool FindRun() {
      if (row == kBlock) {
        block += kBlock;
        Find();
      }
      if (block >= end) return false;
      const char* const* rows = value ? values : keys;
      next = rows[row];
      stop = next + (value ? task.value_dim : task.key_dim) * 2;
      if (apart) {
        row += value;
        value = !value;
        return true;
      }
      for (++row; row < kBlock && rows[row] == stop; ++row) stop += task.key_dim * 2;
      return true;
    }
    void Ask(int64_t lines) {
      lead += lines;
      for (;;) {
        const int64_t left = (stop - next) / 64;
        const int64_t count = lines < left ? lines : left;
        for (int64_t i = 0; i < count; ++i, next += 64) __builtin_prefetch(next, 0, 2);
        lines -= count;
        if (lines == 0 || !FindRun()) return;
      }
    }
  };

  struct Workspace {
    float* q;        // [rows][key_dim], scaled
    float* scores;   // [rows][kBlock], then weights; for Tiles [16][kScoreStride]
    float* factors;  // [rows]: what the block's new maximum scales earlier sums by
    float* keys;     // [key_dim][kBlock]; for Tiles [kSegment][key_dim] halves
    float* values;   // [kBlock][value_stride]; for Tiles [kSegment][kColumns] halves at least
    State now;       // of the segment at hand
    State all;       // of the segments folded
    int64_t value_stride;
    // For Tiles:
    float* queries = nullptr;  // [rows][key_dim]
    float* weights = nullptr;  // [rows][kSegment], as two halves
    Ahead* ahead = nullptr;
  };

  // Tiles have whole rows of sums.
  static int64_t PadRows(int64_t rows) { return Tiles::kAny ? RoundUp(rows) : rows; }

  // Rows of a segment's scores that do not all lie in the same sets of a cache.
  static constexpr int64_t kScoreStride = kSegment + 16;

  static int64_t ScoreFloats(int64_t rows, int64_t key_dim, int64_t value_dim) {
    const int64_t floats = RoundUp(rows * kBlock);
    if (Tiles::Fits(key_dim, value_dim) && floats < 16 * kScoreStride) return 16 * kScoreStride;
    return floats;
  }
  static int64_t KeyFloats(int64_t key_dim, int64_t value_dim) {
    return Tiles::Fits(key_dim, value_dim) ? kSegment / 2 * key_dim : RoundUp(key_dim * kBlock);
  }
  static int64_t ValueFloats(int64_t key_dim, int64_t value_dim) {
    const int64_t floats = kBlock * RoundUp(value_dim);
    if constexpr (Tiles::kAny) {
      constexpr int64_t kPanels = kSegment * Tiles::kColumns / 2;
      if (Tiles::Fits(key_dim, value_dim) && floats < kPanels) return kPanels;
    }
    return floats;
  }

  // Queries that are taken together.
  static int64_t TileQueries(int64_t group) { return group < kTileRows ? kTileRows / group : 1; }

  static std::size_t WorkspaceBytes(int64_t queries, int64_t group, int64_t key_dim,
                                    int64_t value_dim) {
    const int64_t tile = TileQueries(group);
    const int64_t rows = PadRows((queries < tile ? queries : tile) * group);
    const int64_t stride = RoundUp(value_dim);
    int64_t row_floats = RoundUp(key_dim) + 2 * stride;
    if (Tiles::Fits(key_dim, value_dim)) row_floats += key_dim + kSegment;
    const int64_t floats = rows * row_floats + 5 * RoundUp(rows) +
                           ScoreFloats(rows, key_dim, value_dim) + KeyFloats(key_dim, value_dim) +
                           ValueFloats(key_dim, value_dim);
    return static_cast<std::size_t>(floats) * sizeof(float);
  }

  static Workspace Lay(const Task& task, int64_t rows) {
    auto* next = reinterpret_cast<float*>(task.workspace);
    const auto take = [&](int64_t floats) {
      float* at = next;
      next += RoundUp(floats);
      return at;
    };
    Workspace w;
    w.value_stride = RoundUp(task.value_dim);
    w.q = take(rows * task.key_dim);
    w.scores = take(ScoreFloats(rows, task.key_dim, task.value_dim));
    w.factors = take(rows);
    w.keys = take(KeyFloats(task.key_dim, task.value_dim));
    w.values = take(ValueFloats(task.key_dim, task.value_dim));
    for (State* state : {&w.now, &w.all}) {
      state->max = take(rows);
      state->sum = take(rows);
      state->values = take(rows * w.value_stride);
    }
    if (Tiles::Fits(task.key_dim, task.value_dim)) {
      w.queries = take(rows * task.key_dim);
      w.weights = take(rows * kSegment);
    }
    return w;
  }

  // First position that a query at `position` sees, sinks aside.
  static int64_t FirstVisible(const Task& task, int64_t position) {
    int64_t first = 0;
    if (task.window > 0 && position - task.window + 1 > first) first = position - task.window + 1;
    if (task.chunk > 0) {
      const int64_t chunk = position / task.chunk * task.chunk;
      if (chunk > first) first = chunk;
    }
    return first;
  }

  // Whether a value is a part of its key, as a latent's is.
  static bool ValuesInKeys(const Task& task) {
    const int64_t bytes = task.dtype == DType::kF32 ? 4 : 2;
    const auto* keys = static_cast<const char*>(task.keys);
    const auto* values = static_cast<const char*>(task.values);
    return task.key_page_stride == task.value_page_stride &&
           task.key_token_stride == task.value_token_stride && values >= keys &&
           values + task.value_dim * bytes <= keys + task.key_dim * bytes;
  }

  // Whether some row sees a key of the block.
  static bool Seen(const Task& task, int64_t block) {
    const int64_t first = FirstVisible(task, task.position);
    return block + kBlock > first || (first > 0 && block < task.sinks);
  }

  // The chosen keys [begin, begin + kBlock) as pointers; beyond `end` the last stands in.
  static void LocateChosen(const Task& task, int64_t begin, int64_t end, const char** keys,
                           const char** values) {
    const int64_t bytes = task.dtype == DType::kF32 ? 4 : 2;
    for (int64_t j = 0; j < kBlock; ++j) {
      const auto position =
          static_cast<uint32_t>(task.chosen[begin + j < end ? begin + j : end - 1]);
      const auto page_size = static_cast<uint32_t>(task.page_size);
      const int64_t offset = position % page_size;
      const int64_t page = task.pages[position / page_size];
      keys[j] = static_cast<const char*>(task.keys) +
                (page * task.key_page_stride + offset * task.key_token_stride) * bytes;
      values[j] = static_cast<const char*>(task.values) +
                  (page * task.value_page_stride + offset * task.value_token_stride) * bytes;
    }
  }

  // Keys [begin, begin + kBlock) as pointers. Beyond `end` or where a page was given back, some
  // other key stands in, which is written memory: such a key is hidden from every row.
  static void Locate(const Task& task, int64_t begin, int64_t end, int64_t fallback,
                     const char** keys, const char** values) {
    if (task.chosen != nullptr) return LocateChosen(task, begin, end, keys, values);
    const int64_t bytes = task.dtype == DType::kF32 ? 4 : 2;
    const auto* key_base = static_cast<const char*>(task.keys);
    const auto* value_base = static_cast<const char*>(task.values);
    const int64_t key_step = task.key_token_stride * bytes;
    const int64_t value_step = task.value_token_stride * bytes;
    int64_t page = begin / task.page_size;
    int64_t offset = begin - page * task.page_size;
    for (int64_t j = 0; j < kBlock; ++page, offset = 0) {
      const int64_t left = end - begin < kBlock ? end - begin : kBlock;
      int64_t run = task.page_size - offset;
      if (run > kBlock - j) run = kBlock - j;
      const PageId id = j < left ? task.pages[page] : kNoPage;
      const bool present = id >= 0;
      if (!present) offset = fallback % task.page_size;
      const int64_t at = present ? id : task.pages[fallback / task.page_size];
      const char* key = key_base + at * task.key_page_stride * bytes + offset * key_step;
      const char* value = value_base + at * task.value_page_stride * bytes + offset * value_step;
      for (const int64_t stop = j + run; j < stop; ++j) {
        keys[j] = key;
        values[j] = value;
        if (present && j + 1 < left) {
          key += key_step;
          value += value_step;
        }
      }
    }
  }

  static float Element(DType dtype, const char* row, int64_t i) {
    if (dtype == DType::kF32) return reinterpret_cast<const float*>(row)[i];
    alignas(32) uint16_t halves[16] = {reinterpret_cast<const uint16_t*>(row)[i]};
    alignas(64) float out[kLanes];
    V::Store(out, dtype == DType::kBF16 ? V::LoadBf16(halves) : V::LoadF16(halves));
    return out[0];
  }

  // to[i][j] = element i of key j.
  template <DType kType>
  static void TransposeKeys(const char* const* keys, int64_t dim, float* to) {
    constexpr int64_t kStep = kType == DType::kF32 ? 4 : 8;  // elements in four words
    constexpr int64_t kBytes = kType == DType::kF32 ? 4 : 2;
    for (int64_t j = 0; j < kBlock; j += kLanes) {
      int64_t i = 0;
      for (; i + kStep <= dim; i += kStep) {
        F a = V::LoadFours(keys + j, i * kBytes);
        F b = V::LoadFours(keys + j + 1, i * kBytes);
        F c = V::LoadFours(keys + j + 2, i * kBytes);
        F d = V::LoadFours(keys + j + 3, i * kBytes);
        V::TransposeFours(a, b, c, d);
        float* out = to + i * kBlock + j;
        const auto put = [&](int64_t word, F x) {
          if constexpr (kType == DType::kF32) {
            V::Store(out + word * kBlock, x);
          } else if constexpr (kType == DType::kBF16) {
            V::Store(out + 2 * word * kBlock, V::LowBf16(x));
            V::Store(out + (2 * word + 1) * kBlock, V::HighBf16(x));
          } else {
            V::Store(out + 2 * word * kBlock, V::LowF16(x));
            V::Store(out + (2 * word + 1) * kBlock, V::HighF16(x));
          }
        };
        put(0, a);
        put(1, b);
        put(2, c);
        put(3, d);
      }
      for (; i < dim; ++i)
        for (int64_t lane = 0; lane < kLanes; ++lane)
          to[i * kBlock + j + lane] = Element(kType, keys[j + lane], i);
    }
  }

  template <DType kType>
  static F LoadValues(const char* row, int64_t i) {
    if constexpr (kType == DType::kF32) return V::Load(reinterpret_cast<const float*>(row) + i);
    const auto* halves = reinterpret_cast<const uint16_t*>(row);
    if constexpr (kType == DType::kBF16) return V::LoadBf16(halves + i);
    if constexpr (kType == DType::kF16) return V::LoadF16(halves + i);
  }

  // to[j][i] = element i of value j, 0 beyond dim, for j in [begin, end).
  template <DType kType>
  static void CopyValues(const char* const* values, int64_t begin, int64_t end, int64_t dim,
                         int64_t stride, float* to) {
    for (int64_t j = begin; j < end; ++j) {
      float* out = to + j * stride;
      int64_t i = 0;
      for (; i + kLanes <= dim; i += kLanes) V::Store(out + i, LoadValues<kType>(values[j], i));
      for (; i < dim; ++i) out[i] = Element(kType, values[j], i);
      for (; i < stride; ++i) out[i] = 0.0f;
    }
  }

  // c[kRows][kVecs vectors] = factor * c + a[kRows][begin, end) * b[begin, end)[kVecs vectors]:
  // each element one chain of fused multiply-adds in order of the index. load(k, i) gives b's
  // elements [i, i + kLanes) of row k; factors null: c starts at 0.
  template <int kRows, int kVecs, class Load>
  static void MultiplyTile(const float* a, int64_t a_stride, Load&& load, int64_t column,
                           int64_t begin, int64_t end, const float* factors, float* c,
                           int64_t c_stride) {
    F sum[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v)
        sum[r][v] = factors == nullptr
                        ? V::Zero()
                        : V::Load(c + r * c_stride + column + v * kLanes) * V::Set(factors[r]);
    for (int64_t k = begin; k < end; ++k) {
      F row[kVecs];
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) row[v] = load(k, column + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const F x = V::Set(a[r * a_stride + k]);
#pragma GCC unroll 8
        for (int v = 0; v < kVecs; ++v) sum[r][v] = V::Fma(x, row[v], sum[r][v]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) V::Store(c + r * c_stride + column + v * kLanes, sum[r][v]);
  }

  // The same for `columns` columns, a multiple of kLanes.
  template <int kRows, class Load>
  static void MultiplyRows(int64_t columns, const float* a, int64_t a_stride, Load&& load,
                           int64_t begin, int64_t end, const float* factors, float* c,
                           int64_t c_stride) {
    constexpr int kVecs = V::kBlockVecs;
    int64_t column = 0;
    for (; column + kVecs * kLanes <= columns; column += kVecs * kLanes)
      MultiplyTile<kRows, kVecs>(a, a_stride, load, column, begin, end, factors, c, c_stride);
    if constexpr (kVecs > 2)
      for (; column + 2 * kLanes <= columns; column += 2 * kLanes)
        MultiplyTile<kRows, 2>(a, a_stride, load, column, begin, end, factors, c, c_stride);
    if (column < columns)
      MultiplyTile<kRows, 1>(a, a_stride, load, column, begin, end, factors, c, c_stride);
  }

  template <class Load>
  static void Multiply(int64_t rows, int64_t columns, const float* a, int64_t a_stride, Load&& load,
                       int64_t begin, int64_t end, const float* factors, float* c,
                       int64_t c_stride) {
    static_assert(V::kBlockRows == 6);
    const auto some = [&]<int kRows>() {
      MultiplyRows<kRows>(columns, a, a_stride, load, begin, end, factors, c, c_stride);
      a += kRows * a_stride;
      c += kRows * c_stride;
      if (factors != nullptr) factors += kRows;
      rows -= kRows;
    };
    while (rows >= 6) some.template operator()<6>();
    if (rows == 5) some.template operator()<5>();
    if (rows == 4) some.template operator()<4>();
    if (rows == 3) some.template operator()<3>();
    if (rows == 2) some.template operator()<2>();
    if (rows == 1) some.template operator()<1>();
  }

  // One row's products of the block at `block` to scores s, hidden where it does not see the key;
  // returns the largest of each lane.
  static F LoadScores(const Task& task, int64_t block, int64_t position, int64_t head,
                      const float* products, F* s) {
    const int64_t first = FirstVisible(task, position);
    for (int64_t v = 0; v < kBlockVecs; ++v) s[v] = V::Load(products + v * kLanes);
    if (task.softcap > 0.0f) {
      const F cap = V::Set(task.softcap);
      for (int64_t v = 0; v < kBlockVecs; ++v) s[v] = cap * Math<V>::Tanh(s[v] / cap);
    }
    if (task.alibi_slopes != nullptr) {
      const F slope = V::Set(task.alibi_slopes[head]), scale = V::Set(task.scale);
      const F own = slope * V::Set(static_cast<float>(position));
      for (int64_t v = 0; v < kBlockVecs; ++v) {
        uint16_t rounded[kLanes];
        V::StoreBf16(rounded, V::Set(static_cast<float>(block + v * kLanes)) + V::Iota());
        V::StoreBf16(rounded, slope * V::LoadBf16(rounded));
        s[v] = V::Fma(scale, V::LoadBf16(rounded) - own, s[v]);
      }
    }
    if (first > block || position < block + kBlock - 1) {
      // Positions relative to the block are small whole numbers, exact in f32.
      const F low = V::Set(static_cast<float>(first > block ? first - block : 0));
      const F high =
          V::Set(static_cast<float>(position - block < kBlock ? position - block + 1 : kBlock));
      const int64_t sinks = first > 0 ? task.sinks - block : 0;
      const F sink = V::Set(static_cast<float>(sinks < 0 ? 0 : sinks > kBlock ? kBlock : sinks));
      for (int64_t v = 0; v < kBlockVecs; ++v) {
        const F at = V::Set(static_cast<float>(v * kLanes)) + V::Iota();
        const auto seen = V::And(V::Less(at, high), V::Or(V::NotLess(at, low), V::Less(at, sink)));
        s[v] = V::Select(seen, s[v], V::Set(kHidden));
      }
    }
    F largest = s[0];
    for (int64_t v = 1; v < kBlockVecs; ++v) largest = V::Max(largest, s[v]);
    return largest;
  }

  // Scores to weights for one row of the block at `block`, and its state.
  static void Softmax(const Task& task, int64_t block, int64_t position, int64_t head,
                      float* scores, float& max, float& sum, float& factor) {
    F s[kBlockVecs];
    const float block_max = V::ReduceMax(LoadScores(task, block, position, head, scores, s));
    const float new_max = block_max > max ? block_max : max;
    if (new_max == kHidden) {  // nothing seen yet
      for (int64_t v = 0; v < kBlockVecs; ++v) V::Store(scores + v * kLanes, V::Zero());
      factor = 1.0f;
      return;
    }
    factor = new_max == max ? 1.0f : Scalar(max - new_max);
    F total = V::Zero();
    for (int64_t v = 0; v < kBlockVecs; ++v) {
      const F weight = Math<V>::Exp(s[v] - V::Set(new_max));
      V::Store(scores + v * kLanes, weight);
      total = total + weight;
    }
    sum = sum * factor + V::ReduceAdd(total);
    max = new_max;
  }

  static float Scalar(float x) {  // e^x with the bits that a vector gives
    alignas(64) float out[kLanes];
    V::Store(out, Math<V>::Exp(V::Set(x)));
    return out[0];
  }

  // Asks for the lines of the rows, `bytes` each.
  static void Prefetch(const char* const* rows, int64_t bytes) {
    for (int64_t j = 0; j < kBlock; ++j)
      for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(rows[j] + at, 0, 2);
  }

  template <DType kType>
  static void PrefetchNext(const Task& task, int64_t block, int64_t last) {
    if (block + kBlock > last) return;
    const char* keys[kBlock];
    const char* values[kBlock];
    constexpr int64_t kBytes = kType == DType::kF32 ? 4 : 2;
    Locate(task, block + kBlock, last + 1, task.position, keys, values);
    Prefetch(keys, task.key_dim * kBytes);
    if (!ValuesInKeys(task)) Prefetch(values, task.value_dim * kBytes);
  }

  static void SoftmaxRows(const Task& task, int64_t block, const Workspace& w) {
    const int64_t rows = int64_t{task.rows} * task.group;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t query = row / task.group;
      Softmax(task, block, task.position + query, row - query * task.group, w.scores + row * kBlock,
              w.now.max[row], w.now.sum[row], w.factors[row]);
    }
  }

  // Reduces the keys [block, block + kBlock) into w.now for all rows of the task.
  template <DType kType>
  static void Block(const Task& task, int64_t block, const Workspace& w) {
    const int64_t rows = int64_t{task.rows} * task.group;
    const int64_t last = task.position + task.rows - 1;
    const int64_t first = FirstVisible(task, task.position);
    const int64_t end = (last < block + kBlock ? last + 1 : block + kBlock) - block;
    const int64_t begin = first > block && task.sinks <= block ? first - block : 0;
    const char* keys[kBlock];
    const char* values[kBlock];
    Locate(task, block, last + 1, task.position, keys, values);
    // Few rows use a value once only: they read it where it lies.
    const bool in_place = rows <= V::kBlockRows && task.value_dim % 16 == 0;
    TransposeKeys<kType>(keys, task.key_dim, w.keys);
    // With many rows the arithmetic hides how long the next block takes to come.
    if (rows <= 16) PrefetchNext<kType>(task, block, last);
    Multiply(
        rows, kBlock, w.q, task.key_dim,
        [&](int64_t k, int64_t i) { return V::Load(w.keys + k * kBlock + i); }, 0, task.key_dim,
        nullptr, w.scores, kBlock);
    SoftmaxRows(task, block, w);
    if (in_place) {
      Multiply(
          rows, w.value_stride, w.scores, kBlock,
          [&](int64_t k, int64_t i) { return LoadValues<kType>(values[k], i); }, begin, end,
          w.factors, w.now.values, w.value_stride);
    } else {
      CopyValues<kType>(values, begin, end, task.value_dim, w.value_stride, w.values);
      Multiply(
          rows, w.value_stride, w.scores, kBlock,
          [&](int64_t k, int64_t i) { return V::Load(w.values + k * w.value_stride + i); }, begin,
          end, w.factors, w.now.values, w.value_stride);
    }
  }

  static void Clear(const State& state, int64_t rows, int64_t value_stride) {
    for (int64_t row = 0; row < rows; ++row) {
      state.max[row] = kHidden;
      state.sum[row] = 0.0f;
    }
    for (int64_t i = 0; i < rows * value_stride; i += kLanes) V::Store(state.values + i, V::Zero());
  }

  // One row of `more` folded into one of `state`.
  static void Fold(float& max, float& sum, float* values, float more_max, float more_sum,
                   const float* more_values, int64_t value_stride) {
    if (more_max == kHidden) return;
    const float new_max = more_max > max ? more_max : max;
    const float mine = max == kHidden ? 0.0f : Scalar(max - new_max);
    const float theirs = Scalar(more_max - new_max);
    max = new_max;
    sum = sum * mine + more_sum * theirs;
    for (int64_t i = 0; i < value_stride; i += kLanes)
      V::Store(values + i, V::Fma(V::Load(more_values + i), V::Set(theirs),
                                  V::Load(values + i) * V::Set(mine)));
  }

  static void Finish(const Task& task, int64_t row, float max, float sum, const float* values) {
    const int64_t query = row / task.group;
    const int64_t head = row - query * task.group;
    float factor = 1.0f;
    if (task.sink_logits != nullptr) {
      const float sink = task.sink_logits[head];
      const float new_max = sink > max ? sink : max;
      factor = Scalar(max - new_max);
      sum = sum * factor + Scalar(sink - new_max);
    }
    const F scale = V::Set(factor / sum);
    float* out = task.out + query * task.out_stride + head * task.out_head_stride;
    int64_t i = 0;
    for (; i + kLanes <= task.value_dim; i += kLanes)
      V::Store(out + i, V::Load(values + i) * scale);
    if (i < task.value_dim) V::StoreN(out + i, V::Load(values + i) * scale, task.value_dim - i);
  }

  // Scores to weights for one row of the blocks of a segment, and its state.
  static void SoftmaxSegment(const Task& task, const int64_t* blocks, int64_t count,
                             int64_t position, int64_t head, float* scores, float& max,
                             float& sum) {
    F largest = V::Set(kHidden);
    for (int64_t b = 0; b < count; ++b) {
      F s[kBlockVecs];
      float* at = scores + b * kBlock;
      largest = V::Max(largest, LoadScores(task, blocks[b], position, head, at, s));
      for (int64_t v = 0; v < kBlockVecs; ++v) V::Store(at + v * kLanes, s[v]);
    }
    max = V::ReduceMax(largest);
    const F top = V::Set(max == kHidden ? 0.0f : max);  // nothing seen: all weights are 0
    F total = V::Zero();
    for (int64_t i = 0; i < count * kBlock; i += kLanes) {
      const F weight = Math<V>::Exp(V::Load(scores + i) - top);
      V::Store(scores + i, weight);
      total = total + weight;
    }
    sum = V::ReduceAdd(total);
  }

  // How the lines of a later segment are asked for while one is reduced: half of them along with
  // the scores, so that two blocks at least lie before the first rows' keys, half with the output.
  struct Pace {
    Ahead& ahead;
    int64_t block_lines;
    int64_t least;       // along with a block's scores of 16 rows
    int64_t first_left;  // blocks that no rows have come to yet
    int64_t Lines() {
      if (first_left == 0) return least;
      --first_left;
      const int64_t missing = 2 * block_lines - ahead.lead;
      ahead.lead -= block_lines;
      return missing < least ? least : missing;
    }
    void Ask(int64_t lines) { ahead.Ask(lines); }
  };

  // Segment by Tiles: all keys for 16 rows after the other, so that these rows' queries stay in the
  // first-level cache, then the values for all rows.
  static bool TileSegment(const Task& task, int64_t segment, const Workspace& w) {
    static_assert(Tiles::kKeys == kSegment);
    const int64_t rows = int64_t{task.rows} * task.group;
    const int64_t end = int64_t{task.position} + task.rows;
    const char* keys[kSegment];
    const char* values[kSegment];
    int64_t blocks[kSegment / kBlock];
    int64_t count = 0;
    for (int64_t i = 0; i < kSegment; i += kBlock) {
      const int64_t block = segment * kSegment + i;
      if (block >= end || !Seen(task, block)) continue;
      Locate(task, block, end, task.position, keys + count * kBlock, values + count * kBlock);
      blocks[count++] = block;
    }
    if (count == 0) return false;
    Ahead& ahead = *w.ahead;
    const int64_t lines = ahead.BlockLines();
    if (ahead.lead < lines) ahead.Ask(lines - ahead.lead);
    const auto placed = Tiles::Place(keys, count * kBlock, task.key_dim, w.keys,
                                     ValuesInKeys(task) ? values : nullptr);
    Pace pace{ahead, lines, lines / (2 * ((rows + 15) / 16)), count};
    for (int64_t first = 0; first < rows; first += 16) {
      Tiles::Scores(w.queries + first * task.key_dim, task.key_dim, placed, count * kBlock,
                    w.scores, kScoreStride, pace);
      for (int64_t row = first; row < rows && row < first + 16; ++row) {
        const int64_t query = row / task.group;
        float* scores = w.scores + (row - first) * kScoreStride;
        SoftmaxSegment(task, blocks, count, task.position + query, row - query * task.group, scores,
                       w.now.max[row], w.now.sum[row]);
        Tiles::SplitWeights(scores, count * kBlock, row - first,
                            w.weights + first * count * kBlock);
      }
    }
    Tiles::Gather(w.weights, rows, values, count * kBlock, task.value_dim, w.values, w.now.values,
                  w.value_stride, count * lines / 2, ahead);
    return true;
  }

  // Reduces one segment into w.now; false where no row sees any of it.
  static bool Segment(const Task& task, int64_t segment, const Workspace& w) {
    if constexpr (Tiles::kAny)
      if (Tiles::Serve(task)) return TileSegment(task, segment, w);
    const int64_t rows = int64_t{task.rows} * task.group;
    const int64_t last = task.position + task.rows - 1;
    const int64_t begin = segment * kSegment;
    bool any = false;
    for (int64_t block = begin; block < begin + kSegment && block <= last; block += kBlock) {
      if (!Seen(task, block)) continue;
      if (!any) Clear(w.now, rows, w.value_stride);
      any = true;
      if (task.dtype == DType::kBF16) {
        Block<DType::kBF16>(task, block, w);
      } else if (task.dtype == DType::kF16) {
        Block<DType::kF16>(task, block, w);
      } else {
        Block<DType::kF32>(task, block, w);
      }
    }
    return any;
  }

  static void CopyQueries(const Task& task, const Workspace& w) {
    const F scale = V::Set(task.scale);
    float* to = w.q;
    for (int64_t query = 0; query < task.rows; ++query) {
      for (int64_t head = 0; head < task.group; ++head, to += task.key_dim) {
        const float* from = task.q + query * task.q_stride + head * task.q_head_stride;
        int64_t i = 0;
        for (; i + kLanes <= task.key_dim; i += kLanes) V::Store(to + i, V::Load(from + i) * scale);
        if (i < task.key_dim) {
          const int64_t n = task.key_dim - i;
          V::StoreN(to + i, V::LoadN(from + i, n) * scale, n);
        }
      }
    }
  }

  static int64_t StateSize(int64_t value_dim) { return 16 + RoundUp(value_dim); }

  // By Tiles, whose output goes where it belongs.
  static void RunTilePart(const Task& task, int64_t segment, Workspace w, float* state) {
    w.now.values = state + 16;
    w.value_stride = StateSize(task.value_dim);
    const bool any = TileSegment(task, segment, w);
    const int64_t rows = int64_t{task.rows} * task.group;
    for (int64_t row = 0; row < rows; ++row, state += w.value_stride) {
      state[0] = any ? w.now.max[row] : kHidden;
      state[1] = w.now.sum[row];
    }
  }

  static void RunParts(const Task& task, const Workspace& w) {
    const int64_t rows = int64_t{task.rows} * task.group;
    const int64_t state_size = StateSize(task.value_dim);
    for (int64_t segment = task.segment_begin; segment < task.segment_end; ++segment) {
      float* state = task.partials + (segment - task.segment_begin) * task.partial_stride;
      if constexpr (Tiles::kAny) {
        if (Tiles::Serve(task)) {
          RunTilePart(task, segment, w, state);
          continue;
        }
      }
      const bool any = Segment(task, segment, w);
      for (int64_t row = 0; row < rows; ++row, state += state_size) {
        state[0] = any ? w.now.max[row] : kHidden;
        state[1] = w.now.sum[row];
        if (!any) continue;
        for (int64_t i = 0; i < w.value_stride; i += kLanes)
          V::Store(state + 16 + i, V::Load(w.now.values + row * w.value_stride + i));
      }
    }
  }

  static void RunTile(const Task& task) {
    const int64_t rows = int64_t{task.rows} * task.group;
    Workspace w = Lay(task, PadRows(rows));
    CopyQueries(task, w);
    if constexpr (Tiles::kAny) {
      if (Tiles::Serve(task)) {
        Ahead ahead(task);
        w.ahead = &ahead;
        Tiles::Begin(w.q, rows, task.key_dim, w.queries, 2 * ahead.BlockLines(), ahead);
        Reduce(task, w);
        return Tiles::End();
      }
    }
    Reduce(task, w);
  }

  static void Reduce(const Task& task, Workspace& w) {
    const int64_t rows = int64_t{task.rows} * task.group;
    if (task.partials != nullptr) return RunParts(task, w);
    const int64_t last = task.position + task.rows - 1;
    bool empty = true;
    for (int64_t segment = 0; segment <= last / kSegment; ++segment) {
      if (!Segment(task, segment, w)) continue;
      if (empty) {
        const State swap = w.all;
        w.all = w.now;
        w.now = swap;
        empty = false;
        continue;
      }
      for (int64_t row = 0; row < rows; ++row)
        Fold(w.all.max[row], w.all.sum[row], w.all.values + row * w.value_stride, w.now.max[row],
             w.now.sum[row], w.now.values + row * w.value_stride, w.value_stride);
    }
    for (int64_t row = 0; row < rows; ++row)
      Finish(task, row, w.all.max[row], w.all.sum[row], w.all.values + row * w.value_stride);
  }

  static void Run(const Task& task) {
    // Queries that choose their keys share none.
    const int64_t step = task.chosen != nullptr ? 1 : TileQueries(task.group);
    for (int64_t query = 0; query < task.rows; query += step) {
      Task tile = task;
      tile.rows = static_cast<int32_t>(task.rows - query < step ? task.rows - query : step);
      tile.position += query;
      if (task.chosen != nullptr) {
        tile.chosen += query * task.chosen_stride;
        tile.position = task.chosen_counts[query] - 1;
      }
      tile.q += query * task.q_stride;
      tile.out += query * task.out_stride;
      if (task.partials != nullptr) tile.partials += query * task.group * StateSize(task.value_dim);
      RunTile(tile);
    }
  }

  static void Merge(const Task& task) {
    const int64_t rows = int64_t{task.rows} * task.group;
    const int64_t stride = RoundUp(task.value_dim);
    const int64_t state_size = StateSize(task.value_dim);
    for (int64_t row = 0; row < rows; ++row) {
      float* all = task.partials + row * state_size;
      for (int64_t segment = task.segment_begin + 1; segment < task.segment_end; ++segment) {
        const float* more =
            task.partials + (segment - task.segment_begin) * task.partial_stride + row * state_size;
        if (all[0] == kHidden) {
          for (int64_t i = 0; i < state_size; i += kLanes) V::Store(all + i, V::Load(more + i));
        } else {
          Fold(all[0], all[1], all + 16, more[0], more[1], more + 16, stride);
        }
      }
      Finish(task, row, all[0], all[1], all + 16);
    }
  }

  static void Store(const float* from, int64_t n, DType dtype, void* to) {
    auto* halves = static_cast<uint16_t*>(to);
    const auto put = [&](int64_t i, F x, int64_t count) {
      if (dtype == DType::kF32) {
        V::StoreN(static_cast<float*>(to) + i, x, count);
        return;
      }
      uint16_t out[kLanes];
      uint16_t* target = count == kLanes ? halves + i : out;
      if (dtype == DType::kBF16) {
        V::StoreBf16(target, x);
      } else {
        V::StoreF16(target, x);
      }
      if (count < kLanes)
        for (int64_t k = 0; k < count; ++k) halves[i + k] = out[k];
    };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) put(i, V::Load(from + i), kLanes);
    if (i < n) put(i, V::LoadN(from + i, n - i), n - i);
  }

  static void Fill(ops::OpTable& table) {
    table.attention = {
        static_cast<int32_t>(kSegment), StateSize, WorkspaceBytes, Run, Merge, Store};
  }
};

}  // namespace banyan::kernels
