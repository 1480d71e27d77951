// SPDX-License-Identifier: Apache-2.0
// Base64 with padding (RFC 4648, section 4).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace banyan::text {

std::string EncodeBase64(std::span<const uint8_t> bytes);

}  // namespace banyan::text
