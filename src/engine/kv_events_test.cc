// SPDX-License-Identifier: Apache-2.0
#include "engine/kv_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace banyan {
namespace {

using ::testing::HasSubstr;

TEST(KvEventsConfig, HasSglangsKeysAndDefaults) {
  const KvEventsConfig none = ParseKvEventsConfig("").value();
  EXPECT_EQ(none.publisher, "null");
  EXPECT_EQ(none.endpoint, "tcp://*:5557");
  EXPECT_EQ(none.buffer_steps, 10000);
  EXPECT_EQ(none.hwm, 100000);
  EXPECT_EQ(none.max_queue_size, 100000);
  const KvEventsConfig given =
      ParseKvEventsConfig(R"({"publisher": "zmq", "endpoint": "tcp://h:1", "replay_endpoint": "x",
                              "buffer_steps": 5, "hwm": 6, "max_queue_size": 7, "topic": "kv"})")
          .value();
  EXPECT_EQ(given.publisher, "zmq");
  EXPECT_EQ(given.replay_endpoint, "x");
  EXPECT_EQ(given.buffer_steps + given.hwm + given.max_queue_size, 18);
  EXPECT_EQ(given.topic, "kv");
}

TEST(KvEventsConfig, ErrorsNameTheKey) {
  for (const auto& [text, word] : {std::pair(R"({"publisher": "kafka"})", "publisher"),
                                   {R"({"endpiont": "tcp://*:1"})", "endpiont"},
                                   {R"({"hwm": "many"})", "hwm"},
                                   {R"({"buffer_steps": -1})", "buffer_steps"},
                                   {"zmq", "--kv-events-config"}}) {
    const auto config = ParseKvEventsConfig(text);
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_THAT(Message(config.status()), HasSubstr(word));
  }
}

TEST(KvEventsConfig, EveryRankHasAPortOfItsOwn) {
  EXPECT_EQ(EndpointOfRank("tcp://*:5557", 0).value(), "tcp://*:5557");
  EXPECT_EQ(EndpointOfRank("tcp://*:5557", 2).value(), "tcp://*:5559");
  EXPECT_EQ(EndpointOfRank("tcp://[::1]:5557", 1).value(), "tcp://[::1]:5558");
  EXPECT_EQ(EndpointOfRank("inproc://cache", 1).value(), "inproc://cache_dp1");
  for (const char* bad : {"ipc:///tmp/x", "tcp://*", "tcp://*:port", "tcp://*:65535"})
    EXPECT_FALSE(EndpointOfRank(bad, 1).ok()) << bad;
}

TEST(KvEvents, ABatchIsMessagePackOfArraysWithOneBlockAnEvent) {
  const std::vector<KvEvent> events = {
      {.kind = KvEvent::Kind::kCleared},
      {.kind = KvEvent::Kind::kStored, .first = true, .before = 9, .hashes = {1}, .tokens = {5, 6}},
      {.kind = KvEvent::Kind::kStored,
       .before = 1,
       .hashes = {~uint64_t{0}, 3},
       .tokens = {7, 8, 9, 70000}},
      {.kind = KvEvent::Kind::kRemoved, .hashes = {3, 1}}};
  const auto batch = nlohmann::json::from_msgpack(EncodeKvEvents(1.5, events, 2, 3));
  EXPECT_EQ(
      batch.dump(),
      R"([1.5,[["AllBlocksCleared"],["BlockStored",[1],null,[5,6],2,null,"GPU"],)"
      R"(["BlockStored",[-1],1,[7,8],2,null,"GPU"],["BlockStored",[3],-1,[9,70000],2,null,"GPU"],)"
      R"(["BlockRemoved",[3],"GPU"],["BlockRemoved",[1],"GPU"]],3])");
}

}  // namespace
}  // namespace banyan
