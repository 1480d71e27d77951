// SPDX-License-Identifier: Apache-2.0
#include "weights/utf8.h"

#include <cstddef>
#include <cstdint>

namespace banyan::weights {

bool IsUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) continue;
    // C0 and C1 would be overlong, F5 and above beyond U+10FFFF.
    const int more = lead >= 0xC2 && lead <= 0xDF   ? 1
                     : lead >= 0xE0 && lead <= 0xEF ? 2
                     : lead >= 0xF0 && lead <= 0xF4 ? 3
                                                    : 0;
    if (more == 0 || text.size() - i < static_cast<std::size_t>(more)) return false;
    // Only the byte after the lead can still be overlong, a surrogate or too large.
    const auto next = static_cast<uint8_t>(text[i]);
    if ((lead == 0xE0 && next < 0xA0) || (lead == 0xED && next > 0x9F) ||
        (lead == 0xF0 && next < 0x90) || (lead == 0xF4 && next > 0x8F))
      return false;
    for (int k = 0; k < more; ++k)
      if ((static_cast<uint8_t>(text[i++]) & 0xC0) != 0x80) return false;
  }
  return true;
}

}  // namespace banyan::weights
