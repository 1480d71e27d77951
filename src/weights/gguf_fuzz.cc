// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "weights/gguf_config.h"
#include "weights/mapped_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace banyan;
  auto file = weights::MappedFile::Wrap("fuzz", Buffer(const_cast<uint8_t*>(data), size, {}));
  auto metadata = weights::GgufMetadata::Parse(file);
  if (!metadata.ok()) return 0;
  for (std::string_view key : (*metadata)->keys()) {
    (void)(*metadata)->Int(key);
    (void)(*metadata)->Float(key);
    (void)(*metadata)->Bool(key);
    (void)(*metadata)->String(key);
    (void)(*metadata)->Ints(key);
    (void)(*metadata)->Floats(key);
    (void)(*metadata)->Strings(key);
  }
  auto tensors = weights::ReadGgufTensors(*file, **metadata);
  if (!tensors.ok()) return 0;
  for (const weights::NamedTensor& named : *tensors) {
    const int64_t bytes = named.tensor.NumBytes();
    const auto* begin = named.tensor.data<volatile uint8_t>();
    if (bytes > 0 && (begin[0] ^ begin[bytes - 1]) > 255) std::abort();
  }
  (void)weights::TranslateGgufConfig(**metadata, *tensors);
  return 0;
}
