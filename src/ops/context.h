// SPDX-License-Identifier: Apache-2.0
// OpContext: what every op needs beside its operands. One per executor; a forward pass resets
// `scratch` when it begins.
//
// Ops (the other headers of this folder) are typed entries: they check shapes (BANYAN_DCHECK: a
// wrong shape is a bug of ours), look up the kernel that the OpTable chose when the model was
// loaded, and call it with raw pointers and sizes. On the CPU activations are f32 between ops,
// whatever the compute type; ops/linear.h says what a product rounds to.
//
// Order of reduction: on the CPU every op computes each output row by an order that the row alone
// sets (never the batch, the chunk, the page size or the number of threads), so that an answer does
// not depend on who else is running.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/backend.h"
#include "ops/op_table.h"
#include "ops/weight_order.h"
#include "tensor/tensor.h"

namespace banyan {
class ThreadPool;
}

namespace banyan::ops {

// Bump allocator for the temporaries of one forward pass. Grows in blocks and keeps them; Reset
// makes one block of what a pass used. Not thread-safe.
class Scratch {
 public:
  explicit Scratch(Backend* backend) : backend_(backend) {}
  // Uninitialized, aligned to 64 bytes, valid until the next Reset, or Release of an earlier mark.
  // std::bad_alloc where a pass needs more than was reserved for it and there is no more: no op has
  // a use for a part of its memory, so who runs the pass (run/runner.h) makes it the step's Status.
  Tensor Get(DType dtype, Shape shape);
  std::byte* GetBytes(std::size_t bytes);
  void Reset();
  // Holds at least so much from now on, in one block. Between passes.
  Status Reserve(std::size_t bytes);
  std::size_t bytes() const { return bytes_; }  // held now
  std::size_t peak() const { return peak_; }    // the most that was in use since the last Reset

  // Temporaries of one op: everything got after Mark is free again after Release(mark).
  struct Position {
    std::size_t block = 0;
    std::size_t used = 0;
    std::size_t in_use = 0;  // of all blocks
  };
  Position Mark() const;
  void Release(Position mark);

 private:
  struct Block {
    Buffer memory;
    std::size_t used = 0;
  };
  bool AddBlock(std::size_t bytes);

  Backend* backend_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t bytes_ = 0;
  std::size_t in_use_ = 0, peak_ = 0;
};

// Gives back at the end of a scope what was got inside it.
class ScratchScope {
 public:
  explicit ScratchScope(Scratch* scratch) : scratch_(scratch), mark_(scratch->Mark()) {}
  ~ScratchScope() { scratch_->Release(mark_); }
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

 private:
  Scratch* scratch_;
  Scratch::Position mark_;
};

struct OpContext {
  Backend* backend = nullptr;
  const OpTable* table = nullptr;
  ThreadPool* pool = nullptr;  // the CPU's compute threads; the caller's thread takes part
  Scratch* scratch = nullptr;
  WeightOrder* order = nullptr;  // learns what the pool's workers may read ahead; or null
  // Where a model's pass is, for the watchdog (nn/model.h says what the numbers mean); or null.
  std::atomic<int32_t>* place = nullptr;
  // Ops take the scratch memory that they need, and compute nothing: for run/step_memory.h.
  bool measuring = false;
};

}  // namespace banyan::ops
