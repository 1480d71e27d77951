// SPDX-License-Identifier: Apache-2.0
#include "app/iso_clock.h"

#include <algorithm>
#include <chrono>

namespace banyan {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Takes parts off the front of a text; each says whether the part was there.
class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}
  bool AtEnd() const { return rest_.empty(); }
  bool OneOf(std::string_view characters) {
    if (rest_.empty() || characters.find(rest_[0]) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool Number(std::size_t digits, int most, int& value) {
    if (rest_.size() < digits || !std::all_of(rest_.begin(), rest_.begin() + digits, IsDigit))
      return false;
    value = 0;
    for (const char c : rest_.substr(0, digits)) value = value * 10 + (c - '0');
    rest_.remove_prefix(digits);
    return value <= most;
  }
  bool Fraction() {
    std::size_t digits = 0;
    while (digits < rest_.size() && IsDigit(rest_[digits])) ++digits;
    rest_.remove_prefix(digits);
    return digits > 0;
  }
  // The hours, and after a colon or at once the minutes, of an offset from UTC.
  bool Offset() {
    int ignored = 0;
    if (!Number(2, 23, ignored)) return false;
    return OneOf(":") ? Number(2, 59, ignored) : AtEnd() || Number(2, 59, ignored);
  }

 private:
  std::string_view rest_;
};

}  // namespace

StatusOr<int64_t> ParseIsoClock(std::string_view text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  Reader reader(text);
  bool good = reader.Number(4, 9999, year) && reader.OneOf("-") && reader.Number(2, 12, month) &&
              reader.OneOf("-") && reader.Number(2, 31, day);
  if (good && !reader.AtEnd()) {
    good = reader.OneOf("T ") && reader.Number(2, 23, hour) && reader.OneOf(":") &&
           reader.Number(2, 59, minute);
    if (good && reader.OneOf(":")) {
      good = reader.Number(2, 59, second);
      if (good && reader.OneOf(".,")) good = reader.Fraction();
    }
    if (good && !reader.OneOf("Z") && reader.OneOf("+-")) good = reader.Offset();
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!good || !reader.AtEnd() || !date.ok())
    return InvalidArgument("\"{}\" is not ISO 8601 (2024-07-26T12:34:56)", text);
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return int64_t{days} * 86400 + hour * 3600 + minute * 60 + second;
}

}  // namespace banyan
