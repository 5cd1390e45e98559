#include "host/line.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace supv::host {

Line::Line(int channel, bool threads)
    : channel_(channel), threads_(threads), buffer_(kMaxPacket + 1, '\0') {}

std::optional<Message> Line::read() {
  for (;;) {
    const ssize_t size = ::recv(channel_, buffer_.data(), buffer_.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    std::optional<Message> message;
    if (size > 0) message = decode({buffer_.data(), static_cast<std::size_t>(size)});
    if (message) return message;
    const std::lock_guard lock(waiting_);
    closed_ = true;
    heard_.notify_all();
    return std::nullopt;
  }
}

/// True if it was an answer that somebody waits for.
bool Line::take(Message& message) {
  auto* got = std::get_if<Got>(&message);
  if (got == nullptr) return false;
  const std::lock_guard lock(waiting_);
  const auto awaited = answers_.find(got->call);
  if (awaited != answers_.end()) awaited->second = std::move(*got);
  heard_.notify_all();
  return true;
}

std::optional<Message> Line::receive() {
  while (kept_.empty()) {
    auto message = read();
    if (!message) return std::nullopt;
    if (!take(*message)) return message;
  }
  Message first = std::move(kept_.front());
  kept_.pop_front();
  return first;
}

void Line::send(const Message& message) {
  const std::string packet = encode(message);
  const std::lock_guard lock(speaking_);
  while (::send(channel_, packet.data(), packet.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

Got Line::ask(Want want) {
  std::unique_lock lock(waiting_);
  const std::uint64_t call = ++calls_;
  want.call = call;
  answers_.emplace(call, std::nullopt);
  lock.unlock();
  send(want);
  while (!threads_) {
    auto message = read();
    if (!message) break;
    if (take(*message)) break;  // Nobody else asks.
    kept_.push_back(std::move(*message));
  }
  lock.lock();
  const auto answer = answers_.find(call);
  heard_.wait(lock, [&] { return closed_ || answer->second.has_value(); });
  Got got = answer->second.value_or(Got{});
  answers_.erase(answer);
  return got;
}

}  // namespace supv::host
