// SPDX-License-Identifier: Apache-2.0
// The output thread alone: what becomes of a sample whose text cannot be begun, and which series
// know of a request.
#include "engine/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "engine/byte_tokenizer.h"
#include "text/wrapped_tokenizer.h"

namespace banyan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The byte tokenizer, without the memory to begin a text.
class ThrowingTokenizer final : public text::WrappedTokenizer {
 public:
  ThrowingTokenizer() : WrappedTokenizer(*MakeByteTokenizer()) {}
  const text::Decoder& decoder() const override { throw std::bad_alloc(); }
};

// An output thread, and what it has called.
struct Bench {
  std::vector<std::string> calls;
  std::shared_ptr<Metrics> registry = std::make_shared<Metrics>();
  EngineMetrics metrics{registry, {}, {}};

  std::unique_ptr<Output> Start(std::shared_ptr<const text::Tokenizer> tokenizer) {
    const auto note = [this](const char* what) {
      return [this, what](RequestId id) { calls.push_back(fmt::format("{} {}", what, id)); };
    };
    return std::make_unique<Output>(
        std::move(tokenizer), 1, &metrics,
        OutputHooks{[](const StopAt&) {}, note("abort"), note("left_queue"), note("ended")});
  }
};

// One sample of the request, which ends with its token; the updates go to `updates`.
StreamOpened Opened(RequestId id, std::vector<GenerateUpdate>& updates) {
  StreamOpened opened;
  opened.id = id;
  opened.index = 3;
  opened.sink = std::make_shared<const GenerateSink>(
      [&updates](GenerateUpdate update) { updates.push_back(std::move(update)); });
  opened.prompt_tokens = 5;
  opened.arrived = std::chrono::steady_clock::now();
  return opened;
}

RequestEvent Ended(RequestId id) {
  RequestEvent event;
  event.id = id;
  event.admitted = true;
  event.cached_tokens = 2;
  event.tokens = {'a'};
  event.finished = FinishReason{};
  return event;
}

TEST(Output, ASampleThatCannotBeginEndsAlone) {
  Bench bench;
  std::vector<GenerateUpdate> failed, good;
  {
    const auto output = bench.Start(std::make_shared<ThrowingTokenizer>());
    std::vector<StreamOpened> streams;
    streams.push_back(Opened(7, failed));
    streams.push_back(Opened(8, good));
    streams.back().want_text = false;
    output->Open(std::move(streams));
    output->Tell({Ended(7), Ended(8)});
  }
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].index, 3);
  ASSERT_TRUE(failed[0].finish);
  EXPECT_EQ(failed[0].finish->kind, FinishReason::Kind::kAbort);
  EXPECT_EQ(failed[0].finish->status.code(), StatusCode::kInternal);
  ASSERT_EQ(good.size(), 1u);
  EXPECT_EQ(good[0].tokens, std::vector<TokenId>{'a'});
  EXPECT_THAT(bench.calls,
              ElementsAre("left_queue 7", "abort 7", "ended 7", "left_queue 8", "ended 8"));
  for (const char* series : {"num_requests_total 2", "num_aborted_requests_total 1",
                             "e2e_request_latency_seconds_count 2"})
    EXPECT_THAT(bench.registry->Print(), HasSubstr(fmt::format("\nsglang:{}\n", series)));
}

TEST(Output, ARequestMayStayOutOfTheSeriesOfRequests) {
  Bench bench;
  std::vector<GenerateUpdate> updates;
  const auto run = [&](RequestId id, bool log_metrics) {
    const auto output = bench.Start(*MakeByteTokenizer());
    std::vector<StreamOpened> streams;
    streams.push_back(Opened(id, updates));
    streams.back().log_metrics = log_metrics;
    output->Open(std::move(streams));
    RequestEvent first = Ended(id), last = Ended(id);
    first.finished.reset();
    last.admitted = false;
    output->Tell({std::move(first), std::move(last)});
  };
  const std::pair<const char*, int> of_requests[] = {{"num_requests_total", 1},
                                                     {"prompt_tokens_total", 5},
                                                     {"cached_tokens_total", 2},
                                                     {"generation_tokens_total", 2},
                                                     {"time_to_first_token_seconds_count", 1},
                                                     {"inter_token_latency_seconds_count", 1},
                                                     {"e2e_request_latency_seconds_count", 1}};
  run(1, false);
  for (const auto& [name, count] : of_requests)
    EXPECT_THAT(bench.registry->Print(), HasSubstr(fmt::format("\nsglang:{} 0\n", name)));
  EXPECT_THAT(bench.registry->Print(), HasSubstr("\nsglang:queue_time_seconds_count 1\n"));
  run(2, true);
  for (const auto& [name, count] : of_requests)
    EXPECT_THAT(bench.registry->Print(), HasSubstr(fmt::format("\nsglang:{} {}\n", name, count)));
  EXPECT_THAT(bench.registry->Print(), HasSubstr("\nsglang:queue_time_seconds_count 2\n"));
}

}  // namespace
}  // namespace banyan
