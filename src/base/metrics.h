// SPDX-License-Identifier: Apache-2.0
// Metrics: counters, gauges and histograms with labels, printed in Prometheus' text format. A
// series is found once and kept; adding to it is a lock-free atomic. One registry per engine, no
// global state. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace banyan {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void Add(double amount = 1.0) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);  // upper bounds, ascending; +Inf is added
  void Observe(double value, int64_t times = 1);

 private:
  friend class Metrics;
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<int64_t>[]> counts_;  // per bucket, not cumulative
  std::atomic<double> sum_{0.0};
};

class Metrics {
 public:
  // `common` labels are printed with every series.
  explicit Metrics(Labels common = {});
  ~Metrics();

  // The series of that name and these labels, made at the first call; `help` and the kind must
  // agree for one name (checked).
  Counter& GetCounter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& GetGauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& GetHistogram(std::string_view name, std::string_view help,
                          std::span<const double> bounds, const Labels& labels = {});

  std::string Print() const;  // the whole page, families in the order of their names

 private:
  struct Family;
  Family& GetFamily(std::string_view name, std::string_view help, int kind);  // mutex_ is held
  std::string SeriesKey(const Labels& labels) const;

  Labels common_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Family>, std::less<>> families_;
};

}  // namespace banyan
