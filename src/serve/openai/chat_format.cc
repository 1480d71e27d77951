// SPDX-License-Identifier: Apache-2.0
#include "serve/openai/format_parts.h"
#include "serve/token_text.h"

namespace banyan::serve {
namespace {

class ChatFormat final : public ReplyFormat {
 public:
  explicit ChatFormat(OpenAiReplyInfo info) : info_(std::move(info)) {}

  void AppendUpdate(std::string& out, Choice& choice, GenerateUpdate& update) override {
    const EventFrame& frame = Frame(choice.index);
    if (!choice.started) {
      Begin(out, choice.index);
      out += R"("delta":{"role":"assistant","content":"","reasoning_content":null},)"
             R"("logprobs":null,"finish_reason":null,"matched_stop":null)";
      Close(out, choice);
    }
    if (info_.logprobs && !update.logprobs.empty()) {
      Begin(out, choice.index);
      out += R"("delta":{"content":)";
      AppendJsonString(out, update.text);
      out += R"(,"reasoning_content":null},"logprobs":)";
      WriteLogprobs(out, update.logprobs);
      out += R"(,"finish_reason":null,"matched_stop":null)";
      Close(out, choice);
    } else if (!update.text.empty()) {
      frame.Append(out, update.text);
      CloseEvent(out, choice);
    }
    if (choice.finish) {
      Begin(out, choice.index);
      out += R"("delta":{"reasoning_content":null},"logprobs":null)";
      JsonWriter json(out);
      json.Field("finish_reason", FinishName(*choice.finish));
      WriteMatchedStop(json, *choice.finish);
      Close(out, choice);
    }
  }

  void AppendEnd(std::string& out, const std::vector<Choice>& choices) override {
    if (!info_.include_usage && !info_.cache_details) return;
    out += "data: ";
    JsonWriter json(out);
    BeginReply(json, info_, kChunk);
    json.Key("choices").Begin('[').End(']').Key("usage");
    info_.include_usage ? WriteUsage(json, choices, info_.n) : void(json.Null());
    WriteExtension(json, info_, choices);
    out += "}\n\n";
  }

  std::string Whole(const std::vector<Choice>& choices) override {
    std::string out;
    JsonWriter json(out);
    BeginReply(json, info_, "chat.completion");
    json.Key("choices").Begin('[');
    for (const Choice& choice : choices) {
      json.Begin('{').Field("index", choice.index);
      json.Key("message").Begin('{').Field("role", "assistant").Field("content", choice.text);
      json.Key("refusal").Null().Key("reasoning_content").Null().Key("tool_calls").Null().End('}');
      json.Key("logprobs");
      info_.logprobs ? WriteLogprobs(out, choice.logprobs) : void(json.Null());
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
  static constexpr std::string_view kChunk = "chat.completion.chunk";

  // The event of a delta with text only: the one that is written at every token. Fields that
  // OpenAI's client does not know are there when null too, as from SGLang: it would raise an error
  // where they are asked for.
  const EventFrame& Frame(int index) {
    while (frames_.size() <= static_cast<std::size_t>(index)) {
      frames_.emplace_back(info_, kChunk, static_cast<int>(frames_.size()),
                           R"("delta":{"content":")",
                           R"(","reasoning_content":null},"logprobs":null,)"
                           R"("finish_reason":null,"matched_stop":null)");
    }
    return frames_[static_cast<std::size_t>(index)];
  }

  // Up to the comma after "index".
  void Begin(std::string& out, int index) {
    std::string_view before = Frame(index).before;
    before.remove_suffix(std::string_view(R"("delta":{"content":")").size());
    out += before;
  }

  void Close(std::string& out, const Choice& choice) {
    out += "}]";
    CloseEvent(out, choice);
  }

  void CloseEvent(std::string& out, const Choice& choice) {
    if (info_.continuous_usage) {
      out += R"(,"usage":)";
      JsonWriter json(out);
      WriteUsage(json, choice);
    } else if (info_.include_usage) {
      out += R"(,"usage":null)";
    }
    out += "}\n\n";
  }

  void WriteToken(JsonWriter& json, std::string& out, TokenId id, float logprob) {
    const text::Tokenizer* tokenizer = info_.tokenizer.get();
    json.Begin('{').Field("token", TokenText(tokenizer, id)).Field("logprob", logprob);
    json.Key("bytes");
    if (tokenizer == nullptr) {
      json.Null();
    } else {
      AppendBytes(out, tokenizer->TokenBytes(id));
    }
  }

  void WriteLogprobs(std::string& out, const std::vector<TokenLogprob>& tokens) {
    JsonWriter json(out);
    out += R"({"content":[)";
    for (const TokenLogprob& token : tokens) {
      WriteToken(json, out, token.id, token.logprob.value_or(0));
      json.Key("top_logprobs").Begin('[');
      for (const auto& [logprob, id] : token.top) {
        WriteToken(json, out, id, logprob);
        json.End('}');
      }
      json.End(']').End('}');
    }
    out += R"(],"refusal":null})";
  }

  OpenAiReplyInfo info_;
  std::vector<EventFrame> frames_;
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeChatFormat(OpenAiReplyInfo info) {
  return std::make_unique<ChatFormat>(std::move(info));
}

}  // namespace banyan::serve
