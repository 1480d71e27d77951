// SPDX-License-Identifier: Apache-2.0
// OpTable: which kernel each op calls, chosen once per executor.
//
// A table is a plain struct of typed function pointers over raw pointers and sizes, one member
// struct per family. ops/reference fills every entry with portable code; kernels/cpu then overrides
// what it has for each CPU feature level up to the one in force, in order (avx2, avx512, ...). A
// call only reads the table. Adding a kernel: one file in kernels/, one line in that level's Fill
// function (docs/howto/kernel.md).
//
// Kernels are single-threaded and allocate nothing: the entries (ops/*.cc) split the rows over the
// pool and hand out workspace. They compute items [begin, end) of what they are given. A row's
// result depends on that row's operands alone, bit for bit.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "cache/cache_spec.h"
#include "tensor/packed_weight.h"
#include "tensor/tensor.h"

namespace banyan::kernels {
struct LinearKernels;
}

namespace banyan::ops {

struct ExpertMatrix;
struct ExpertsCall;
struct OpContext;
struct Routing;
struct SampleRow;
enum class Activation : unsigned char;
enum class RopePairing : unsigned char;

enum class IsaLevel : uint8_t { kReference, kAvx2, kAvx512, kAvx512VnniBf16, kAmx };
// As --cpu-isa spells it: reference, avx2, avx512, avx512_vnni_bf16, amx.
std::string_view Name(IsaLevel level);

// How one checkpoint dtype is packed and multiplied.
struct LinearKernel {
  StatusOr<PackedWeight> (*pack)(const OpContext& context, std::span<const Tensor> parts,
                                 DType compute) = nullptr;
  void (*run)(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
              const PackedWeight& weight, const float* bias, float* out,
              int64_t out_stride) = nullptr;
};

// outer x inner rows of dim floats: row r is (r / inner, r % inner) and starts at data + (r /
// inner) * outer_stride + (r % inner) * inner_stride.
struct Rows {
  float* data = nullptr;
  int64_t outer = 0;
  int64_t inner = 1;
  int64_t outer_stride = 0;
  int64_t inner_stride = 0;
  int64_t dim = 0;

  int64_t count() const { return outer * inner; }
  float* at(int64_t row) const {
    return data + row / inner * outer_stride + row % inner * inner_stride;
  }
};

// Items are rows. Weight and bias of row r start at + (r % inner) * affine_stride, or are null.
struct NormKernels {
  void (*rms)(const Rows& x, const float* weight, int64_t affine_stride, float eps, const Rows& out,
              int64_t begin, int64_t end) = nullptr;
  void (*add_rms)(const Rows& x, const Rows& residual, const float* weight, float eps,
                  const Rows& out, int64_t begin, int64_t end) = nullptr;
  void (*layer)(const Rows& x, const float* weight, const float* bias, int64_t affine_stride,
                float eps, const Rows& out, int64_t begin, int64_t end) = nullptr;
};

struct RopeKernels {
  // Items are tokens (x.outer); cos and sin [tokens, half].
  void (*turn)(const Rows& x, const float* cos, const float* sin, int64_t half, RopePairing pairing,
               int64_t begin, int64_t end) = nullptr;
};

// Items are rows.
struct ElementwiseKernels {
  void (*activate)(Activation activation, const Rows& x, const Rows& out, int64_t begin,
                   int64_t end) = nullptr;
  // out = act(gate) * up.
  void (*gated)(Activation activation, const Rows& gate, const Rows& up, const Rows& out,
                int64_t begin, int64_t end) = nullptr;
  void (*xielu)(const Rows& x, float alpha_p, float alpha_n, float beta, float eps, const Rows& out,
                int64_t begin, int64_t end) = nullptr;
  void (*add)(const Rows& a, const Rows& b, const Rows& out, int64_t begin, int64_t end) = nullptr;
  void (*mul)(const Rows& a, const Rows& b, const Rows& out, int64_t begin, int64_t end) = nullptr;
  void (*scale)(const Rows& x, float factor, const Rows& out, int64_t begin, int64_t end) = nullptr;
  void (*softcap)(const Rows& x, float cap, const Rows& out, int64_t begin, int64_t end) = nullptr;
  void (*clamp)(const Rows& x, float low, float high, const Rows& out, int64_t begin,
                int64_t end) = nullptr;
  void (*clamped_swiglu)(const Rows& gate, const Rows& up, float alpha, float limit,
                         const Rows& out, int64_t begin, int64_t end) = nullptr;
};

struct MoeKernels {
  // One row of ops/moe.h's RouteExperts. scores: 2 * experts floats to work with.
  void (*route)(const Routing& routing, const float* logits, int64_t experts,
                const float* correction, float* scores, int32_t* ids, float* weights) = nullptr;
  // The whole ops, split over the pool.
  StatusOr<ExpertMatrix> (*pack)(const OpContext& context, std::span<const Tensor> experts,
                                 DType compute) = nullptr;
  void (*run)(const OpContext& context, const ExpertsCall& call) = nullptr;
  // out[i] = sum over s in order of weights[s] * rows[s][i], by fma from 0.
  void (*combine)(const float* const* rows, const float* weights, int64_t slots, int64_t dim,
                  float* out) = nullptr;
};

struct HeadLinearKernels {
  // The whole op of ops/head_linear.h, split over the pool.
  void (*run)(const OpContext& context, const Tensor& x, const ExpertMatrix& matrix, int64_t first,
              const Tensor& out) = nullptr;
};

// Queries [0, rows) of one sequence against one kv head, whose `group` query heads are computed
// together. Query i stands at position + i; what it sees is a rule of its position alone
// (ops/attention.h).
struct AttentionTask {
  const float* q = nullptr;  // of the first query and the group's first head
  int64_t q_stride = 0;      // from query to query, in floats
  int64_t q_head_stride = 0;
  int32_t rows = 0;
  int32_t group = 1;
  int64_t position = 0;

  const void* keys = nullptr;    // this kv head of page 0
  const void* values = nullptr;  // strides in elements
  DType dtype = DType::kF32;
  int32_t page_size = 0;
  int32_t key_dim = 0;
  int32_t value_dim = 0;
  int64_t key_page_stride = 0;
  int64_t key_token_stride = 0;
  int64_t value_page_stride = 0;
  int64_t value_token_stride = 0;
  const PageId* pages = nullptr;

  float scale = 1.0f;
  float softcap = 0.0f;
  int32_t window = 0;
  int32_t sinks = 0;
  int32_t chunk = 0;
  const float* sink_logits = nullptr;   // of the group's heads, or null
  const float* alibi_slopes = nullptr;  // of the group's heads, or null

  // Null, or of each query the positions that it sees, ascending, and their number. Segments then
  // run over the places in this list; neither window, chunk nor slopes go with it.
  const int32_t* chosen = nullptr;
  int64_t chosen_stride = 0;
  const int32_t* chosen_counts = nullptr;

  float* out = nullptr;
  int64_t out_stride = 0;
  int64_t out_head_stride = 0;

  // The segments of key positions to reduce, [segment_begin, segment_end) * segment positions; all
  // that the queries see where `partials` is null. With `partials` only the state of each segment
  // is written, at partials + (segment - segment_begin) * partial_stride, for merge to fold.
  int64_t segment_begin = 0;
  int64_t segment_end = 0;
  float* partials = nullptr;
  int64_t partial_stride = 0;
  std::byte* workspace = nullptr;  // aligned to 64 bytes
};

struct AttentionKernels {
  // Positions per segment: segments are reduced on their own and folded in ascending order,
  // whoever computes them. 0: the kernel does not split.
  int32_t segment = 0;
  // Floats that one query and head's state takes in `partials`; a multiple of 16.
  int64_t (*state_size)(int64_t value_dim) = nullptr;
  std::size_t (*workspace_bytes)(int64_t queries, int64_t group, int64_t key_dim,
                                 int64_t value_dim) = nullptr;
  void (*run)(const AttentionTask& task) = nullptr;
  // Folds segments [segment_begin, segment_end) of `partials` and writes `out`. Looks at these,
  // rows, group, value_dim, strides of both and sink_logits alone.
  void (*merge)(const AttentionTask& task) = nullptr;
  // n floats to kF32, kBF16 or kF16, rounded to nearest even.
  void (*store)(const float* from, int64_t n, DType dtype, void* to) = nullptr;
};

// Queries [0, rows) of one sequence against the index keys at positions [key_begin, key_end): the
// scores of ops/sparse_index.h.
struct IndexTask {
  const float* q = nullptr;  // of the first query and head
  int64_t q_stride = 0;
  int64_t q_head_stride = 0;
  const float* weights = nullptr;  // of the first query
  int64_t weights_stride = 0;
  int64_t rows = 0;
  int64_t heads = 0;
  int64_t dim = 0;
  float scale = 1.0f;

  const void* keys = nullptr;  // of page 0, strides in elements
  DType dtype = DType::kF32;
  int32_t page_size = 0;
  int64_t page_stride = 0;
  int64_t token_stride = 0;
  const PageId* pages = nullptr;
  int64_t key_begin = 0;  // a multiple of 64
  int64_t key_end = 0;

  float* scores = nullptr;  // of the first query and key position 0
  int64_t scores_stride = 0;
  std::byte* workspace = nullptr;  // aligned to 64 bytes
};

struct IndexKernels {
  std::size_t (*workspace_bytes)(int64_t rows, int64_t heads, int64_t dim) = nullptr;
  void (*score)(const IndexTask& task) = nullptr;
};

struct SampleKernels {
  // Index of the largest of n, the lowest of equals; -1 where an element is NaN or +infinity, or
  // all are -infinity.
  int32_t (*argmax)(const float* logits, int64_t n) = nullptr;
  // One row as ops/sample.h says. workspace: SampleWorkspaceBytes(n).
  int32_t (*draw)(const float* logits, int64_t n, const SampleRow& row,
                  std::byte* workspace) = nullptr;
  void (*log_softmax)(float* logits, int64_t n, float temperature) = nullptr;
};
std::size_t SampleWorkspaceBytes(int64_t n);

// Rows of one sequence through a causal convolution along time, each channel by itself
// (ops/conv.h). Items are rows.
struct ConvTask {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* history = nullptr;  // [kernel - 1, channels]: the rows before x; null: zeros
  const float* weight = nullptr;   // [kernel, channels]
  const float* bias = nullptr;     // or null
  int64_t channels = 0;
  int64_t kernel = 0;
  bool silu = false;
  float* out = nullptr;
  int64_t out_stride = 0;
};

struct ConvKernels {
  void (*run)(const ConvTask& task, int64_t begin, int64_t end) = nullptr;
};

// All rows of one sequence through a selective scan (ops/scan.h). Items are channels.
struct ScanTask {
  int64_t rows = 0;
  const float* x = nullptr;
  const float* dt = nullptr;
  const float* b = nullptr;
  const float* c = nullptr;
  const float* z = nullptr;  // or null
  int64_t x_stride = 0, dt_stride = 0, b_stride = 0, c_stride = 0, z_stride = 0;
  const float* a = nullptr;     // [channels, state_dim]
  const float* skip = nullptr;  // [channels]
  int64_t state_dim = 0;
  float* state = nullptr;  // [channels, state_dim]
  float* out = nullptr;
  int64_t out_stride = 0;
};

struct ScanKernels {
  void (*run)(const ScanTask& task, int64_t begin, int64_t end) = nullptr;
};

// All rows of one sequence through one head of a linear recurrence (ops/recurrence.h). Items are
// columns of the state.
struct RecurrenceTask {
  int64_t rows = 0;
  int64_t key_dim = 0, value_dim = 0;
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  const float* decay = nullptr;
  const float* beta = nullptr;  // or null
  int64_t q_stride = 0, k_stride = 0, v_stride = 0, decay_stride = 0, beta_stride = 0;
  float skip = 0.0f;
  bool delta = false;
  float* state = nullptr;  // [key_dim, value_dim]
  float* out = nullptr;
  int64_t out_stride = 0;
};

struct RecurrenceKernels {
  void (*run)(const RecurrenceTask& task, int64_t begin, int64_t end) = nullptr;
  // dt = clamp(softplus(x + bias), low, high), decay = exp(a * dt). Items are rows of [n, heads].
  void (*decay)(const Rows& x, const float* bias, const float* a, float low, float high,
                const Rows& dt, const Rows& decay, int64_t begin, int64_t end) = nullptr;
};

struct OpTable {
  IsaLevel level = IsaLevel::kReference;
  LinearKernel linear[static_cast<int>(DType::kCount)];  // by the weight's dtype
  const kernels::LinearKernels* cpu_linear = nullptr;    // for the CPU's entries of `linear`
  NormKernels norm;
  RopeKernels rope;
  ElementwiseKernels elementwise;
  MoeKernels moe;
  HeadLinearKernels head_linear;
  AttentionKernels attention;
  IndexKernels index;
  SampleKernels sample;
  ConvKernels conv;
  ScanKernels scan;
  RecurrenceKernels recurrence;
};

// Every entry, from ops/reference.
void FillReference(OpTable& table);

// The families' parts of it, one per file of ops/reference.
void FillLinearReference(OpTable& table);
void FillNormReference(OpTable& table);
void FillRopeReference(OpTable& table);
void FillElementwiseReference(OpTable& table);
void FillMoeReference(OpTable& table);
void FillHeadLinearReference(OpTable& table);
void FillAttentionReference(OpTable& table);
void FillIndexReference(OpTable& table);
void FillSampleReference(OpTable& table);
void FillConvReference(OpTable& table);
void FillScanReference(OpTable& table);
void FillRecurrenceReference(OpTable& table);

}  // namespace banyan::ops
