#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "../lib/child.h"
#include "../lib/condition_bench.h"
#include "base/fd.h"

using namespace supv;
using supv::test::WaitingCondition;

namespace {

using Options = std::map<std::string, std::string>;

/// The port of a socket that is bound to 127.0.0.1.
int port_of(const Fd& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

Fd bound_tcp() {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

Fd bound_unix(const std::string& path, int backlog) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(socket.get(), backlog) == 0);
  return socket;
}

/// A listener that takes no connection any more: its backlog is full.
struct BlackHole {
  BlackHole() : listener(bound_tcp()) {
    REQUIRE(::listen(listener.get(), 0) == 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port_of(listener)));
    for (int i = 0; i < 4; ++i) {
      waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(waiting.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
  }
  Fd listener;
  std::vector<Fd> waiting;
};

std::string refused(std::string_view name, Options options) {
  return WaitingCondition(name, std::move(options)).error;
}

Options tcp(int port, const std::string& responding = "false") {
  return {{"port", std::to_string(port)}, {"responding", responding}, {"timeout", "3000"}};
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("socket_responding compares what it finds with what is asked for") {
  const Fd listener = bound_tcp();
  const int port = port_of(listener);
  WaitingCondition dead("socket_responding", tcp(port));
  WaitingCondition alive("socket_responding", tcp(port, "true"));
  const std::string name = "tcp:127.0.0.1:" + std::to_string(port);

  CHECK(dead.poll() == SUPV_FIRE);
  CHECK(dead.reason == name + ": Connection refused");
  CHECK(alive.poll() == SUPV_OK);
  REQUIRE(::listen(listener.get(), 8) == 0);
  const std::size_t before = open_descriptors();
  CHECK(dead.poll() == SUPV_OK);
  CHECK(dead.reason == name + " responds");
  CHECK(alive.poll() == SUPV_FIRE);
  CHECK(open_descriptors() == before);

  for (const std::string& text :
       {"tcp:" + std::to_string(port), name, "tcp:localhost:" + std::to_string(port)}) {
    WaitingCondition short_form("socket_responding", {{"socket", text}, {"timeout", "3000"}});
    CHECK_MESSAGE(short_form.poll() == SUPV_OK, text);
  }
}

TEST_CASE("socket_responding gives up after its time-out") {
  const BlackHole hole;
  Options options = tcp(port_of(hole.listener));
  options["timeout"] = "200";
  WaitingCondition condition("socket_responding", options);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(condition.poll() == SUPV_FIRE);
  CHECK(condition.reason.ends_with(": no answer in time"));
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(150));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("socket_responding knows unix sockets") {
  const test::TempDirectory directory;
  const std::string path = directory / "s";
  const Options options = {{"family", "unix"}, {"path", path}, {"timeout", "200"}};
  WaitingCondition condition("socket_responding", options);
  CHECK(condition.poll() == SUPV_FIRE);
  CHECK(condition.reason == "unix:" + path + ": No such file or directory");
  {
    const Fd listener = bound_unix(path, 0);
    CHECK(condition.poll() == SUPV_OK);    // It takes the only place in the backlog ...
    CHECK(condition.poll() == SUPV_FIRE);  // ... which is then full.
    CHECK(condition.reason == "unix:" + path + ": no answer in time");
  }
  CHECK(condition.poll() == SUPV_FIRE);
  CHECK(condition.reason == "unix:" + path + ": Connection refused");
  WaitingCondition relative(
      "socket_responding",
      {{"socket", "unix:s"}, {"watch.dir", directory.path()}, {"timeout", "200"}});
  relative.poll();
  CHECK(relative.reason == "unix:" + path + ": Connection refused");
}

TEST_CASE("socket_responding does not know what a name that does not resolve does") {
  Options options = tcp(80);
  options["addr"] = "no-such-host.invalid";
  WaitingCondition condition("socket_responding", options);
  CHECK(condition.poll() == SUPV_UNKNOWN);
  CHECK(condition.reason.find("cannot resolve the name") != std::string::npos);
}

TEST_CASE("socket_responding refuses what it cannot understand") {
  const auto why = [](Options options) {
    options.emplace("timeout", "5000");
    return refused("socket_responding", std::move(options));
  };
  CHECK(why({}) == "port or socket is needed");
  CHECK(why({{"port", "65536"}}) == "port: '65536' is not from 1 to 65535");
  CHECK(why({{"port", "-1"}}) == "port: '-1' is not from 1 to 65535");
  CHECK(why({{"family", "unix"}}) == "family unix needs path");
  CHECK(why({{"family", "unix"}, {"path", "/s"}, {"port", "1"}}) == "family unix has no port");
  CHECK(why({{"port", "1"}, {"path", "/s"}}) == "path needs family: unix");
  CHECK(why({{"port", "1"}, {"addr", ""}}) == "addr is empty");
  CHECK(why({{"port", "1"}, {"timeout", "0"}}) == "timeout must not be 0");
  CHECK(why({{"socket", "tcp:1"}, {"port", "1"}}) == "socket stands in place of port and path");
  for (const char* text : {"", "tcp", "tcp:", "tcp:x", "tcp::1", "unix:", "udp:1", "tcp:h:0"}) {
    CHECK(why({{"socket", text}}) ==
          std::string("socket: '") + text + "' is none of tcp:PORT, tcp:ADDR:PORT and unix:PATH");
  }
  CHECK(why({{"socket", "tcp:[::1]:80"}}) == "");
}

// --- certificate_expiry ------------------------------------------------------------------------

namespace {

constexpr std::int64_t kDay = 86'400;

/// A certificate that is valid for 30 days, made by openssl(1).
struct Certificate {
  Certificate() {
    const std::string command = "cd " + directory.path() +
                                " && openssl req -x509 -newkey ec -pkeyopt "
                                "ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost "
                                "-keyout key -out cert >/dev/null 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
    now = ::time(nullptr);
  }
  test::TempDirectory directory;
  std::int64_t now = 0;
};

Options certificate(Options options) {
  options.emplace("within", std::to_string(14 * kDay * 1000));
  options.emplace("timeout", "3000");
  return options;
}

void check_dates(WaitingCondition& condition, const Certificate& file) {
  CHECK(condition.poll(file.now) == SUPV_OK);
  CHECK(condition.reason.find("expires in ") == 0);
  CHECK(condition.poll(file.now + 15 * kDay) == SUPV_OK);
  CHECK(condition.poll(file.now + 17 * kDay) == SUPV_FIRE);
  CHECK(condition.reason.find("expires in 1") == 0);
  CHECK(condition.poll(file.now + 40 * kDay) == SUPV_FIRE);
  CHECK(condition.reason.find("expired 10d") == 0);
}

}  // namespace

TEST_CASE("certificate_expiry reads a file") {
  const Certificate file;
  WaitingCondition condition("certificate_expiry",
                             certificate({{"path", file.directory / "cert"}}));
  check_dates(condition, file);
  WaitingCondition gone("certificate_expiry", certificate({{"path", "/no/such"}}));
  CHECK(gone.poll() == SUPV_UNKNOWN);
  CHECK(gone.reason.find("/no/such: ") == 0);
  WaitingCondition key("certificate_expiry", certificate({{"path", file.directory / "key"}}));
  CHECK(key.poll() == SUPV_UNKNOWN);
  CHECK(key.reason == (file.directory / "key") + " has no certificate");
}

TEST_CASE("certificate_expiry asks a server") {
  const Certificate file;
  const int port = port_of(bound_tcp());
  const std::string text = std::to_string(port);
  const test::Child server({"openssl", "s_server", "-www", "-accept", "127.0.0.1:" + text, "-cert",
                            file.directory / "cert", "-key", file.directory / "key"},
                           file.directory / "output");
  WaitingCondition condition("certificate_expiry",
                             certificate({{"host", "127.0.0.1"}, {"port", text}}));
  WaitingCondition up("socket_responding", tcp(port, "true"));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (up.poll() != SUPV_FIRE && std::chrono::steady_clock::now() < end) ::usleep(5000);
  check_dates(condition, file);
}

TEST_CASE("certificate_expiry does not know what cannot be asked") {
  const std::string refusing = std::to_string(port_of(bound_tcp()));
  WaitingCondition down("certificate_expiry",
                        certificate({{"host", "127.0.0.1"}, {"port", refusing}}));
  CHECK(down.poll() == SUPV_UNKNOWN);
  CHECK(down.reason == "127.0.0.1:" + refusing + ": Connection refused");
  // A listener that says nothing: the handshake ends with the time-out.
  const Fd silent = bound_tcp();
  REQUIRE(::listen(silent.get(), 8) == 0);
  Options options = certificate({{"host", "127.0.0.1"}, {"port", std::to_string(port_of(silent))}});
  options["timeout"] = "200";
  WaitingCondition hanging("certificate_expiry", options);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(hanging.poll() == SUPV_UNKNOWN);
  CHECK(hanging.reason.find(": no TLS handshake: ") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));

  const auto why = [](Options wrong) {
    return refused("certificate_expiry", certificate(std::move(wrong)));
  };
  CHECK(why({}) == "needs either host or path");
  CHECK(why({{"host", "a"}, {"path", "/b"}}) == "needs either host or path");
  CHECK(why({{"host", "a"}, {"port", "70000"}}) == "port: '70000' is not from 1 to 65535");
  CHECK(why({{"path", "/b"}, {"server_name", "x"}}) == "server_name needs host");
  CHECK(why({{"host", "a"}, {"timeout", "0"}}) == "timeout must not be 0");
}
