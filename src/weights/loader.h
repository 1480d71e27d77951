// SPDX-License-Identifier: Apache-2.0
// Loader: hands out a checkpoint's tensors under a family's logical names, once each, and in the
// end refuses a checkpoint of which anything was left over.
//
//   Loader loader(checkpoint, table, progress);
//   if (tied) loader.Tie("embed.weight", "lm_head.weight");
//   BANYAN_ASSIGN_OR_RETURN(Weight q, loader.Take("layers.0.attn.q.weight", {rows, cols}));
//   ...
//   BANYAN_RETURN_IF_ERROR(loader.Finish());
//
// Errors name the checkpoint's tensor: missing (kInvalidArgument), of another shape (both shapes;
// dimensions of size 1 do not count), of a type that a transform cannot handle (kUnimplemented),
// with a quantization scale or an f32 value that is infinite or not a number (kDataLoss), left over
// or taken in part (kInvalidArgument). Not thread-safe. Borrows the checkpoint and the table, which
// must outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"
#include "weights/checkpoint.h"
#include "weights/tensor_table.h"
#include "weights/ternary.h"

namespace banyan::weights {

// Of a matrix whose products are of x rounded per row to 8 bits (ops::RoundRows): what they and a
// bias are multiplied by.
struct RoundedProduct {
  float factor = 1.0f, bias_factor = 1.0f;
};

// A contiguous tensor aligned for its type, over the mapped file (`owned` is empty) or over `owned`
// where a transform, a conversion or a misaligned file made a copy necessary. Who keeps `tensor`
// keeps `owned`.
struct Weight {
  Tensor tensor;
  Buffer owned;
  std::optional<RoundedProduct> rounded;  // of TakeMatrix alone
};

class Loader {
 public:
  using Progress = std::function<void(int64_t done, int64_t total)>;  // bytes of checkpoint tensors

  Loader(const Checkpoint& checkpoint, const TensorTable& table, Progress progress = {});

  // Is the weight's tensor in the checkpoint? For weights that a config does not decide. Unknown
  // logical names are a broken invariant of the family (BANYAN_CHECK), here and in Take.
  bool Has(std::string_view logical) const;

  // The weight in the checkpoint's type (f32 where the transform says so).
  StatusOr<Weight> Take(std::string_view logical, const Shape& shape);
  // A matrix of a linear layer, NAME.weight, [rows, cols]: as Take, but for what the config's
  // quantization makes of it.
  StatusOr<Weight> TakeMatrix(const std::string& logical, const Shape& shape);
  // The same as f32, always in memory of its own: norms, biases, other small tensors.
  StatusOr<Weight> TakeF32(std::string_view logical, const Shape& shape);

  // For tied embeddings: from now on, whichever of the two the checkpoint lacks stands for the
  // other one (its transform included). If it has both, both are read, untied, as transformers 5
  // does.
  void Tie(std::string_view first, std::string_view second);
  // True if `logical` now stands for the other of a tied pair: the caller can share what it packed.
  bool IsTied(std::string_view logical) const { return ties_.find(logical) != ties_.end(); }

  // Fails unless every element of every tensor that the table does not ignore was taken.
  Status Finish() const;
  // What can be told of the tensors before any is taken: fails where one has a name that no row
  // has, or a type that no weight is read from.
  Status CheckNames() const;

  int64_t bytes_taken() const { return bytes_taken_; }
  double seconds() const;  // since construction: bytes_taken() / seconds() is the load speed

 private:
  // Where a logical name is found.
  struct Source {
    bool found = false;
    std::string name;            // of the file's tensor: found, or looked for
    std::size_t index = 0;       // in checkpoint_.tensors()
    std::vector<int64_t> items;  // of dimension 0, for placeholders that the pattern lacks
    const Transform* transform = nullptr;
  };
  Source Resolve(std::string_view logical) const;
  StatusOr<Weight> TakeTernary(const std::string& logical, const Source& source,
                               const Shape& shape);
  std::size_t IndexOf(std::string_view name) const;
  StatusOr<Weight> TakeAs(std::string_view logical, const Shape& shape, bool as_f32);
  void Account(std::size_t index, const Shape& shape, bool whole);
  bool IsIgnored(std::string_view name) const;

  const Checkpoint& checkpoint_;
  const TensorTable& table_;
  const TernaryForm ternary_;
  Progress progress_;
  bool strip_prefix_ = false;
  std::unordered_map<std::string, std::vector<const TensorRow*>> rows_;  // by logical, numbers "{}"
  std::map<std::string, std::string, std::less<>> ties_;
  std::vector<int64_t> taken_;  // elements, per checkpoint tensor
  int64_t bytes_taken_ = 0;
  int64_t bytes_total_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace banyan::weights
