#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "keeper/linux_held.h"
#include "keeper/linux_kernel.h"

/// The channel to the brain.
namespace supv {

int LinuxKernel::open_channel(Launch& launch) {
  close_channel();
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  channel_.reset(ends[0]);
  brain_end_.reset(ends[1]);
  brain_fds_[0] = ends[1];
  brain_fds_[1] = settings_.listener;
  launch.plan = settings_.brain_plan;
  launch.child_fds = brain_fds_;
  launch.child_fd_count = settings_.listener >= 0 ? 2 : 1;
  channel_serial_ = ++serial_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key(Source::Kind::channel, 0, channel_serial_);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ends[0], &event) != 0) return errno;
  return 0;
}

void LinuxKernel::close_channel() {
  if (channel_) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel_.get(), nullptr);
  channel_.reset();
  brain_end_.reset();
}

void LinuxKernel::channel_wants(bool reading, bool writing) {
  if (!channel_) return;
  epoll_event event{};
  event.events = (reading ? EPOLLIN : 0U) | (writing ? EPOLLOUT : 0U);
  event.data.u64 = key(Source::Kind::channel, 0, channel_serial_);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, channel_.get(), &event);
}

Sent LinuxKernel::send(const void* message, std::size_t size, std::uint32_t with_stored) {
  if (!channel_) return Sent::broken;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxStored)] = {};
  iovec part{const_cast<void*>(message), size};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  const Held* from = with_stored == kNoSlot ? nullptr : &table_[with_stored];
  if (from != nullptr && from->stored_count != 0) {
    const std::size_t bytes = sizeof(int) * from->stored_count;
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), from->stored, bytes);
  }
  ssize_t sent;
  do sent = ::sendmsg(channel_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return Sent::yes;
  const bool later =
      errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS;
  return later ? Sent::full : Sent::broken;
}

long LinuxKernel::receive(void* into, std::size_t size, int* fds, std::uint32_t& fd_count) {
  fd_count = 0;
  if (!channel_) return -1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxFds)];
  iovec part{into, size};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got;
  do got = ::recvmsg(channel_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got < 0) return errno == EAGAIN ? -1 : 0;
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr;
       rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(fds + fd_count, CMSG_DATA(rights), count * sizeof(int));
    fd_count += static_cast<std::uint32_t>(count);
  }
  return got;
}

}  // namespace supv
