// SPDX-License-Identifier: Apache-2.0
#include "engine/kv_events.h"

#include <array>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/fields.h"
#include "base/log.h"

namespace banyan {
namespace {

constexpr char kFlag[] = "--kv-events-config";
constexpr std::string_view kTcp = "tcp://";
constexpr char kTier[] = "GPU";
// How soon a replay is answered.
constexpr std::chrono::milliseconds kPoll{50};
constexpr double kMost = 1 << 30;

using Bytes8 = std::array<char, 8>;

Bytes8 BigEndian(uint64_t value) {
  Bytes8 bytes;
  for (int i = 7; i >= 0; --i, value >>= 8) bytes[i] = static_cast<char>(value & 0xFF);
  return bytes;
}

std::string_view Text(const Bytes8& bytes) { return {bytes.data(), bytes.size()}; }

// Signed, as SGLang's.
int64_t Signed(BlockHash hash) { return static_cast<int64_t>(hash); }

// SGLang's form: one event for each block that comes or goes.
void AppendEvents(nlohmann::json& list, const KvEvent& event, int block_size) {
  nlohmann::json before = event.first ? nlohmann::json() : nlohmann::json(Signed(event.before));
  auto tokens = event.tokens.begin();
  switch (event.kind) {
    case KvEvent::Kind::kStored:
      for (const BlockHash hash : event.hashes) {
        const auto block = nlohmann::json::array({Signed(hash)});
        list.push_back(nlohmann::json::array({"BlockStored", block, before,
                                              std::vector<TokenId>(tokens, tokens + block_size),
                                              block_size, nullptr, kTier}));
        before = Signed(hash);
        tokens += block_size;
      }
      break;
    case KvEvent::Kind::kRemoved:
      for (const BlockHash hash : event.hashes)
        list.push_back(
            nlohmann::json::array({"BlockRemoved", nlohmann::json::array({Signed(hash)}), kTier}));
      break;
    case KvEvent::Kind::kCleared:
      list.push_back(nlohmann::json::array({"AllBlocksCleared"}));
      break;
  }
}

bool Binds(const std::string& endpoint) {
  return endpoint.find('*') != std::string::npos || endpoint.find("::") != std::string::npos ||
         endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://");
}

}  // namespace

StatusOr<KvEventsConfig> ParseKvEventsConfig(std::string_view text) {
  KvEventsConfig config;
  if (text.empty()) return config;
  BANYAN_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text, kFlag));
  Fields fields(object, kFlag);
  config.publisher = fields.Optional<std::string>("publisher", config.publisher);
  config.endpoint = fields.Optional<std::string>("endpoint", config.endpoint);
  config.replay_endpoint = fields.Maybe<std::string>("replay_endpoint");
  config.buffer_steps = fields.Optional<int>("buffer_steps", config.buffer_steps, {0, kMost});
  config.hwm = fields.Optional<int>("hwm", config.hwm, {0, kMost});
  config.max_queue_size = fields.Optional<int>("max_queue_size", config.max_queue_size, {1, kMost});
  config.topic = fields.Optional<std::string>("topic", config.topic);
  BANYAN_RETURN_IF_ERROR(fields.status());
  if (const auto unread = fields.Unread(); !unread.empty())
    return InvalidArgument("{}: there is no key '{}'", kFlag, unread.front());
  if (config.publisher != "null" && config.publisher != "zmq")
    return InvalidArgument("{}: publisher: \"{}\" is none of null, zmq", kFlag, config.publisher);
  return config;
}

std::optional<TcpEndpoint> ParseTcpEndpoint(std::string_view endpoint) {
  if (!endpoint.starts_with(kTcp)) return std::nullopt;
  endpoint.remove_prefix(kTcp.size());
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  TcpEndpoint tcp = {.host = endpoint.substr(0, colon)};
  const char* end = endpoint.data() + endpoint.size();
  if (std::from_chars(endpoint.data() + colon + 1, end, tcp.port).ptr != end || tcp.port < 1 ||
      tcp.port > 65535)
    return std::nullopt;
  return tcp;
}

StatusOr<std::string> EndpointOfRank(const std::string& endpoint, int dp_rank) {
  if (dp_rank == 0) return endpoint;
  if (endpoint.starts_with("inproc://")) return fmt::format("{}_dp{}", endpoint, dp_rank);
  const auto tcp = ParseTcpEndpoint(endpoint);
  if (!tcp || tcp->port + dp_rank > 65535)
    return InvalidArgument("{}: endpoint {}: rank {} needs a tcp port of its own, counted from it",
                           kFlag, endpoint, dp_rank);
  return fmt::format("{}{}:{}", kTcp, tcp->host, tcp->port + dp_rank);
}

std::string EncodeKvEvents(double seconds, const std::vector<KvEvent>& events, int block_size,
                           int dp_rank) {
  nlohmann::json list = nlohmann::json::array();
  for (const KvEvent& event : events) AppendEvents(list, event, block_size);
  std::string out;
  nlohmann::json::to_msgpack(nlohmann::json::array({seconds, std::move(list), dp_rank}), out);
  return out;
}

StatusOr<std::unique_ptr<KvEventPublisher>> KvEventPublisher::Open(const KvEventsConfig& config,
                                                                   int block_size, int dp_rank) {
  const auto named = [](const Status& status) {
    return InvalidArgument("{}: {}", kFlag, Message(status));
  };
  auto zmq = Zmq::Open();
  if (!zmq.ok()) return Unavailable("{}: {}", kFlag, Message(zmq.status()));
  BANYAN_ASSIGN_OR_RETURN(const std::string endpoint, EndpointOfRank(config.endpoint, dp_rank));
  BANYAN_ASSIGN_OR_RETURN(auto pub, (*zmq)->Socket(Zmq::Type::kPub, config.hwm));
  Status opened = Binds(endpoint) ? pub->Bind(endpoint) : pub->Connect(endpoint);
  if (!opened.ok()) return named(opened);
  std::unique_ptr<ZmqSocket> replay;
  if (config.replay_endpoint) {
    BANYAN_ASSIGN_OR_RETURN(const std::string at, EndpointOfRank(*config.replay_endpoint, dp_rank));
    // One whole replay and its end.
    BANYAN_ASSIGN_OR_RETURN(replay, (*zmq)->Socket(Zmq::Type::kRouter, config.buffer_steps + 1));
    if (opened = replay->Bind(at); !opened.ok()) return named(opened);
  }
  LogInfo("KV events of rank {}: {}", dp_rank, endpoint);
  return std::unique_ptr<KvEventPublisher>(
      new KvEventPublisher(config, block_size, dp_rank, std::move(pub), std::move(replay)));
}

KvEventPublisher::KvEventPublisher(const KvEventsConfig& config, int block_size, int dp_rank,
                                   std::unique_ptr<ZmqSocket> pub,
                                   std::unique_ptr<ZmqSocket> replay)
    : config_(config),
      block_size_(block_size),
      dp_rank_(dp_rank),
      queue_(static_cast<size_t>(config.max_queue_size)),
      pub_(std::move(pub)),
      replay_(std::move(replay)) {
  // Whatever a consumer remembers of an earlier process is gone.
  OnCleared();
  Publish();
  thread_ = std::thread([this] { Run(); });
}

KvEventPublisher::~KvEventPublisher() {
  queue_.Close();
  thread_.join();
}

void KvEventPublisher::OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                                std::span<const BlockHash> hashes) {
  events_.push_back({.kind = KvEvent::Kind::kStored,
                     .first = first,
                     .before = before,
                     .hashes = {hashes.begin(), hashes.end()},
                     .tokens = {tokens.begin(), tokens.end()}});
}

void KvEventPublisher::OnRemoved(std::span<const BlockHash> hashes) {
  if (events_.empty() || events_.back().kind != KvEvent::Kind::kRemoved)
    events_.push_back({.kind = KvEvent::Kind::kRemoved});
  events_.back().hashes.insert(events_.back().hashes.end(), hashes.begin(), hashes.end());
}

void KvEventPublisher::OnCleared() {
  events_.clear();  // what came before says nothing any more
  events_.push_back({.kind = KvEvent::Kind::kCleared});
}

void KvEventPublisher::Publish() {
  if (events_.empty()) return;
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  const bool taken = queue_.TryPush({next_sequence_++, now.count(), std::exchange(events_, {})});
  if (!taken && !overflown_)
    LogWarning("KV events: {} batches wait to be published, and more are lost", queue_.size());
  overflown_ = !taken;
}

void KvEventPublisher::Run() {
  std::vector<Batch> batches;
  const auto until = [this] {
    using Clock = std::chrono::steady_clock;
    return replay_ == nullptr ? Clock::time_point::max() : Clock::now() + kPoll;
  };
  while (queue_.PopAll(batches, until())) {
    for (const Batch& batch : batches) Send(batch);
    batches.clear();
    if (replay_ != nullptr) AnswerReplays();
  }
}

void KvEventPublisher::Send(const Batch& batch) {
  std::string payload = EncodeKvEvents(batch.seconds, batch.events, block_size_, dp_rank_);
  const Bytes8 sequence = BigEndian(batch.sequence);
  if (const Status sent = pub_->Send({config_.topic, Text(sequence), payload}); !sent.ok())
    LogWarning("KV events: batch {}: {}", batch.sequence, Message(sent));
  if (replay_ == nullptr || config_.buffer_steps == 0) return;
  if (kept_.size() == static_cast<size_t>(config_.buffer_steps)) kept_.pop_front();
  kept_.emplace_back(batch.sequence, std::move(payload));
}

void KvEventPublisher::AnswerReplays() {
  while (const auto request = replay_->Receive()) {
    // [who asks, nothing, first number]
    if (request->size() != 3 || (*request)[2].size() != 8) {
      LogWarning("KV events: a request for a replay is not one number of 8 bytes");
      continue;
    }
    uint64_t from = 0;
    for (const char byte : (*request)[2]) from = from << 8 | static_cast<unsigned char>(byte);
    const std::string_view client = (*request)[0];
    for (const auto& [sequence, payload] : kept_) {
      if (sequence < from) continue;
      const Bytes8 number = BigEndian(sequence);
      (void)replay_->Send({client, "", Text(number), payload});
    }
    const Bytes8 end = BigEndian(~uint64_t{0});
    (void)replay_->Send({client, "", Text(end), ""});
  }
}

}  // namespace banyan
