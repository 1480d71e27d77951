// SPDX-License-Identifier: Apache-2.0
// JSON lines in, JSON lines out: the loop of the subcommands for scripts. One reply per line, in
// order; a line that is bad, or that `answer` refuses, gets {"error": {"message": ...}} and the
// loop goes on. What is written is flushed before the loop waits for more input, so a caller may
// speak to the process line by line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace banyan {

inline constexpr std::size_t kMaxJsonLine = std::size_t{256} << 20;

struct JsonLine {
  std::string_view text;  // as it came, for those who need what parsing loses (large integers)
  json::object object;
};
using JsonLineAnswer = std::function<StatusOr<json::object>(const JsonLine& line)>;

// The text of a JSON object, which has been parsed without an error, without its members of that
// name: all other bytes as they came.
std::string WithoutMember(std::string_view object, std::string_view name);

// From standard input to standard output until the end of input. Fails only when reading or writing
// does. A longer line than `max_line` bytes is answered with an error and skipped.
Status RunJsonLines(const JsonLineAnswer& answer, std::size_t max_line = kMaxJsonLine);
// The same between two file descriptors.
Status RunJsonLines(int in, int out, const JsonLineAnswer& answer,
                    std::size_t max_line = kMaxJsonLine);

}  // namespace banyan
