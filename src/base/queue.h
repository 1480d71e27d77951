// SPDX-License-Identifier: Apache-2.0
// Queue<T>: values handed from threads to threads. The one way in which the engine's threads speak
// to each other.
//
// Bounded: Push waits while it is full, TryPush refuses. Closing wakes everybody: nothing can be
// pushed any more, what is inside can still be taken. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace banyan {

template <typename T>
class Queue {
 public:
  static constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();

  explicit Queue(std::size_t capacity = kUnbounded) : capacity_(capacity) {}
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // False once closed; `item` is then lost.
  bool Push(T item) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [&] { return closed_ || items_.size() < capacity_; });
    return Append(lock, std::move(item));
  }

  // False when full or closed.
  bool TryPush(T item) {
    std::unique_lock lock(mutex_);
    if (items_.size() >= capacity_) return false;
    return Append(lock, std::move(item));
  }

  // Waits for an item; none once closed and empty.
  std::optional<T> Pop() {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    not_full_.notify_one();
    return item;
  }

  // Waits until there is an item or `until` has come, then moves all there are to the end of
  // `out`. False once closed and empty.
  bool PopAll(std::vector<T>& out, std::chrono::steady_clock::time_point until =
                                       std::chrono::steady_clock::time_point::max()) {
    std::unique_lock lock(mutex_);
    const auto ready = [&] { return closed_ || !items_.empty(); };
    if (until == std::chrono::steady_clock::time_point::max()) {
      not_empty_.wait(lock, ready);
    } else {
      not_empty_.wait_until(lock, until, ready);
    }
    const bool open = !closed_ || !items_.empty();
    for (T& item : items_) out.push_back(std::move(item));
    items_.clear();
    not_full_.notify_all();
    return open;
  }

  void Close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    not_empty_.notify_all();
    not_full_.notify_all();
  }

  std::size_t size() const {
    std::unique_lock lock(mutex_);
    return items_.size();
  }

 private:
  bool Append(std::unique_lock<std::mutex>&, T&& item) {
    if (closed_) return false;
    items_.push_back(std::move(item));
    not_empty_.notify_one();
    return true;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable not_empty_, not_full_;
  std::deque<T> items_;
  bool closed_ = false;
};

}  // namespace banyan
