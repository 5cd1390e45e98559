#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "courier/channel.h"
#include "courier/courier.h"

namespace supv::test {

using Steady = std::chrono::steady_clock;

/// Waits until `condition` holds; false after `seconds`.
inline bool eventually(const std::function<bool()>& condition, double seconds = 10) {
  const auto end = Steady::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (Steady::now() > end) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

/// The test program started anew as a courier. A fork alone would copy the locks that the threads
/// of a test hold at that moment.
inline const bool kNotACourier = [] {
  if (std::getenv("SUPV_TEST_COURIER") != nullptr) ::_exit(run_courier(3));
  return true;
}();

/// A real courier process and the socket that leads to it, kept as the keeper keeps it.
class CourierProcess {
 public:
  /// `environment` is added to its environment, NAME=VALUE each.
  explicit CourierProcess(std::vector<std::string> environment = {}) {
    int ends[2];
    check_sys(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    brain_end_.reset(ends[0]);
    Fd courier_end(ends[1]);
    environment.push_back("SUPV_TEST_COURIER=1");
    std::vector<char*> variables;
    for (std::string& variable : environment) variables.push_back(variable.data());
    for (char** at = environ; *at != nullptr; ++at) variables.push_back(*at);
    variables.push_back(nullptr);
    char name[] = "courier";
    char* const argv[] = {name, nullptr};
    pid_ = check_sys(::fork(), "fork");
    if (pid_ != 0) return;
    ::dup2(courier_end.get(), 3);
    ::close_range(4, ~0U, 0);
    ::execve("/proc/self/exe", argv, variables.data());
    ::_exit(127);
  }
  ~CourierProcess() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  CourierProcess(const CourierProcess&) = delete;
  CourierProcess& operator=(const CourierProcess&) = delete;

  pid_t pid() const { return pid_; }
  /// What a new brain gets.
  CourierChannel connect() const {
    return CourierChannel(Fd(check_sys(::dup(brain_end_.get()), "dup")));
  }
  /// Closes the last brain's end and returns the courier's wait status.
  int close() {
    brain_end_.reset();
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }

 private:
  Fd brain_end_;
  pid_t pid_ = -1;
};

/// The next answer; tag 0 when none came within `seconds`.
inline courier::Done next(CourierChannel& channel, double seconds = 20) {
  const auto end = Steady::now() + std::chrono::duration<double>(seconds);
  while (Steady::now() < end && !channel.closed()) {
    if (auto done = channel.receive()) return *done;
    pollfd fd{channel.fd(), POLLIN, 0};
    if (channel.wants_write()) fd.events |= POLLOUT;
    ::poll(&fd, 1, 100);
  }
  return {};
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

inline courier::Request get(std::uint64_t tag, std::string url, std::uint32_t deadline_ms = 10000) {
  courier::Request request;
  request.tag = tag;
  request.url = std::move(url);
  request.deadline_ms = deadline_ms;
  return request;
}

/// A server that does what a test tells it, one thread a connection.
class ScriptedServer {
 public:
  /// Called with each request (head and body as far as Content-Length says); false closes.
  using Script = std::function<bool(int fd, const std::string& request)>;

  explicit ScriptedServer(Script script, const std::string& unix_path = {})
      : script_(std::move(script)) {
    if (unix_path.empty()) {
      listen_tcp();
    } else {
      listen_unix(unix_path);
    }
    check_sys(::listen(listener_.get(), 512), "listen");
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~ScriptedServer() {
    stopping_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  /// Ever accepted.
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  bool stopping() const { return stopping_; }
  std::string last_request() {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }

 private:
  void listen_tcp() {
    listener_.reset(check_sys(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    check_sys(::bind(listener_.get(), generic, size), "bind");
    check_sys(::getsockname(listener_.get(), generic, &size), "getsockname");
    port_ = ntohs(address.sin_port);
  }
  void listen_unix(const std::string& path) {
    listener_.reset(check_sys(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    check_sys(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
              "bind");
  }
  void accept_all() {
    while (true) {
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++connections_;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }
  static std::size_t body_size(const std::string& head) {
    const auto at = head.find("Content-Length: ");
    return at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
  }
  void serve(int fd) {
    std::string seen;
    char buffer[16384];
    while (true) {
      const auto end = seen.find("\r\n\r\n");
      const std::size_t whole =
          end == std::string::npos ? 0 : end + 4 + body_size(seen.substr(0, end));
      if (whole > 0 && seen.size() >= whole) {
        ++requests_;
        const std::string request = seen.substr(0, whole);
        seen.erase(0, whole);
        {
          const std::lock_guard lock(mutex_);
          last_request_ = request;
        }
        if (!script_(fd, request)) break;
        continue;
      }
      const ssize_t size = ::recv(fd, buffer, sizeof buffer, 0);
      if (size <= 0) break;
      seen.append(buffer, static_cast<std::size_t>(size));
    }
    const std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
  }

  Script script_;
  Fd listener_;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  std::atomic<int> requests_ = 0;
  std::mutex mutex_;
  std::vector<int> open_;
  std::string last_request_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// Sends all of it; false when the client has gone.
inline bool say(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (size <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

/// A complete answer; `headers` are whole lines.
inline std::string answer(const std::string& status, const std::string& headers,
                          const std::string& body) {
  return "HTTP/1.1 " + status + "\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace supv::test
