// SPDX-License-Identifier: Apache-2.0
#include "serve/http_connection.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>

#include "base/log.h"
#include "serve/errors.h"

namespace banyan::serve {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
constexpr std::size_t kWritePart = 64 << 10;
constexpr auto kUseTask = net::as_tuple_t<net::use_awaitable_t<Executor>>{};

Clock::rep Ticks(Clock::time_point time) { return time.time_since_epoch().count(); }

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string_view Reason(int status) {
  const auto text = http::obsolete_reason(static_cast<http::status>(status));
  return status == 499 ? "Client Closed Request" : View(text);
}

// The client went away, rather than said something wrong.
bool IsCut(error_code error) {
  return error &&
         (error == http::error::end_of_stream || error == http::error::partial_message ||
          error == net::error::eof || error.category() == net::error::get_system_category());
}

// Bytes that are no longer waiting at the end of its scope.
struct Written {
  std::atomic<std::size_t>& backlog;
  const std::size_t bytes;
  ~Written() { backlog -= bytes; }
};

// What the handler holds. Dropping the last one answers for the handler if it has not.
class ReplyHandle final : public Reply {
 public:
  ReplyHandle(std::shared_ptr<Exchange> exchange, IoThread& io)
      : exchange_(std::move(exchange)), io_(&io) {}
  ~ReplyHandle() override {
    exchange_->Guard([this] { exchange_->Abandon(); });
  }

  void Send(HttpResponse response) override { exchange_->Send(std::move(response)); }
  void StartStream(std::string_view type) override { exchange_->StartStream(type); }
  bool Write(std::string_view bytes) override { return exchange_->Write(bytes); }
  void Finish() override { exchange_->Finish(); }
  void OnGone(std::function<void()> callback) override { exchange_->OnGone(std::move(callback)); }
  void Run(std::function<void()> task) override {
    net::post(io_->context(),
              [exchange = exchange_, task = std::move(task)] { exchange->Guard(task); });
  }
  void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) override {
    auto timer = std::make_shared<Timer>(io_->context(), delay);
    timer->async_wait([timer, exchange = exchange_, task = std::move(task)](error_code) {
      exchange->Guard(task);
    });
  }

 private:
  std::shared_ptr<Exchange> exchange_;
  IoThread* io_;
};

// The request line and the headers.
StatusOr<HttpRequest> Convert(const http::request<http::string_body>& message,
                              const std::string& remote) {
  HttpRequest request;
  request.method = View(message.method_string());
  request.remote = remote;
  std::string_view target = View(message.target());
  if (const std::size_t scheme = target.find("://");
      scheme != std::string_view::npos && target[0] != '/') {
    const std::size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  const std::size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  BANYAN_ASSIGN_OR_RETURN(request.path, PercentDecode(target.substr(0, question), false));
  for (const auto& field : message)
    request.headers.emplace_back(View(field.name_string()), View(field.value()));
  return request;
}

}  // namespace

Exchange::Exchange(std::shared_ptr<Connection> connection, HttpRequest r, bool http11, bool keep)
    : request(std::move(r)),
      http11(http11),
      keep_alive(keep),
      connection_(std::move(connection)),
      io_(connection_->io_) {}

void Exchange::Send(HttpResponse response) {
  {
    std::lock_guard lock(mutex_);
    if (answered_) return;
    answered_ = done_ = true;
    response_ = std::move(response);
    on_gone_ = nullptr;
  }
  Wake();
}

void Exchange::StartStream(std::string_view content_type) {
  std::lock_guard lock(mutex_);
  if (answered_) return;
  answered_ = streaming_ = true;
  response_.content_type = content_type;
}

bool Exchange::Write(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  if (gone_ || done_ || !streaming_) return false;
  if (cut_ == nullptr) cut_ = TooSlow(bytes.size());
  if (cut_ == nullptr) {
    try {
      if (pending_.empty()) moved_ = Ticks(Clock::now());
      pending_ += bytes;
      io_->shared().backlog += bytes.size();
    } catch (const std::bad_alloc&) {
      cut_ = "out of memory, its request is ended";  // a stream has no holes
    }
  }
  Enqueue();
  return cut_ == nullptr;
}

// A large event, or many that come before the I/O thread has had its turn, say nothing about the
// client; that nothing goes out for long does, or that the stream waits behind another request.
const char* Exchange::TooSlow(std::size_t more) const {
  const HttpShared& shared = io_->shared();
  const HttpConfig& config = shared.config;
  if (pending_.empty() || pending_.size() + more <= config.max_pending_bytes) return nullptr;
  if (Clock::duration(Ticks(Clock::now()) - moved_) >= config.stall_timeout)
    return "the client has taken nothing of a stream for too long, its request is ended";
  if (pending_.size() + more > config.max_backlog_bytes)
    return "the stream is faster than its client by too many bytes, its request is ended";
  if (shared.backlog + more > config.max_total_backlog_bytes)
    return "too many bytes wait for clients that read slowly, a request of one is ended";
  return nullptr;
}

void Exchange::Finish() {
  {
    std::lock_guard lock(mutex_);
    if (!streaming_ || done_) return;
    done_ = true;
    on_gone_ = nullptr;
  }
  Wake();
}

void Exchange::OnGone(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (done_) return;
    if (!gone_) {
      on_gone_ = std::move(callback);
      return;
    }
  }
  callback();
}

void Exchange::Abandon() { Fail(500, "the request was dropped without an answer"); }

// A stream that ended here as it should would pass for whole. What is complete is woken once more:
// the failure may have been that it could not be.
void Exchange::Fail(int status, const char* why) {
  bool answered;
  {
    std::lock_guard lock(mutex_);
    if (gone_) return;
    answered = answered_;
    if (streaming_ && !done_ && cut_ == nullptr) cut_ = why;
  }
  if (answered) {
    Wake();
  } else {
    Send(ErrorResponse(status, why));
  }
}

template <typename F>
void Exchange::Guard(F&& work) {
  try {
    try {
      work();
    } catch (const std::bad_alloc&) {
      Fail(503, "out of memory");
    } catch (const std::exception& error) {
      LogError("{} {}: {}", request.method, request.path, error.what());
      Fail(500, "internal error");
    }
  } catch (const std::exception&) {
    // Not even memory to say so: whoever drops the reply tries again.
  }
}

void Exchange::Wake() {
  std::lock_guard lock(mutex_);
  Enqueue();
}

void Exchange::Enqueue() {
  if (queued_ || gone_) return;
  io_->Ready(shared_from_this());
  queued_ = true;
}

void Exchange::MarkGone() {
  std::function<void()> callback;
  std::shared_ptr<Connection> connection;  // freed after the lock
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
    callback = std::move(on_gone_);
    on_gone_ = nullptr;
    io_->shared().backlog -= pending_.size();
    std::string().swap(pending_);
    connection = std::move(connection_);
  }
  if (callback) Guard(callback);
}

Connection::Connection(IoThread& io, Socket socket, std::string remote)
    : io_(&io),
      socket_(std::move(socket)),
      remote_(std::move(remote)),
      changed_(io.context(), Clock::time_point::max()) {
  io_->connections_.insert(this);
}

Connection::~Connection() {
  io_->connections_.erase(this);
  --io_->shared().connections;
}

auto Connection::OnExit() {
  return [self = shared_from_this()](std::exception_ptr thrown) {
    if (thrown == nullptr) return;
    self->Gone();
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      LogError("{}: the connection is ended: {}", self->remote_, error.what());
    }
  };
}

void Connection::Start() {
  net::co_spawn(
      io_->context(), [self = shared_from_this()] { return self->Read(); }, OnExit());
}

Task<void> Connection::Read() {
  auto self = shared_from_this();
  while (!closed_ && co_await ReadOne()) {
  }
  if (!closed_ && reading_ != Reading::kDone) co_await Discard();
}

// Until something of a request is there.
Task<bool> Connection::AwaitRequest() {
  const HttpConfig& config = io_->shared().config;
  while (!closed_ && static_cast<int>(exchanges_.size()) >= config.max_pipelined) {
    reading_ = Reading::kPaused;
    co_await changed_.async_wait(kUseTask);
  }
  if (closed_) co_return false;

  reading_ = Reading::kIdle;
  if (exchanges_.empty()) read_deadline_ = Clock::now() + config.idle_timeout;
  std::size_t left = config.max_header_bytes;
  while (true) {
    // Empty lines before a request mean nothing (RFC 9112, 2.2): some clients end a body with one.
    const auto read = buffer_.cdata();
    const std::string_view bytes(static_cast<const char*>(read.data()), read.size());
    const std::size_t empty = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
    buffer_.consume(empty);
    if (empty > left) {
      RefuseAndClose(400, fmt::format("more than {} bytes of empty lines before a request",
                                      config.max_header_bytes));
      co_return false;
    }
    left -= empty;
    if (buffer_.size() > 0) co_return true;
    if (io_->shared().draining && exchanges_.empty()) break;
    auto [error, count] = co_await socket_.async_read_some(buffer_.prepare(8192), kUseTask);
    if (error) break;
    buffer_.commit(count);
  }
  Gone();
  co_return false;
}

Task<bool> Connection::ReadOne() {
  const HttpConfig& config = io_->shared().config;
  if (!co_await AwaitRequest()) co_return false;

  reading_ = Reading::kHeader;
  read_deadline_ = Clock::now() + config.read_timeout;
  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(config.max_header_bytes));
  parser.body_limit(config.max_body_bytes);
  auto [error, bytes] = co_await http::async_read_header(socket_, buffer_, parser, kUseTask);
  if (closed_ || close_after_) co_return false;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    RefuseAndClose(431, fmt::format("the header is larger than {} bytes", config.max_header_bytes));
    co_return false;
  }
  if (error == http::error::body_limit) {
    RefuseAndClose(413, fmt::format("the body is larger than {} bytes", config.max_body_bytes));
    co_return false;
  }
  if (IsCut(error)) {
    Gone();
    co_return false;
  }
  if (error) {
    RefuseAndClose(400, "not an HTTP request: " + error.message());
    co_return false;
  }

  const auto& message = parser.get();
  const bool http11 = message.version() >= 11;
  const bool keep = message.keep_alive();
  auto request = Convert(message, remote_);
  if (!request.ok()) {
    RefuseAndClose(400, Message(request.status()));
    co_return false;
  }
  if (const auto coding = message.find(http::field::transfer_encoding);
      coding != message.end() && !boost::beast::iequals(coding->value(), "chunked")) {
    RefuseAndClose(501, "this Transfer-Encoding is not supported");
    co_return false;
  }
  if (const auto hosts = message.count(http::field::host); hosts > 1 || (http11 && hosts == 0)) {
    RefuseAndClose(400, hosts == 0 ? "the Host header is missing" : "there are two Host headers");
    co_return false;
  }

  // Everything that can be said without the body is said before it is read.
  std::optional<HttpResponse> refusal;
  Router::Match match = io_->shared().router->Find(request->method, request->path);
  request->route = match.route;
  request->path_tail = std::move(match.tail);
  const bool options = request->method == "OPTIONS" && !match.allow.empty();
  if (io_->shared().hooks.admit && !options) refusal = io_->shared().hooks.admit(*request);
  if (refusal || match.route != nullptr) {
    // Refused, or about to be handled.
  } else if (options) {
    refusal = HttpResponse{.status = 204, .body = {}, .headers = {{"Allow", match.allow}}};
  } else if (!match.allow.empty()) {
    refusal = ErrorResponse(
        405, fmt::format("{} is not allowed here, but {} is", request->method, match.allow));
    refusal->headers.emplace_back("Allow", match.allow);
  } else {
    refusal = ErrorResponse(404, fmt::format("there is no {} {}", request->method, request->path));
  }
  const auto expect = message[http::field::expect];
  const bool expects = http11 && !expect.empty();
  if (!refusal && expects && !boost::beast::iequals(expect, "100-continue"))
    refusal = ErrorResponse(417, "an expectation other than 100-continue");
  const bool has_body = parser.chunked() || parser.content_length().value_or(0) > 0;
  if (refusal) {
    const bool more = keep && !has_body;
    Answer(*std::move(request), http11, more, *std::move(refusal));
    co_return more;
  }
  if (has_body) {
    if (expects && !co_await Continue()) co_return false;
    reading_ = Reading::kBody;
    body_deadline_ = Clock::now() + config.body_timeout;
    while (!parser.is_done()) {
      read_deadline_ = std::min(Clock::now() + config.read_timeout, body_deadline_);
      auto [body_error, n] = co_await http::async_read_some(socket_, buffer_, parser, kUseTask);
      if (closed_ || close_after_) co_return false;
      if (body_error == http::error::body_limit) {
        RefuseAndClose(413, fmt::format("the body is larger than {} bytes", config.max_body_bytes));
        co_return false;
      }
      if (body_error) {
        IsCut(body_error) ? Gone()
                          : RefuseAndClose(400, "not an HTTP body: " + body_error.message());
        co_return false;
      }
    }
  }
  read_deadline_ = Clock::time_point::max();
  request->body = std::move(parser.get().body());
  auto exchange = std::make_shared<Exchange>(shared_from_this(), *std::move(request), http11, keep);
  exchanges_.push_back(exchange);
  Dispatch(std::move(exchange));
  co_return keep;
}

// Answers "100 Continue" once the replies before this request are out.
Task<bool> Connection::Continue() {
  while (!closed_ && (!exchanges_.empty() || writing_)) {
    reading_ = Reading::kPaused;
    co_await changed_.async_wait(kUseTask);
  }
  if (closed_) co_return false;
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  write_deadline_ = Clock::now() + io_->shared().config.write_timeout;
  auto [error, bytes] =
      co_await net::async_write(socket_, net::buffer(kContinue.data(), kContinue.size()), kUseTask);
  write_deadline_ = Clock::time_point::max();
  if (error) Gone();
  co_return !error;
}

// The last request of this connection has been read: only wait for the client to go.
Task<void> Connection::Discard() {
  reading_ = Reading::kDiscard;
  buffer_.consume(buffer_.size());
  char sink[4096];
  while (!closed_) {
    auto [error, bytes] = co_await socket_.async_read_some(net::buffer(sink), kUseTask);
    if (error) Gone();
  }
}

void Connection::Dispatch(std::shared_ptr<Exchange> exchange) {
  HttpShared& shared = io_->shared();
  ++shared.active;
  if (shared.hooks.began) shared.hooks.began(exchange->request);
  const bool heavy = exchange->request.route->heavy &&
                     exchange->request.body.size() > shared.config.heavy_body_bytes;
  auto call = [exchange, io = io_] {
    exchange->Guard([&] {
      const auto reply = std::make_shared<ReplyHandle>(exchange, *io);
      // Answered before the reply is dropped, which would answer too.
      exchange->Guard([&] { exchange->request.route->handler(exchange->request, reply); });
    });
    std::string().swap(exchange->request.body);  // the rest is for the log and the metrics
  };
  if (heavy) {
    net::post(shared.workers, std::move(call));
  } else {
    call();
  }
}

void Connection::Answer(HttpRequest request, bool http11, bool keep, HttpResponse response) {
  auto exchange = std::make_shared<Exchange>(shared_from_this(), std::move(request), http11, keep);
  exchanges_.push_back(exchange);
  ++io_->shared().active;
  if (io_->shared().hooks.began) io_->shared().hooks.began(exchange->request);
  exchange->Send(std::move(response));
}

void Connection::RefuseAndClose(int status, std::string_view message) {
  close_after_ = true;
  read_deadline_ = Clock::time_point::max();
  HttpRequest request;
  request.remote = remote_;
  Answer(std::move(request), true, false, ErrorResponse(status, message));
}

void Connection::Flush() {
  if (closed_ || exchanges_.empty()) return;
  Exchange& first = *exchanges_.front();
  const char* cut;
  bool ready;
  {
    std::lock_guard lock(first.mutex_);
    cut = first.cut_;
    ready = first.answered_ && (!first.pending_.empty() || first.done_);
  }
  if (cut != nullptr) return CutOff(cut);
  if (writing_ || !ready) return;
  writing_ = true;
  net::co_spawn(
      io_->context(), [self = shared_from_this()] { return self->WriteOut(); }, OnExit());
}

std::string Connection::ComposeHead(Exchange& exchange, std::size_t body_bytes) {
  const HttpResponse& response = exchange.response_;
  std::string head;
  head.reserve(256);
  auto out = std::back_inserter(head);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\nServer: banyan\r\nDate: {}\r\n", response.status,
                 Reason(response.status), io_->date());
  for (const auto& [name, value] : response.headers) fmt::format_to(out, "{}: {}\r\n", name, value);
  if (response.status != 204) {
    fmt::format_to(out, "Content-Type: {}\r\n", response.content_type);
    if (!exchange.streaming_) {
      fmt::format_to(out, "Content-Length: {}\r\n", body_bytes);
    } else {
      head += "Cache-Control: no-cache\r\n";
      if (exchange.http11) head += "Transfer-Encoding: chunked\r\n";
    }
  }
  if (!exchange.keep_alive) {
    head += "Connection: close\r\n";
  } else if (!exchange.http11) {
    head += "Connection: keep-alive\r\n";
  }
  head += "\r\n";
  return head;
}

// Writes what the first exchange has, then what the next has, until one has nothing yet.
Task<void> Connection::WriteOut() {
  auto self = shared_from_this();
  std::string head, body, frame;
  while (!closed_ && !exchanges_.empty()) {
    std::shared_ptr<Exchange> exchange = exchanges_.front();
    const bool no_body = exchange->request.method == "HEAD";
    bool done, framed;
    std::size_t queued;
    const char* cut;
    head.clear();
    body.clear();
    {
      std::lock_guard lock(exchange->mutex_);
      done = exchange->done_;
      cut = exchange->cut_;
      if (cut == nullptr && (!exchange->answered_ || (exchange->pending_.empty() && !done))) {
        writing_ = false;
        co_return;
      }
      body.swap(exchange->streaming_ ? exchange->pending_ : exchange->response_.body);
      queued = exchange->streaming_ ? body.size() : 0;
      // A stream's end on HTTP/1.0 is the end of the connection.
      if ((io_->shared().draining && exchanges_.size() == 1) ||
          (exchange->streaming_ && !exchange->http11))
        exchange->keep_alive = false;
      if (!exchange->head_written_) head = ComposeHead(*exchange, body.size());
      framed = exchange->streaming_ && exchange->http11;
    }
    const Written written{io_->shared().backlog, queued};
    if (cut != nullptr) {
      CutOff(cut);
      break;
    }
    exchange->head_written_ = true;
    if (no_body) body.clear();

    std::array<net::const_buffer, 4> parts;
    std::string_view last;
    if (framed && !no_body) {
      if (!body.empty()) {
        frame = fmt::format("{:x}\r\n", body.size());
        last = done ? "\r\n0\r\n\r\n" : "\r\n";
      } else {
        frame.clear();
        last = done ? "0\r\n\r\n" : "";
      }
    } else {
      frame.clear();
    }
    parts = {net::buffer(head), net::buffer(frame), net::buffer(body),
             net::buffer(last.data(), last.size())};
    // Asked before each part of a write: so it learns that the one before has gone out.
    const auto progress = [this, &exchange](error_code failed, std::size_t) -> std::size_t {
      const Clock::time_point now = Clock::now();
      exchange->moved_ = Ticks(now);
      write_deadline_ = now + io_->shared().config.write_timeout;
      return failed ? 0 : kWritePart;
    };
    auto [error, bytes] = co_await net::async_write(socket_, parts, progress, kUseTask);
    write_deadline_ = Clock::time_point::max();
    if (closed_) co_return;
    if (error) break;
    if (!done) continue;

    exchanges_.pop_front();
    Ended(*exchange, exchange->response_.status);
    const bool keep = exchange->keep_alive;
    exchange->MarkGone();
    changed_.cancel();
    if (!keep) {
      Linger();
      break;
    }
    if (exchanges_.empty() && reading_ == Reading::kIdle)
      read_deadline_ = Clock::now() + io_->shared().config.idle_timeout;
  }
  writing_ = false;
  if (!closed_ && !exchanges_.empty()) Gone();
}

// Lets the client read the last reply: closing at once with bytes of its own unread would reset the
// connection and could destroy the reply on its way.
void Connection::Linger() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  close_after_ = true;
  read_deadline_ = Clock::now() + io_->shared().config.linger_timeout;
}

void Connection::Ended(Exchange& exchange, int status) {
  HttpShared& shared = io_->shared();
  --shared.active;
  if (!shared.hooks.ended) return;
  try {
    shared.hooks.ended({exchange.request, status, Clock::now() - exchange.began});
  } catch (const std::exception&) {
    // No memory to log or to count it: that is no reason to leave others waiting.
  }
}

void Connection::Gone() {
  if (closed_) return;
  closed_ = true;
  reading_ = Reading::kDone;
  auto self = shared_from_this();
  error_code ignored;
  // Where the end of the connection is the end of the stream, one that breaks off ends in a reset.
  if (!exchanges_.empty()) {
    const Exchange& first = *exchanges_.front();
    if (first.head_written_ && first.streaming_ && !first.http11)
      socket_.set_option(net::socket_base::linger(true, 0), ignored);
  }
  socket_.close(ignored);
  changed_.cancel();
  std::deque<std::shared_ptr<Exchange>> ended;
  ended.swap(exchanges_);
  for (const auto& exchange : ended) {
    Ended(*exchange, 499);
    exchange->MarkGone();
  }
}

void Connection::CutOff(const char* why) {
  LogWarning("{}: {}", remote_, why);
  Gone();
}

void Connection::TimeOut(Clock::time_point now) {
  if (closed_) return;
  if (now >= write_deadline_) {
    LogWarning("{}: the client has not read its reply for too long", remote_);
    Gone();
  } else if (now >= read_deadline_) {
    read_deadline_ = Clock::time_point::max();
    const bool within = reading_ == Reading::kHeader || reading_ == Reading::kBody;
    if (within && exchanges_.empty() && !close_after_) {
      RefuseAndClose(408, "the request did not arrive in time");
    } else if (exchanges_.empty() || within) {
      Gone();
    }
  }
}

void Connection::CloseIfIdle() {
  if (exchanges_.empty() && !writing_ && reading_ == Reading::kIdle) Gone();
}

}  // namespace banyan::serve
