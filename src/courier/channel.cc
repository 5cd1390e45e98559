#include "courier/channel.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace supv {
namespace {

constexpr std::size_t kMaxQueued = std::size_t{16} * 1024 * 1024;

/// Different for every brain that ever speaks on a channel.
std::uint64_t make_session() {
  std::uint64_t session = 0;
  ssize_t got = 0;
  do {
    got = ::getrandom(&session, sizeof session, 0);
  } while (got < 0 && errno == EINTR);
  SUPV_CHECK(got == sizeof session);
  return session;
}

}  // namespace

CourierChannel::CourierChannel(Fd socket) : socket_(std::move(socket)), session_(make_session()) {
  outbox_.push(courier::Kind::hello, courier::encode_session(session_));
  closed_ = outbox_.flush(socket_.get()) == courier::Link::closed;
}

bool CourierChannel::send(const courier::Request& request) {
  std::string payload = courier::encode(request);
  if (closed() || payload.size() > courier::kMaxRequest) return false;
  if (outbox_.pending() + payload.size() > kMaxQueued) return false;
  outbox_.push(courier::Kind::request, std::move(payload));
  if (outbox_.flush(socket_.get()) == courier::Link::closed) closed_ = true;
  return !closed_;
}

std::optional<courier::Done> CourierChannel::receive() {
  if (!closed_ && outbox_.flush(socket_.get()) == courier::Link::closed) closed_ = true;
  // What the courier managed to say before it went is still worth reading.
  while (auto message = inbox_.receive(socket_.get())) {
    if (message->kind == courier::Kind::welcome) {
      welcomed_ = welcomed_ || courier::decode_session(message->payload) == session_;
    } else if (welcomed_ && message->kind == courier::Kind::done) {
      if (auto done = courier::decode_done(message->payload)) return done;
      closed_ = true;
    }
  }
  return std::nullopt;
}

}  // namespace supv
