// SPDX-License-Identifier: Apache-2.0
#include "serve/native/generate_format.h"

#include "serve/openai/format_parts.h"
#include "serve/token_text.h"

namespace banyan::serve {
namespace {

class GenerateFormat final : public ReplyFormat {
 public:
  explicit GenerateFormat(GenerateReplyInfo info) : info_(std::move(info)) {}

  void AppendUpdate(std::string& out, Choice& choice, GenerateUpdate& update) override {
    if (info_.incremental) {
      choice.text = std::move(update.text);
      choice.tokens = std::move(update.tokens);
      choice.logprobs = std::move(update.logprobs);
      choice.prompt_logprobs = std::move(update.prompt_logprobs);
    } else {
      choice.text += update.text;
      choice.tokens.insert(choice.tokens.end(), update.tokens.begin(), update.tokens.end());
      choice.logprobs.insert(choice.logprobs.end(), update.logprobs.begin(), update.logprobs.end());
      if (!update.prompt_logprobs.empty())
        choice.prompt_logprobs = std::move(update.prompt_logprobs);
    }
    out += "data: ";
    WriteChoice(out, choice, info_.batch);
    out += "\n\n";
  }

  void AppendEnd(std::string&, const std::vector<Choice>&) override {}

  // SGLang's form: an event like any other for each sample that has not ended, its reason "abort".
  void AppendFailure(std::string& out, std::vector<Choice>& choices,
                     const Status& status) override {
    for (Choice& choice : choices) {
      if (choice.finish) continue;
      choice.finish = FinishReason{.kind = FinishReason::Kind::kAbort, .status = status};
      GenerateUpdate nothing;
      AppendUpdate(out, choice, nothing);
    }
  }

  std::string Whole(const std::vector<Choice>& choices) override {
    std::string out;
    if (!info_.batch) {
      WriteChoice(out, choices[0], false);
      return out;
    }
    out += '[';
    for (const Choice& choice : choices) {
      if (choice.index > 0) out += ',';
      WriteChoice(out, choice, false);
    }
    out += ']';
    return out;
  }

 private:
  void WriteChoice(std::string& out, const Choice& choice, bool with_index) {
    JsonWriter json(out);
    json.Begin('{').Field("text", choice.text).Key("output_ids").Begin('[');
    for (TokenId id : choice.tokens) json.Value(id);
    json.End(']').Key("meta_info").Begin('{').Field("id", choice.rid);
    WriteFinish(json, choice);
    json.Field("prompt_tokens", choice.prompt_tokens);
    json.Field("weight_version", info_.weight_version);
    json.Field("total_retractions", choice.retractions);
    const LogprobParams& wanted = info_.per_prompt[static_cast<std::size_t>(choice.prompt)];
    if (wanted.enabled) WriteLogprobs(json, choice, wanted);
    json.Field("completion_tokens", choice.completion_tokens);
    json.Field("cached_tokens", choice.cached_tokens);
    if (info_.cache_report) WriteCacheDetails(json, choice);
    if (choice.finish) {
      const std::chrono::duration<double> latency = std::chrono::steady_clock::now() - info_.began;
      json.Field("e2e_latency", latency.count());
    }
    json.End('}');
    if (with_index) json.Field("index", choice.index);
    json.End('}');
  }

  static void WriteFinish(JsonWriter& json, const Choice& choice) {
    json.Key("finish_reason");
    if (!choice.finish) {
      json.Null();
      return;
    }
    const FinishReason& finish = *choice.finish;
    json.Begin('{').Field("type", FinishName(finish));
    switch (finish.kind) {
      case FinishReason::Kind::kStop:
        json.Key("matched");
        if (!finish.stop_string.empty()) {
          json.Value(finish.stop_string);
        } else {
          json.Value(finish.stop_token);
        }
        break;
      case FinishReason::Kind::kLength:
        json.Field("length", choice.completion_tokens);
        break;
      case FinishReason::Kind::kAbort:
        json.Field("message", finish.status.ok() ? "Abort" : Message(finish.status));
        json.Key("status_code");
        if (finish.status.ok() || finish.status.code() == StatusCode::kCancelled) {
          json.Null();
        } else {
          json.Value(HttpStatus(finish.status));
        }
        json.Key("err_type").Null();
        break;
    }
    json.End('}');
  }

  // [logprob, id, text or null]
  void WriteEntry(JsonWriter& json, std::optional<float> logprob, TokenId id) {
    json.Begin('[');
    logprob ? json.Value(*logprob) : json.Null();
    json.Value(id);
    info_.text_in_logprobs ? json.Value(TokenText(info_.tokenizer.get(), id)) : json.Null();
    json.End(']');
  }

  void WriteLogprobs(JsonWriter& json, const Choice& choice, const LogprobParams& wanted) {
    auto tokens = [&](std::string_view key, const std::vector<TokenLogprob>& list) {
      json.Key(key).Begin('[');
      for (const TokenLogprob& token : list) WriteEntry(json, token.logprob, token.id);
      json.End(']');
    };
    auto tops = [&](std::string_view key, const std::vector<TokenLogprob>& list) {
      json.Key(key).Begin('[');
      for (const TokenLogprob& token : list) {
        if (!token.logprob) {
          json.Null();
          continue;
        }
        json.Begin('[');
        for (const auto& [logprob, id] : token.top) WriteEntry(json, logprob, id);
        json.End(']');
      }
      json.End(']');
    };
    auto given = [&](std::string_view key, const std::vector<TokenLogprob>& list) {
      json.Key(key).Begin('[');
      for (const TokenLogprob& token : list) {
        if (!token.logprob) {
          json.Null();
          continue;
        }
        json.Begin('[');
        for (std::size_t i = 0; i < token.of_ids.size(); ++i)
          WriteEntry(json, token.of_ids[i], wanted.token_ids[i]);
        json.End(']');
      }
      json.End(']');
    };
    tokens("input_token_logprobs", choice.prompt_logprobs);
    tokens("output_token_logprobs", choice.logprobs);
    if (wanted.top_n > 0) {
      tops("input_top_logprobs", choice.prompt_logprobs);
      tops("output_top_logprobs", choice.logprobs);
    }
    if (!wanted.token_ids.empty()) {
      given("input_token_ids_logprobs", choice.prompt_logprobs);
      given("output_token_ids_logprobs", choice.logprobs);
    }
  }

  GenerateReplyInfo info_;
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeGenerateFormat(GenerateReplyInfo info) {
  return std::make_unique<GenerateFormat>(std::move(info));
}

}  // namespace banyan::serve
