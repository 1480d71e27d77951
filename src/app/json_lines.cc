// SPDX-License-Identifier: Apache-2.0
#include "app/json_lines.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace banyan {
namespace {

constexpr std::size_t kFlushAt = std::size_t{1} << 20;

Status WriteAll(int out, std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(out, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unavailable("writing the replies: {}", std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
  bytes.clear();
  return OkStatus();
}

json::object Error(const Status& status) { return {{"error", {{"message", Message(status)}}}}; }

json::object Reply(std::string_view text, const JsonLineAnswer& answer) {
  auto object = ParseJsonObject(text, "the line");
  if (!object.ok()) return Error(object.status());
  auto reply = answer({text, *std::move(object)});
  if (!reply.ok()) return Error(reply.status());
  return *std::move(reply);
}

}  // namespace

Status RunJsonLines(int in, int out, const JsonLineAnswer& answer, std::size_t max_line) {
  std::string input, output;
  std::string chunk(std::size_t{1} << 16, '\0');
  bool skipping = false;  // within a line that is too long
  const auto reply = [&](std::string_view line) -> Status {
    output += json::serialize(Reply(line, answer));
    output += '\n';
    return output.size() >= kFlushAt ? WriteAll(out, output) : OkStatus();
  };
  for (;;) {
    BANYAN_RETURN_IF_ERROR(WriteAll(out, output));
    const ssize_t n = ::read(in, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unavailable("reading the lines: {}", std::strerror(errno));
    if (n == 0) break;
    std::string_view rest(chunk.data(), static_cast<std::size_t>(n));
    for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos;
         rest.remove_prefix(end + 1)) {
      if (!skipping && input.size() + end <= max_line) {
        input += rest.substr(0, end);
        BANYAN_RETURN_IF_ERROR(reply(input));
      } else if (!skipping) {
        output +=
            json::serialize(Error(OutOfRange("the line is longer than {} bytes", max_line))) + "\n";
      }
      input.clear();
      skipping = false;
    }
    if (skipping) continue;
    if (input.size() + rest.size() > max_line) {
      output +=
          json::serialize(Error(OutOfRange("the line is longer than {} bytes", max_line))) + "\n";
      input = std::string();
      skipping = true;
    } else {
      input += rest;
    }
  }
  if (!input.empty()) BANYAN_RETURN_IF_ERROR(reply(input));
  return WriteAll(out, output);
}

Status RunJsonLines(const JsonLineAnswer& answer, std::size_t max_line) {
  return RunJsonLines(STDIN_FILENO, STDOUT_FILENO, answer, max_line);
}

}  // namespace banyan
