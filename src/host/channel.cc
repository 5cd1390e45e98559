#include "host/channel.h"

#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace supv {
namespace {

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

HostChannel::HostChannel(Fd socket) : socket_(std::move(socket)), session_(make_session()) {
  send(host::Hello{session_});
}

bool HostChannel::send(const host::Message& message) {
  std::string packet = host::encode(message);
  if (packet.size() > host::kMaxPacket) return false;
  waiting_.push_back(std::move(packet));
  flush();
  return true;
}

void HostChannel::flush() {
  while (!closed_ && !waiting_.empty()) {
    const std::string& packet = waiting_.front();
    if (::send(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return;
      closed_ = true;
      return;
    }
    waiting_.pop_front();
  }
}

std::optional<host::Message> HostChannel::receive() {
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(host::kMaxPacket);
  // What the host managed to say before it went is still worth reading.
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), buffer_.get(), host::kMaxPacket, MSG_DONTWAIT);
    // A host that ended with something unread: told once, before what it has said last.
    if (size < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
    auto message =
        size <= 0 ? std::nullopt
                  : host::decode(std::string_view(buffer_.get(), static_cast<std::size_t>(size)));
    if (!message) break;
    if (const auto* hello = std::get_if<host::Hello>(&*message)) {
      welcomed_ = welcomed_ || hello->session == session_;
    } else if (welcomed_) {
      return message;
    }
  }
  closed_ = true;
  return std::nullopt;
}

}  // namespace supv
