#include "keeper/channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace supv {
namespace {

constexpr std::size_t kLargest = sizeof(wire::Slot);
static_assert(sizeof(wire::News) <= kLargest && sizeof(wire::Plain) <= kLargest);

enum class Pushed { yes, full, gone };

Pushed push(int fd, const void* bytes, std::size_t size, const std::vector<Fd>& fds) {
  SUPV_CHECK(fds.size() <= wire::kMaxFds);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxFds)] = {};
  iovec part{const_cast<void*>(bytes), size};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    for (std::size_t i = 0; i < fds.size(); ++i) {
      const int number = fds[i].get();
      std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &number, sizeof number);
    }
  }
  ssize_t sent;
  do sent = ::sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return Pushed::yes;
  return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? Pushed::full : Pushed::gone;
}

void take_fds(msghdr& header, std::vector<Fd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof number);
      fds.emplace_back(number);
    }
  }
}

template <typename Message>
bool take_as(FromKeeper& into, const unsigned char* bytes, std::size_t size) {
  if (size != sizeof(Message)) return false;
  Message message;
  std::memcpy(&message, bytes, sizeof message);
  into.message = message;
  return true;
}

bool take_message(FromKeeper& into, const unsigned char* bytes, std::size_t size) {
  if (size < sizeof(wire::Kind)) return false;
  wire::Kind kind;
  std::memcpy(&kind, bytes, sizeof kind);
  if (kind == wire::Kind::slot)
    return take_as<wire::Slot>(into, bytes, size) &&
           std::get<wire::Slot>(into.message).memo_size <= wire::kMaxMemo;
  if (kind == wire::Kind::dumped) return take_as<wire::Plain>(into, bytes, size);
  if (kind >= wire::Kind::launched && kind <= wire::Kind::signalled)
    return take_as<wire::News>(into, bytes, size);
  return false;
}

}  // namespace

Channel::Channel(Fd socket) : socket_(std::move(socket)) {
  const int flags = check_sys(::fcntl(socket_.get(), F_GETFL), "keeper channel");
  check_sys(::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK), "keeper channel");
  check_sys(::fcntl(socket_.get(), F_SETFD, FD_CLOEXEC), "keeper channel");
}

bool Channel::send_bytes(const void* bytes, std::size_t size, std::vector<Fd> fds) {
  if (queue_.empty()) {
    const Pushed pushed = push(socket_.get(), bytes, size, fds);
    if (pushed != Pushed::full) return pushed == Pushed::yes;
  }
  queue_.push_back({std::string(static_cast<const char*>(bytes), size), std::move(fds)});
  return true;
}

bool Channel::flush() {
  while (!queue_.empty()) {
    const Waiting& first = queue_.front();
    const Pushed pushed = push(socket_.get(), first.bytes.data(), first.bytes.size(), first.fds);
    if (pushed != Pushed::yes) return pushed == Pushed::full;
    queue_.pop_front();
  }
  return true;
}

Channel::Got Channel::receive(FromKeeper& into) {
  while (true) {
    bool ours = false;
    const Got got = receive_one(into, ours);
    if (got != Got::message || ours) return got;
  }
}

Channel::Got Channel::receive_one(FromKeeper& into, bool& ours) {
  alignas(8) unsigned char bytes[kLargest + 8];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxFds)];
  iovec part{bytes, sizeof bytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size;
  do size = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  while (size < 0 && errno == EINTR);
  if (size < 0) return errno == EAGAIN ? Got::nothing : Got::closed;
  if (size == 0) return Got::closed;
  into.fds.clear();
  take_fds(header, into.fds);
  ours = (header.msg_flags & MSG_CTRUNC) == 0 &&
         take_message(into, bytes, static_cast<std::size_t>(size));
  return Got::message;
}

}  // namespace supv
