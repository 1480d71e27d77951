// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <algorithm>

namespace banyan {
namespace {

Shape ContiguousStrides(const Shape& shape) {
  Shape strides = shape;
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

}  // namespace

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  BANYAN_CHECK(rank_ <= kMaxRank, "a shape of rank {}", rank_);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::NumElements() const {
  int64_t count = 1;
  for (int64_t dim : dims()) count *= dim;
  return count;
}

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(dims(), other.dims());
}

std::string Shape::ToString() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", (*this)[i]);
  return text + "]";
}

Tensor::Tensor(void* data, DType dtype, Shape shape)
    : data_(data), dtype_(dtype), shape_(shape), strides_(ContiguousStrides(shape)) {}

bool Tensor::IsContiguous() const {
  int64_t stride = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != stride) return false;
    stride *= shape_[i];
  }
  return true;
}

Tensor Tensor::Slice(int axis, int64_t begin, int64_t end) const {
  BANYAN_DCHECK(begin >= 0 && begin <= end && end <= dim(axis), "slice [{}, {}) of {}", begin, end,
                shape_.ToString());
  Tensor slice = *this;
  slice.shape_[axis] = end - begin;
  slice.data_ = data<std::byte>() + Bytes(dtype_, begin * stride(axis));
  return slice;
}

Tensor Tensor::Row(int64_t i) const {
  Tensor slice = Slice(0, i, i + 1);
  slice.shape_ = Shape(shape_.dims().subspan(1));
  slice.strides_ = Shape(strides_.dims().subspan(1));
  return slice;
}

Tensor Tensor::Reshape(Shape shape) const {
  BANYAN_CHECK(IsContiguous() && shape.NumElements() == NumElements(), "reshape of {} to {}",
               shape_.ToString(), shape.ToString());
  return Tensor(data_, dtype_, shape);
}

}  // namespace banyan
