// SPDX-License-Identifier: Apache-2.0
// What the two formats share behind checkpoint.h: mapped files, tensors sorted by name, a config.
// Only the readers of this folder include it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weights/checkpoint.h"
#include "weights/gguf.h"
#include "weights/mapped_file.h"

namespace banyan::weights {

class MappedCheckpoint : public Checkpoint {
 public:
  MappedCheckpoint(Format format, std::string path) : format_(format), path_(std::move(path)) {}

  Format format() const override { return format_; }
  const std::string& path() const override { return path_; }
  const json::object& config() const override { return config_; }
  const std::vector<NamedTensor>& tensors() const override { return tensors_; }
  const GgufMetadata* gguf() const override { return gguf_.get(); }
  void Populate(const Tensor& tensor) const override;
  void Release(const Tensor& tensor) const override;
  int64_t file_bytes() const override;

  json::object config_;
  std::vector<NamedTensor> tensors_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::unique_ptr<GgufMetadata> gguf_;

 private:
  const MappedFile* FileOf(const Tensor& tensor) const;  // null: a tensor in memory of its own

  Format format_;
  std::string path_;
};

StatusOr<std::unique_ptr<Checkpoint>> OpenHfFolder(const std::string& folder,
                                                   const json::object& overrides);
StatusOr<std::unique_ptr<Checkpoint>> OpenGguf(const std::string& path,
                                               const json::object& overrides);

// Opens the shard `file` holds beside the others: appends its tensors (unsorted). `file` has
// `metadata` as its header. Errors name the file and the tensor.
StatusOr<std::vector<NamedTensor>> ReadGgufTensors(const MappedFile& file,
                                                   const GgufMetadata& metadata);

}  // namespace banyan::weights
