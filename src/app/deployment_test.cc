// SPDX-License-Identifier: Apache-2.0
// A per-request state class of a deployment's own, from here alone: this program has its own
// DeploymentRequests in the place of deployment.cc, as a deployment has, and starts an engine by
// the flags that every command has.
#include "app/deployment.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "app/engine_flags.h"
#include "engine/engine.h"
#include "sched/request_state.h"

namespace banyan {
namespace {

std::atomic<bool> threes{false};
std::atomic<int> admitted{0}, finished{0};

// Ends after the first token that is a multiple of three.
class ThreesRequest final : public Request {
 public:
  using Request::Request;
  bool EndsAt(int32_t index, FinishReason* reason) const override {
    const TokenId token = tokens[prompt_length() + index];
    if (token % 3 != 0) return Request::EndsAt(index, reason);
    *reason = {.kind = FinishReason::Kind::kStop, .stop_token = token};
    return true;
  }
  void OnAdmitted(Position) override { ++admitted; }
  void OnFinished(const FinishReason&) override { ++finished; }
};

GenerateUpdate AskAnEngine() {
  EngineConfig config;
  CLI::App app;
  AddEngineFlags(app, config);
  app.parse("--model-path echo --dp-size 2");
  auto engine = Engine::Start(config);
  EXPECT_TRUE(engine.ok()) << engine.status();
  GenerateRequest request;
  request.input_ids = {'a'};
  request.sampling.max_new_tokens = 20;
  request.stream = false;
  std::promise<GenerateUpdate> end;
  EXPECT_TRUE((*engine)
                  ->Submit(std::move(request),
                           [&end](GenerateUpdate update) { end.set_value(std::move(update)); })
                  .ok());
  return end.get_future().get();
}

TEST(DeploymentTest, ItsRequestClassTakesTheEnginesPlace) {
  // The echo model goes on through the alphabet.
  EXPECT_EQ(AskAnEngine().tokens.size(), 20u);
  EXPECT_EQ(admitted, 0);
  threes = true;
  const GenerateUpdate update = AskAnEngine();
  threes = false;
  // b, c, which is 99.
  EXPECT_EQ(update.tokens, (std::vector<TokenId>{'b', 'c'}));
  EXPECT_EQ(update.finish->kind, FinishReason::Kind::kStop);
  EXPECT_EQ(update.finish->stop_token, 'c');
  EXPECT_EQ(admitted, 1);
  EXPECT_EQ(finished, 1);
}

}  // namespace

RequestFactory DeploymentRequests() {
  if (!threes) return {};
  return [](Arrival arrival, uint64_t sequence) {
    return std::make_unique<ThreesRequest>(std::move(arrival), sequence);
  };
}

}  // namespace banyan
