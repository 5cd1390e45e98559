#include "brain/connection.h"

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace supv {
namespace {

/// A descriptor that nobody asked for is closed before anything else is looked at.
void close_received(const msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(const_cast<msghdr*>(&message), part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      ::close(fd);
    }
  }
}

}  // namespace

Connection::Connection(Fd fd, std::size_t max_line) : fd_(std::move(fd)), max_line_(max_line) {}

Connection::Input Connection::fill() {
  if (input_ != Input::open) return input_;
  std::array<char, 16384> bytes;
  // Room for every descriptor one message can carry (SCM_MAX_FD), so that none is lost unclosed.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 253)> control;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t count = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) input_ = Input::broken;
    return input_;
  }
  close_received(message);
  if (count == 0) return input_ = Input::ended;
  if (!greeted_ && bytes[0] != '{') return input_ = Input::broken;
  greeted_ = true;
  in_.append(bytes.data(), static_cast<std::size_t>(count));
  return input_;
}

std::optional<std::string> Connection::next_line() {
  const std::size_t end = in_.find('\n', scanned_);
  if (end == std::string::npos) {
    scanned_ = in_.size();
    if (input_ != Input::ended || in_.empty()) return std::nullopt;
    scanned_ = 0;
    return std::exchange(in_, {});
  }
  std::string line = in_.substr(0, end);
  in_.erase(0, end + 1);
  scanned_ = 0;
  if (in_.empty()) in_.shrink_to_fit();
  return line;
}

bool Connection::too_long() const { return scanned_ > max_line_; }

bool Connection::send(std::string_view bytes) {
  out_.append(bytes);
  return flush();
}

bool Connection::flush() {
  while (sent_ < out_.size()) {
    const ssize_t count =
        ::send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    sent_ += static_cast<std::size_t>(count);
  }
  out_.clear();
  out_.shrink_to_fit();
  sent_ = 0;
  return true;
}

}  // namespace supv
