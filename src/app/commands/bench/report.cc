// SPDX-License-Identifier: Apache-2.0
#include "app/commands/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/json.h"

namespace banyan::bench {
namespace {

// Four significant digits, without an exponent.
std::string Readable(double value) {
  const double size = std::fabs(value);
  const int digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return fmt::format("{:.{}f}", value, digits);
}

}  // namespace

void Report::Figure(std::string name, double value, std::string unit) {
  rows_.push_back({std::move(name), value, std::move(unit), std::nullopt, {}});
}

void Report::Figure(std::string name, double value, std::string unit, double bound,
                    std::string bound_name) {
  rows_.push_back({std::move(name), value, std::move(unit), bound, std::move(bound_name)});
}

void Report::Print(bool as_json) const {
  std::string out;
  if (as_json) {
    json::object settings;
    for (const auto& [name, value] : settings_) settings[name] = value;
    json::array figures;
    for (const Row& row : rows_) {
      json::object figure = {{"name", row.name}, {"value", row.value}, {"unit", row.unit}};
      if (row.bound) {
        figure["bound"] = *row.bound;
        figure["bound_name"] = row.bound_name;
        figure["ratio"] = row.value / *row.bound;
      }
      figures.push_back(std::move(figure));
    }
    out = json::serialize(json::object{{"bench", title_},
                                       {"settings", std::move(settings)},
                                       {"figures", std::move(figures)}}) +
          "\n";
  } else {
    out = title_ + "\n";
    for (const auto& [name, value] : settings_) out += fmt::format("  {}: {}\n", name, value);
    std::size_t width = 0;
    for (const Row& row : rows_) width = std::max(width, row.name.size());
    for (const Row& row : rows_) {
      out += fmt::format("  {:<{}}  {:>12} {}", row.name, width, Readable(row.value), row.unit);
      if (row.bound) {
        out += fmt::format("  = {:.1f} % of {} {} ({})", 100 * row.value / *row.bound,
                           Readable(*row.bound), row.unit, row.bound_name);
      }
      out += "\n";
    }
  }
  std::fputs(out.c_str(), stdout);
}

double Percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = p * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(rank);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (rank - static_cast<double>(low)) * (values[high] - values[low]);
}

}  // namespace banyan::bench
