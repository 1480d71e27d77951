// SPDX-License-Identifier: Apache-2.0
// Walking the sequences of a step and their states: for the entries of this layer.
#pragma once

#include <algorithm>
#include <vector>

#include "ops/state.h"
#include "tensor/tensor.h"

namespace banyan::ops {

// One slot of a pool [slots, ...].
inline float* StateAt(const Tensor& state, PageId slot) {
  return state.data<float>() + slot * state.stride(0);
}

inline void CheckStates([[maybe_unused]] std::span<const StateSequence> sequences,
                        [[maybe_unused]] int64_t rows, [[maybe_unused]] const Tensor& state,
                        [[maybe_unused]] int64_t size) {
  BANYAN_DCHECK(state.dtype() == DType::kF32 && state.NumElements() == state.dim(0) * size &&
                    state.Row(0).IsContiguous(),
                "a pool of states {} {}, of size {}", Name(state.dtype()), state.shape().ToString(),
                size);
  for ([[maybe_unused]] const StateSequence& s : sequences) {
    BANYAN_DCHECK(s.begin >= 0 && s.count >= 0 && s.begin + s.count <= rows && s.slot >= 0 &&
                      s.slot < state.dim(0),
                  "rows {} + {} of {}, slot {} of {}", s.begin, s.count, rows, s.slot,
                  state.dim(0));
    for ([[maybe_unused]] const StateSnapshot& snapshot : s.snapshots)
      BANYAN_DCHECK(snapshot.after > 0 && snapshot.after <= s.count && snapshot.slot >= 0 &&
                        snapshot.slot < state.dim(0) && snapshot.slot != s.slot,
                    "a snapshot after {} of {} rows in slot {}", snapshot.after, s.count,
                    snapshot.slot);
  }
}

// The rows of all sequences, numbered one sequence after another.
class RowOwners {
 public:
  explicit RowOwners(std::span<const StateSequence> sequences) : sequences_(sequences) {
    ends_.reserve(sequences.size());
    for (const StateSequence& s : sequences) ends_.push_back(rows_ += s.count);
  }
  int64_t rows() const { return rows_; }
  // fn(sequence, first, last) for each sequence's part of [begin, end), as rows of its own.
  template <typename Fn>
  void ForEach(int64_t begin, int64_t end, Fn&& fn) const {
    auto i = std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin();
    for (; begin < end; ++i) {
      const StateSequence& s = sequences_[static_cast<std::size_t>(i)];
      const int64_t first = ends_[static_cast<std::size_t>(i)] - s.count;
      const int64_t stop = std::min(end, first + s.count);
      if (stop > begin) fn(s, begin - first, stop - first);
      begin = std::max(begin, stop);
    }
  }

 private:
  std::span<const StateSequence> sequences_;
  std::vector<int64_t> ends_;
  int64_t rows_ = 0;
};

// run(first, last) over a sequence's rows in order, save(slot) where a snapshot is due.
template <typename Run, typename Save>
void RunAndSave(const StateSequence& sequence, Run&& run, Save&& save) {
  int64_t done = 0;
  for (const StateSnapshot& snapshot : sequence.snapshots) {
    run(done, int64_t{snapshot.after});
    save(snapshot.slot);
    done = snapshot.after;
  }
  run(done, int64_t{sequence.count});
}

}  // namespace banyan::ops
