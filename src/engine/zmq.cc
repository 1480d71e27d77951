// SPDX-License-Identifier: Apache-2.0
#include "engine/zmq.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <utility>

namespace banyan {
namespace {

// Values of ZeroMQ's stable C interface.
constexpr int kLinger = 17, kSendHighWaterMark = 23, kReceiveMore = 13;
constexpr int kDontWait = 1, kSendMore = 2;
constexpr int kLingerMilliseconds = 1000;

struct Functions {
  void* (*ctx_new)();
  int (*ctx_term)(void*);
  void* (*socket)(void*, int);
  int (*close)(void*);
  int (*setsockopt)(void*, int, const void*, size_t);
  int (*getsockopt)(void*, int, void*, size_t*);
  int (*bind)(void*, const char*);
  int (*connect)(void*, const char*);
  int (*send)(void*, const void*, size_t, int);
  int (*recv)(void*, void*, size_t, int);
  int (*error)();
  const char* (*strerror)(int);

  Status Error(std::string_view what) const {
    return InvalidArgument("{}: {}", what, strerror(error()));
  }
};

class SocketImpl final : public ZmqSocket {
 public:
  SocketImpl(std::shared_ptr<Zmq> owner, const Functions& zmq, void* socket)
      : owner_(std::move(owner)), zmq_(zmq), socket_(socket) {}
  ~SocketImpl() override { zmq_.close(socket_); }

  Status Bind(const std::string& endpoint) override {
    return zmq_.bind(socket_, endpoint.c_str()) == 0 ? OkStatus() : zmq_.Error(endpoint);
  }
  Status Connect(const std::string& endpoint) override {
    return zmq_.connect(socket_, endpoint.c_str()) == 0 ? OkStatus() : zmq_.Error(endpoint);
  }
  Status Send(const std::vector<std::string_view>& frames) override {
    for (size_t i = 0; i < frames.size(); ++i) {
      const int flags = kDontWait | (i + 1 < frames.size() ? kSendMore : 0);
      if (zmq_.send(socket_, frames[i].data(), frames[i].size(), flags) < 0)
        return zmq_.Error("a message could not be sent");
    }
    return OkStatus();
  }
  std::optional<std::vector<std::string>> Receive() override {
    std::vector<std::string> frames;
    for (int more = 1; more != 0;) {
      std::array<char, 256> buffer;
      const int size = zmq_.recv(socket_, buffer.data(), buffer.size(), kDontWait);
      if (size < 0) return std::nullopt;
      frames.emplace_back(buffer.data(), std::min<size_t>(size, buffer.size()));
      size_t length = sizeof(more);
      if (zmq_.getsockopt(socket_, kReceiveMore, &more, &length) != 0) return std::nullopt;
    }
    return frames;
  }

 private:
  std::shared_ptr<Zmq> owner_;
  const Functions& zmq_;
  void* socket_;
};

class ZmqImpl final : public Zmq, public std::enable_shared_from_this<ZmqImpl> {
 public:
  explicit ZmqImpl(const Functions& functions) : zmq_(functions), context_(zmq_.ctx_new()) {}
  // The library stays open, as one does that has had threads.
  ~ZmqImpl() override { zmq_.ctx_term(context_); }

  StatusOr<std::unique_ptr<ZmqSocket>> Socket(Type type, int high_water_mark) override {
    void* socket = zmq_.socket(context_, static_cast<int>(type));
    if (socket == nullptr) return zmq_.Error("a socket cannot be made");
    auto made = std::make_unique<SocketImpl>(shared_from_this(), zmq_, socket);
    const int linger = kLingerMilliseconds;
    if (zmq_.setsockopt(socket, kLinger, &linger, sizeof(linger)) != 0 ||
        zmq_.setsockopt(socket, kSendHighWaterMark, &high_water_mark, sizeof(int)) != 0)
      return zmq_.Error("a socket cannot be set up");
    return made;
  }

 private:
  const Functions zmq_;
  void* context_;
};

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

StatusOr<std::shared_ptr<Zmq>> Zmq::Open() {
  void* library = dlopen("libzmq.so.5", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return Unavailable("ZeroMQ cannot be opened ({}): install libzmq5, or another libzmq.so.5",
                       dlerror());
  Functions zmq = {};
  const bool whole =
      Find(library, "zmq_ctx_new", zmq.ctx_new) && Find(library, "zmq_ctx_term", zmq.ctx_term) &&
      Find(library, "zmq_socket", zmq.socket) && Find(library, "zmq_close", zmq.close) &&
      Find(library, "zmq_setsockopt", zmq.setsockopt) &&
      Find(library, "zmq_getsockopt", zmq.getsockopt) && Find(library, "zmq_bind", zmq.bind) &&
      Find(library, "zmq_connect", zmq.connect) && Find(library, "zmq_send", zmq.send) &&
      Find(library, "zmq_recv", zmq.recv) && Find(library, "zmq_errno", zmq.error) &&
      Find(library, "zmq_strerror", zmq.strerror);
  if (!whole) return Unavailable("libzmq.so.5 lacks functions of ZeroMQ 4");
  return std::make_shared<ZmqImpl>(zmq);
}

}  // namespace banyan
