// SPDX-License-Identifier: Apache-2.0
#include "app/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <set>

namespace banyan {
namespace {

// yaml-cpp and the stream below it (of a folder, say) report by exceptions; none leaves this file.
StatusOr<std::vector<std::string>> ReadFlags(
    const std::string& path, const std::function<bool(const std::string&)>& one_value) {
  std::vector<std::string> flags;
  std::set<std::string> names;
  try {
    const YAML::Node file = YAML::LoadFile(path);
    if (file.IsNull()) return flags;
    if (!file.IsMap()) return InvalidArgument("{}: expected keys and values", path);
    for (const auto& item : file) {
      if (!item.first.IsScalar()) return InvalidArgument("{}: a key is not a name", path);
      std::string name = item.first.Scalar();
      std::replace(name.begin(), name.end(), '_', '-');
      if (name.starts_with('-'))
        return InvalidArgument("{}: write '{}' without dashes", path, name);
      if (!names.insert(name).second) return InvalidArgument("{}: '{}' is given twice", path, name);
      const std::string flag = "--" + name;
      const YAML::Node& value = item.second;
      if (name == "config") return InvalidArgument("{}: a config file cannot name another", path);
      if (value.IsNull())
        return InvalidArgument("{}: '{}' has no value: write true for a switch, or leave it out",
                               path, name);
      if (value.IsScalar()) {
        flags.push_back(flag + "=" + value.Scalar());
      } else if (value.IsSequence()) {
        if (one_value(flag)) return InvalidArgument("{}: '{}' takes no list", path, name);
        for (const YAML::Node& part : value) {
          if (!part.IsScalar()) return InvalidArgument("{}: '{}' holds a nested value", path, name);
          flags.push_back(flag + "=" + part.Scalar());
        }
      } else {
        return InvalidArgument("{}: '{}' is neither a value nor a list", path, name);
      }
    }
  } catch (const YAML::BadFile&) {
    return NotFound("--config: cannot read {}", path);
  } catch (const std::exception& error) {
    return InvalidArgument("{}: {}", path, error.what());
  }
  return flags;
}

}  // namespace

StatusOr<std::vector<std::string>> ExpandConfigFile(
    std::vector<std::string> args, const std::function<bool(const std::string&)>& one_value) {
  constexpr std::string_view kName = "--config";
  std::vector<std::string> out, rest;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const bool with_value = args[i].starts_with("--config=");
    if (args[i] != kName && !with_value) {
      rest.push_back(std::move(args[i]));
      continue;
    }
    if (!with_value && i + 1 == args.size()) return InvalidArgument("--config needs a file");
    BANYAN_ASSIGN_OR_RETURN(
        std::vector<std::string> flags,
        ReadFlags(with_value ? args[i].substr(kName.size() + 1) : args[++i], one_value));
    out.insert(out.end(), flags.begin(), flags.end());
  }
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

}  // namespace banyan
