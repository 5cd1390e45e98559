#include "courier/courier.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <deque>
#include <utility>

#include "courier/frames.h"
#include "courier/ledger.h"
#include "courier/transfers.h"

namespace supv {
namespace {

using courier::Clock;
using courier::Done;
using courier::Kind;
using courier::Ledger;
using courier::Link;

constexpr std::size_t kMaxUnderWay = 4096;
/// Answers are packed for the socket only as fast as it takes them.
constexpr std::size_t kPackedAhead = std::size_t{256} * 1024;
/// While this much waits for a slow brain, servers wait too: nothing is read from them.
constexpr std::size_t kMaxWaiting = std::size_t{16} * 1024 * 1024;

class Courier {
 public:
  explicit Courier(Fd channel) : channel_(std::move(channel)) {}
  /// Until the brain's side of the channel is closed.
  void run();

 private:
  /// False when the channel is closed.
  bool take_messages();
  void take_request(courier::Request request);
  void take_answers();
  void begin_session(std::uint64_t session);
  void reply(Done reply);
  bool flush();
  bool stalled() const { return waiting_bytes_ > kMaxWaiting; }
  void sleep();

  Fd channel_;
  courier::Inbox inbox_;
  courier::Outbox outbox_;
  courier::Transfers transfers_;
  Ledger ledger_;
  std::deque<Done> waiting_;  ///< For the present brain, not packed yet.
  std::size_t waiting_bytes_ = 0;
};

void Courier::run() {
  while (take_messages()) {
    take_answers();
    if (!flush()) return;
    sleep();
  }
}

bool Courier::take_messages() {
  while (auto message = inbox_.receive(channel_.get())) {
    if (message->kind == Kind::hello) {
      if (const auto session = courier::decode_session(message->payload)) begin_session(*session);
    } else if (message->kind == Kind::request) {
      if (auto request = courier::decode_request(message->payload))
        take_request(std::move(*request));
    }
  }
  return !inbox_.closed();
}

void Courier::begin_session(std::uint64_t session) {
  ledger_.begin();
  waiting_.clear();
  waiting_bytes_ = 0;
  outbox_.clear();
  outbox_.push(Kind::welcome, courier::encode_session(session));
}

void Courier::take_request(courier::Request request) {
  const std::uint64_t tag = request.tag;
  std::string key = Ledger::key_of(request);
  const auto deadline = Clock::now() + std::chrono::milliseconds(request.deadline_ms);
  if (ledger_.attach(key, tag, deadline)) return;
  if (ledger_.under_way() >= kMaxUnderWay) {
    Done busy;
    busy.tag = tag;
    busy.error = "more than " + std::to_string(kMaxUnderWay) + " requests are under way";
    reply(std::move(busy));
    return;
  }
  const auto id = transfers_.start(std::move(request));
  ledger_.add(id, std::move(key), tag);
}

void Courier::take_answers() {
  const auto now = Clock::now();
  for (const std::uint64_t tag : ledger_.expire(now)) {
    Done late;
    late.tag = tag;
    late.error = "no complete answer in time to a request taken over from an earlier brain";
    reply(std::move(late));
  }
  if (stalled()) return;
  for (auto& [id, done] : transfers_.run())
    if (auto answer = ledger_.end(id, std::move(done))) reply(std::move(*answer));
}

void Courier::reply(Done reply) {
  waiting_bytes_ += reply.body.size();
  waiting_.push_back(std::move(reply));
}

bool Courier::flush() {
  while (!waiting_.empty() && outbox_.pending() < kPackedAhead) {
    waiting_bytes_ -= waiting_.front().body.size();
    outbox_.push(Kind::done, courier::encode(waiting_.front()));
    waiting_.pop_front();
  }
  return outbox_.flush(channel_.get()) == Link::open;
}

void Courier::sleep() {
  pollfd fds[2] = {{channel_.get(), POLLIN, 0}, {transfers_.fd(), POLLIN, 0}};
  if (outbox_.pending() > 0) fds[0].events |= POLLOUT;
  auto wake = ledger_.wake();
  if (!stalled()) {
    const auto due = transfers_.wake();
    if (due && (!wake || *due < *wake)) wake = due;
  }
  int timeout_ms = -1;
  if (outbox_.pending() == 0 && !waiting_.empty()) {
    timeout_ms = 0;  // The socket takes more, but a new brain's Hello comes first.
  } else if (wake) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*wake - Clock::now());
    timeout_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3600'000));
  }
  ::poll(fds, stalled() ? 1 : 2, timeout_ms);
}

}  // namespace

int run_courier(int channel_fd) {
  std::signal(SIGPIPE, SIG_IGN);  // libcurl is told to leave signals alone.
  ::fcntl(channel_fd, F_SETFD, FD_CLOEXEC);
  try {
    Courier(Fd(channel_fd)).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "supvd: courier: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace supv
