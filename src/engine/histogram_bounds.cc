// SPDX-License-Identifier: Apache-2.0
#include "engine/histogram_bounds.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

namespace banyan {
namespace {

constexpr double kMostBounds = 1000;

StatusOr<double> Number(std::string_view flag, const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || !std::isfinite(value))
    return InvalidArgument("{}: '{}' is not a number", flag, text);
  return value;
}

std::vector<double> Sorted(std::vector<double> bounds) {
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  return bounds;
}

}  // namespace

Status CheckBounds(std::string_view flag, const std::vector<double>& bounds) {
  const bool finite = std::ranges::all_of(bounds, [](double b) { return std::isfinite(b); });
  if (finite && std::ranges::adjacent_find(bounds, std::greater_equal<>()) == bounds.end())
    return OkStatus();
  return InvalidArgument("{}: {} are not ascending numbers", flag, fmt::join(bounds, " "));
}

StatusOr<std::vector<double>> BoundsByRule(std::string_view flag,
                                           const std::vector<std::string>& rule) {
  if (rule.empty() || (rule[0] == "default" && rule.size() == 1)) return std::vector<double>();
  std::vector<double> numbers;
  for (std::size_t i = 1; i < rule.size(); ++i) {
    BANYAN_ASSIGN_OR_RETURN(const double number, Number(flag, rule[i]));
    numbers.push_back(number);
  }
  if (rule[0] == "custom" && !numbers.empty()) return Sorted(std::move(numbers));
  if (rule[0] != "tse")
    return InvalidArgument(
        "{}: '{}' is neither default, nor custom NUMBER..., nor tse MIDDLE BASE "
        "COUNT",
        flag, fmt::join(rule, " "));
  if (numbers.size() != 3 || !(numbers[1] > 1) || !(numbers[2] >= 1 && numbers[2] <= kMostBounds))
    return InvalidArgument("{}: tse needs a middle, a base over 1 and a count from 1 to {}", flag,
                           kMostBounds);
  const double middle = numbers[0], base = numbers[1];
  std::vector<double> bounds{middle};
  double distance = 1;
  for (int i = 0; i < static_cast<int>(std::ceil(numbers[2] / 2)); ++i) {
    distance *= base;
    bounds.push_back(middle + distance);
    bounds.push_back(std::max(0.0, middle - distance));
  }
  bounds = Sorted(std::move(bounds));
  BANYAN_RETURN_IF_ERROR(CheckBounds(flag, bounds));
  return bounds;
}

}  // namespace banyan
