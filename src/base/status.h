// SPDX-License-Identifier: Apache-2.0
// How failure crosses a boundary: Abseil's Status and StatusOr, with formatted constructors.
//
// The codes map one to one to HTTP statuses (HttpStatus below). What stands for a broken invariant
// of our own is BANYAN_CHECK (base/check.h), never a Status. Debian's Abseil has a string_view of
// its own, so messages go in and out as std::string through the helpers here.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace banyan {

using absl::OkStatus;
using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

inline Status MakeStatus(StatusCode code, std::string_view message) {
  return Status(code, absl::string_view(message.data(), message.size()));
}

#define BANYAN_STATUS_FACTORY(Name, code)                                      \
  template <typename... Args>                                                  \
  Status Name(fmt::format_string<Args...> format, Args&&... args) {            \
    return MakeStatus(code, fmt::format(format, std::forward<Args>(args)...)); \
  }
BANYAN_STATUS_FACTORY(InvalidArgument,
                      StatusCode::kInvalidArgument)  // 400: the caller's input is wrong
BANYAN_STATUS_FACTORY(Unauthenticated, StatusCode::kUnauthenticated)    // 401
BANYAN_STATUS_FACTORY(PermissionDenied, StatusCode::kPermissionDenied)  // 403
BANYAN_STATUS_FACTORY(NotFound, StatusCode::kNotFound)                  // 404
BANYAN_STATUS_FACTORY(AlreadyExists, StatusCode::kAlreadyExists)        // 409
BANYAN_STATUS_FACTORY(FailedPrecondition,
                      StatusCode::kFailedPrecondition)      // 400: not in this state
BANYAN_STATUS_FACTORY(OutOfRange, StatusCode::kOutOfRange)  // 413: larger than a stated limit
BANYAN_STATUS_FACTORY(ResourceExhausted,
                      StatusCode::kResourceExhausted)             // 429: full now, try again later
BANYAN_STATUS_FACTORY(Cancelled, StatusCode::kCancelled)          // 499: the client went away
BANYAN_STATUS_FACTORY(Internal, StatusCode::kInternal)            // 500
BANYAN_STATUS_FACTORY(DataLoss, StatusCode::kDataLoss)            // 500: a file is cut or corrupt
BANYAN_STATUS_FACTORY(Unimplemented, StatusCode::kUnimplemented)  // 501: known, not done here
BANYAN_STATUS_FACTORY(Unavailable, StatusCode::kUnavailable)      // 503
BANYAN_STATUS_FACTORY(DeadlineExceeded, StatusCode::kDeadlineExceeded)  // 504
#undef BANYAN_STATUS_FACTORY

// The message without the code's name.
inline std::string Message(const Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// The same failure, with `context: ` before its message. An OK status stays OK.
Status Annotate(const Status& status, std::string_view context);

int HttpStatus(StatusCode code);
inline int HttpStatus(const Status& status) { return HttpStatus(status.code()); }

}  // namespace banyan

#define BANYAN_CONCAT_INNER(a, b) a##b
#define BANYAN_CONCAT(a, b) BANYAN_CONCAT_INNER(a, b)

#define BANYAN_RETURN_IF_ERROR(expression)         \
  do {                                             \
    ::absl::Status banyan_status = (expression);   \
    if (!banyan_status.ok()) return banyan_status; \
  } while (false)

// BANYAN_ASSIGN_OR_RETURN(auto value, Compute()): the value, or return the failure.
#define BANYAN_ASSIGN_OR_RETURN(declaration, expression) \
  BANYAN_ASSIGN_OR_RETURN_IMPL(BANYAN_CONCAT(banyan_or_, __LINE__), declaration, expression)
#define BANYAN_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                         \
  if (!result.ok()) return std::move(result).status();                \
  declaration = *std::move(result)
