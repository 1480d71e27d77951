// SPDX-License-Identifier: Apache-2.0
// The few functions of ZeroMQ that we use, from libzmq.so.5, opened at run time: the binary itself
// needs no such library. A socket is used by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace banyan {

class ZmqSocket {
 public:
  virtual ~ZmqSocket() = default;  // what was sent may still go out for a second
  virtual Status Bind(const std::string& endpoint) = 0;
  virtual Status Connect(const std::string& endpoint) = 0;
  // Sends the frames as one message, or drops it when the peers are too far behind. Never waits.
  virtual Status Send(const std::vector<std::string_view>& frames) = 0;
  // The next message, each frame cut after 256 bytes; none when there is none now.
  virtual std::optional<std::vector<std::string>> Receive() = 0;
};

class Zmq {
 public:
  enum class Type : int { kPub = 1, kRouter = 6 };

  // kUnavailable when the library is not there.
  static StatusOr<std::shared_ptr<Zmq>> Open();
  virtual ~Zmq() = default;  // after its sockets
  // `high_water_mark`: messages that may wait for one peer; 0: no limit.
  virtual StatusOr<std::unique_ptr<ZmqSocket>> Socket(Type type, int high_water_mark) = 0;
};

}  // namespace banyan
