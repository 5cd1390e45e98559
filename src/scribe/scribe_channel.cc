#include "scribe/scribe_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cstring>

namespace supv {

ScribeChannel::ScribeChannel(Fd fd) : fd_(std::move(fd)) {
  check_sys(fcntl(fd_.get(), F_SETFL, O_NONBLOCK), "fcntl(scribe channel)");
}

bool ScribeChannel::follow(std::uint64_t id, const std::string& fifo, const std::string& log,
                           std::uint32_t uid, std::uint32_t gid, std::uint32_t mode) {
  if (fifo.size() >= scribe::kMaxPath || log.size() >= scribe::kMaxPath || log.empty() ||
      log.front() != '/' || id > scribe::kLastId) {
    return false;
  }
  scribe::Follow message{};
  message.kind = scribe::Kind::follow;
  message.uid = uid;
  message.gid = gid;
  message.mode = mode;
  message.id = id;
  std::memcpy(message.fifo, fifo.data(), fifo.size());
  std::memcpy(message.log, log.data(), log.size());
  send(&message, sizeof message);
  return true;
}

void ScribeChannel::forget(std::uint64_t id) {
  const scribe::Plain message{scribe::Kind::forget, 0, id};
  send(&message, sizeof message);
}

void ScribeChannel::reopen() {
  const scribe::Plain message{scribe::Kind::reopen, 0, 0};
  send(&message, sizeof message);
}

void ScribeChannel::send(const void* message, std::size_t size) {
  if (!alive_) return;
  queue_.emplace_back(static_cast<const char*>(message), size);
  flush();
}

void ScribeChannel::flush() {
  while (alive_ && !queue_.empty()) {
    const std::string& next = queue_.front();
    if (::send(fd_.get(), next.data(), next.size(), MSG_NOSIGNAL) >= 0) {
      queue_.pop_front();
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      return;
    } else if (errno != EINTR) {
      alive_ = false;
      queue_.clear();
    }
  }
}

std::vector<scribe::Lost> ScribeChannel::receive() {
  std::vector<scribe::Lost> news;
  while (alive_) {
    scribe::Lost lost{};
    const ssize_t size = recv(fd_.get(), &lost, sizeof lost, MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size <= 0) {
      alive_ = false;
    } else if (size == sizeof lost && lost.kind == scribe::Kind::lost) {
      news.push_back(lost);
    }
  }
  return news;
}

}  // namespace supv
