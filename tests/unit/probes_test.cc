#include "brain/probes.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

using namespace supv;
using namespace std::chrono_literals;

namespace {

constexpr auto kRun = static_cast<RunId>(0x10001);

Fd bound(std::uint16_t& port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return fd;
}

fx::Probe tcp(const std::string& target) { return {kRun, {ReadySpec::Kind::tcp, {}, target}, "/"}; }

struct Looking {
  Reactor reactor;
  std::vector<RunId> ready;
  Probes probes{reactor, [this](RunId run) { ready.push_back(run); }};
  Time now{};

  void look(const fx::Probe& probe, std::int64_t started_wall_ms = 0) {
    probes.look(probe, started_wall_ms, now);
    while (reactor.wait(50ms)) {
    }
  }
};

std::int64_t wall_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1000 + time.tv_nsec / 1'000'000;
}

}  // namespace

TEST_CASE("a listening port is ready, a bound one that does not listen is not") {
  Looking looking;
  std::uint16_t port = 0;
  const Fd socket = bound(port);
  const std::string number = std::to_string(port);
  looking.look(tcp("127.0.0.1:" + number));
  looking.look(tcp("localhost:" + number));
  CHECK(looking.ready.empty());
  REQUIRE(::listen(socket.get(), 8) == 0);
  looking.look(tcp("127.0.0.1:" + number));
  CHECK(looking.ready.size() == 1);
  looking.look(tcp("localhost:" + number));
  CHECK(looking.ready.size() == 2);
  CHECK(looking.ready.back() == kRun);
}

TEST_CASE("a malformed or unknown target is never ready and never throws") {
  Looking looking;
  for (const char* target : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                             "127.0.0.1:x", "[::1:80", ":80", "300.1.1.1.:99999"}) {
    looking.look(tcp(target));
  }
  CHECK(looking.ready.empty());
}

TEST_CASE("a look while another is under way does not start it anew") {
  Looking looking;
  // The backlog is full, so the kernel answers the next connection not at all.
  std::uint16_t port = 0;
  const Fd socket = bound(port);
  REQUIRE(::listen(socket.get(), 0) == 0);
  std::vector<Fd> fillers;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::connect(fillers.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  looking.look(tcp("127.0.0.1:" + std::to_string(port)));
  const auto open_fds = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = open_fds();
  looking.look(tcp("127.0.0.1:" + std::to_string(port)));
  looking.now += 4s;
  looking.look(tcp("127.0.0.1:" + std::to_string(port)));
  CHECK(open_fds() == before);
  CHECK(looking.ready.empty());
  looking.probes.forget(kRun);
  CHECK(open_fds() < before);
}

TEST_CASE("a file counts when it is newer than the run") {
  char path[] = "/tmp/supv-probe-XXXXXX";
  REQUIRE(::mkdtemp(path) != nullptr);
  Looking looking;
  const fx::Probe probe{kRun, {ReadySpec::Kind::file, {}, "up"}, path};
  looking.look(probe, wall_ms());
  CHECK(looking.ready.empty());
  const std::string file = std::string(path) + "/up";
  Fd made(::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  looking.look(probe, wall_ms() + 60'000);
  CHECK(looking.ready.empty());
  looking.look(probe, wall_ms() - 1000);
  CHECK(looking.ready.size() == 1);
  fx::Probe absolute = probe;
  absolute.ready.target = file;
  absolute.dir = "/nowhere";
  looking.look(absolute, wall_ms() - 1000);
  CHECK(looking.ready.size() == 2);
  std::filesystem::remove_all(path);
}

TEST_CASE("addresses: literals of both families, and names are asked for once a minute") {
  Addresses addresses;
  CHECK(addresses.find("127.0.0.1:80", {}).size() == 1);
  const auto six = addresses.find("[::1]:80", {});
  REQUIRE(six.size() == 1);
  CHECK(six[0].address.ss_family == AF_INET6);
  CHECK(addresses.find("localhost:80", {}).size() == 2);
}
