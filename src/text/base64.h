// SPDX-License-Identifier: Apache-2.0
// Base64 with padding (RFC 4648, section 4).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace banyan::text {

std::string EncodeBase64(std::span<const uint8_t> bytes);
// None where it is not that.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace banyan::text
