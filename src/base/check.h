// SPDX-License-Identifier: Apache-2.0
// BANYAN_CHECK(condition, format, args...): for broken invariants of our own code only. It prints
// the place and the message and aborts. Whatever depends on input (a file, a request, a device)
// returns a Status instead. BANYAN_DCHECK is the same in debug and sanitizer builds and nothing in
// release builds.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace banyan {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view message);
}  // namespace banyan

#define BANYAN_CHECK(condition, ...)                                                        \
  do {                                                                                      \
    if (!(condition)) [[unlikely]]                                                          \
      ::banyan::CheckFailed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BANYAN_DCHECK(condition, ...) \
  do {                                \
    if (false) {                      \
      (void)(condition);              \
    }                                 \
  } while (false)
#else
#define BANYAN_DCHECK(condition, ...) BANYAN_CHECK(condition, ##__VA_ARGS__)
#endif
