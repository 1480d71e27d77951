// SPDX-License-Identifier: Apache-2.0
// The matrices of latent attention's heads, from either of the forms in which checkpoints have
// them.
#include "nn/scope.h"
#include "ops/linear.h"
#include "ops/parallel.h"

namespace banyan::nn {
namespace {

template <typename T>
void Transpose(const T* from, int64_t rows, int64_t cols, T* to) {
  constexpr int64_t kTile = 32;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < cols; j0 += kTile)
      for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i)
        for (int64_t j = j0; j < std::min(cols, j0 + kTile); ++j)
          to[j * rows + i] = from[i * cols + j];
}

// Matrices [rows, cols], turned: [count, cols, rows]. Quantized rows, which cannot be turned,
// become f32.
StatusOr<weights::Weight> Turn(const ops::OpContext& context, std::span<const Tensor> matrices) {
  const int64_t rows = matrices[0].dim(0), cols = matrices[0].dim(1);
  const bool quantized = IsQuantized(matrices[0].dtype());
  const DType dtype = quantized ? DType::kF32 : matrices[0].dtype();
  if (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kF16)
    return Unimplemented("latent attention with {} weights", Name(dtype));
  const Shape shape{static_cast<int64_t>(matrices.size()), cols, rows};
  const auto bytes = static_cast<std::size_t>(Bytes(dtype, shape.NumElements()));
  BANYAN_ASSIGN_OR_RETURN(Buffer memory, context.backend->Allocate(bytes, "heads of a latent"));
  const Tensor turned(memory.data(), dtype, shape);
  std::vector<float> plain(quantized ? static_cast<std::size_t>(rows * cols) : 0);
  for (int64_t h = 0; h < shape[0]; ++h) {
    const Tensor &from = matrices[static_cast<std::size_t>(h)], to = turned.Row(h);
    if (quantized) {
      ops::Dequantize(from, Tensor(plain.data(), DType::kF32, {rows, cols}));
      Transpose(plain.data(), rows, cols, to.data<float>());
    } else if (dtype == DType::kF32) {
      Transpose(from.data<float>(), rows, cols, to.data<float>());
    } else {
      Transpose(from.data<uint16_t>(), rows, cols, to.data<uint16_t>());
    }
  }
  return weights::Weight{turned, std::move(memory)};
}

std::vector<Tensor> Heads(const Tensor& stacked) {
  std::vector<Tensor> heads;
  for (int64_t h = 0; h < stacked.dim(0); ++h) heads.push_back(stacked.Row(h));
  return heads;
}

}  // namespace

LatentHeads Scope::AddLatentHeads(const std::string& name, const LatentShape& shape, bool expand) {
  LatentHeads out;
  if (!status_.ok()) return out;
  // Packs matrices that lie in `memory`, or, without, in the file.
  const auto pack = [&](std::vector<Tensor> matrices, Buffer memory, ExpertLinear& linear) {
    if (!status_.ok()) return;
    auto packed = ops::PackExperts(context_, matrices, compute_);
    if (!Keep(packed)) return;
    linear.matrix = *std::move(packed);
    for (const Tensor& matrix : matrices) weight_bytes_ += matrix.NumBytes();
    if (!memory.empty()) linear.owned.push_back(std::move(memory));
  };
  const auto pack_turned = [&](std::span<const Tensor> matrices, ExpertLinear& linear) {
    auto turned = Turn(context_, matrices);
    if (Keep(turned)) pack(Heads(turned->tensor), std::move(turned->owned), linear);
  };
  if (Has(name + ".k_b.0.weight")) {
    std::vector<std::string> keys, values;
    for (int h = 0; h < shape.heads; ++h) {
      keys.push_back(fmt::format("{}.k_b.{}", name, h));
      values.push_back(fmt::format("{}.v_b.{}", name, h));
    }
    if (expand) {
      std::vector<weights::Weight> parts;
      std::vector<Tensor> matrices;
      for (const std::string& key : keys) {
        auto part = loader_.Take(key + ".weight", {shape.rank, shape.key_dim});
        if (!Keep(part)) return out;
        matrices.push_back(part->tensor);
        parts.push_back(*std::move(part));
      }
      pack_turned(matrices, out.expand);
    }
    if (status_.ok()) out.keys = AddExperts(keys, shape.rank, shape.key_dim, false);
    if (status_.ok()) out.values = AddExperts(values, shape.value_dim, shape.rank, false);
    return out;
  }
  const int64_t rows = shape.key_dim + shape.value_dim;
  auto kv_b = loader_.Take(name + ".kv_b.weight", {shape.heads * rows, shape.rank});
  if (!Keep(kv_b)) return out;
  num_parameters_ += shape.heads * rows * shape.rank;
  std::vector<Tensor> keys, values;
  for (const Tensor& head : Heads(kv_b->tensor.Reshape({shape.heads, rows, shape.rank}))) {
    keys.push_back(head.Slice(0, 0, shape.key_dim));
    values.push_back(head.Slice(0, shape.key_dim, rows));
  }
  pack_turned(keys, out.keys);
  if (expand) pack(std::move(keys), {}, out.expand);
  pack(std::move(values), std::move(kv_b->owned), out.values);
  return out;
}

}  // namespace banyan::nn
