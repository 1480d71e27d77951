// SPDX-License-Identifier: Apache-2.0
// Checkpoint: a model's files, opened read-only: named tensors over mapped memory, and one config
// in Hugging Face's form whatever the format.
//
// Open checks every header against the file's size before anything is believed: a cut or hostile
// file gives an error that names the file, the tensor or key and the two numbers that disagree, and
// allocates no more than the file's own size justifies. Tensors point into the mapping and live as
// long as the Checkpoint. Thread-safe after Open.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace banyan::weights {

enum class Format : unsigned char { kSafetensors, kGguf };

struct NamedTensor {
  std::string name;  // as in the file
  Tensor tensor;     // row major, outermost dimension first (GGUF's order turned around)
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  // A folder with config.json and safetensors, or a .gguf file (the first of a split set finds the
  // others).
  static StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& path);

  virtual Format format() const = 0;
  // config.json; for GGUF its metadata translated to the same keys (architectures, hidden_size,
  // rope_parameters, ...).
  virtual const json::object& config() const = 0;
  virtual const std::vector<NamedTensor>& tensors() const = 0;  // sorted by name
  const Tensor* Find(std::string_view name) const;              // null when absent
  // The pages behind a tensor are not needed soon: lets the kernel drop them from this process.
  virtual void Release(const Tensor& tensor) const = 0;
  virtual int64_t file_bytes() const = 0;
};

}  // namespace banyan::weights
