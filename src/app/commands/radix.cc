// SPDX-License-Identifier: Apache-2.0
// banyan radix: the prefix tree by itself, for scripts and tests. JSON lines {tokens, key} in,
// {match, total} out: match, then insert, on a tree of unlimited size.
#include <memory>

#include "app/command.h"
#include "app/json_lines.h"
#include "base/fields.h"
#include "cache/prefix_tree.h"

namespace banyan {
namespace {

StatusOr<json::object> Answer(PrefixTree& tree, const JsonLine& line) {
  Fields fields(line.object, "line");
  const auto tokens = fields.Required<std::vector<int>>("tokens");
  // Any JSON value may be a key; its text tells them apart. No key is a key of its own.
  const json::value* key = fields.Raw("key");
  const std::string name = key != nullptr ? json::serialize(*key) : "";
  BANYAN_RETURN_IF_ERROR(fields.status());
  for (const std::string& unread : fields.Unread()) {
    // Recorded files carry what they expect beside the input.
    if (!unread.starts_with("expect")) return InvalidArgument("line: unknown key '{}'", unread);
  }
  json::object answer;
  answer["match"] = tree.Insert(name, tokens);
  answer["total"] = tree.num_tokens();
  return answer;
}

}  // namespace

void RegisterRadix(Commands& commands) {
  commands.push_back({"radix", "match and insert token sequences in a prefix tree (JSON lines)",
                      [](CLI::App& app) -> std::function<Status()> {
                        auto page_size = std::make_shared<int>(1);
                        app.add_option("--page", *page_size, "tokens per page")
                            ->check(CLI::Range(1, 1 << 20))
                            ->capture_default_str();
                        return [page_size] {
                          PrefixTree tree({}, {}, *page_size, EvictionPolicy::kLru);
                          return RunJsonLines(
                              [&](const JsonLine& line) { return Answer(tree, line); });
                        };
                      }});
}

}  // namespace banyan
