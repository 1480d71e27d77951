// SPDX-License-Identifier: Apache-2.0
#include "base/fields.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace banyan {
namespace {

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

bool IsNumber(const json::value& value) {
  return value.is_int64() || value.is_uint64() || value.is_double();
}

// Empty when `value` was converted into `out`, else what was expected and found.
template <typename T>
std::string Convert(const json::value& value, Range range, T& out) {
  auto expected = [&](std::string_view what) {
    return fmt::format("expected {}, found {}", what, JsonTypeName(value));
  };
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_bool()) return expected("true or false");
    out = value.get_bool();
  } else if constexpr (std::is_integral_v<T>) {
    if (!IsNumber(value)) return expected("an integer");
    // Configs written by Python sometimes say 10000.0 for an integer.
    if (value.is_double()) {
      double number = value.get_double();
      if (!(std::abs(number) < 9.0e15) || number != std::floor(number))
        return "expected an integer, found a fraction";
      if (number < 0 && std::is_unsigned_v<T>) return "expected a non-negative integer";
      if (number < static_cast<double>(std::numeric_limits<T>::min()) ||
          number > static_cast<double>(std::numeric_limits<T>::max()))
        return "the integer does not fit";
      out = static_cast<T>(number);
    } else {
      boost::system::error_code error;
      out = value.to_number<T>(error);
      if (error) return "the integer does not fit";
    }
    if (static_cast<double>(out) < range.min || static_cast<double>(out) > range.max) {
      return fmt::format("{} is not within [{}, {}]", out, range.min, range.max);
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!IsNumber(value)) return expected("a number");
    double number = value.is_double()   ? value.get_double()
                    : value.is_uint64() ? static_cast<double>(value.get_uint64())
                                        : static_cast<double>(value.get_int64());
    if (!std::isfinite(number) || number < range.min || number > range.max) {
      return fmt::format("{} is not within [{}, {}]", number, range.min, range.max);
    }
    out = static_cast<T>(number);
    if (!std::isfinite(out)) return fmt::format("{} does not fit", number);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return expected("a string");
    out.assign(View(value.get_string()));
  } else if constexpr (std::is_same_v<T, json::object>) {
    if (!value.is_object()) return expected("an object");
    out = value.get_object();
  } else {
    static_assert(IsVector<T>::value);
    if (!value.is_array()) return expected("an array");
    const json::array& items = value.get_array();
    out.clear();
    out.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      typename T::value_type item{};
      std::string problem = Convert(items[i], range, item);
      if (!problem.empty()) return fmt::format("item {}: {}", i, problem);
      out.push_back(std::move(item));
    }
  }
  return {};
}

}  // namespace

template <typename T>
std::optional<T> Fields::Maybe(std::string_view key, Range range) {
  const json::value* value = Raw(key);
  if (value == nullptr) return std::nullopt;
  T out{};
  std::string problem = Convert(*value, range, out);
  if (!problem.empty()) {
    Fail(key, problem);
    return std::nullopt;
  }
  return out;
}

template <typename T>
T Fields::Required(std::string_view key, Range range) {
  if (!Has(key)) {
    Fail(key, "is missing");
    return T{};
  }
  return Maybe<T>(key, range).value_or(T{});
}

template <typename T>
T Fields::Optional(std::string_view key, T fallback, Range range) {
  auto value = Maybe<T>(key, range);
  return value ? std::move(*value) : std::move(fallback);
}

template <typename T>
std::optional<T> Fields::MaybeAny(std::initializer_list<std::string_view> keys, Range range) {
  std::optional<T> found;
  for (std::string_view key : keys) {
    auto value = Maybe<T>(key, range);
    if (!found) found = std::move(value);
  }
  return found;
}

bool Fields::Has(std::string_view key) const {
  auto found = object_->find(json::string_view(key.data(), key.size()));
  return found != object_->end() && !found->value().is_null();
}

const json::value* Fields::Find(std::string_view key) {
  if (asked_.empty()) asked_.reserve(64);
  asked_.push_back(key);
  const auto found = object_->find(json::string_view(key.data(), key.size()));
  if (found == object_->end()) return nullptr;
  seen_[static_cast<std::size_t>(found - object_->begin())] = true;
  return &found->value();
}

const json::value* Fields::Raw(std::string_view key) {
  const json::value* value = Find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void Fields::Ignore(std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) Find(key);
}

void Fields::Fail(std::string_view key, std::string_view problem) {
  if (status_.ok()) status_ = InvalidArgument("{}: '{}' {}", where_, key, problem);
}

std::vector<std::string> Fields::Unread() const {
  std::vector<std::string> unread;
  std::size_t i = 0;
  for (const auto& item : *object_) {
    if (!seen_[i++] && !item.value().is_null()) unread.emplace_back(item.key());
  }
  return unread;
}

std::vector<std::string> Fields::Read() const {
  std::vector<std::string> known(asked_.begin(), asked_.end());
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return known;
}

#define BANYAN_FIELDS_FOR(T)                                           \
  template T Fields::Required<T>(std::string_view, Range);             \
  template T Fields::Optional<T>(std::string_view, T, Range);          \
  template std::optional<T> Fields::Maybe<T>(std::string_view, Range); \
  template std::optional<T> Fields::MaybeAny<T>(std::initializer_list<std::string_view>, Range);
BANYAN_FIELDS_FOR(bool)
BANYAN_FIELDS_FOR(int)
BANYAN_FIELDS_FOR(int64_t)
BANYAN_FIELDS_FOR(uint64_t)
BANYAN_FIELDS_FOR(float)
BANYAN_FIELDS_FOR(double)
BANYAN_FIELDS_FOR(std::string)
BANYAN_FIELDS_FOR(json::object)
BANYAN_FIELDS_FOR(std::vector<bool>)
BANYAN_FIELDS_FOR(std::vector<int>)
BANYAN_FIELDS_FOR(std::vector<int64_t>)
BANYAN_FIELDS_FOR(std::vector<float>)
BANYAN_FIELDS_FOR(std::vector<double>)
BANYAN_FIELDS_FOR(std::vector<std::string>)
#undef BANYAN_FIELDS_FOR

}  // namespace banyan
