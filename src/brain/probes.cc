#include "brain/probes.h"

#include <fmt/format.h>
#include <netdb.h>
#include <resolv.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/units.h"

namespace supv {

namespace {

constexpr auto kPatience = std::chrono::seconds(5);
constexpr auto kBelieved = std::chrono::seconds(60);
constexpr std::size_t kMaxKnown = 256;
constexpr std::size_t kMaxEndpoints = 8;

/// "HOST:PORT" -> its parts; an empty host when malformed.
std::pair<std::string, std::string> parts_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {};
  std::string host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const auto number = parse_unsigned(port);
  if (!number || *number == 0 || *number > 65535) return {};
  return {host, port};
}

std::vector<Endpoint> resolve(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &list) != 0) return {};
  std::vector<Endpoint> endpoints;
  for (const addrinfo* at = list; at != nullptr && endpoints.size() < kMaxEndpoints;
       at = at->ai_next) {
    if (at->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Endpoint endpoint;
    std::memcpy(&endpoint.address, at->ai_addr, at->ai_addrlen);
    endpoint.size = at->ai_addrlen;
    endpoints.push_back(endpoint);
  }
  ::freeaddrinfo(list);
  return endpoints;
}

/// A connection to a closed port of the ephemeral range may meet itself: TCP's simultaneous open.
bool met_itself(int socket) {
  sockaddr_storage here{};
  sockaddr_storage there{};
  socklen_t here_size = sizeof here;
  socklen_t there_size = sizeof there;
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&here), &here_size) == 0 &&
         ::getpeername(socket, reinterpret_cast<sockaddr*>(&there), &there_size) == 0 &&
         here_size == there_size && std::memcmp(&here, &there, here_size) == 0;
}

void append(std::vector<Endpoint>& to, std::vector<Endpoint> more) {
  to.insert(to.end(), more.begin(), more.end());
}

}  // namespace

std::vector<Endpoint> Addresses::find(const std::string& host_and_port, Time now) {
  const auto [host, port] = parts_of(host_and_port);
  if (host.empty()) return {};
  std::vector<Endpoint> endpoints;
  if (host == "localhost") {
    append(endpoints, resolve("127.0.0.1", port, AI_NUMERICHOST));
    append(endpoints, resolve("::1", port, AI_NUMERICHOST));
    return endpoints;
  }
  endpoints = resolve(host, port, AI_NUMERICHOST);
  if (!endpoints.empty()) return endpoints;
  const auto known = known_.find(host_and_port);
  if (known != known_.end() && now < known->second.until) return known->second.endpoints;
  // The one place where the brain may wait for another machine. A probe's host is nearly always
  // this one, and a thread or a process per look would cost everyone more than one second a
  // minute costs the few who name another; so ask one server once, for at most a second.
  if (::res_init() == 0) {
    _res.retrans = 1;
    _res.retry = 1;
  }
  endpoints = resolve(host, port, 0);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[host_and_port] = Known{endpoints, now + kBelieved};
  return endpoints;
}

void Probes::look(const fx::Probe& probe, std::int64_t started_wall_ms, Time now) {
  if (probe.ready.kind == ReadySpec::Kind::tcp) return connect(probe, now);
  if (probe.ready.kind != ReadySpec::Kind::file) return;
  const std::string& target = probe.ready.target;
  const std::string path =
      !target.empty() && target.front() == '/' ? target : fmt::format("{}/{}", probe.dir, target);
  struct stat status {};
  if (::stat(path.c_str(), &status) < 0) return;
  // A file left by an earlier run says nothing about this one. File times tick with the kernel's
  // coarse clock, up to 10 ms behind.
  constexpr std::int64_t kTick = 10;
  const std::int64_t changed_ms =
      static_cast<std::int64_t>(std::max(status.st_mtim.tv_sec, status.st_ctim.tv_sec)) * 1000 +
      (status.st_mtim.tv_sec >= status.st_ctim.tv_sec ? status.st_mtim : status.st_ctim).tv_nsec /
          1'000'000;
  if (changed_ms + kTick >= started_wall_ms) ready_(probe.run);
}

void Probes::connect(const fx::Probe& probe, Time now) {
  const auto found = connecting_.find(probe.run);
  if (found != connecting_.end()) {
    if (now - found->second.since < kPatience) return;
    connecting_.erase(found);
  }
  connecting_[probe.run].since = now;
  for (const Endpoint& endpoint : addresses_.find(probe.ready.target, now)) {
    if (!connect_one(probe.run, endpoint)) continue;
    connecting_.erase(probe.run);
    ready_(probe.run);
    return;
  }
  if (connecting_[probe.run].attempts.empty()) connecting_.erase(probe.run);
}

/// True: it accepts already. False: it refused, or the answer is still to come.
bool Probes::connect_one(RunId run, const Endpoint& endpoint) {
  Fd socket(::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return false;
  const int number = socket.get();
  if (::connect(number, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) == 0) {
    return !met_itself(number);
  }
  if (errno != EINPROGRESS) return false;
  Watching watching(reactor_, number, EPOLLOUT,
                    [this, run, number](std::uint32_t) { on_connected(run, number); });
  connecting_[run].attempts.push_back(Attempt{std::move(socket), std::move(watching)});
  return false;
}

void Probes::on_connected(RunId run, int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  const auto found = connecting_.find(run);
  if (found == connecting_.end()) return;
  if (error == 0 && !met_itself(socket)) {
    connecting_.erase(found);
    ready_(run);
    return;
  }
  std::erase_if(found->second.attempts,
                [socket](const Attempt& attempt) { return attempt.socket.get() == socket; });
  if (found->second.attempts.empty()) connecting_.erase(found);
}

}  // namespace supv
