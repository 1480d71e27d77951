// SPDX-License-Identifier: Apache-2.0
#include "ops/context.h"

#include <algorithm>
#include <new>

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
  // More than asked, where that can be had, so that few blocks are enough.
  if (current_ == blocks_.size() && !AddBlock(std::max({bytes, kMinBlock, bytes_})) &&
      !AddBlock(bytes))
    throw std::bad_alloc();
  Block& block = blocks_[current_];
  std::byte* data = block.memory.data() + block.used;
  block.used += bytes;
  in_use_ += bytes;
  peak_ = std::max(peak_, in_use_);
  return data;
}

bool Scratch::AddBlock(std::size_t bytes) {
  StatusOr<Buffer> memory = backend_->Allocate(bytes, "temporaries of a step", kAlignment);
  if (!memory.ok()) return false;
  blocks_.push_back({*std::move(memory), 0});
  bytes_ += bytes;
  return true;
}

Status Scratch::Reserve(std::size_t bytes) {
  Release({});
  if (blocks_.size() == 1 && bytes_ >= bytes) return OkStatus();
  blocks_.clear();
  bytes_ = 0;
  if (bytes == 0 || AddBlock(bytes)) return OkStatus();
  return ResourceExhausted("no memory for the temporaries of a step ({} bytes)", bytes);
}

Tensor Scratch::Get(DType dtype, Shape shape) {
  const int64_t elements = shape.NumElements();
  return Tensor(GetBytes(static_cast<std::size_t>(Bytes(dtype, elements))), dtype, shape);
}

Scratch::Position Scratch::Mark() const {
  return {current_, current_ < blocks_.size() ? blocks_[current_].used : 0, in_use_};
}

void Scratch::Release(Position mark) {
  for (std::size_t i = mark.block; i < blocks_.size(); ++i)
    blocks_[i].used = i == mark.block ? mark.used : 0;
  current_ = mark.block;
  in_use_ = mark.in_use;
}

void Scratch::Reset() {
  if (blocks_.size() > 1) {  // one block as large as all of them serves the next pass whole
    const std::size_t size = bytes_;
    blocks_.clear();
    bytes_ = 0;
    AddBlock(size);
  }
  Release({});
  peak_ = 0;
}

}  // namespace banyan::ops
