// SPDX-License-Identifier: Apache-2.0
// Where the messages of a prompt end, for models that resume only where something was kept.
#include "serve/chat_prompt.h"

#include <gtest/gtest.h>

#include "engine/byte_tokenizer.h"
#include "serve/fake_engine.h"

namespace banyan::serve {
namespace {

StatusOr<Prompt> Render(const char* body, bool find_ends,
                        std::shared_ptr<const text::ChatTemplate> chat_template = nullptr) {
  if (chat_template == nullptr) chat_template = MakeFakeTemplate();
  const ChatRenderer renderer(*MakeByteTokenizer(), std::move(chat_template), find_ends);
  BANYAN_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(body, "test"));
  Fields fields(object, "test");
  ChatInput input;
  ReadChatInput(fields, input);
  BANYAN_RETURN_IF_ERROR(fields.status());
  return renderer.Render(input);
}

// The prompt up to each of the ends.
std::vector<std::string> Parts(const Prompt& prompt) {
  std::vector<std::string> parts;
  for (const int32_t end : prompt.message_ends) parts.push_back(prompt.text.substr(0, end));
  return parts;
}

TEST(MessageEndsTest, OfTheSystemMessagesAndOfTheLastOne) {
  const char* body = R"({"messages":[{"role":"system","content":"be"},
      {"role":"user","content":"a"},{"role":"assistant","content":"b"},
      {"role":"user","content":"c"}]})";
  const auto prompt = Render(body, true);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(prompt->text, "system: be\nuser: a\nassistant: b\nuser: c\nassistant: ");
  EXPECT_EQ(Parts(*prompt), (std::vector<std::string>{
                                "system: be\n", "system: be\nuser: a\nassistant: b\nuser: c\n"}));
  EXPECT_TRUE(Render(body, false)->message_ends.empty());
}

TEST(MessageEndsTest, WithoutASystemMessageAndWithABegunAnswer) {
  const auto prompt = Render(R"({"messages":[{"role":"user","content":"a"}]})", true);
  EXPECT_EQ(Parts(*prompt), std::vector<std::string>{"user: a\n"});
  const auto begun = Render(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":"I"}],"continue_final_message":true})",
                            true);
  EXPECT_EQ(begun->text, "user: a\nassistant: I");
  EXPECT_EQ(Parts(*begun), std::vector<std::string>{"user: a\n"});
}

// As Python's " ".join of all the texts.
TEST(ContentParts, AreJoinedWithASpaceBetweenAnyTwo) {
  const auto text = [](std::string_view parts) {
    return Render(fmt::format(R"({{"messages":[{{"role":"user","content":{}}}]}})", parts).c_str(),
                  false)
        ->text;
  };
  EXPECT_EQ(text(R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])"),
            "user: a b\nassistant: ");
  EXPECT_EQ(text(R"([{"type":"text","text":""},{"type":"text","text":"a"}])"),
            "user:  a\nassistant: ");
  EXPECT_EQ(text(R"([{"type":"text","text":"a"},{"type":"text","text":""},
                     {"type":"text","text":"b"},{"type":"text","text":""}])"),
            "user: a  b \nassistant: ");
  EXPECT_EQ(text(R"([{"type":"text","text":""}])"), "user: \nassistant: ");
  EXPECT_EQ(text("[]"), "user: \nassistant: ");
}

// Templates that go through the parts of a message print a tool's answer as it is.
TEST(ContentParts, OfAToolAreAlwaysJoined) {
  auto chat_template = text::ChatTemplate::Compile(
      "{% for message in messages %}{% if message.role == 'tool' %}[{{ message.content }}]"
      "{% else %}{% for part in message.content %}{{ part.text }};{% endfor %}{% endif %}"
      "{% endfor %}");
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  const auto prompt = Render(R"({"messages":[
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"tool","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}]})",
                             false, *chat_template);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_EQ(prompt->text, "a;b;[c d]");
}

}  // namespace
}  // namespace banyan::serve
