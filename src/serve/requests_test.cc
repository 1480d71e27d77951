// SPDX-License-Identifier: Apache-2.0
// What the request bodies accept and refuse, field by field.
#include "serve/openai/requests.h"

#include <gtest/gtest.h>

#include <set>

#include "serve/chat_prompt.h"
#include "serve/errors.h"
#include "serve/native/generate_request.h"
#include "serve/request_fields.h"

namespace banyan::serve {
namespace {

json::object Parse(std::string_view text) {
  auto object = ParseJsonObject(text, "test");
  EXPECT_TRUE(object.ok()) << object.status() << text;
  return object.ok() ? *std::move(object) : json::object();
}

std::string WithMessages(std::string_view more) {
  return R"({"messages":[{"role":"user","content":"hi"}])" +
         (more.empty() ? "}" : "," + std::string(more) + "}");
}

StatusOr<ChatRequest> Chat(std::string_view more, const OpenAiDefaults& defaults = {}) {
  return ParseChatRequest(Parse(WithMessages(more)), defaults);
}
StatusOr<CompletionRequest> Completion(std::string_view more) {
  return ParseCompletionRequest(
      Parse(R"({"prompt":"hi")" + (more.empty() ? "}" : "," + std::string(more) + "}")), {});
}
StatusOr<GenerateBody> Generate(std::string_view text) {
  return ParseGenerateBody(Parse(text), {});
}

TEST(ChatRequest, Defaults) {
  OpenAiDefaults defaults;
  defaults.sampling.temperature = 0.6f;
  const auto request = Chat("", defaults);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_FLOAT_EQ(request->options.sampling.temperature, 0.6f);
  EXPECT_EQ(request->options.sampling.max_new_tokens, std::nullopt);
  EXPECT_EQ(request->options.sampling.n, 1);
  EXPECT_FALSE(request->options.stream);
  EXPECT_FALSE(request->options.logprobs);
}

TEST(ChatRequest, EveryFieldThatIsDone) {
  const auto request = Chat(R"("model":"m","temperature":0,"top_p":0.5,"top_k":4,"min_p":0.1,
    "frequency_penalty":1,"presence_penalty":-1,"repetition_penalty":1.5,"max_tokens":5,
    "max_completion_tokens":7,"min_tokens":2,"stop":["a","b"],"stop_token_ids":[1,2],
    "ignore_eos":true,"no_stop_trim":true,"skip_special_tokens":false,"logit_bias":{"3":-1.5},
    "seed":-4,"n":3,"logprobs":true,"top_logprobs":2,"stream":true,
    "stream_options":{"include_usage":true,"continuous_usage_stats":true},"rid":"r",
    "cache_salt":"s","extra_key":"k","priority":-2,"user":"u","reasoning_effort":"none",
    "chat_template_kwargs":{"x":1})");
  ASSERT_TRUE(request.ok()) << request.status();
  const OpenAiOptions& options = request->options;
  const SamplingParams& sampling = options.sampling;
  EXPECT_EQ(options.model, "m");
  EXPECT_EQ(sampling.temperature, 0);
  EXPECT_FLOAT_EQ(sampling.top_p, 0.5f);
  EXPECT_EQ(sampling.top_k, 4);
  EXPECT_FLOAT_EQ(sampling.min_p, 0.1f);
  EXPECT_EQ(sampling.frequency_penalty, 1);
  EXPECT_EQ(sampling.presence_penalty, -1);
  EXPECT_FLOAT_EQ(sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(sampling.max_new_tokens, 7);
  EXPECT_EQ(sampling.min_new_tokens, 2);
  EXPECT_EQ(sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sampling.stop_token_ids, (std::vector<TokenId>{1, 2}));
  EXPECT_TRUE(sampling.ignore_eos);
  EXPECT_TRUE(sampling.no_stop_trim);
  EXPECT_FALSE(sampling.skip_special_tokens);
  ASSERT_EQ(sampling.logit_bias.size(), 1u);
  EXPECT_EQ(sampling.logit_bias[0], (std::pair<TokenId, float>{3, -1.5f}));
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-4));
  EXPECT_EQ(sampling.n, 3);
  EXPECT_TRUE(options.logprobs);
  EXPECT_EQ(options.top_logprobs, 2);
  EXPECT_TRUE(options.stream && options.include_usage && options.continuous_usage);
  EXPECT_EQ(options.rids, std::vector<std::string>{"r"});
  EXPECT_EQ(options.extra_keys.size(), 1u);
  EXPECT_EQ(options.priority, -2);
  EXPECT_EQ(json::serialize(request->chat.template_kwargs),
            R"({"x":1,"reasoning_effort":"none","thinking":false,"enable_thinking":false})");
}

// One alone is the key; two pairs that read the same when joined are two keys.
TEST(ChatRequest, ASaltAndAKeyAreNotMixedUp) {
  const auto key = [](std::string_view more) {
    const auto request = Chat(more);
    EXPECT_TRUE(request.ok()) << request.status();
    const std::vector<std::string>& keys = request->options.extra_keys;
    return keys.empty() ? "none" : keys.at(0);
  };
  EXPECT_EQ(key(R"("cache_salt":"ab")"), "ab");
  EXPECT_EQ(key(R"("extra_key":"ab")"), "ab");
  EXPECT_EQ(key(R"("cache_salt":"ab","extra_key":"")"), "ab");
  EXPECT_EQ(key(R"("cache_salt":"","extra_key":"ab")"), "ab");
  const std::set<std::string> all = {"abc",
                                     key(R"("cache_salt":"a","extra_key":"bc")"),
                                     key(R"("cache_salt":"ab","extra_key":"c")"),
                                     key(R"("cache_salt":"abc","extra_key":"abc")"),
                                     key(R"("cache_salt":"abc\u0000a","extra_key":"bc")"),
                                     key(R"("cache_salt":"abc","extra_key":"\u0000abc")")};
  EXPECT_EQ(all.size(), 6u);
}

// Each of these is a 400 that names the field.
TEST(ChatRequest, RefusesByName) {
  const std::string long_rid = R"("rid":")" + std::string(513, 'r') + '"';
  const std::string long_user = R"("user":")" + std::string(513, 'u') + '"';
  const std::string long_id = R"("user":"u","safety_identifier":")" + std::string(513, 'u') + '"';
  const std::pair<std::string_view, const char*> cases[] = {
      {R"("tools":{})", "tools"},
      {R"("tools":[{"type":"web_search"}])", "tools"},
      {R"("tools":[{"type":"function","function":{}}])", "tools"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":"always")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"g"}})", "tool_choice"},
      {R"("parallel_tool_calls":"yes")", "parallel_tool_calls"},
      {R"("response_format":{"type":"json_object"})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format"},
      {R"("regex":"a+")", "regex"},
      {R"("ebnf":"root ::= \"a\"")", "ebnf"},
      {R"("lora_path":"a")", "lora_path"},
      {R"("stop_regex":"a")", "stop_regex"},
      {R"("session_params":{})", "session_params"},
      {R"("session_params":{"id":"s","parent":"x"})", "session_params"},
      {R"("custom_logit_processor":"x")", "custom_logit_processor"},
      {R"("return_hidden_states":true)", "return_hidden_states"},
      {R"("bootstrap_room":1)", "bootstrap_room"},
      {R"("data_parallel_rank":1,"routed_dp_rank":0)", "routed_dp_rank"},
      {R"("modalities":["audio"])", "modalities"},
      {R"("audio":{})", "audio"},
      {R"("store":true)", "store"},
      {R"("metadata":{"a":"b"})", "metadata"},
      {R"("prediction":{})", "prediction"},
      {R"("functions":[{}])", "functions"},
      {R"("temprature":1)", "temprature"},
      {R"("temperature":-1)", "temperature"},
      {R"("temperature":"hot")", "temperature"},
      {R"("top_p":1.5)", "top_p"},
      {R"("top_k":-2)", "top_k"},
      {R"("top_k":1.5)", "top_k"},
      {R"("frequency_penalty":3)", "frequency_penalty"},
      {R"("presence_penalty":"x")", "presence_penalty"},
      {R"("repetition_penalty":-1)", "repetition_penalty"},
      {R"("n":0)", "n"},
      {R"("n":129)", "n"},
      {R"("n":true)", "n"},
      {R"("max_tokens":-1)", "max_tokens"},
      {R"("max_completion_tokens":"many")", "max_completion_tokens"},
      {R"("min_tokens":-1)", "min_tokens"},
      {R"("stop":5)", "stop"},
      {R"("stop":["a",5])", "stop"},
      {R"("stop_token_ids":["a"])", "stop_token_ids"},
      {R"("stop_token_ids":[-1])", "stop_token_ids"},
      {R"("logit_bias":[1])", "logit_bias"},
      {R"("logit_bias":{"a":1})", "logit_bias"},
      {R"("logit_bias":{"-1":1})", "logit_bias"},
      {R"("logit_bias":{"1":"a"})", "logit_bias"},
      {R"("seed":"a")", "seed"},
      {R"("logprobs":5)", "logprobs"},
      {R"("top_logprobs":2)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("stream":"yes")", "stream"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":[])", "stream_options"},
      {R"("stream":true,"stream_options":{"usage":true})", "usage"},
      {R"("rid":["a","b"])", "rid"},
      {R"("priority":"high")", "priority"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"("chat_template_kwargs":{"messages":[]})", "chat_template_kwargs"},
      {R"("chat_template_kwargs":{"tools":[]})", "chat_template_kwargs"},
      {R"("continue_final_message":true)", "continue_final_message"},
      {R"("user":5)", "user"},
      {R"("reasoning_effort":"huge")", "reasoning_effort"},
      {long_rid, "rid"},
      {long_user, "user"},
      {long_id, "safety_identifier"},
  };
  for (const auto& [body, name] : cases) {
    const auto request = Chat(body);
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_EQ(request.status().code(), StatusCode::kInvalidArgument);
    const std::string error = ErrorJson(request.status());
    EXPECT_NE(error.find(fmt::format(R"("param":"{}")", name)), std::string::npos)
        << body << " gave " << error;
  }
}

// Nothing of a begun answer is left out.
TEST(ChatRequest, AMessageThatIsGoneOnFromIsContentAlone) {
  const auto go_on = [](std::string_view more) {
    return ParseChatRequest(Parse(fmt::format(R"({{"messages":[{{"role":"user","content":"hi"}},
            {{"role":"assistant","content":"I"{}}}],"continue_final_message":true}})",
                                              more)),
                            {});
  };
  EXPECT_TRUE(go_on("").ok());
  EXPECT_TRUE(go_on(R"(,"tool_calls":[],"reasoning_content":"","refusal":null)").ok());
  EXPECT_TRUE(go_on(R"(,"tool_calls":null,"reasoning_content":null)").ok());
  for (const auto& [field, value] :
       {std::pair("tool_calls",
                  R"([{"type":"function","function":{"name":"f","arguments":"{}"}}])"),
        std::pair("reasoning_content", R"("well")"), std::pair("reasoning", R"("well")"),
        std::pair("thinking", R"("well")")}) {
    const auto request = go_on(fmt::format(R"(,"{}":{})", field, value));
    ASSERT_FALSE(request.ok()) << field;
    const std::string error = ErrorJson(request.status());
    EXPECT_NE(error.find(R"("param":"continue_final_message")"), std::string::npos) << error;
    EXPECT_NE(error.find(fmt::format("'{}'", field)), std::string::npos) << error;
  }
}

// Counts what is asked of it.
class Counting final : public json::memory_resource {
 public:
  int count = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    ++count;
    return ::operator new(bytes);
  }
  void do_deallocate(void* at, std::size_t, std::size_t) override { ::operator delete(at); }
  bool do_is_equal(const json::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

// They may be megabytes, of any depth; a copy takes its memory from where the original did.
TEST(RefuseFields, CopiesNothing) {
  Counting memory;
  const json::value body = json::parse(
      R"({"tools":[[1],{"a":"what is long enough for memory of its own"}],"b":{"c":[2]}})",
      json::storage_ptr(&memory));
  const int before = memory.count;
  for (const char* name : {"tools", "b"}) {
    Fields fields(body.get_object(), "request");
    const RefusedField refused[] = {{name, "why", R"([]|{"c":[3]})"}};
    RefuseFields(fields, refused);
    EXPECT_FALSE(fields.status().ok());
  }
  EXPECT_EQ(memory.count, before);
}

TEST(ChatRequest, AcceptsWhatHasNoEffect) {
  for (const char* body :
       {R"("tools":null,"tool_choice":"none","parallel_tool_calls":true)", R"("tools":[])",
        R"("response_format":{"type":"text","json_schema":null})", R"("custom_params":{})",
        R"("response_format":{"type":"text"})", R"("store":false,"service_tier":"auto")",
        R"("temperature":null,"stop":null,"logit_bias":null,"seed":null,"max_tokens":null)",
        R"("stream_options":null,"modalities":["text"],"metadata":{})",
        R"("separate_reasoning":true,"stream_reasoning":true,"lora_path":null)",
        R"("lora_path":"","reasoning_effort":"minimal")",
        R"("stop":[],"stop_token_ids":[],"top_logprobs":0,"n":null,"rid":null)"}) {
    const auto request = Chat(body);
    EXPECT_TRUE(request.ok()) << body << request.status();
  }
}

TEST(ChatRequest, ToolsThatTheTemplateIsGiven) {
  const std::string both = R"("tools":[{"type":"function","function":{"name":"f"}},
      {"type":"function","function":{"name":"g"}}],"tool_choice":)";
  const std::pair<const char*, std::size_t> cases[] = {
      {R"("none")", 0},
      {R"("auto")", 2},
      {R"("required")", 2},
      {"null", 2},
      {R"({"type":"function","function":{"name":"g"}})", 1}};
  for (const auto& [choice, count] : cases) {
    const auto request = Chat(both + choice);
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->chat.tools.size(), count) << choice;
  }
}

TEST(ChatRequest, AMisspeltFieldIsHinted) {
  EXPECT_NE(Message(Chat(R"("temprature":1)").status()).find("did you mean 'temperature'?"),
            std::string::npos);
}

TEST(ChatRequest, MessagesAreChecked) {
  const std::pair<const char*, const char*> bad[] = {
      {R"({})", "'messages' is missing"},
      {R"({"messages":[]})", "at least one"},
      {R"({"messages":{}})", "at least one"},
      {R"({"messages":["hi"]})", "[0]: expected an object"},
      {R"({"messages":[{"content":"a"}]})", "'role' is missing"},
      {R"({"messages":[{"role":"king","content":"a"}]})", "role 'king'"},
      {R"({"messages":[{"role":"user"}]})", "'content' is missing"},
      {R"({"messages":[{"role":"user","content":5}]})", "neither a string nor a list"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})",
       "of type 'image_url' is not supported"},
      {R"({"messages":[{"role":"user","content":[{"text":"x"}]}]})", "its 'type' is missing"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "its 'text' is missing"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f",
           "arguments":"{bad"}}]}]})",
       "arguments of the call of 'f'"},
      {R"({"messages":[{"role":"assistant","tool_calls":{}}]})", "'tool_calls' is not a list"},
  };
  for (const auto& [body, problem] : bad) {
    const auto request = ParseChatRequest(Parse(body), {});
    ASSERT_FALSE(request.ok()) << body;
    EXPECT_NE(Message(request.status()).find(problem), std::string::npos)
        << Message(request.status());
  }
}

TEST(ChatRequest, MessagesAreBroughtIntoTheTemplatesForm) {
  const auto request =
      ParseChatRequest(Parse(R"({"messages":[{"role":"user","content":"a","name":null,"custom":1},
        {"role":"Assistant","content":null,"tool_calls":[{"id":"1","type":"function",
          "function":{"name":"f","arguments":"{\"x\": [1]}"}}]},
        {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"r"}]}]})"),
                       {});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(json::serialize(request->chat.messages),
            R"([{"role":"user","content":"a","custom":1},{"role":"assistant","content":"",)"
            R"("tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":)"
            R"({"x":[1]}}}]},{"role":"tool","tool_call_id":"1","content":[{"type":"text",)"
            R"("text":"r"}]}])");
}

TEST(CompletionRequest, Prompts) {
  auto parse = [](std::string_view prompt) {
    return ParseCompletionRequest(Parse(R"({"prompt":)" + std::string(prompt) + "}"), {});
  };
  EXPECT_EQ(std::get<0>(parse(R"("a")")->prompts[0]), "a");
  EXPECT_EQ(parse(R"(["a","b"])")->prompts.size(), 2u);
  EXPECT_EQ(std::get<1>(parse("[1,2]")->prompts[0]), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(parse("[[1],[2,3]]")->prompts.size(), 2u);
  for (const char* bad : {"null", "5", "[]", "[1,\"a\"]", "[\"a\",1]", "[[1],\"a\"]", "[[\"a\"]]",
                          "[-1]", "[1.5]", "[99999999999]", "{}", "[null]", "[[1],[2],[null]]"})
    EXPECT_FALSE(parse(bad).ok()) << bad;
}

TEST(CompletionRequest, FieldsOfItsOwn) {
  const auto request = Completion(R"("echo":true,"logprobs":3,"max_tokens":0,"best_of":1)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->echo);
  EXPECT_TRUE(request->options.logprobs);
  EXPECT_EQ(request->options.top_logprobs, 3);
  EXPECT_EQ(request->options.sampling.max_new_tokens, 0);
  EXPECT_EQ(Completion("")->options.sampling.max_new_tokens, 16);
  EXPECT_TRUE(Completion(R"("suffix":"")").ok());
  for (const char* bad :
       {R"("suffix":"x")", R"("best_of":2)", R"("logprobs":true)", R"("json_schema":"{}")",
        R"("messages":[])", R"("echo":1)", R"("rid":["a","b"])", R"("max_tokens":1.5)"})
    EXPECT_FALSE(Completion(bad).ok()) << bad;
  const auto in_session = [](const std::string& rest) {
    return Completion(R"("session_params":{"id":"s",)" + rest).status();
  };
  EXPECT_NE(Message(in_session(R"("rid":"a"},"echo":true,"logprobs":0)")).find("'echo'"),
            std::string::npos);
  EXPECT_TRUE(in_session(R"("rid":"a"},"echo":true)").ok());
  EXPECT_TRUE(in_session(R"("rid":"a"},"logprobs":0)").ok());
  EXPECT_TRUE(in_session(R"("rid":""},"echo":true,"logprobs":0)").ok());
}

TEST(GenerateBody, OneAndMany) {
  auto one = Generate(R"({"text":"a","sampling_params":{"temperature":0,"max_new_tokens":3,
    "min_new_tokens":1,"stop":"x","sampling_seed":5,"spaces_between_special_tokens":false}})");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_FALSE(one->batch);
  EXPECT_EQ(one->items[0].sampling.max_new_tokens, 3);
  EXPECT_EQ(one->items[0].sampling.seed, 5u);
  EXPECT_FALSE(one->items[0].sampling.spaces_between_special_tokens);

  auto many = Generate(R"({"input_ids":[[1],[2,3]],"sampling_params":[{"top_k":1},{"top_k":2}],
    "rid":["a","b"],"return_logprob":[true,false],"logprob_start_len":0,"top_logprobs_num":[2,0],
    "token_ids_logprob":[5,6],"extra_key":"k","stream":true})");
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_TRUE(many->batch && many->stream);
  EXPECT_EQ(many->items[1].sampling.top_k, 2);
  EXPECT_EQ(many->items[1].rid, "b");
  EXPECT_EQ(many->items[0].logprobs.top_n, 2);
  EXPECT_EQ(many->items[0].logprobs.prompt_start, 0);
  EXPECT_EQ(many->items[0].logprobs.token_ids, (std::vector<TokenId>{5, 6}));
  EXPECT_FALSE(many->items[1].logprobs.enabled);
  EXPECT_EQ(many->items[1].extra_key, "k");

  EXPECT_EQ(Generate(R"({"text":"a"})")->items[0].sampling.max_new_tokens, 128);
  EXPECT_EQ(Generate(R"({"text":"a","sampling_params":{"max_new_tokens":null}})")
                ->items[0]
                .sampling.max_new_tokens,
            std::nullopt);
  EXPECT_TRUE(Generate(R"({"text":"a","sampling_params":{"n":2}})")->batch);
  EXPECT_EQ(Generate(R"({"text":["a","b"],"rid":"r"})")->items[1].rid, "r_1");
}

TEST(GenerateBody, RefusesByName) {
  for (const char* bad : {R"({})",
                          R"({"text":"a","input_ids":[1]})",
                          R"({"text":5})",
                          R"({"text":[]})",
                          R"({"text":["a",5]})",
                          R"({"input_ids":"a"})",
                          R"({"input_ids":[1,"a"]})",
                          R"({"input_ids":[[1],2]})",
                          R"({"input_ids":[-1]})",
                          R"({"text":"a","input_embeds":[[1]]})",
                          R"({"text":"a","image_data":"x"})",
                          R"({"text":"a","lora_path":"x"})",
                          R"({"text":"a","session_params":{}})",
                          R"({"text":"a","custom_logit_processor":"x"})",
                          R"({"text":"a","return_hidden_states":true})",
                          R"({"text":"a","background":true})",
                          R"({"text":"a","unknown":1})",
                          R"({"text":"a","sampling_params":{"json_schema":"{}"}})",
                          R"({"text":"a","sampling_params":{"regex":"a"}})",
                          R"({"text":"a","sampling_params":{"max_tokens":5}})",
                          R"({"text":"a","sampling_params":[{}]})",
                          R"({"text":["a"],"sampling_params":[{},{}]})",
                          R"({"text":["a","b"],"sampling_params":[{"n":1},{"n":2}]})",
                          R"({"text":"a","sampling_params":"x"})",
                          R"({"text":"a","return_logprob":"x"})",
                          R"({"text":"a","return_logprob":true,"token_ids_logprob":["x"]})",
                          R"({"text":"a","return_logprob":[true]})",
                          R"({"text":["a"],"rid":["a","b"]})",
                          R"({"text":"a","logprob_start_len":-5,"return_logprob":true})"})
    EXPECT_FALSE(Generate(bad).ok()) << bad;
  const auto key = [](std::size_t bytes) {
    return R"({"text":"a","routing_key":")" + std::string(bytes, 'k') + R"("})";
  };
  EXPECT_TRUE(Generate(key(512)).ok());
  EXPECT_FALSE(Generate(key(513)).ok());
}

TEST(TemplateWantsParts, LooksForALoopOverContent) {
  for (const char* parts :
       {"{% for m in messages %}{% for part in m['content'] %}{{ part.text }}{% endfor %}{% endfor "
        "%}",
        "{%- for item in message.content %}", "{% for c in message[\"content\"] | list -%}",
        "{% set content = message['content'] %}{% for c in content %}"})
    EXPECT_TRUE(TemplateWantsParts(parts)) << parts;
  for (const char* text :
       {"", "{% for m in messages %}{{ m['content'] }}{% endfor %}", "{% for", "{% for x in y %}",
        "{% for m in messages if m.content %}", "{% set content = message['content'] %}"})
    EXPECT_FALSE(TemplateWantsParts(text)) << text;
}

}  // namespace
}  // namespace banyan::serve
