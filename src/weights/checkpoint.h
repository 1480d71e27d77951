// SPDX-License-Identifier: Apache-2.0
// Checkpoint: a model's files, opened read-only: named tensors over mapped memory, and one config
// in Hugging Face's form whatever the format.
//
// Open checks every header against the file's size before anything is believed: a cut or hostile
// file gives an error that names the file, the tensor or key and the two numbers that disagree, and
// allocates no more than the file's own size justifies. Tensors point into the mapping and live as
// long as the Checkpoint. A file may place a tensor at an address that is not aligned for its type;
// the Loader (weights/loader.h) copies such tensors, who reads them here must not assume alignment.
// Thread-safe after Open. (A file that another process truncates while it is mapped ends this
// process with SIGBUS, as with every mapping reader: replace model files by renaming.)
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

class GgufMetadata;

struct NamedTensor {
  std::string name;  // as in the file
  Tensor tensor;     // row major, outermost dimension first (GGUF's order turned around)
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  // A folder with config.json and safetensors, or a .gguf file (the first of a split set finds the
  // others). `overrides`: keys that replace those of its config.
  static StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& path,
                                                    const json::object& overrides = {});

  virtual Format format() const = 0;
  virtual const std::string& path() const = 0;
  // config.json; for GGUF its metadata translated to the same keys (architectures, hidden_size,
  // rope_parameters, ...; weights/gguf_config.h).
  virtual const json::object& config() const = 0;
  virtual const std::vector<NamedTensor>& tensors() const = 0;  // sorted by name
  const Tensor* Find(std::string_view name) const;              // null when absent
  // The raw metadata of a GGUF file (the vocabulary, keys of one family); null for safetensors.
  virtual const GgufMetadata* gguf() const { return nullptr; }
  // A tensor is about to be read: maps its pages at once, which costs far less than a fault at
  // each, reading from the disk what is not in memory.
  virtual void Populate(const Tensor& tensor) const = 0;
  // The pages behind a tensor are not needed soon: lets the kernel drop them from this process.
  // They stay valid and are read again from the page cache on the next use.
  virtual void Release(const Tensor& tensor) const = 0;
  virtual int64_t file_bytes() const = 0;
};

}  // namespace banyan::weights
