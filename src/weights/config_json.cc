// SPDX-License-Identifier: Apache-2.0
#include "weights/config_json.h"

#include "weights/ternary.h"

namespace banyan::weights {
namespace {

std::string ReplacePythonFloats(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_string) {
      in_string = text[i] != '"';
      if (text[i] == '\\' && i + 1 < text.size()) out += text[i++];
      out += text[i];
      continue;
    }
    in_string = text[i] == '"';
    bool replaced = false;
    if (text[i] == 'N' || text[i] == 'I' || text[i] == '-') {
      for (std::string_view name : {"NaN", "Infinity", "-Infinity"}) {
        if (!text.substr(i).starts_with(name)) continue;
        out += fmt::format(R"({{"__float__": "{}"}})", name);
        i += name.size() - 1;
        replaced = true;
        break;
      }
    }
    if (!replaced) out += text[i];
  }
  return out;
}

}  // namespace

StatusOr<json::object> ParseConfigJson(std::string_view text, const std::string& where) {
  return ParseJsonObject(ReplacePythonFloats(text), where);
}

Status CheckQuantization(const json::object& config, const std::string& where) {
  for (std::string_view key : {"quantization_config", "compression_config"}) {
    const json::value* value = config.if_contains(json::string_view(key.data(), key.size()));
    if (value == nullptr || value->is_null()) continue;
    if (value->is_object() && value->get_object().empty()) continue;
    if (value->is_object()) {
      BANYAN_ASSIGN_OR_RETURN(const TernaryForm form, ReadTernary(value->get_object(), where));
      if (form != TernaryForm::kNone && key == "quantization_config") continue;
    }
    std::string method = "of an unnamed method";
    if (value->is_object()) {
      if (const json::value* name = value->get_object().if_contains("quant_method");
          name != nullptr && name->is_string())
        method = fmt::format("of method '{}'", View(name->get_string()));
    }
    return Unimplemented("{}: has a {} {}, which has no implementation", where, key, method);
  }
  return OkStatus();
}

}  // namespace banyan::weights
