// SPDX-License-Identifier: Apache-2.0
#include "ops/context.h"

#include <algorithm>

namespace banyan::ops {
namespace {
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kMinBlock = std::size_t{1} << 20;
}  // namespace

std::byte* Scratch::GetBytes(std::size_t bytes) {
  bytes = std::max<std::size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  while (current_ < blocks_.size() &&
         blocks_[current_].used + bytes > blocks_[current_].memory.size())
    ++current_;
  if (current_ == blocks_.size()) {
    const std::size_t size = std::max({bytes, kMinBlock, bytes_});
    StatusOr<Buffer> memory = backend_->Allocate(size, "temporaries of a step", kAlignment);
    // What a step may need is bounded by the plan and was set aside when the engine was sized.
    BANYAN_CHECK(memory.ok(), "{}", Message(memory.status()));
    blocks_.push_back({*std::move(memory), 0});
    bytes_ += size;
  }
  Block& block = blocks_[current_];
  std::byte* data = block.memory.data() + block.used;
  block.used += bytes;
  return data;
}

Tensor Scratch::Get(DType dtype, Shape shape) {
  const int64_t elements = shape.NumElements();
  return Tensor(GetBytes(static_cast<std::size_t>(Bytes(dtype, elements))), dtype, shape);
}

Scratch::Position Scratch::Mark() const {
  return {current_, current_ < blocks_.size() ? blocks_[current_].used : 0};
}

void Scratch::Release(Position mark) {
  for (std::size_t i = mark.block; i < blocks_.size(); ++i)
    blocks_[i].used = i == mark.block ? mark.used : 0;
  current_ = mark.block;
}

void Scratch::Reset() {
  if (blocks_.size() > 1) {  // one block as large as all of them serves the next pass whole
    const std::size_t size = bytes_;
    blocks_.clear();
    bytes_ = 0;
    StatusOr<Buffer> memory = backend_->Allocate(size, "temporaries of a step", kAlignment);
    if (memory.ok()) {
      blocks_.push_back({*std::move(memory), 0});
      bytes_ = size;
    }
  }
  Release({0, 0});
}

}  // namespace banyan::ops
