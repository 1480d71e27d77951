// SPDX-License-Identifier: Apache-2.0
// tokenize: JSON lines {text} to {ids}.
#include <memory>

#include "app/command.h"
#include "app/json_lines.h"
#include "base/fields.h"
#include "engine/text_model.h"

namespace banyan {
namespace {

struct TokenizeOptions {
  std::string model;
  bool no_specials = false;
};

Status RunTokenize(const TokenizeOptions& options) {
  BANYAN_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(options.model));
  return RunJsonLines([&](const JsonLine& line) -> StatusOr<json::object> {
    Fields fields(line.object, "the line");
    const auto text = fields.Required<std::string>("text");
    BANYAN_RETURN_IF_ERROR(fields.status());
    BANYAN_ASSIGN_OR_RETURN(auto ids, tokenizer->Encode(text, !options.no_specials));
    return json::object{{"ids", json::array(ids.begin(), ids.end())}};
  });
}

}  // namespace

void RegisterTokenize(Commands& commands) {
  commands.push_back({"tokenize", "text to token ids, JSON lines in and out",
                      [](CLI::App& app) -> std::function<Status()> {
                        auto options = std::make_shared<TokenizeOptions>();
                        app.add_option("--model,--model-path", options->model,
                                       "folder with a tokenizer, or .gguf file")
                            ->required();
                        app.add_flag("--no-specials", options->no_specials,
                                     "add no BOS or EOS; special tokens in the text still match");
                        return [options] { return RunTokenize(*options); };
                      }});
}

}  // namespace banyan
