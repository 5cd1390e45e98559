#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/fd.h"
#include "child.h"
#include "gateway/dev_kv.h"

namespace supv::test {

struct HttpAnswer {
  int status = 0;                              ///< 0: no answer.
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  std::string body;
  double seconds = 0;
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
  unsigned long index() const {
    const std::string text = header("x-consul-index");
    return text.empty() ? 0 : std::stoul(text);
  }
};

/// A connection to 127.0.0.1 with the request sent and the answer not read yet.
class HttpCall {
 public:
  HttpCall(int port, const std::string& method, const std::string& target,
           const std::string& body = {})
      : begin_(std::chrono::steady_clock::now()),
        fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const timeval limit{30, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
    std::string text = method + ' ' + target + " HTTP/1.0\r\nHost: 127.0.0.1\r\n";
    if (!body.empty() || method == "PUT")
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    text += "\r\n" + body;
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t size = ::send(fd_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) return;
      sent += static_cast<std::size_t>(size);
    }
  }
  /// True when something has been answered.
  bool answered(int timeout_ms) const {
    pollfd fd{fd_.get(), POLLIN, 0};
    return ::poll(&fd, 1, timeout_ms) == 1;
  }
  HttpAnswer read() {
    std::string text;
    char buffer[65536];
    ssize_t size = 0;
    while ((size = ::recv(fd_.get(), buffer, sizeof buffer, 0)) > 0)
      text.append(buffer, static_cast<std::size_t>(size));
    HttpAnswer answer;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin_;
    answer.seconds = took.count();
    const auto end = text.find("\r\n\r\n");
    if (end == std::string::npos || text.size() < 12) return answer;
    answer.status = std::stoi(text.substr(9, 3));
    answer.body = text.substr(end + 4);
    std::istringstream lines(text.substr(0, end));
    std::string line;
    while (std::getline(lines, line)) {
      const auto colon = line.find(": ");
      if (colon == std::string::npos) continue;
      if (line.back() == '\r') line.pop_back();
      std::string name = line.substr(0, colon);
      for (char& c : name) c = static_cast<char>(::tolower(c));
      answer.headers[name] = line.substr(colon + 2);
    }
    return answer;
  }

 private:
  std::chrono::steady_clock::time_point begin_;
  Fd fd_;
};

inline HttpAnswer http(int port, const std::string& method, const std::string& target,
                       const std::string& body = {}) {
  return HttpCall(port, method, target, body).read();
}

/// `count` ports of 127.0.0.1 that are free now.
inline std::vector<int> free_ports(int count) {
  std::vector<Fd> held;
  std::vector<int> ports;
  for (int i = 0; i < count; ++i) {
    held.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(held.back().get(), generic, size) != 0) std::abort();
    ::getsockname(held.back().get(), generic, &size);
    ports.push_back(ntohs(address.sin_port));
  }
  return ports;
}

/// The test program started anew as the trial KV: fork alone would copy the locks that the
/// threads of a test hold at that moment.
inline const bool kNotADevKv = [] {
  const char* directory = std::getenv("SUPV_TEST_DEV_KV");
  if (directory == nullptr) return true;
  DevKvOptions options;
  options.directory = directory;
  options.port = static_cast<std::uint16_t>(std::atoi(std::getenv("SUPV_TEST_DEV_KV_PORT")));
  options.report_fd = 3;
  ::_exit(run_dev_kv(options));
}();

/// The trial KV as a process of its own.
class DevKv {
 public:
  explicit DevKv(const std::string& directory, int first_port = 0) {
    int ends[2];
    check_sys(::pipe2(ends, O_CLOEXEC), "pipe2");
    Fd read_end(ends[0]);
    Fd write_end(ends[1]);
    if (first_port == 0) first_port = free_ports(1)[0];
    std::string variables[] = {"SUPV_TEST_DEV_KV=" + directory,
                               "SUPV_TEST_DEV_KV_PORT=" + std::to_string(first_port)};
    char name[] = "dev-kv";
    char* const argv[] = {name, nullptr};
    char* const environment[] = {variables[0].data(), variables[1].data(), nullptr};
    pid_ = check_sys(::fork(), "fork");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(write_end.get(), 3);
      ::close_range(4, ~0U, 0);
      ::execve("/proc/self/exe", argv, environment);
      ::_exit(127);
    }
    write_end.reset();
    char text[16] = {};
    if (::read(read_end.get(), text, sizeof text - 1) > 0) port_ = std::atoi(text);
  }
  ~DevKv() { stop(); }
  DevKv(const DevKv&) = delete;
  DevKv& operator=(const DevKv&) = delete;

  /// 0: it did not get that far.
  int port() const { return port_; }
  pid_t pid() const { return pid_; }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

/// A real agent on free ports with its leader elected; `port` is 0 and `reason` says why when there
/// is none to be had.
class RealConsul {
 public:
  RealConsul() {
    int status = 0;
    const std::string binary = shell("sh '" SUPV_SOURCE_DIR "/tests/lib/consul.sh' 2>&1", &status);
    if (status != 0) {
      reason = binary;
      return;
    }
    const std::vector<int> ports = free_ports(5);
    const auto flag = [&](const char* name, int i) {
      return std::string(name) + '=' + std::to_string(ports[static_cast<std::size_t>(i)]);
    };
    agent_.emplace(
        std::vector<std::string>{binary, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1",
                                 flag("-http-port", 0), flag("-server-port", 1),
                                 flag("-serf-lan-port", 2), flag("-serf-wan-port", 3),
                                 flag("-dns-port", 4), "-grpc-port=-1"},
        directory_ / "agent.log");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      if (http(ports[0], "GET", "/v1/kv/?recurse").status == 404) {
        port = ports[0];
        return;
      }
      ::poll(nullptr, 0, 50);
    }
    reason = "the agent does not elect a leader";
  }

  int port = 0;
  std::string reason;

 private:
  TempDirectory directory_;
  std::optional<Child> agent_;
};

}  // namespace supv::test
