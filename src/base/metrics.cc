// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace banyan {
namespace {

enum class Kind : uint8_t { kCounter, kGauge, kHistogram };

std::string_view Name(Kind kind) {
  return kind == Kind::kCounter ? "counter" : kind == Kind::kGauge ? "gauge" : "histogram";
}

bool ValidName(std::string_view name, bool colons) {
  auto letter = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
  };
  if (name.empty() || !letter(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

void AppendEscaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

void AppendNumber(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
}

// `a="x",b="y"` without the braces: also the key of a series, so labels are sorted first.
std::string LabelText(Labels labels) {
  std::sort(labels.begin(), labels.end());
  std::string out;
  for (const auto& [name, value] : labels) {
    BANYAN_CHECK(ValidName(name, false), "label name '{}'", name);
    if (!out.empty()) out += ',';
    out += name;
    out += "=\"";
    AppendEscaped(out, value, true);
    out += '"';
  }
  return out;
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {
  BANYAN_CHECK(std::is_sorted(bounds_.begin(), bounds_.end()), "histogram bounds must ascend");
  counts_ = std::make_unique<std::atomic<int64_t>[]>(bounds_.size() + 1);
}

void Histogram::Observe(double value, int64_t times) {
  const std::size_t bucket =
      std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[bucket].fetch_add(times, std::memory_order_relaxed);
  sum_.fetch_add(value * static_cast<double>(times), std::memory_order_relaxed);
}

struct Metrics::Family {
  Kind kind;
  std::string help;
  std::vector<double> bounds;
  std::map<std::string, std::unique_ptr<Counter>> counters;
  std::map<std::string, std::unique_ptr<Gauge>> gauges;
  std::map<std::string, std::unique_ptr<Histogram>> histograms;
};

Metrics::Metrics(Labels common) : common_(std::move(common)) {}
Metrics::~Metrics() = default;

Metrics::Family& Metrics::GetFamily(std::string_view name, std::string_view help, int kind) {
  auto found = families_.find(name);
  if (found == families_.end()) {
    BANYAN_CHECK(ValidName(name, true), "metric name '{}'", name);
    auto family = std::make_unique<Family>();
    family->kind = static_cast<Kind>(kind);
    family->help = help;
    found = families_.emplace(name, std::move(family)).first;
  }
  BANYAN_CHECK(found->second->kind == static_cast<Kind>(kind) && found->second->help == help,
               "metric '{}' was declared differently before", name);
  return *found->second;
}

std::string Metrics::SeriesKey(const Labels& labels) const {
  Labels all = common_;
  all.insert(all.end(), labels.begin(), labels.end());
  return LabelText(std::move(all));
}

Counter& Metrics::GetCounter(std::string_view name, std::string_view help, const Labels& labels) {
  std::lock_guard lock(mutex_);
  auto& slot = GetFamily(name, help, static_cast<int>(Kind::kCounter)).counters[SeriesKey(labels)];
  if (slot == nullptr) slot = std::make_unique<Counter>();
  return *slot;
}

Gauge& Metrics::GetGauge(std::string_view name, std::string_view help, const Labels& labels) {
  std::lock_guard lock(mutex_);
  auto& slot = GetFamily(name, help, static_cast<int>(Kind::kGauge)).gauges[SeriesKey(labels)];
  if (slot == nullptr) slot = std::make_unique<Gauge>();
  return *slot;
}

Histogram& Metrics::GetHistogram(std::string_view name, std::string_view help,
                                 std::span<const double> bounds, const Labels& labels) {
  std::lock_guard lock(mutex_);
  Family& family = GetFamily(name, help, static_cast<int>(Kind::kHistogram));
  auto& slot = family.histograms[SeriesKey(labels)];
  if (slot == nullptr) {
    slot = std::make_unique<Histogram>(std::vector<double>(bounds.begin(), bounds.end()));
  }
  return *slot;
}

std::string Metrics::Print() const {
  std::lock_guard lock(mutex_);
  std::string out;
  auto sample = [&out](std::string_view name, std::string_view suffix, std::string_view labels,
                       std::string_view more, double value) {
    out += name;
    out += suffix;
    if (!labels.empty() || !more.empty()) {
      out += '{';
      out += labels;
      if (!labels.empty() && !more.empty()) out += ',';
      out += more;
      out += '}';
    }
    out += ' ';
    AppendNumber(out, value);
    out += '\n';
  };
  for (const auto& [name, family] : families_) {
    fmt::format_to(std::back_inserter(out), "# HELP {} ", name);
    AppendEscaped(out, family->help, false);
    fmt::format_to(std::back_inserter(out), "\n# TYPE {} {}\n", name, Name(family->kind));
    for (const auto& [labels, counter] : family->counters) {
      sample(name, "", labels, "", counter->value());
    }
    for (const auto& [labels, gauge] : family->gauges) sample(name, "", labels, "", gauge->value());
    for (const auto& [labels, histogram] : family->histograms) {
      int64_t total = 0;
      for (std::size_t i = 0; i <= histogram->bounds_.size(); ++i) {
        total += histogram->counts_[i].load(std::memory_order_relaxed);
        std::string bound = "le=\"";
        AppendNumber(bound, i < histogram->bounds_.size()
                                ? histogram->bounds_[i]
                                : std::numeric_limits<double>::infinity());
        bound += '"';
        sample(name, "_bucket", labels, bound, static_cast<double>(total));
      }
      sample(name, "_sum", labels, "", histogram->sum_.load(std::memory_order_relaxed));
      // The count is the last bucket's own reading, so that the page agrees with itself while
      // others add to it.
      sample(name, "_count", labels, "", static_cast<double>(total));
    }
  }
  return out;
}

}  // namespace banyan
