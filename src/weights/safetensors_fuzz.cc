// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace banyan;
  auto file = weights::MappedFile::Wrap("fuzz", Buffer(const_cast<uint8_t*>(data), size, {}));
  auto tensors = weights::ReadSafetensors(*file);
  if (!tensors.ok()) return 0;
  for (const weights::NamedTensor& named : *tensors) {
    // Every tensor lies within the file: the sanitizer would see a read beyond it.
    const int64_t bytes = named.tensor.NumBytes();
    const auto* begin = named.tensor.data<volatile uint8_t>();
    if (bytes > 0 && (begin[0] ^ begin[bytes - 1]) > 255) std::abort();
  }
  return 0;
}
