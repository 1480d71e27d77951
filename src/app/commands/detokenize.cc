// SPDX-License-Identifier: Apache-2.0
// detokenize: JSON lines {ids} to {text, pieces}; pieces are the parts as they would stream.
#include <memory>

#include "app/command.h"
#include "app/json_lines.h"
#include "base/fields.h"
#include "engine/text_model.h"
#include "text/detokenizer.h"

namespace banyan {
namespace {

struct DetokenizeOptions {
  std::string model;
  bool skip_special = false;
};

Status RunDetokenize(const DetokenizeOptions& options) {
  BANYAN_ASSIGN_OR_RETURN(auto tokenizer, LoadTokenizer(options.model));
  return RunJsonLines([&](const JsonLine& line) -> StatusOr<json::object> {
    Fields fields(line.object, "the line");
    const auto ids = fields.Required<std::vector<int>>("ids");
    BANYAN_RETURN_IF_ERROR(fields.status());
    BANYAN_ASSIGN_OR_RETURN(std::string text, tokenizer->Decode(ids, options.skip_special));
    text::Detokenizer detokenizer(tokenizer, options.skip_special);
    json::array pieces;
    for (int id : ids) {
      std::string piece = detokenizer.Push(id);
      if (!piece.empty()) pieces.emplace_back(piece);
    }
    std::string rest = detokenizer.Finish();
    if (!rest.empty()) pieces.emplace_back(rest);
    return json::object{{"text", text}, {"pieces", std::move(pieces)}};
  });
}

}  // namespace

void RegisterDetokenize(Commands& commands) {
  commands.push_back(
      {"detokenize", "token ids to text, whole and as it would stream, JSON lines in and out",
       [](CLI::App& app) -> std::function<Status()> {
         auto options = std::make_shared<DetokenizeOptions>();
         app.add_option("--model,--model-path", options->model,
                        "folder with a tokenizer, or .gguf file")
             ->required();
         app.add_flag("--skip-special", options->skip_special, "leave special tokens out");
         return [options] { return RunDetokenize(*options); };
       }});
}

}  // namespace banyan
