// SPDX-License-Identifier: Apache-2.0
#include "text/ffi.h"

#include <cstring>

namespace banyan::text::ffi {

const uint8_t* Data(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

std::string Take(BtBuffer buffer) {
  std::string text(reinterpret_cast<const char*>(buffer.data), buffer.size);
  bt_buffer_free(buffer);
  return text;
}

void AppendFrame(std::string& frames, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  frames.append(reinterpret_cast<const char*>(&size), sizeof size);
  frames += text;
}

std::vector<std::string> Frames(std::string_view frames) {
  std::vector<std::string> list;
  for (uint32_t size; frames.size() >= sizeof size;) {
    std::memcpy(&size, frames.data(), sizeof size);
    frames.remove_prefix(sizeof size);
    list.emplace_back(frames.substr(0, size));
    frames.remove_prefix(list.back().size());
  }
  return list;
}

}  // namespace banyan::text::ffi
