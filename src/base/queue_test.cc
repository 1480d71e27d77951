// SPDX-License-Identifier: Apache-2.0
#include "base/queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace banyan {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(Queue, KeepsTheOrderOfEachProducer) {
  Queue<int> queue(4);
  std::thread even([&] {
    for (int i = 0; i < 2000; i += 2) ASSERT_TRUE(queue.Push(i));
  });
  std::thread odd([&] {
    for (int i = 1; i < 2000; i += 2) ASSERT_TRUE(queue.Push(i));
  });
  int next[2] = {0, 1};
  for (int taken = 0; taken < 2000; ++taken) {
    const int item = *queue.Pop();
    EXPECT_EQ(item, next[item % 2]);
    next[item % 2] += 2;
  }
  even.join();
  odd.join();
  EXPECT_EQ(queue.size(), 0u);
}

TEST(Queue, RefusesWhenFull) {
  Queue<std::unique_ptr<int>> queue(1);
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  EXPECT_FALSE(queue.TryPush(std::make_unique<int>(2)));
  EXPECT_EQ(**queue.Pop(), 1);
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(3)));
}

TEST(Queue, PopAllWaitsNoLongerThanAsked) {
  Queue<int> queue;
  std::vector<int> out;
  const auto start = steady_clock::now();
  EXPECT_TRUE(queue.PopAll(out, start + milliseconds(20)));
  EXPECT_TRUE(out.empty());
  EXPECT_GE(steady_clock::now() - start, milliseconds(20));
  queue.Push(1);
  queue.Push(2);
  EXPECT_TRUE(queue.PopAll(out));
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
}

TEST(Queue, ClosingWakesAndLeavesWhatIsInside) {
  Queue<int> queue(1);
  queue.Push(1);
  std::thread blocked([&] { EXPECT_FALSE(queue.Push(2)); });
  while (queue.size() != 1) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(5));
  queue.Close();
  blocked.join();
  EXPECT_FALSE(queue.TryPush(3));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
  std::vector<int> out;
  EXPECT_FALSE(queue.PopAll(out));
}

}  // namespace
}  // namespace banyan
