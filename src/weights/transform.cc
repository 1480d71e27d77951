// SPDX-License-Identifier: Apache-2.0
#include "weights/transform.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <optional>

#include "ops/linear.h"
#include "ops/reference/linear_blocks.h"

namespace banyan::weights {
namespace {

constexpr std::size_t kAlignment = 64;

StatusOr<Buffer> Allocate(int64_t bytes) {
  const std::size_t size =
      (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, std::max(size, kAlignment));
  if (data == nullptr) return ResourceExhausted("no memory for {} bytes", bytes);
  return Buffer(data, static_cast<std::size_t>(bytes), [](void* p, std::size_t) { std::free(p); });
}

bool IsAligned(const Tensor& tensor) {
  // A block's scales are f16.
  const int alignment = IsQuantized(tensor.dtype()) ? 2 : Info(tensor.dtype()).block_bytes;
  return reinterpret_cast<uintptr_t>(tensor.raw()) % static_cast<uintptr_t>(alignment) == 0;
}

bool SameShape(const Shape& a, const Shape& b) {
  auto next = [](const Shape& shape, int& i) -> std::optional<int64_t> {
    while (i < shape.rank() && shape[i] == 1) ++i;
    return i < shape.rank() ? std::optional(shape[i++]) : std::nullopt;
  };
  for (int i = 0, k = 0;;) {
    const auto x = next(a, i), y = next(b, k);
    if (x != y) return false;
    if (!x) return true;
  }
}

Shape Swapped(Shape shape) {
  if (shape.rank() >= 2) std::swap(shape[-1], shape[-2]);
  return shape;
}

// The shape that the file's tensor must have for the transform to give `shape`.
Shape SourceShape(const Transform& transform, Shape shape) {
  if (!transform.parts.empty() && transform.axis < shape.rank())
    shape[transform.axis] = transform.groups * std::accumulate(transform.parts.begin(),
                                                               transform.parts.end(), int64_t{0});
  return transform.transpose ? Swapped(shape) : shape;
}

StatusOr<Weight> Transpose(const Tensor& source) {
  if (IsQuantized(source.dtype()))
    return Unimplemented("is stored transposed, which {} has no form for", Name(source.dtype()));
  BANYAN_ASSIGN_OR_RETURN(Weight weight, MakeWeight(source.dtype(), Swapped(source.shape())));
  const auto size = static_cast<std::size_t>(Info(source.dtype()).block_bytes);
  const int64_t rows = source.dim(-2), cols = source.dim(-1);
  const int64_t matrices = rows * cols == 0 ? 0 : source.NumElements() / (rows * cols);
  const auto* from = source.data<std::byte>();
  auto* to = weight.tensor.data<std::byte>();
  auto copy = [&]<std::size_t kSize>(std::integral_constant<std::size_t, kSize>) {
    for (int64_t m = 0; m < matrices; ++m)
      for (int64_t c = 0; c < cols; ++c)
        for (int64_t r = 0; r < rows; ++r)
          std::memcpy(to + static_cast<std::size_t>((m * cols + c) * rows + r) * kSize,
                      from + static_cast<std::size_t>((m * rows + r) * cols + c) * kSize, kSize);
  };
  switch (size) {
    case 1:
      copy(std::integral_constant<std::size_t, 1>());
      break;
    case 2:
      copy(std::integral_constant<std::size_t, 2>());
      break;
    case 4:
      copy(std::integral_constant<std::size_t, 4>());
      break;
    default:
      copy(std::integral_constant<std::size_t, 8>());
  }
  return weight;
}

StatusOr<Weight> TakePart(const Tensor& source, const Transform& transform, const Shape& shape) {
  const int axis = transform.axis;
  const auto part = static_cast<std::size_t>(transform.part);
  const int64_t before = std::accumulate(transform.parts.begin(),
                                         transform.parts.begin() + transform.part, int64_t{0});
  if (axis == 0 && transform.groups == 1)
    return Weight{source.Slice(0, before, before + transform.parts[part]), {}};
  if (IsQuantized(source.dtype()) && axis == source.rank() - 1)
    return Unimplemented("is to be cut within its rows, which {} has no form for",
                         Name(source.dtype()));
  BANYAN_ASSIGN_OR_RETURN(Weight weight, MakeWeight(source.dtype(), shape));
  const int64_t group = std::accumulate(transform.parts.begin(), transform.parts.end(), int64_t{0});
  if (source.NumElements() == 0) return weight;
  const int64_t inner = source.stride(axis),
                outer = source.NumElements() / (inner * source.dim(axis));
  const auto bytes = [&](int64_t items) { return Bytes(source.dtype(), items * inner); };
  const auto* from = source.data<std::byte>();
  auto* to = weight.tensor.data<std::byte>();
  const auto size = static_cast<std::size_t>(bytes(transform.parts[part]));
  for (int64_t i = 0; i < outer * transform.groups; ++i, to += size)
    std::memcpy(to, from + bytes(i * group + before), size);
  return weight;
}

StatusOr<Weight> Copy(const Tensor& source) {
  BANYAN_ASSIGN_OR_RETURN(Weight weight, MakeWeight(source.dtype(), source.shape()));
  std::memcpy(weight.tensor.raw(), source.raw(), static_cast<std::size_t>(source.NumBytes()));
  return weight;
}

StatusOr<Weight> ToF32(const Tensor& source, const Transform& transform) {
  BANYAN_ASSIGN_OR_RETURN(Weight weight, MakeWeight(DType::kF32, source.shape()));
  ops::Dequantize(source, weight.tensor);
  float* values = weight.tensor.data<float>();
  for (int64_t i = 0; i < source.NumElements(); ++i) {
    if (!std::isfinite(values[i])) return DataLoss("has {} as element {}", values[i], i);
    if (transform.minus_exp) values[i] = -std::exp(values[i]);
    values[i] += transform.add;
  }
  return weight;
}

}  // namespace

StatusOr<Weight> MakeWeight(DType dtype, const Shape& shape) {
  BANYAN_ASSIGN_OR_RETURN(Buffer buffer, Allocate(Bytes(dtype, shape.NumElements())));
  return Weight{Tensor(buffer.data(), dtype, shape), std::move(buffer)};
}

StatusOr<Weight> ApplyTransform(const Tensor& source, const Transform& transform,
                                const Shape& shape, bool as_f32) {
  const Shape expected = SourceShape(transform, shape);
  if (!SameShape(source.shape(), expected))
    return InvalidArgument("has shape {}, expected {}", source.shape().ToString(),
                           expected.ToString());
  if (!IsFloat(source.dtype()) && !IsQuantized(source.dtype()))
    return Unimplemented("has the type {}, which is no weight's", Name(source.dtype()));

  Weight weight{Tensor(source.raw(), source.dtype(), expected), {}};
  // Replaces `weight` by what `step` makes of it, and keeps the memory of a view alive.
  auto apply = [&](StatusOr<Weight> next) -> Status {
    if (!next.ok()) return next.status();
    weight.tensor = next->tensor;
    if (!next->owned.empty()) weight.owned = std::move(next->owned);
    return OkStatus();
  };
  const bool transposed = transform.transpose && shape.rank() >= 2;
  if (!transform.parts.empty()) {
    // Cut first, so that no more than the part is copied and kept.
    Transform cut = transform;
    if (transposed && cut.axis >= shape.rank() - 2) cut.axis = 2 * shape.rank() - 3 - cut.axis;
    BANYAN_RETURN_IF_ERROR(
        apply(TakePart(weight.tensor, cut, transposed ? Swapped(shape) : shape)));
  }
  if (transposed) BANYAN_RETURN_IF_ERROR(apply(Transpose(weight.tensor)));
  if (!IsAligned(weight.tensor)) BANYAN_RETURN_IF_ERROR(apply(Copy(weight.tensor)));
  BANYAN_RETURN_IF_ERROR(CheckScales(weight.tensor));
  if (as_f32 || transform.minus_exp || transform.add != 0.0f)
    BANYAN_RETURN_IF_ERROR(apply(ToF32(weight.tensor, transform)));
  return weight;
}

Status CheckScales(const Tensor& tensor) {
  if (!IsQuantized(tensor.dtype())) return OkStatus();
  const int64_t blocks = tensor.NumBytes() / Info(tensor.dtype()).block_bytes;
  const int64_t bad = ops::FirstNotFinite(tensor.dtype(), tensor.raw(), blocks);
  if (bad >= 0)
    return DataLoss("block {} of {} has a scale that is infinite or not a number", bad, blocks);
  return OkStatus();
}

}  // namespace banyan::weights
