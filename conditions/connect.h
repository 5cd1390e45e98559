#pragma once

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

/// Connecting, for conditions that may wait.
namespace supv::conditions {

/// A socket that is closed in the end.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

/// What came of it.
struct Connection {
  enum class Outcome { connected, refused, unknown };
  Outcome outcome = Outcome::unknown;
  std::string reason;  ///< Why not.
  Socket socket;       ///< Its reads and writes end after the time-out, too.
};

namespace detail {

using Clock = std::chrono::steady_clock;

inline timeval time_left(Clock::time_point limit) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(limit - Clock::now());
  // Zero would mean for ever.
  const auto micros = left.count() < 1000 ? 1000 : left.count();
  return {static_cast<time_t>(micros / 1'000'000), static_cast<suseconds_t>(micros % 1'000'000)};
}

/// True for what says nothing about the other side.
inline bool own_trouble(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return true;
  }
  return false;
}

inline Connection connect_to(const sockaddr* address, socklen_t size, Clock::time_point limit) {
  Connection made;
  made.socket = Socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval left = time_left(limit);
  int error = 0;
  if (made.socket.get() < 0) {
    error = errno;
  } else {
    // Bounds connect() too, also that to a unix socket whose backlog is full.
    ::setsockopt(made.socket.get(), SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
    ::setsockopt(made.socket.get(), SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left);
    if (::connect(made.socket.get(), address, size) < 0) error = errno;
  }
  if (error == 0) {
    made.outcome = Connection::Outcome::connected;
    return made;
  }
  made.outcome = own_trouble(error) ? Connection::Outcome::unknown : Connection::Outcome::refused;
  const bool late = error == EINPROGRESS || error == EAGAIN || error == ETIMEDOUT;
  made.reason = late ? "no answer in time" : std::strerror(error);
  return made;
}

}  // namespace detail

/// True for an IP address, which is no name.
inline bool is_address(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

/// Connects to each address of `host` until one takes it. A name that cannot be resolved is
/// Outcome::unknown. Resolving may take longer than `timeout`.
inline Connection connect_tcp(const std::string& host, const std::string& port,
                              std::chrono::milliseconds timeout) {
  const auto limit = detail::Clock::now() + timeout;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  Connection last;
  if (error != 0) {
    last.reason = std::string("cannot resolve the name: ") + ::gai_strerror(error);
    return last;
  }
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    last = detail::connect_to(at->ai_addr, at->ai_addrlen, limit);
    if (last.outcome == Connection::Outcome::connected) break;
  }
  return last;
}

/// Connects to a unix socket. A path that is too long is Outcome::unknown.
inline Connection connect_unix(const std::string& path, std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    Connection none;
    none.reason = "the path is too long for a socket";
    return none;
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return detail::connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address,
                            detail::Clock::now() + timeout);
}

}  // namespace supv::conditions
