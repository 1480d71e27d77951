// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "weights/config_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace banyan;
  auto config = weights::ParseConfigJson({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (config.ok()) (void)weights::CheckQuantization(*config, "fuzz");
  return 0;
}
