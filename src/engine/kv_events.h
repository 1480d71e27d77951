// SPDX-License-Identifier: Apache-2.0
// KV events: tells others, over ZeroMQ, which blocks the prefix cache of one rank has, in the form
// that SGLang and vLLM share, for routers that send a request where its prefix is.
//
// PUB: frames [topic, sequence number (8 bytes, big endian), batch]. A batch is MessagePack:
// [seconds since the epoch, [events], rank], one per turn of the scheduler; an event, as SGLang
// 0.5.14 sends it, is of one block:
//   ["BlockStored", [hash], hash of the block before or nil, [token ids], block size, nil, "GPU"]
//   ["BlockRemoved", [hash], "GPU"]     ["AllBlocksCleared"]
// "GPU" names the tier that attention reads, also where that is a CPU's memory; nil would be an
// adapter. The first batch, number 0, is one AllBlocksCleared.
// ROUTER, for who has missed some: [first number wanted] is answered by a message [number, batch]
// for each that is kept from there on, then by [-1, nothing].
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/queue.h"
#include "base/status.h"
#include "cache/cache_events.h"
#include "engine/zmq.h"

namespace banyan {

// SGLang's keys and defaults.
struct KvEventsConfig {
  std::string publisher = "null";              // null: none; zmq
  std::string endpoint = "tcp://*:5557";       // bound where it has a *, a :: or is ipc or inproc,
                                               // else connected to
  std::optional<std::string> replay_endpoint;  // bound
  int buffer_steps = 10000;                    // batches kept for replay
  int hwm = 100000;                            // batches that may wait for one slow subscriber
  int max_queue_size = 100000;                 // batches that may wait for the publishing thread
  std::string topic;
};
// Of --kv-events-config: a JSON object; empty for none. Errors name the key.
StatusOr<KvEventsConfig> ParseKvEventsConfig(std::string_view text);

// tcp://HOST:PORT, the host as it is written; nullopt for any other.
struct TcpEndpoint {
  std::string_view host;
  int port = 0;  // 1 to 65535
};
std::optional<TcpEndpoint> ParseTcpEndpoint(std::string_view endpoint);

// `endpoint` as it is for a rank: the port, or the name of an inproc one, counts up.
StatusOr<std::string> EndpointOfRank(const std::string& endpoint, int dp_rank);

// Blocks that came or went together, as they are noted down on the engine's thread.
struct KvEvent {
  enum class Kind : uint8_t { kStored, kRemoved, kCleared } kind = Kind::kCleared;
  bool first = false;  // kStored: the blocks follow the namespace, not `before`
  BlockHash before = 0;
  std::vector<BlockHash> hashes;
  std::vector<TokenId> tokens;
};
// The MessagePack of a batch.
std::string EncodeKvEvents(double seconds, const std::vector<KvEvent>& events, int block_size,
                           int dp_rank);

// The observer of one prefix tree. Everything but the constructor and destructor is for the
// engine's thread; sockets and encoding have a thread of their own.
class KvEventPublisher final : public TreeObserver {
 public:
  // kInvalidArgument when an endpoint cannot be had, kUnavailable without ZeroMQ.
  static StatusOr<std::unique_ptr<KvEventPublisher>> Open(const KvEventsConfig& config,
                                                          int block_size, int dp_rank);
  ~KvEventPublisher() override;  // after the last batch is out

  void OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                std::span<const BlockHash> hashes) override;
  void OnRemoved(std::span<const BlockHash> hashes) override;
  void OnCleared() override;

  // Sends what was noted since the last call as one batch, if there was anything. Never waits:
  // when the queue is full the batch is lost, and its number with it, so that consumers see it.
  void Publish();
  uint64_t next_sequence() const { return next_sequence_; }

 private:
  struct Batch {
    uint64_t sequence = 0;
    double seconds = 0;
    std::vector<KvEvent> events;
  };
  KvEventPublisher(const KvEventsConfig& config, int block_size, int dp_rank,
                   std::unique_ptr<ZmqSocket> pub, std::unique_ptr<ZmqSocket> replay);
  void Run();
  void Send(const Batch& batch);
  void AnswerReplays();

  const KvEventsConfig config_;
  const int block_size_, dp_rank_;
  // The engine's thread.
  std::vector<KvEvent> events_;
  uint64_t next_sequence_ = 0;
  bool overflown_ = false;
  Queue<Batch> queue_;
  // The publishing thread.
  std::unique_ptr<ZmqSocket> pub_, replay_;
  std::deque<std::pair<uint64_t, std::string>> kept_;
  std::thread thread_;
};

}  // namespace banyan
