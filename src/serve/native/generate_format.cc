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
      choice.logprob_text = choice.prompt_logprob_text = {};
    } else {
      choice.text += update.text;
      choice.tokens.insert(choice.tokens.end(), update.tokens.begin(), update.tokens.end());
    }
    // Every event of a stream that is not incremental has all so far: written once, and copied.
    Append(choice.prompt_logprob_text, choice, update.prompt_logprobs);
    Append(choice.logprob_text, choice, update.logprobs);
    out += "data: ";
    WriteChoice(out, choice, choice.prompt_logprob_text, choice.logprob_text, info_.batch);
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
    if (info_.batch) out += '[';
    for (const Choice& choice : choices) {
      if (choice.index > 0) out += ',';
      LogprobText prompt, output;
      Append(prompt, choice, choice.prompt_logprobs);
      Append(output, choice, choice.logprobs);
      WriteChoice(out, choice, prompt, output, false);
    }
    if (info_.batch) out += ']';
    return out;
  }

 private:
  const LogprobParams& Wanted(const Choice& choice) const {
    return info_.per_prompt[static_cast<std::size_t>(choice.prompt)];
  }

  void WriteChoice(std::string& out, const Choice& choice, const LogprobText& prompt,
                   const LogprobText& output, bool with_index) {
    JsonWriter json(out);
    json.Begin('{');
    if (info_.tokenizer != nullptr) json.Field("text", choice.text);
    json.Key("output_ids").Begin('[');
    for (TokenId id : choice.tokens) json.Value(id);
    json.End(']').Key("meta_info").Begin('{').Field("id", choice.rid);
    WriteFinish(json, choice);
    json.Field("prompt_tokens", choice.prompt_tokens);
    json.Field("weight_version", info_.weight_version);
    // The name since SGLang 0.5.14, and the one before.
    json.Field("num_retractions", choice.retractions);
    json.Field("total_retractions", choice.retractions);
    if (Wanted(choice).enabled) WriteLogprobs(json, Wanted(choice), prompt, output);
    json.Field("reasoning_tokens", 0).Field("completion_tokens", choice.completion_tokens);
    json.Field("cached_tokens", choice.cached_tokens).Field("dp_rank", choice.dp_rank);
    if (info_.cache_report) WriteCacheDetails(json, choice, true);
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
        json.Field("message", finish.status.ok() ? "Aborted" : Message(finish.status));
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
    info_.text_in_logprobs&& info_.tokenizer != nullptr
        ? json.Value(TokenText(info_.tokenizer.get(), id))
        : json.Null();
    json.End(']');
  }

  // One entry for each of `list`, added to what is there.
  void Append(LogprobText& text, const Choice& choice, const std::vector<TokenLogprob>& list) {
    const LogprobParams& wanted = Wanted(choice);
    JsonWriter tokens(text.tokens), tops(text.tops), of_ids(text.of_ids);
    for (const TokenLogprob& token : list) {
      WriteEntry(tokens, token.logprob, token.id);
      if (wanted.top_n > 0) {
        WriteList(tops, token, [&] {
          for (const auto& [logprob, id] : token.top) WriteEntry(tops, logprob, id);
        });
      }
      if (!wanted.token_ids.empty()) {
        WriteList(of_ids, token, [&] {
          for (std::size_t i = 0; i < token.of_ids.size(); ++i)
            WriteEntry(of_ids, token.of_ids[i], wanted.token_ids[i]);
        });
      }
    }
  }

  // Null for a token that has no log-probability: the first of a prompt.
  template <typename F>
  static void WriteList(JsonWriter& json, const TokenLogprob& token, F&& entries) {
    if (!token.logprob) {
      json.Null();
      return;
    }
    json.Begin('[');
    entries();
    json.End(']');
  }

  static void WriteLogprobs(JsonWriter& json, const LogprobParams& wanted,
                            const LogprobText& prompt, const LogprobText& output) {
    const auto write = [&](std::string_view key, const std::string& list) {
      json.Key(key).Begin('[');
      if (!list.empty()) json.Raw(list);
      json.End(']');
    };
    write("input_token_logprobs", prompt.tokens);
    write("output_token_logprobs", output.tokens);
    if (wanted.top_n > 0) {
      write("input_top_logprobs", prompt.tops);
      write("output_top_logprobs", output.tops);
    }
    if (!wanted.token_ids.empty()) {
      write("input_token_ids_logprobs", prompt.of_ids);
      write("output_token_ids_logprobs", output.of_ids);
    }
  }

  GenerateReplyInfo info_;
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeGenerateFormat(GenerateReplyInfo info) {
  return std::make_unique<GenerateFormat>(std::move(info));
}

}  // namespace banyan::serve
