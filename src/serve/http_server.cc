// SPDX-License-Identifier: Apache-2.0
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <future>

#include "base/log.h"
#include "serve/errors.h"
#include "serve/http_connection.h"

namespace banyan::serve {
namespace {

using boost::system::error_code;
using Acceptor = net::basic_socket_acceptor<net::generic::stream_protocol, Executor>;
constexpr auto kUseTask = net::as_tuple_t<net::use_awaitable_t<Executor>>{};
constexpr std::chrono::milliseconds kTick{100};

std::string Describe(const net::generic::stream_protocol::endpoint& endpoint) {
  if (endpoint.protocol().family() == AF_UNIX) return "unix";
  net::ip::tcp::endpoint address;
  if (endpoint.size() > address.capacity()) return "?";
  address.resize(endpoint.size());
  std::memcpy(address.data(), endpoint.data(), endpoint.size());
  return fmt::format("{}:{}", address.address().to_string(), address.port());
}

// What fails for one connection, for want of memory, ends that one: the others have their turn.
template <typename F>
void OrEnd(Connection& connection, F&& work) {
  try {
    work();
  } catch (const std::exception&) {
    connection.Gone();
  }
}

class Server final : public HttpServer {
 public:
  Server(HttpConfig config, std::shared_ptr<const Router> router, HttpHooks hooks)
      : shared_(std::move(config), std::move(router), std::move(hooks)) {
    for (int i = 0; i < shared_.config.io_threads; ++i)
      threads_.push_back(std::make_unique<IoThread>(shared_));
  }

  ~Server() override {
    StopAccepting();
    shared_.workers.join();
    for (auto& thread : threads_) thread->Stop();
    if (owns_socket_file_) ::unlink(shared_.config.unix_socket.c_str());
  }

  Status Open() {
    const HttpConfig& config = shared_.config;
    acceptor_.emplace(threads_[0]->context());
    error_code error;
    net::generic::stream_protocol::endpoint endpoint;
    if (!config.unix_socket.empty()) {
      if (config.unix_socket.size() >= sizeof(sockaddr_un::sun_path))
        return InvalidArgument("the path of --unix-socket is too long: {}", config.unix_socket);
      endpoint = net::local::stream_protocol::endpoint(config.unix_socket);
      // A socket that a dead process left behind would be in the way; anything else is not ours.
      struct stat info;
      if (::lstat(config.unix_socket.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
        Socket probe(threads_[0]->context());
        probe.connect(endpoint, error);
        if (error == net::error::connection_refused) ::unlink(config.unix_socket.c_str());
        error.clear();
      }
    } else {
      net::ip::tcp::resolver resolver(threads_[0]->context());
      const auto found = resolver.resolve(config.host, std::to_string(config.port),
                                          net::ip::tcp::resolver::passive, error);
      if (error || found.empty())
        return InvalidArgument("--host {}: {}", config.host, error.message());
      endpoint = found.begin()->endpoint();
    }
    acceptor_->open(endpoint.protocol(), error);
    if (!error && config.unix_socket.empty())
      acceptor_->set_option(net::socket_base::reuse_address(true), error);
    if (!error) acceptor_->bind(endpoint, error);
    owns_socket_file_ = !error && !config.unix_socket.empty();
    if (!error) acceptor_->listen(net::socket_base::max_listen_connections, error);
    if (error) {
      const std::string where = config.unix_socket.empty()
                                    ? fmt::format("{} port {}", config.host, config.port)
                                    : config.unix_socket;
      return Unavailable("cannot listen on {}: {}", where, error.message());
    }
    if (config.unix_socket.empty()) {
      const auto local = acceptor_->local_endpoint(error);
      net::ip::tcp::endpoint address;
      address.resize(local.size());
      std::memcpy(address.data(), local.data(), local.size());
      port_ = address.port();
    }
    for (auto& thread : threads_) thread->Start();
    SpawnAccept();
    accepting_ = true;
    return OkStatus();
  }

  int port() const override { return port_; }
  int active_requests() const override { return shared_.active; }
  int connections() const override { return shared_.connections; }

  void Shutdown(std::chrono::milliseconds grace) override {
    StopAccepting();
    shared_.draining = true;
    for (auto& thread : threads_) thread->CloseIdle();
    const auto end = Clock::now() + grace;
    while (shared_.active > 0 && Clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    shared_.workers.join();
    for (auto& thread : threads_) thread->Stop();
  }

 private:
  // An exception (no memory for a connection) is that connection's end, not that of all to come.
  void SpawnAccept() {
    net::co_spawn(threads_[0]->context(), Accept(), [this](std::exception_ptr thrown) {
      if (thrown == nullptr || !acceptor_->is_open()) return;
      LogError("a connection could not be accepted");
      SpawnAccept();
    });
  }

  Task<void> Accept() {
    for (std::size_t next = 0;; ++next) {
      IoThread& thread = *threads_[next % threads_.size()];
      Socket socket(thread.context());
      net::generic::stream_protocol::endpoint peer;
      auto [error] = co_await acceptor_->async_accept(socket, peer, kUseTask);
      if (error == net::error::operation_aborted || !acceptor_->is_open()) co_return;
      if (error) {
        // Out of descriptors, mostly: wait for connections to end.
        LogWarning("cannot accept a connection: {}", error.message());
        Timer pause(threads_[0]->context(), std::chrono::milliseconds(100));
        co_await pause.async_wait(kUseTask);
        continue;
      }
      error_code ignored;
      socket.non_blocking(true, ignored);
      if (peer.protocol().family() != AF_UNIX)
        socket.set_option(net::ip::tcp::no_delay(true), ignored);
      if (shared_.connections >= shared_.config.max_connections) {
        const std::string body = ErrorJson(503, "too many open connections");
        const std::string text = fmt::format(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            "Retry-After: 1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
            body.size(), body);
        socket.send(net::buffer(text), 0, ignored);
        continue;
      }
      std::string remote = Describe(peer);
      ++shared_.connections;
      thread.Adopt(std::move(socket), std::move(remote));
    }
  }

  void StopAccepting() {
    if (!accepting_) return;
    accepting_ = false;
    std::promise<void> closed;
    net::post(threads_[0]->context(), [&] {
      error_code ignored;
      acceptor_->close(ignored);
      closed.set_value();
    });
    closed.get_future().wait();
  }

  HttpShared shared_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::optional<Acceptor> acceptor_;
  int port_ = 0;
  bool owns_socket_file_ = false;
  bool accepting_ = false;
};

}  // namespace

IoThread::IoThread(HttpShared& shared) : shared_(&shared), timer_(context_) {}
IoThread::~IoThread() { Stop(); }

void IoThread::Start() {
  Tick();
  thread_ = std::thread([this] {
    while (true) {
      try {
        context_.run();
        return;
      } catch (const std::exception& error) {  // of one task: the others go on
        LogError("a task of the HTTP server failed: {}", error.what());
      }
    }
  });
}

void IoThread::Stop() {
  if (!thread_.joinable()) return;
  net::post(context_, [this] {
    const std::unordered_set<Connection*> all = connections_;
    for (Connection* connection : all) connection->Gone();
    context_.stop();
  });
  thread_.join();
  context_.restart();
  context_.poll();  // lets the coroutines see that their sockets are closed
}

void IoThread::Adopt(Socket socket, std::string remote) {
  net::post(context_, [this, socket = std::move(socket), remote = std::move(remote)]() mutable {
    std::shared_ptr<Connection> connection;
    try {
      connection = std::make_shared<Connection>(*this, std::move(socket), std::move(remote));
    } catch (const std::exception&) {
      --shared_->connections;
      throw;
    }
    connection->Start();
  });
}

void IoThread::Ready(std::shared_ptr<Exchange> exchange) {
  {
    std::lock_guard lock(ready_mutex_);
    ready_.push_back(std::move(exchange));
    if (woken_) return;
    woken_ = true;
  }
  try {
    net::post(context_, [this] { WriteReady(); });
  } catch (const std::exception&) {  // Tick finds it
    std::lock_guard lock(ready_mutex_);
    woken_ = false;
  }
}

void IoThread::WriteReady() {
  std::vector<std::shared_ptr<Exchange>> ready;
  {
    std::lock_guard lock(ready_mutex_);
    ready.swap(ready_);
    woken_ = false;
  }
  for (const auto& exchange : ready) {
    std::shared_ptr<Connection> connection;
    {
      std::lock_guard lock(exchange->mutex_);
      exchange->queued_ = false;
      connection = exchange->connection_;
    }
    if (connection != nullptr) OrEnd(*connection, [&] { connection->Flush(); });
  }
}

void IoThread::CloseIdle() {
  net::post(context_, [this] {
    const std::unordered_set<Connection*> all = connections_;
    for (Connection* connection : all) connection->CloseIfIdle();
  });
}

void IoThread::Tick() {
  timer_.expires_after(kTick);
  timer_.async_wait([this](error_code error) {
    if (!error) Tick();
  });
  const auto now = Clock::now();
  date_ = fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(std::time(nullptr)));
  std::vector<std::shared_ptr<Connection>> overdue;
  for (Connection* connection : connections_)
    if (connection->Overdue(now)) overdue.push_back(connection->shared_from_this());
  for (const auto& connection : overdue) OrEnd(*connection, [&] { connection->TimeOut(now); });
  WriteReady();
}

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpConfig config,
                                                        std::shared_ptr<const Router> router,
                                                        HttpHooks hooks) {
  if (config.io_threads < 1 || config.worker_threads < 1)
    return InvalidArgument("the HTTP server needs a thread of each kind");
  auto server = std::make_unique<Server>(std::move(config), std::move(router), std::move(hooks));
  BANYAN_RETURN_IF_ERROR(server->Open());
  return server;
}

}  // namespace banyan::serve
