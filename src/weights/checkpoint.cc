// SPDX-License-Identifier: Apache-2.0
#include "weights/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <new>

#include "weights/mapped_checkpoint.h"

namespace banyan::weights {

StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& path,
                                                       const json::object& overrides) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found)
    return NotFound("{}: no such file or folder", path);
  if (error) return FailedPrecondition("{}: {}", path, error.message());
  try {
    if (std::filesystem::is_directory(status)) return OpenHfFolder(path, overrides);
    if (std::filesystem::path(path).extension() == ".gguf") return OpenGguf(path, overrides);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("{}: not enough memory to read the headers", path);
  }
  return InvalidArgument(
      "{}: is neither a folder with config.json and safetensors nor a .gguf file", path);
}

const Tensor* Checkpoint::Find(std::string_view name) const {
  const auto& all = tensors();
  auto found = std::ranges::lower_bound(all, name, {}, &NamedTensor::name);
  return found != all.end() && found->name == name ? &found->tensor : nullptr;
}

const MappedFile* MappedCheckpoint::FileOf(const Tensor& tensor) const {
  const std::byte* data = tensor.data<std::byte>();
  for (const auto& file : files_) {
    const std::byte* begin = file->bytes().data();
    if (data >= begin && data < begin + file->size()) return file.get();
  }
  return nullptr;
}

void MappedCheckpoint::Populate(const Tensor& tensor) const {
  if (const MappedFile* file = FileOf(tensor))
    file->Populate(tensor.raw(), static_cast<std::size_t>(tensor.NumBytes()));
}

void MappedCheckpoint::Release(const Tensor& tensor) const {
  if (const MappedFile* file = FileOf(tensor))
    file->Release(tensor.raw(), static_cast<std::size_t>(tensor.NumBytes()));
}

int64_t MappedCheckpoint::file_bytes() const {
  int64_t bytes = 0;
  for (const auto& file : files_) bytes += static_cast<int64_t>(file->size());
  return bytes;
}

}  // namespace banyan::weights
