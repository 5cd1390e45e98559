#include "courier/frames.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace supv::courier {
namespace {

/// The beginning of every packet; the rest is `size` bytes of the message at `offset`.
struct Head {
  Kind kind;
  std::uint32_t size;
  std::uint32_t total;
  std::uint32_t offset;
};

/// Well under what a socket's buffer takes, so that a slow reader costs no partial packets.
constexpr std::size_t kMaxPacket = std::size_t{64} * 1024;
constexpr std::size_t kMaxChunk = kMaxPacket - sizeof(Head);

/// The longest payload; 0 for a kind that does not exist.
std::size_t limit(Kind kind) {
  switch (kind) {
    case Kind::hello:
    case Kind::welcome:
      return sizeof(std::uint64_t);
    case Kind::request:
      return kMaxRequest;
    case Kind::done:
      return kMaxBody + std::size_t{64} * 1024;
  }
  return 0;
}

}  // namespace

void Outbox::push(Kind kind, std::string payload) {
  pending_ += payload.size();
  queue_.push_back({kind, std::move(payload)});
}

void Outbox::clear() {
  queue_.clear();
  sent_ = 0;
  pending_ = 0;
}

Link Outbox::flush(int socket) {
  while (!queue_.empty()) {
    Message& message = queue_.front();
    const std::size_t size = std::min(kMaxChunk, message.payload.size() - sent_);
    Head head{message.kind, static_cast<std::uint32_t>(size),
              static_cast<std::uint32_t>(message.payload.size()),
              static_cast<std::uint32_t>(sent_)};
    iovec parts[2] = {{&head, sizeof head}, {message.payload.data() + sent_, size}};
    msghdr header{};
    header.msg_iov = parts;
    header.msg_iovlen = 2;
    if (::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      // A socket whose memory is short for the moment is as busy as a full one.
      const bool busy = errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
      return busy ? Link::open : Link::closed;
    }
    sent_ += size;
    pending_ -= size;
    if (sent_ < message.payload.size()) continue;
    queue_.pop_front();
    sent_ = 0;
  }
  return Link::open;
}

std::optional<Message> Inbox::receive(int socket) {
  buffer_.resize(kMaxPacket + 1);
  while (!closed_) {
    const ssize_t size = ::recv(socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
    if (size <= 0) return broken();
    if (auto message = take(buffer_.data(), static_cast<std::size_t>(size))) return message;
  }
  return std::nullopt;
}

std::optional<Message> Inbox::take(const char* packet, std::size_t size) {
  Head head{};
  if (size < sizeof head || size > kMaxPacket) return broken();
  std::memcpy(&head, packet, sizeof head);
  const std::size_t most = limit(head.kind);
  if (head.size != size - sizeof head || most == 0 || head.total > most) return broken();
  if (head.offset == 0) {
    // The sender may have been cut short and replaced: what it began is forgotten.
    partial_ = {head.kind, {}};
    total_ = head.total;
  } else if (total_ == 0) {
    return std::nullopt;  // An earlier reader of this socket had the beginning.
  } else if (partial_.kind != head.kind || total_ != head.total ||
             partial_.payload.size() != head.offset) {
    return broken();
  }
  partial_.payload.append(packet + sizeof head, head.size);
  if (partial_.payload.size() > total_) return broken();
  if (partial_.payload.size() < total_) return std::nullopt;
  total_ = 0;
  return std::move(partial_);
}

std::optional<Message> Inbox::broken() {
  closed_ = true;
  return std::nullopt;
}

}  // namespace supv::courier
