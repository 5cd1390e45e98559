#include "brain/reactor.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <limits>

namespace supv {

namespace {

int milliseconds(std::optional<std::chrono::nanoseconds> timeout) {
  if (!timeout) return -1;
  // Up, or the last fraction of a millisecond would be spun away.
  const auto up = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
  return static_cast<int>(std::clamp<std::int64_t>(up, 0, std::numeric_limits<int>::max()));
}

}  // namespace

Reactor::Reactor() : epoll_(check_sys(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}

Reactor::Token Reactor::watch(int fd, std::uint32_t events, Callback callback) {
  const std::uint64_t token = ++last_token_;
  registrations_.emplace(token,
                         std::make_shared<Registration>(Registration{fd, std::move(callback)}));
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) {
    const int error = errno;
    registrations_.erase(token);
    throw std::system_error(error, std::generic_category(), "epoll_ctl");
  }
  return Token{token};
}

void Reactor::change(Token token, std::uint32_t events) {
  const auto found = registrations_.find(static_cast<std::uint64_t>(token));
  if (found == registrations_.end()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = found->first;
  check_sys(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second->fd, &event), "epoll_ctl");
}

void Reactor::forget(Token token) {
  const auto found = registrations_.find(static_cast<std::uint64_t>(token));
  if (found == registrations_.end()) return;
  // Explicitly, and before the close: a descriptor that has a duplicate elsewhere (in the keeper)
  // would stay in the set for ever. EBADF means the caller closed it first; nothing is left to do.
  epoll_event unused{};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd, &unused);
  registrations_.erase(found);
}

bool Reactor::wait(std::optional<std::chrono::nanoseconds> timeout) {
  std::array<epoll_event, 64> ready;
  const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()),
                                 milliseconds(timeout));
  if (count < 0 && errno != EINTR) check_sys(count, "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event event = ready[static_cast<std::size_t>(i)];
    const auto found = registrations_.find(event.data.u64);
    if (found == registrations_.end()) continue;  // Forgotten by a callback before this one.
    const std::shared_ptr<Registration> held = found->second;
    held->callback(event.events);
  }
  return count > 0;
}

}  // namespace supv
