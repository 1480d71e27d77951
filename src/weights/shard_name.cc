// SPDX-License-Identifier: Apache-2.0
#include "weights/shard_name.h"

#include <fmt/format.h>

#include <charconv>

namespace banyan::weights {
namespace {

constexpr std::size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";

std::optional<int64_t> ParseDigits(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || end != text.end() || text.front() == '-') return std::nullopt;
  return value;
}

}  // namespace

std::string ShardName::Format(std::string_view extension) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, number, count, extension);
}

std::optional<ShardName> ParseShardName(std::string_view name, std::string_view extension) {
  constexpr std::size_t kTail = 1 + kDigits + kOf.size() + kDigits;  // "-00002-of-00005"
  if (!name.ends_with(extension) || name.size() < extension.size() + kTail) return std::nullopt;
  name.remove_suffix(extension.size());
  const std::string_view tail = name.substr(name.size() - kTail);
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = ParseDigits(tail.substr(1, kDigits));
  const auto count = ParseDigits(tail.substr(kTail - kDigits));
  if (!number || !count) return std::nullopt;
  return ShardName{std::string(name.substr(0, name.size() - kTail)), *number, *count};
}

}  // namespace banyan::weights
