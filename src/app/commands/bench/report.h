// SPDX-License-Identifier: Apache-2.0
// Report: the result of one benchmark, as a table for people or as JSON for scripts. A figure may
// stand beside a bound that was measured in the same run; what is compared between machines and
// days is the ratio.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace banyan::bench {

class Report {
 public:
  explicit Report(std::string title) : title_(std::move(title)) {}

  void Setting(std::string name, std::string value) {
    settings_.emplace_back(std::move(name), std::move(value));
  }
  void Figure(std::string name, double value, std::string unit);
  // `bound` in the same unit; the ratio is value / bound.
  void Figure(std::string name, double value, std::string unit, double bound,
              std::string bound_name);

  void Print(bool as_json) const;  // to standard output

 private:
  struct Row {
    std::string name;
    double value = 0;
    std::string unit;
    std::optional<double> bound;
    std::string bound_name;
  };
  std::string title_;
  std::vector<std::pair<std::string, std::string>> settings_;
  std::vector<Row> rows_;
};

// p in [0, 1] of values (sorted in place); 0 when there are none.
double Percentile(std::vector<double>& values, double p);

}  // namespace banyan::bench
