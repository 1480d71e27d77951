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

// Many readers of lines (Python's str.splitlines) end one at these three characters as well, which
// JSON leaves as they are; they are always within a text, where an escape means the same.
void AppendLine(std::string& out, const json::object& reply) {
  const std::string text = json::serialize(reply);
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\xC2' && text[at] != '\xE2') continue;
    const std::string_view rest = std::string_view(text).substr(at);
    const std::string_view escape = rest.starts_with("\xC2\x85")       ? "\\u0085"
                                    : rest.starts_with("\xE2\x80\xA8") ? "\\u2028"
                                    : rest.starts_with("\xE2\x80\xA9") ? "\\u2029"
                                                                       : "";
    if (escape.empty()) continue;
    out.append(text, done, at - done);
    out += escape;
    done = at + (text[at] == '\xC2' ? 2 : 3);
  }
  out.append(text, done);
  out += '\n';
}

// Just behind the value at `at`, at the comma or bracket that ends it.
std::size_t EndOfValue(std::string_view text, std::size_t at) {
  int depth = 0;
  bool in_string = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"';
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']' || c == ':')) break;
    in_string = c == '"';
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
  }
  return at;
}

}  // namespace

std::string WithoutMember(std::string_view object, std::string_view name) {
  std::string out = "{";
  std::size_t at = object.find('{') + 1;
  while (at < object.size() && object[at] != '}') {
    const std::size_t colon = EndOfValue(object, at);
    const std::size_t end = EndOfValue(object, colon + 1);
    const auto key = ParseJson(object.substr(at, colon - at));
    const bool dropped = key.ok() && key->is_string() && View(key->get_string()) == name;
    if (!dropped) {
      if (out.size() > 1) out += ',';
      out += object.substr(at, end - at);
    }
    at = end < object.size() && object[end] == ',' ? end + 1 : end;
  }
  return out + '}';
}

Status RunJsonLines(int in, int out, const JsonLineAnswer& answer, std::size_t max_line) {
  std::string input, output;
  std::string chunk(std::size_t{1} << 16, '\0');
  bool skipping = false;  // within a line that is too long
  const auto reply = [&](std::string_view line) -> Status {
    AppendLine(output, Reply(line, answer));
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
        AppendLine(output, Error(OutOfRange("the line is longer than {} bytes", max_line)));
      }
      input.clear();
      skipping = false;
    }
    if (skipping) continue;
    if (input.size() + rest.size() > max_line) {
      AppendLine(output, Error(OutOfRange("the line is longer than {} bytes", max_line)));
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
