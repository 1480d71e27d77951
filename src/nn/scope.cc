// SPDX-License-Identifier: Apache-2.0
#include "nn/scope.h"

#include <algorithm>
#include <span>
#include <utility>

#include "ops/elementwise.h"
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

void Linear::ForwardRounded(const ops::OpContext& context, const Tensor& x,
                            const Tensor& out) const {
  const ops::ScratchScope scope(context.scratch);
  const Tensor whole = context.scratch->Get(DType::kF32, x.shape());
  std::vector<float> steps(static_cast<std::size_t>(x.dim(0))), factors(steps.size());
  ops::RoundRows(context, x, whole, steps);
  for (const Piece& piece : pieces_)
    ops::Linear(context, whole, piece.weight, Tensor(),
                out.Slice(1, piece.begin, piece.begin + piece.weight.rows));
  for (const Rounded& part : rounded_) {
    for (std::size_t i = 0; i < steps.size(); ++i) factors[i] = steps[i] * part.factor;
    const Tensor mine = out.Slice(1, part.begin, part.end);
    ops::ScaleRows(context, mine, factors, mine);
  }
  if (!bias_.tensor.empty())
    ops::Add(context, out, Tensor(bias_.tensor.raw(), DType::kF32, out.shape(), {0, 1}), out);
}

void Linear::Forward(const ops::OpContext& context, const Tensor& x, const Tensor& out) const {
  if (!rounded_.empty()) return ForwardRounded(context, x, out);
  for (const Piece& piece : pieces_) {
    const int64_t end = piece.begin + piece.weight.rows;
    const Tensor bias = bias_.tensor.empty() ? Tensor() : bias_.tensor.Slice(0, piece.begin, end);
    ops::Linear(context, x, piece.weight, bias, out.Slice(1, piece.begin, end));
  }
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
      } else {  // a table too: the rows that are looked up come back from the file one by one
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
  std::vector<std::optional<weights::RoundedProduct>> rounded;
  int64_t rows = 0;
  for (const LinearPart& part : parts) {
    if (!status_.ok()) return linear;
    auto weight = loader_.TakeMatrix(part.name + ".weight", {part.rows, cols});
    if (!Keep(weight)) return linear;
    tensors.push_back(weight->tensor);
    if (!weight->owned.empty()) copies.push_back(std::move(weight->owned));
    num_parameters_ += part.rows * cols;
    rounded.push_back(weight->rounded);
    if (weight->rounded)
      linear.rounded_.push_back({rows, rows + part.rows, weight->rounded->factor});
    rows += part.rows;
  }
  if (!linear.rounded_.empty() && linear.rounded_.size() != parts.size()) {
    status_ =
        Unimplemented("some of the matrices beside {} are for rounded products, and some are not",
                      parts.begin()->name);
    return linear;
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
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const LinearPart& part = parts.begin()[i];
    auto values = loader_.TakeF32(part.name + ".bias", {part.rows});
    if (!Keep(values)) return linear;
    const float factor = rounded[i] ? rounded[i]->bias_factor : 1.0f;
    const float* from = values->tensor.data<float>();
    to = std::transform(from, from + part.rows, to, [&](float x) { return x * factor; });
  }
  num_parameters_ += rows;
  weight_bytes_ += linear.bias_.tensor.NumBytes();
  return linear;
}

Linear Scope::AddRouter(const LinearPart& part, int64_t cols, bool bias) {
  const DType compute = std::exchange(compute_, DType::kF32);
  Linear linear = AddLinear({part}, cols, Axis::kHidden, bias);
  compute_ = compute;
  return linear;
}

ExpertLinear Scope::AddExperts(std::span<const std::string> names, int64_t rows, int64_t cols,
                               bool bias) {
  ExpertLinear linear;
  std::vector<Tensor> tensors;
  for (const std::string& name : names) {
    if (!status_.ok()) return linear;
    auto weight = loader_.Take(name + ".weight", {rows, cols});
    if (!Keep(weight)) return linear;
    tensors.push_back(weight->tensor);
    if (!weight->owned.empty()) linear.owned.push_back(std::move(weight->owned));
  }
  auto packed = ops::PackExperts(context_, tensors, compute_);
  if (!Keep(packed)) {
    status_ = Annotate(status_, fmt::format("{} to {}", names.front(), names.back()));
    return linear;
  }
  linear.matrix = *std::move(packed);
  const int64_t bytes_before = weight_bytes_;
  const auto count = static_cast<int64_t>(names.size());
  num_parameters_ += count * rows * cols;
  const bool in_place = linear.matrix.owned.empty() && linear.matrix.experts[0].owned.empty();
  for (const Tensor& tensor : tensors) {
    if (in_place) {
      weight_bytes_ += tensor.NumBytes();
    } else {
      checkpoint_.Release(tensor);
    }
  }
  for (const Buffer& buffer : linear.matrix.owned)
    weight_bytes_ += static_cast<int64_t>(buffer.size());
  if (!in_place) linear.owned.clear();
  if (names.size() > 1) {
    expert_bytes_ += weight_bytes_ - bytes_before;
    expert_parameters_ += count * rows * cols;
  }
  if (!bias) return linear;
  auto memory = context_.backend->Allocate(static_cast<std::size_t>(count * rows) * sizeof(float),
                                           "experts' biases");
  if (!Keep(memory)) return linear;
  linear.bias = {Tensor(memory->data(), DType::kF32, {count, rows}), *std::move(memory)};
  float* to = linear.bias.tensor.data<float>();
  for (const std::string& name : names) {
    const Vector one = AddVector(name + ".bias", {rows}, Axis::kNone);
    if (!status_.ok()) return linear;
    to = std::copy_n(one.tensor.data<float>(), rows, to);
  }
  linear.matrix.bias = linear.bias.tensor;
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
  table_parameters_ += rows * cols;
  weight_bytes_ += values->tensor.NumBytes();
  looked_up_bytes_ += values->tensor.NumBytes();
  return {values->tensor, std::move(values->owned)};
}

Linear Scope::AddLinear(const Table& table, std::string_view bias) {
  Linear linear;
  if (status_.ok()) Pack(linear, {table.tensor}, false);
  for (const auto& piece : linear.pieces_) {
    looked_up_bytes_ -= table.tensor.NumBytes();
    // With a packed form of its own, little of the table is held.
    if (!piece.weight.owned.empty() && table.owned.empty())
      weight_bytes_ -= table.tensor.NumBytes();
  }
  if (!bias.empty()) linear.bias_ = AddVector(bias, {linear.rows_}, Axis::kVocab);
  return linear;
}

// The number of the group with this type and window; made when there is none.
int Scope::Group(const CacheGroupSpec& like) {
  const auto found = std::find_if(
      cache_groups_.begin(), cache_groups_.end(),
      [&](const CacheGroupSpec& g) { return g.type == like.type && g.window == like.window; });
  if (found != cache_groups_.end()) return static_cast<int>(found - cache_groups_.begin());
  cache_groups_.push_back(like);
  return static_cast<int>(cache_groups_.size()) - 1;
}

int Scope::AddKv(int layer, int kv_heads, int key_dim, int value_dim, Sight sight) {
  CacheGroupSpec like{.type = CacheKindType::kFull, .name = "full"};
  if (sight.window > 0)
    like = {.type = CacheKindType::kWindow,
            .window = sight.window,
            .name = fmt::format("window {}", sight.window)};
  if (sight.chunk > 0)
    like = {.type = CacheKindType::kChunkedLocal,
            .window = sight.chunk,
            .name = fmt::format("chunk {}", sight.chunk)};
  const int group = Group(like);
  for (const auto& [role, dim] :
       {std::pair(SegmentRole::kKey, key_dim), std::pair(SegmentRole::kValue, value_dim)})
    cache_groups_[group].segments.push_back(
        {.layer = layer, .role = role, .heads = kv_heads, .dim = dim, .dtype = cache_});
  return group;
}

int Scope::AddLatent(int layer, int dim, int index_dim) {
  const int group = Group({.type = CacheKindType::kLatent, .name = "latent"});
  auto& segments = cache_groups_[group].segments;
  segments.push_back(
      {.layer = layer, .role = SegmentRole::kLatent, .heads = 1, .dim = dim, .dtype = cache_});
  if (index_dim > 0)
    segments.push_back({.layer = layer,
                        .role = SegmentRole::kIndex,
                        .heads = 1,
                        .dim = index_dim,
                        .dtype = cache_});
  return group;
}

int Scope::AddState(int layer, StateSize conv, StateSize state) {
  const int group = Group({.type = CacheKindType::kState, .name = "state"});
  for (const auto& [role, size] :
       {std::pair(SegmentRole::kConv, conv), std::pair(SegmentRole::kState, state)}) {
    if (size.heads > 0)
      cache_groups_[group].segments.push_back(
          {.layer = layer, .role = role, .heads = size.heads, .dim = size.dim});
  }
  return group;
}

}  // namespace banyan::nn
