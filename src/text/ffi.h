// SPDX-License-Identifier: Apache-2.0
// Small helpers around the crate's C ABI (banyan_text.h): its buffers as strings, and the framed
// lists (a 32-bit size, then the bytes) in which many strings cross at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "banyan_text.h"

namespace banyan::text::ffi {

const uint8_t* Data(std::string_view text);
std::string Take(BtBuffer buffer);  // copies and frees
void AppendFrame(std::string& frames, std::string_view text);
std::vector<std::string> Frames(std::string_view frames);

}  // namespace banyan::text::ffi
