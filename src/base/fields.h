// SPDX-License-Identifier: Apache-2.0
// Reads the keys of a JSON object (a model's config, a request's body) so that nothing is defaulted
// or ignored in silence: a mandatory key that is missing, a value of the wrong type or out of range
// is remembered as an error that names the key, and the keys nobody asked for can be listed.
//
//   Fields fields(object, "config.json");
//   int layers = fields.Required<int>("num_hidden_layers", Range{1, 1024});
//   bool tied  = fields.Optional<bool>("tie_word_embeddings", false);
//   BANYAN_RETURN_IF_ERROR(fields.status());
//
// Getters return a harmless value after an error, so that one check at the end is enough. JSON null
// counts as absent. Not thread-safe. Borrows the object and the keys' text (literals, mostly),
// which must outlive it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace banyan {

struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

class Fields {
 public:
  // `where` names the object in errors ("config.json", "config.json: rope_parameters", "request").
  Fields(const json::object& object, std::string_view where)
      : object_(&object), where_(where), seen_(object.size()) {}

  // T: bool, int, int64_t, uint64_t, float, double, std::string, std::vector of those,
  // json::object.
  template <typename T>
  T Required(std::string_view key, Range range = {});
  template <typename T>
  T Optional(std::string_view key, T fallback, Range range = {});
  template <typename T>
  std::optional<T> Maybe(std::string_view key, Range range = {});

  // The first of `keys` that is present: a config key under its old and its new name.
  template <typename T>
  std::optional<T> MaybeAny(std::initializer_list<std::string_view> keys, Range range = {});

  bool Has(std::string_view key) const;                       // present and not null
  const json::value* Raw(std::string_view key);               // null when absent; counts as read
  void Ignore(std::initializer_list<std::string_view> keys);  // known, and of no effect here

  // Remembers an error of the caller's own about `key`.
  void Fail(std::string_view key, std::string_view problem);

  std::vector<std::string> Unread() const;  // keys that nobody asked for, in the object's order
  std::vector<std::string> Read() const;    // keys that were asked for, sorted: what is known
  const Status& status() const { return status_; }
  const std::string& where() const { return where_; }
  const json::object& object() const { return *object_; }

 private:
  // The value at `key`, null when absent; remembers that it was asked for.
  const json::value* Find(std::string_view key);

  const json::object* object_;
  std::string where_;
  std::vector<bool> seen_;               // per item of the object, in its order
  std::vector<std::string_view> asked_;  // keys, as often as they were asked for
  Status status_;
};

}  // namespace banyan
