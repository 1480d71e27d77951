// SPDX-License-Identifier: Apache-2.0
#include "engine/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace banyan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

AdmissionLimits Limits() {
  return {.vocab_size = 100,
          .context_length = 64,
          .max_request_length = 48,
          .has_tokenizer = true,
          .end_ids = {7}};
}

GenerateRequest Request(int prompt, std::optional<int> max_new_tokens) {
  GenerateRequest request;
  request.input_ids.resize(prompt);
  std::iota(request.input_ids.begin(), request.input_ids.end(), 0);
  request.sampling.max_new_tokens = max_new_tokens;
  return request;
}

std::string Refusal(const GenerateRequest& request, const AdmissionLimits& limits = Limits()) {
  const auto arrival = MakeArrival(request, limits, 1, TimePoint());
  EXPECT_FALSE(arrival.ok());
  EXPECT_EQ(arrival.status().code(), StatusCode::kInvalidArgument);
  return Message(arrival.status());
}

TEST(MakeArrival, ResolvesTheNumberOfNewTokens) {
  EXPECT_EQ(MakeArrival(Request(10, 5), Limits(), 1, {})->sampling.max_new_tokens, 5);
  EXPECT_EQ(MakeArrival(Request(10, std::nullopt), Limits(), 1, {})->sampling.max_new_tokens, 38);
  EXPECT_EQ(MakeArrival(Request(48, 0), Limits(), 1, {})->sampling.max_new_tokens, 0);
}

TEST(MakeArrival, ALengthThatNobodyAskedForRefusesNoPrompt) {
  GenerateRequest request = Request(40, 8);
  request.length_given = false;
  EXPECT_EQ(MakeArrival(request, Limits(), 1, {})->sampling.max_new_tokens, 8);
  request.sampling.max_new_tokens = 9;
  EXPECT_EQ(MakeArrival(request, Limits(), 1, {})->sampling.max_new_tokens, 8);
  request.input_ids.resize(48);
  EXPECT_THAT(Refusal(request), AllOf(HasSubstr("49"), HasSubstr("48")));
}

TEST(MakeArrival, RefusesWhatDoesNotFitWithBothNumbers) {
  EXPECT_THAT(Refusal(Request(65, 1)), AllOf(HasSubstr("65"), HasSubstr("64")));
  EXPECT_THAT(Refusal(Request(64, std::nullopt)), HasSubstr("64"));
  EXPECT_THAT(Refusal(Request(60, 5)), AllOf(HasSubstr("65"), HasSubstr("64")));
  EXPECT_THAT(Refusal(Request(40, 9)), AllOf(HasSubstr("49"), HasSubstr("48")));
  EXPECT_THAT(Refusal(Request(48, std::nullopt)), AllOf(HasSubstr("49"), HasSubstr("48")));
}

TEST(MakeArrival, RefusesBadFieldsByName) {
  EXPECT_THAT(Refusal(Request(0, 1)), HasSubstr("empty"));
  GenerateRequest request = Request(3, 1);
  request.input_ids[1] = 100;
  EXPECT_THAT(Refusal(request), AllOf(HasSubstr("input_ids"), HasSubstr("100")));
  request = Request(3, 1);
  request.sampling.top_p = 0;
  EXPECT_THAT(Refusal(request), HasSubstr("top_p"));
  request = Request(3, 1);
  request.logprobs = {.enabled = true, .prompt_start = 4};
  EXPECT_THAT(Refusal(request), HasSubstr("logprob_start_len"));
  request.logprobs = {.enabled = true, .token_ids = {-1}};
  EXPECT_THAT(Refusal(request), HasSubstr("token_ids_logprob"));
  request = Request(3, 2);
  request.sampling.min_new_tokens = 3;
  EXPECT_THAT(Refusal(request), HasSubstr("min_new_tokens"));
  request = Request(3, 2);
  request.want_text = false;
  request.sampling.stop = {"x"};
  EXPECT_THAT(Refusal(request), HasSubstr("stop"));
  AdmissionLimits limits = Limits();
  limits.has_tokenizer = false;
  EXPECT_THAT(Refusal(Request(3, 2), limits), HasSubstr("tokenizer"));
}

TEST(MakeArrival, BoundsTheLogprobsOfPromptAndOutput) {
  GenerateRequest request = Request(10, 6);
  request.logprobs = {.enabled = true, .prompt_start = 2};
  request.logprobs.token_ids.resize((1 << 20) - 1);  // 2^20 for each of 8 + 6 positions
  EXPECT_TRUE(MakeArrival(request, Limits(), 1, {}).ok());
  request.sampling.max_new_tokens = 9;
  EXPECT_THAT(Refusal(request), HasSubstr("17825792 log-probabilities"));
  request.sampling.max_new_tokens.reset();
  EXPECT_THAT(Refusal(request), HasSubstr("log-probabilities"));
  request = Request(10, 6);
  request.logprobs = {.enabled = true, .top_n = 99};
  request.sampling.n = 1 << 30;
  EXPECT_THAT(Refusal(request), HasSubstr("644245094400 log-probabilities"));
}

// A length that nobody asked for is no reason to refuse what a chat may ask for.
TEST(MakeArrival, CountsNoMoreLogprobsThanWereAskedFor) {
  AdmissionLimits limits = Limits();
  limits.context_length = limits.max_request_length = 1 << 17;
  GenerateRequest request = Request(10, std::nullopt);
  request.logprobs = {.enabled = true, .top_n = 20};
  for (const int samples : {8, 128}) {
    request.sampling.n = samples;
    const auto arrival = MakeArrival(request, limits, 1, {});
    ASSERT_TRUE(arrival.ok()) << Message(arrival.status());
    EXPECT_EQ(arrival->sampling.max_new_tokens, (1 << 17) - 10);
  }
  request.sampling.max_new_tokens = 100000;
  EXPECT_THAT(Refusal(request, limits), HasSubstr("268800000 log-probabilities"));
  request.length_given = false;
  EXPECT_TRUE(MakeArrival(request, limits, 1, {}).ok());
  // Of the whole vocabulary they are too many after a few steps.
  limits.vocab_size = 1 << 17;
  request.logprobs.top_n = 1 << 17;
  EXPECT_THAT(Refusal(request, limits), HasSubstr("log-probabilities"));
}

TEST(MakeArrival, CollectsEndTokensUnlessTheyAreIgnored) {
  GenerateRequest request = Request(3, 2);
  request.sampling.stop_token_ids = {9, 7, 3};
  EXPECT_THAT(MakeArrival(request, Limits(), 1, {})->end_ids, ElementsAre(3, 7, 9));
  request.sampling.ignore_eos = true;
  EXPECT_THAT(MakeArrival(request, Limits(), 1, {})->end_ids, ElementsAre());
}

TEST(MakeArrival, SetsSeedAndDeadlines) {
  const TimePoint now = TimePoint() + std::chrono::seconds(100);
  GenerateRequest request = Request(3, 2);
  EXPECT_EQ(MakeArrival(request, Limits(), 5, now)->seed, 5u);
  EXPECT_EQ(MakeArrival(request, Limits(), 5, now)->deadline, TimePoint::max());
  request.sampling.seed = 9;
  request.timeout = std::chrono::milliseconds(1500);
  AdmissionLimits limits = Limits();
  limits.waiting_timeout = 1;
  limits.running_timeout = 2;
  const Arrival arrival = *MakeArrival(request, limits, 5, now);
  EXPECT_EQ(arrival.seed, 9u);
  EXPECT_EQ(arrival.queue_deadline, now + std::chrono::seconds(1));
  EXPECT_EQ(arrival.deadline, now + std::chrono::milliseconds(1500));
  EXPECT_EQ(arrival.running_limit, std::chrono::seconds(2));
  EXPECT_EQ(SampleSeed(9, 0), 9u);
  EXPECT_NE(SampleSeed(9, 1), SampleSeed(9, 2));
}

}  // namespace
}  // namespace banyan
