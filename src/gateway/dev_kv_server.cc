#include "gateway/dev_kv_server.h"

#include <poll.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

namespace supv {
namespace {

constexpr unsigned kMaxConnections = 900;  ///< Under the usual limit of 1024 descriptors.
constexpr unsigned kIdleSeconds = 120;

}  // namespace

KvServer::KvServer(const MicroHttpd& http, Fd listener, std::uint16_t port, KvFile file,
                   KvStore store)
    : http_(http),
      port_(port),
      file_(std::move(file)),
      store_(std::move(store)),
      api_(port),
      random_(std::random_device{}()) {
  daemon_ = http_.start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, port_, nullptr, nullptr,
                               &KvServer::on_request, this, MHD_OPTION_LISTEN_SOCKET,
                               listener.get(), MHD_OPTION_URI_LOG_CALLBACK, &KvServer::on_line,
                               this, MHD_OPTION_NOTIFY_COMPLETED, &KvServer::on_completed, this,
                               MHD_OPTION_CONNECTION_LIMIT, kMaxConnections,
                               MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_END);
  if (daemon_ == nullptr) throw std::runtime_error("libmicrohttpd does not start");
  (void)listener.release();  // The daemon closes it.
}

KvServer::~KvServer() {
  while (!waiting_.empty()) resume(*waiting_.front());  // Stopping demands that none is suspended.
  http_.run(daemon_);
  http_.stop_daemon(daemon_);
}

void KvServer::run() {
  const int fd = http_.get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  while (true) {
    pollfd ready{fd, POLLIN, 0};
    ::poll(&ready, 1, timeout_ms());
    wake_late();
    // The library forgets to ask for another round for those that a round has resumed.
    do {
      resumed_ = false;
      http_.run(daemon_);
    } while (resumed_);
  }
}

int KvServer::timeout_ms() const {
  std::int64_t timeout = -1;
  MHD_UNSIGNED_LONG_LONG wanted = 0;
  if (http_.get_timeout(daemon_, &wanted) == MHD_YES)
    timeout = static_cast<std::int64_t>(std::min<MHD_UNSIGNED_LONG_LONG>(wanted, 3600'000));
  const auto now = Clock::now();
  for (const Exchange* exchange : waiting_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(exchange->until - now).count();
    timeout = timeout < 0 ? left : std::min<std::int64_t>(timeout, left);
    timeout = std::max<std::int64_t>(timeout, 0);
  }
  return static_cast<int>(std::min<std::int64_t>(timeout, 3600'000));
}

void* KvServer::on_line(void* self, const char* target, MHD_Connection* connection) {
  auto* exchange = new Exchange;
  exchange->server = static_cast<KvServer*>(self);
  exchange->connection = connection;
  exchange->ask.target = target;
  return exchange;
}

MHD_Result KvServer::on_request(void* self, MHD_Connection*, const char*, const char* method,
                                const char*, const char* body, std::size_t* size, void** context) {
  auto* server = static_cast<KvServer*>(self);
  auto& exchange = *static_cast<Exchange*>(*context);
  if (exchange.ready) return server->answer(exchange);
  if (!std::exchange(exchange.begun, true)) {
    exchange.ask.method = method;
    return MHD_YES;
  }
  if (*size > 0) {
    KvAsk& ask = exchange.ask;
    ask.body_size += *size;
    ask.body.append(body, std::min(*size, kMaxKvValue + 1 - ask.body.size()));
    *size = 0;
    return MHD_YES;
  }
  server->serve(exchange);
  return exchange.ready ? server->answer(exchange) : MHD_YES;
}

void KvServer::on_completed(void*, MHD_Connection*, void** context, MHD_RequestTerminationCode) {
  const std::unique_ptr<Exchange> exchange(static_cast<Exchange*>(*context));
  *context = nullptr;
  if (exchange && exchange->is_waiting) exchange->server->waiting_.erase(exchange->waiting);
}

void KvServer::serve(Exchange& exchange) {
  const bool writes = exchange.ask.method == "PUT" || exchange.ask.method == "DELETE";
  KvStore next = writes ? store_ : KvStore();  // Kept only when it has been saved.
  KvApi::Outcome outcome = api_.serve(writes ? next : store_, exchange.ask);
  std::string error;
  if (outcome.changed && !file_.save(port_, next, error)) {
    outcome = {};
    outcome.answer = {500, {{"Content-Type", "text/plain; charset=utf-8"}}, error};
  }
  exchange.answer = std::move(outcome.answer);
  if (outcome.changed) {
    store_ = std::move(next);
    wake_readers(outcome.touched);
  }
  exchange.ready = !outcome.wait;
  if (exchange.ready) return;
  exchange.wait = *outcome.wait;
  // As a server does it, so that not all clients come back at once.
  const std::int64_t spread = exchange.wait.time.count() / 16;
  const auto jitter = std::chrono::nanoseconds(
      spread > 0 ? std::uniform_int_distribution<std::int64_t>(0, spread)(random_) : 0);
  exchange.until = Clock::now() + exchange.wait.time + jitter;
  exchange.waiting = waiting_.insert(waiting_.end(), &exchange);
  exchange.is_waiting = true;
  http_.suspend_connection(exchange.connection);
}

MHD_Result KvServer::answer(const Exchange& exchange) {
  const KvAnswer& answer = exchange.answer;
  // Copied by the library, so the missing const is never used.
  MHD_Response* response = http_.create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  for (const auto& [name, value] : answer.headers)
    http_.add_response_header(response, name, value.c_str());
  const MHD_Result result = http_.queue_response(exchange.connection, answer.status, response);
  http_.destroy_response(response);
  return result;
}

void KvServer::wake_readers(std::string_view touched) {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    Exchange& exchange = **at++;
    if (!KvApi::concerns(store_, exchange.wait, touched)) continue;
    // A read is served without changing anything; it is over when it need not wait any more.
    KvApi::Outcome outcome = api_.serve(store_, exchange.ask);
    exchange.answer = std::move(outcome.answer);
    if (!outcome.wait) resume(exchange);
  }
}

void KvServer::wake_late() {
  const auto now = Clock::now();
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    Exchange& exchange = **at++;
    if (exchange.until <= now) resume(exchange);
  }
}

void KvServer::resume(Exchange& exchange) {
  exchange.ready = true;
  exchange.is_waiting = false;
  waiting_.erase(exchange.waiting);
  resumed_ = true;
  http_.resume_connection(exchange.connection);
}

}  // namespace supv
