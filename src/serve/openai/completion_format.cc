// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "serve/openai/format_parts.h"
#include "serve/openai/text_offsets.h"
#include "serve/token_text.h"

namespace banyan::serve {
namespace {

class CompletionFormat final : public ReplyFormat {
 public:
  CompletionFormat(OpenAiReplyInfo info, std::vector<std::string> echo,
                   std::vector<std::vector<TokenId>> prompt_ends)
      : info_(std::move(info)), echo_(std::move(echo)), prompt_ends_(std::move(prompt_ends)) {}

  void AppendUpdate(std::string& out, Choice& choice, GenerateUpdate& update) override {
    std::string_view text = update.text;
    std::string with_prompt;
    const bool first = !choice.started;
    if (first && !echo_.empty()) {
      with_prompt = echo_[static_cast<std::size_t>(choice.prompt)] + update.text;
      text = with_prompt;
    }
    const bool tokens = info_.logprobs && (!update.logprobs.empty() ||
                                           (!echo_.empty() && !update.prompt_logprobs.empty()));
    if (text.empty() && !tokens && !choice.finish) return;
    const EventFrame& frame = Frame(choice.index);
    if (!tokens && !choice.finish) {
      frame.Append(out, text);
    } else {
      out += frame.before;
      AppendJsonEscaped(out, text);
      out += R"(","logprobs":)";
      JsonWriter json(out);
      if (tokens) {
        WriteLogprobs(json, echo_.empty() ? std::vector<TokenLogprob>{} : update.prompt_logprobs,
                      update.logprobs, Offsets(choice));
      } else {
        out += "null";
      }
      if (choice.finish) {
        json.Field("finish_reason", FinishName(*choice.finish));
        WriteMatchedStop(json, *choice.finish);
      } else {
        json.Key("finish_reason").Null().Key("matched_stop").Null();
      }
      out += "}]";
    }
    if (info_.continuous_usage) {
      out += R"(,"usage":)";
      JsonWriter json(out);
      WriteUsage(json, choice);
    } else if (info_.include_usage) {
      out += R"(,"usage":null)";
    }
    out += "}\n\n";
  }

  void AppendEnd(std::string& out, const std::vector<Choice>& choices) override {
    if (!info_.include_usage && !info_.cache_details) return;
    out += "data: ";
    JsonWriter json(out);
    BeginReply(json, info_, kObject);
    json.Key("choices").Begin('[').End(']').Key("usage");
    info_.include_usage ? WriteUsage(json, choices, info_.n) : void(json.Null());
    WriteExtension(json, info_, choices);
    out += "}\n\n";
  }

  std::string Whole(const std::vector<Choice>& choices) override {
    std::string out;
    JsonWriter json(out);
    BeginReply(json, info_, kObject);
    json.Key("choices").Begin('[');
    for (const Choice& choice : choices) {
      json.Begin('{').Field("index", choice.index);
      json.Field("text", echo_.empty()
                             ? choice.text
                             : echo_[static_cast<std::size_t>(choice.prompt)] + choice.text);
      json.Key("logprobs");
      if (info_.logprobs) {
        WriteLogprobs(json, echo_.empty() ? std::vector<TokenLogprob>{} : choice.prompt_logprobs,
                      choice.logprobs, Offsets(choice));
      } else {
        json.Null();
      }
      json.Field("finish_reason", FinishName(*choice.finish));
      WriteMatchedStop(json, *choice.finish);
      json.End('}');
    }
    json.End(']').Key("usage");
    WriteUsage(json, choices, info_.n);
    WriteExtension(json, info_, choices);
    json.Key("metadata").Begin('{').Field("weight_version", info_.weight_version).End('}');
    json.End('}');
    return out;
  }

 private:
  static constexpr std::string_view kObject = "text_completion";

  const EventFrame& Frame(int index) {
    while (frames_.size() <= static_cast<std::size_t>(index)) {
      frames_.emplace_back(info_, kObject, static_cast<int>(frames_.size()), R"("text":")",
                           R"(","logprobs":null,"finish_reason":null,"matched_stop":null)");
    }
    return frames_[static_cast<std::size_t>(index)];
  }

  TextOffsets* Offsets(const Choice& choice) {
    if (info_.tokenizer == nullptr) return nullptr;
    const auto found = offsets_.find(choice.index);
    if (found != offsets_.end()) return &found->second;
    const auto prompt = static_cast<std::size_t>(choice.prompt);
    return &offsets_
                .try_emplace(choice.index, info_.tokenizer, info_.skip_special_tokens,
                             prompt_ends_[prompt], echo_.empty() ? std::string() : echo_[prompt])
                .first->second;
  }

  // The prompt's tokens, then the output's, as one list. Without a tokenizer there is no text, and
  // there are no offsets.
  void WriteLogprobs(JsonWriter& json, const std::vector<TokenLogprob>& prompt,
                     const std::vector<TokenLogprob>& output, TextOffsets* offsets) {
    const text::Tokenizer* tokenizer = info_.tokenizer.get();
    auto each = [&](auto&& write) {
      for (const TokenLogprob& token : prompt) write(token);
      for (const TokenLogprob& token : output) write(token);
    };
    json.Begin('{').Key("tokens").Begin('[');
    each([&](const TokenLogprob& token) { json.Value(TokenKey(tokenizer, token.id)); });
    json.End(']').Key("token_logprobs").Begin('[');
    each([&](const TokenLogprob& token) {
      token.logprob ? json.Value(*token.logprob) : json.Null();
    });
    json.End(']').Key("top_logprobs");
    if (info_.top_logprobs == 0) {
      json.Null();
    } else {
      json.Begin('[');
      each([&](const TokenLogprob& token) {
        if (!token.logprob) {
          json.Null();
          return;
        }
        json.Begin('{');
        for (const auto& [logprob, id] : token.top) json.Field(TokenKey(tokenizer, id), logprob);
        json.End('}');
      });
      json.End(']');
    }
    json.Key("text_offset").Begin('[');
    for (const TokenLogprob& token : prompt) json.Value(offsets ? offsets->OfPrompt(token.id) : 0);
    for (const TokenLogprob& token : output) json.Value(offsets ? offsets->OfOutput(token.id) : 0);
    json.End(']').End('}');
  }

  OpenAiReplyInfo info_;
  std::vector<std::string> echo_;
  std::vector<EventFrame> frames_;
  std::vector<std::vector<TokenId>> prompt_ends_;
  std::map<int, TextOffsets> offsets_;  // by choice
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeCompletionFormat(OpenAiReplyInfo info,
                                                  std::vector<std::string> echo,
                                                  std::vector<std::vector<TokenId>> prompt_ends) {
  return std::make_unique<CompletionFormat>(std::move(info), std::move(echo),
                                            std::move(prompt_ends));
}

}  // namespace banyan::serve
