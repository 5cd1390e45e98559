#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/fd.h"

namespace supv {

/// Tells which descriptors are ready, and nothing else: no timers, no signals, no children.
/// Readiness is a hint; a callback reads until EAGAIN and believes only that.
class Reactor {
 public:
  /// Names one registration. Never reused, so news for a closed and reopened descriptor number
  /// finds nobody.
  enum class Token : std::uint64_t { none = 0 };
  /// Gets the EPOLL* bits. May watch and forget anything, itself included.
  using Callback = std::function<void(std::uint32_t events)>;

  /// Throws std::system_error when the kernel refuses an epoll instance.
  Reactor();

  /// Calls `callback` whenever `fd` has one of `events` (EPOLLIN, EPOLLOUT; level-triggered; errors
  /// and hang-ups always). The caller keeps owning `fd` and forgets the token before closing it.
  /// Throws std::system_error.
  Token watch(int fd, std::uint32_t events, Callback callback);
  /// Replaces the events of a registration; an unknown token is ignored.
  void change(Token token, std::uint32_t events);
  /// Ends a registration; its callback is not called any more, not even for readiness that was
  /// already fetched. An unknown token (none too) is ignored.
  void forget(Token token);

  /// Sleeps until a descriptor is ready or `timeout` has passed (rounded up to milliseconds; none:
  /// for ever) and calls what is ready. Returns false when nothing was.
  bool wait(std::optional<std::chrono::nanoseconds> timeout);

 private:
  struct Registration {
    int fd;
    Callback callback;
  };
  Fd epoll_;
  std::uint64_t last_token_ = 0;
  // Shared: a callback that forgets itself must outlive its own call.
  std::unordered_map<std::uint64_t, std::shared_ptr<Registration>> registrations_;
};

/// A registration that ends with its owner. Declare it after the Fd it watches, so that it is
/// forgotten before the descriptor is closed.
class Watching {
 public:
  Watching() = default;
  Watching(Reactor& reactor, int fd, std::uint32_t events, Reactor::Callback callback)
      : reactor_(&reactor), token_(reactor.watch(fd, events, std::move(callback))) {}
  Watching(Watching&& other) noexcept
      : reactor_(other.reactor_), token_(std::exchange(other.token_, Reactor::Token::none)) {}
  Watching& operator=(Watching&& other) noexcept {
    if (this != &other) {
      reset();
      reactor_ = other.reactor_;
      token_ = std::exchange(other.token_, Reactor::Token::none);
    }
    return *this;
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  ~Watching() { reset(); }

  /// Replaces the events waited for.
  void change(std::uint32_t events) {
    if (token_ != Reactor::Token::none) reactor_->change(token_, events);
  }
  /// Ends the registration now.
  void reset() {
    if (token_ != Reactor::Token::none) {
      reactor_->forget(std::exchange(token_, Reactor::Token::none));
    }
  }

 private:
  Reactor* reactor_ = nullptr;
  Reactor::Token token_ = Reactor::Token::none;
};

}  // namespace supv
