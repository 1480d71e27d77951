// SPDX-License-Identifier: Apache-2.0
#include "nn/scope.h"

#include <algorithm>
#include <span>

#include "ops/linear.h"

namespace banyan::nn {
namespace {

// Two parts that follow each other in memory are one: q, k, v of a checkpoint that stores them
// fused.
bool Adjacent(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dim(1) == b.dim(1) &&
         static_cast<std::byte*>(a.raw()) + a.NumBytes() == b.raw();
}

}  // namespace

void Linear::Forward(const ops::OpContext& context, const Tensor& x, const Tensor& out) const {
  for (const Piece& piece : pieces_) {
    const int64_t end = piece.begin + piece.weight.rows;
    const Tensor bias = bias_.tensor.empty() ? Tensor() : bias_.tensor.Slice(0, piece.begin, end);
    ops::Linear(context, x, piece.weight, bias, out.Slice(1, piece.begin, end));
  }
}

template <typename T>
bool Scope::Keep(const StatusOr<T>& result) {
  if (!result.ok() && status_.ok()) status_ = result.status();
  return result.ok();
}

// Packs runs of parts of one type.
void Scope::Pack(Linear& linear, std::vector<Tensor> parts, bool counted) {
  for (std::size_t begin = 0, end = 0; begin < parts.size() && status_.ok(); begin = end) {
    for (end = begin + 1; end < parts.size() && parts[end].dtype() == parts[begin].dtype();) ++end;
    std::vector<Tensor> run;
    for (std::size_t i = begin; i < end; ++i) {
      if (!run.empty() && Adjacent(run.back(), parts[i])) {
        Tensor& last = run.back();
        last = Tensor(last.raw(), last.dtype(), {last.dim(0) + parts[i].dim(0), last.dim(1)});
      } else {
        run.push_back(parts[i]);
      }
    }
    auto packed = ops::PackLinear(context_, run, compute_);
    if (!Keep(packed)) return;
    for (const Tensor& part : run) {
      if (packed->owned.empty()) {
        if (counted) weight_bytes_ += part.NumBytes();
      } else {
        checkpoint_.Release(part);
      }
    }
    for (const Buffer& buffer : packed->owned) weight_bytes_ += static_cast<int64_t>(buffer.size());
    const int64_t rows = packed->rows;
    linear.pieces_.push_back({*std::move(packed), linear.rows_});
    linear.rows_ += rows;
  }
}

Linear Scope::AddLinear(std::initializer_list<LinearPart> parts, int64_t cols, Axis, bool bias) {
  Linear linear;
  std::vector<Tensor> tensors;
  std::vector<Buffer> copies;
  int64_t rows = 0;
  for (const LinearPart& part : parts) {
    if (!status_.ok()) return linear;
    auto weight = loader_.Take(part.name + ".weight", {part.rows, cols});
    if (!Keep(weight)) return linear;
    tensors.push_back(weight->tensor);
    if (!weight->owned.empty()) copies.push_back(std::move(weight->owned));
    num_parameters_ += part.rows * cols;
    rows += part.rows;
  }
  Pack(linear, std::move(tensors), true);
  // Copies that no piece reads in place are not needed any more.
  const bool in_place = std::any_of(linear.pieces_.begin(), linear.pieces_.end(),
                                    [](const auto& piece) { return piece.weight.owned.empty(); });
  if (in_place) linear.owned_ = std::move(copies);
  if (!bias || !status_.ok()) return linear;

  auto memory =
      context_.backend->Allocate(static_cast<std::size_t>(rows) * sizeof(float), "biases");
  if (!Keep(memory)) return linear;
  linear.bias_ = {Tensor(memory->data(), DType::kF32, {rows}), *std::move(memory)};
  float* to = linear.bias_.tensor.data<float>();
  for (const LinearPart& part : parts) {
    auto values = loader_.TakeF32(part.name + ".bias", {part.rows});
    if (!Keep(values)) return linear;
    to = std::copy_n(values->tensor.data<float>(), part.rows, to);
  }
  num_parameters_ += rows;
  weight_bytes_ += linear.bias_.tensor.NumBytes();
  return linear;
}

Vector Scope::AddVector(std::string_view name, Shape shape, Axis) {
  if (!status_.ok()) return {};
  auto values = loader_.TakeF32(name, shape);
  if (!Keep(values)) return {};
  num_parameters_ += shape.NumElements();
  weight_bytes_ += values->tensor.NumBytes();
  return {values->tensor, std::move(values->owned)};
}

Vector Scope::AddVectors(std::string_view name, std::string_view part, Shape shape, Axis axis) {
  if (!status_.ok()) return {};
  const auto bytes = static_cast<std::size_t>(Bytes(DType::kF32, shape.NumElements()));
  auto memory = context_.backend->Allocate(bytes, name);
  if (!Keep(memory)) return {};
  Vector stacked{Tensor(memory->data(), DType::kF32, shape), *std::move(memory)};
  for (int64_t i = 0; i < shape[0]; ++i) {
    const Vector item = AddVector(fmt::format("{}.{}{}", name, i, part), {shape[1]}, axis);
    if (!status_.ok()) return {};
    std::copy_n(item.tensor.data<float>(), shape[1], stacked.tensor.data<float>() + i * shape[1]);
  }
  return stacked;
}

Table Scope::AddTable(std::string_view name, int64_t rows, int64_t cols, Axis) {
  if (!status_.ok()) return {};
  auto values = loader_.Take(name, {rows, cols});
  if (!Keep(values)) return {};
  num_parameters_ += rows * cols;
  weight_bytes_ += values->tensor.NumBytes();
  return {values->tensor, std::move(values->owned)};
}

Linear Scope::AddLinear(const Table& table, std::string_view bias) {
  Linear linear;
  if (status_.ok()) Pack(linear, {table.tensor}, false);
  if (!bias.empty()) linear.bias_ = AddVector(bias, {linear.rows_}, Axis::kVocab);
  return linear;
}

int Scope::AddKv(int layer, int kv_heads, int head_dim) {
  if (cache_groups_.empty())
    cache_groups_.push_back({.type = CacheKindType::kFull, .name = "full"});
  for (SegmentRole role : {SegmentRole::kKey, SegmentRole::kValue})
    cache_groups_[0].segments.push_back(
        {.layer = layer, .role = role, .heads = kv_heads, .dim = head_dim, .dtype = cache_});
  return 0;
}

}  // namespace banyan::nn
