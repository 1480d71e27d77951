// SPDX-License-Identifier: Apache-2.0
// Is this text UTF-8? Names out of a file end up in messages, logs and JSON, and must be.
#pragma once

#include <string_view>

namespace banyan::weights {

bool IsUtf8(std::string_view text);

}  // namespace banyan::weights
