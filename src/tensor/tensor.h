// SPDX-License-Identifier: Apache-2.0
// Tensor: a typed, strided view that owns nothing. Copying one copies the view.
//
// Strides are in elements. Rows of quantized types are contiguous, and so a view of such a tensor
// may only be cut along its outer dimensions. Who owns the bytes (a Buffer, a mapped file) must
// outlive the view.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"

namespace banyan {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims)
      : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  // Negative indices count from the end, as in Python.
  int64_t operator[](int i) const { return dims_[Index(i)]; }
  int64_t& operator[](int i) { return dims_[Index(i)]; }
  int64_t NumElements() const;
  bool operator==(const Shape& other) const;
  std::string ToString() const;  // "[2, 3]"
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }

 private:
  std::size_t Index(int i) const {
    const int index = i < 0 ? i + rank_ : i;
    BANYAN_DCHECK(index >= 0 && index < rank_, "dimension {} of a tensor of rank {}", i, rank_);
    return static_cast<std::size_t>(index);
  }
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  // A contiguous view.
  Tensor(void* data, DType dtype, Shape shape);
  Tensor(void* data, DType dtype, Shape shape, Shape strides)
      : data_(data), dtype_(dtype), shape_(shape), strides_(strides) {}

  bool empty() const { return data_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t stride(int i) const { return strides_[i]; }
  int64_t NumElements() const { return shape_.NumElements(); }
  int64_t NumBytes() const {
    return Bytes(dtype_, NumElements());
  }  // of the elements, without gaps
  bool IsContiguous() const;

  void* raw() const { return data_; }
  template <typename T>
  T* data() const {
    return static_cast<T*>(data_);
  }

  // Items [begin, end) of dimension `axis`.
  Tensor Slice(int axis, int64_t begin, int64_t end) const;
  Tensor Row(int64_t i) const;        // the i-th item of dimension 0, of rank one less
  Tensor Reshape(Shape shape) const;  // contiguous tensors only

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
  Shape strides_;
};

}  // namespace banyan
