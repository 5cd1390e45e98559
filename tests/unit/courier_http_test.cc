#include <doctest/doctest.h>
#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "../lib/courier_fixture.h"

using namespace supv;
using namespace supv::courier;
using namespace supv::test;

namespace {

/// One request, one answer, from a courier of its own.
Done fetch(const Request& request) {
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  REQUIRE(channel.send(request));
  Done done = next(channel);
  CHECK(done.tag == request.tag);
  return done;
}

ScriptedServer::Script always(const std::string& text) {
  return [text](int fd, const std::string&) { return say(fd, text); };
}

/// "abc" as gzip makes it.
std::string gzip_sample() {
  static const unsigned char kBytes[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00,
                                         0x02, 0xff, 0x4b, 0x4c, 0x4a, 0x06, 0x00, 0xc2,
                                         0x41, 0x24, 0x35, 0x03, 0x00, 0x00, 0x00};
  return std::string(reinterpret_cast<const char*>(kBytes), sizeof kBytes);
}

}  // namespace

TEST_CASE("an answer arrives with the headers that matter, whatever their case") {
  ScriptedServer server(always(answer("200 OK",
                                      "X-Consul-Index: 42\r\nx-consul-knownleader: FALSE\r\n"
                                      "X-CONSUL-LASTCONTACT: 17\r\n",
                                      "hello")));
  Request request = get(7, server.url("/v1/kv/a?index=3"));
  request.headers.push_back("X-Consul-Token: secret");
  const Done done = fetch(request);
  CHECK(done.status == 200);
  CHECK(done.error.empty());
  CHECK(done.index == 42);
  CHECK_FALSE(done.known_leader);
  CHECK(done.last_contact_ms == 17);
  CHECK(done.body == "hello");
  CHECK(server.last_request().find("GET /v1/kv/a?index=3 HTTP/1.1\r\n") == 0);
  CHECK(server.last_request().find("X-Consul-Token: secret\r\n") != std::string::npos);
}

TEST_CASE("PUT carries its body and DELETE its method") {
  ScriptedServer server(always(answer("200 OK", "", "true")));
  Request put = get(1, server.url("/v1/kv/a"));
  put.method = Method::put;
  put.body = std::string(300'000, 'v') + std::string("\0\n", 2);
  CHECK(fetch(put).body == "true");
  CHECK(server.last_request().find("PUT /v1/kv/a ") == 0);
  CHECK(server.last_request().substr(server.last_request().size() - put.body.size()) == put.body);
  Request remove = get(2, server.url("/v1/kv/a"));
  remove.method = Method::remove;
  CHECK(fetch(remove).status == 200);
  CHECK(server.last_request().find("DELETE /v1/kv/a ") == 0);
}

TEST_CASE("refusals are answers, with the time to stay away") {
  ScriptedServer server([](int fd, const std::string& request) {
    const bool forbidden = request.find("/403") != std::string::npos;
    return say(fd, forbidden ? answer("403 Forbidden", "", "Permission denied")
                             : answer("429 Too Many Requests", "Retry-After: 30\r\n", "slow"));
  });
  const Done forbidden = fetch(get(1, server.url("/403")));
  CHECK(forbidden.status == 403);
  CHECK(forbidden.retry_after_s == 0);
  CHECK(forbidden.index == 0);
  CHECK(forbidden.known_leader);
  const Done throttled = fetch(get(1, server.url("/429")));
  CHECK(throttled.status == 429);
  CHECK(throttled.retry_after_s == 30);
}

TEST_CASE("chunks and gzip are undone") {
  ScriptedServer server([](int fd, const std::string& request) {
    CHECK(request.find("Accept-Encoding: gzip") != std::string::npos);
    if (request.find("/gzip") != std::string::npos)
      return say(fd, answer("200 OK", "Content-Encoding: gzip\r\n", gzip_sample()));
    return say(
        fd,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  });
  CHECK(fetch(get(1, server.url("/gzip"))).body == "abc");
  CHECK(fetch(get(1, server.url("/chunked"))).body == "abcde");
}

TEST_CASE("a redirect is not followed") {
  ScriptedServer server(always(answer("301 Moved Permanently", "Location: /v1/kv/lead\r\n", "")));
  CHECK(fetch(get(1, server.url("/v1/kv//lead"))).status == 301);
  CHECK(server.requests() == 1);
}

TEST_CASE("servers that misbehave are errors without an answer") {
  SUBCASE("closed after accept") {
    ScriptedServer server([](int, const std::string&) { return false; });
    const Done done = fetch(get(1, server.url("/")));
    CHECK(done.status == 0);
    CHECK(contains(done.error, "Empty reply"));
  }
  SUBCASE("garbage") {
    ScriptedServer server([](int fd, const std::string&) {
      say(fd, "\x1b[31mSSH-2.0-nonsense\r\n\r\n");
      return false;
    });
    const Done done = fetch(get(1, server.url("/")));
    CHECK(done.status == 0);
    CHECK(contains(done.error, "is this an HTTP server?"));
    CHECK(done.error.find('\x1b') == std::string::npos);
  }
  SUBCASE("cut in the middle of the body") {
    ScriptedServer server([](int fd, const std::string&) {
      say(fd, "HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: 10\r\n\r\nhalf");
      return false;
    });
    const Done done = fetch(get(1, server.url("/")));
    CHECK(done.status == 0);
    CHECK(done.index == 0);
    CHECK(done.body.empty());
    CHECK_FALSE(done.error.empty());
  }
  SUBCASE("nobody listens") {
    int port = 0;
    {
      ScriptedServer server([](int, const std::string&) { return false; });
      port = server.port();
    }
    const Done done = fetch(get(1, "http://127.0.0.1:" + std::to_string(port) + "/"));
    CHECK(done.status == 0);
    CHECK(contains(done.error, "connect"));
  }
}

TEST_CASE("an answer without an end stops at the limit, not at the memory's end") {
  ScriptedServer server([](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (say(fd, std::string(65536, 'x'))) {
    }
    return false;
  });
  const Done done = fetch(get(1, server.url("/")));
  CHECK(done.status == 0);
  CHECK(done.error == "the answer is larger than 8 MiB");
}

TEST_CASE("the largest answer still arrives, to a brain that is slow to read") {
  const std::string body(kMaxBody, 'b');
  ScriptedServer server(always(answer("200 OK", "", body)));
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  // More than the courier holds for a slow reader, so it has to make the servers wait.
  for (std::uint64_t tag = 1; tag <= 6; ++tag)
    REQUIRE(channel.send(get(tag, server.url("/"), 60000)));
  REQUIRE(eventually([&] { return server.requests() == 6; }));
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 6; ++i) {
    const Done done = next(channel);
    CHECK(done.status == 200);
    CHECK(done.body == body);
    seen.insert(done.tag);
  }
  CHECK(seen.size() == 6);
}

TEST_CASE("one byte more than the limit is refused") {
  ScriptedServer server(always(answer("200 OK", "", std::string(kMaxBody + 1, 'b'))));
  CHECK(fetch(get(1, server.url("/"))).error == "the answer is larger than 8 MiB");
}

TEST_CASE("a slow server runs into the deadline") {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&](int fd, const std::string&) {
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    while (!self->stopping() && say(fd, "x")) ::poll(nullptr, 0, 50);
    return false;
  });
  self = &server;
  const auto begin = Steady::now();
  const Done done = fetch(get(1, server.url("/"), 400));
  CHECK(done.status == 0);
  CHECK(done.error == "no complete answer within 400ms");
  CHECK(Steady::now() - begin >= std::chrono::milliseconds(400));
  CHECK(Steady::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("a connection is used again") {
  ScriptedServer server(always(answer("200 OK", "", "x")));
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  for (std::uint64_t tag = 1; tag <= 10; ++tag) {
    REQUIRE(channel.send(get(tag, server.url("/"))));
    CHECK(next(channel).tag == tag);
  }
  CHECK(server.connections() == 1);
}

TEST_CASE("a server that hangs up beside open requests may have a limit of connections") {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&](int, const std::string& request) {
    if (request.find("/block") == std::string::npos) return false;
    while (!self->stopping()) ::poll(nullptr, 0, 10);
    return false;
  });
  self = &server;
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  REQUIRE(channel.send(get(1, server.url("/block"), 30000)));
  REQUIRE(eventually([&] { return server.requests() == 1; }));
  REQUIRE(channel.send(get(2, server.url("/refused"))));
  const Done done = next(channel);
  CHECK(done.tag == 2);
  CHECK(contains(done.error, "limit of connections?"));
  CHECK(contains(done.error, "1 other request"));
}

TEST_CASE("a unix socket") {
  char directory[] = "/tmp/supv-courier-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/consul.sock";
  {
    ScriptedServer server(always(answer("200 OK", "", "through a socket")), path);
    Request request = get(1, "http://localhost/v1/kv/a");
    request.connection.unix_socket = path;
    CHECK(fetch(request).body == "through a socket");
  }
  std::filesystem::remove_all(directory);
}

TEST_CASE("http_proxy in the environment changes nothing") {
  ScriptedServer proxy(always(answer("502 Bad Gateway", "", "")));
  ScriptedServer server(always(answer("200 OK", "", "direct")));
  const std::string url = proxy.url("");
  const CourierProcess courier({"http_proxy=" + url, "all_proxy=" + url, "ALL_PROXY=" + url});
  CourierChannel channel = courier.connect();
  REQUIRE(channel.send(get(1, server.url("/"))));
  CHECK(next(channel).body == "direct");
  CHECK(proxy.connections() == 0);
}

TEST_CASE("only http and https are spoken") {
  for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/", "", "http://", "gopher://x/",
                          "http://127.0.0.1/a\r\nX-Evil: 1"}) {
    const Done done = fetch(get(1, url));
    CHECK(done.status == 0);
    CHECK(contains(done.error, "http://"));
  }
}

TEST_CASE("every descriptor of the courier is closed on exec") {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&](int, const std::string&) {
    while (!self->stopping()) ::poll(nullptr, 0, 10);
    return false;
  });
  self = &server;
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  REQUIRE(channel.send(get(1, server.url("/"), 30000)));
  REQUIRE(eventually([&] { return server.requests() == 1; }));
  int seen = 0;
  const std::string proc = "/proc/" + std::to_string(courier.pid());
  for (const auto& entry : std::filesystem::directory_iterator(proc + "/fdinfo")) {
    const std::string name = entry.path().filename().string();
    if (std::stoi(name) <= 2) continue;
    std::ifstream in(entry.path());
    std::string word;
    while (in >> word && word != "flags:") {
    }
    in >> word;
    CAPTURE(std::filesystem::read_symlink(proc + "/fd/" + name).string());
    CHECK((std::stoul(word, nullptr, 8) & 02000000UL) != 0);
    ++seen;
  }
  CHECK(seen >= 5);  // Channel, epoll, libcurl's own pair, the connection.
}

TEST_CASE("a stopped server is noticed at the deadline, although the kernel still accepts") {
  int port[2];
  REQUIRE(::pipe2(port, O_CLOEXEC) == 0);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ScriptedServer server(always(answer("200 OK", "", "awake")));
    const int number = server.port();
    (void)!::write(port[1], &number, sizeof number);
    while (true) ::pause();
  }
  int number = 0;
  REQUIRE(::read(port[0], &number, sizeof number) == sizeof number);
  ::close(port[0]);
  ::close(port[1]);
  const std::string url = "http://127.0.0.1:" + std::to_string(number) + "/";
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  REQUIRE(channel.send(get(1, url)));
  CHECK(next(channel).body == "awake");
  ::kill(pid, SIGSTOP);
  REQUIRE(::waitpid(pid, nullptr, WUNTRACED) == pid);  // The signal alone stops nobody yet.
  REQUIRE(channel.send(get(2, url, 500)));
  const Done stopped = next(channel);
  CHECK(stopped.tag == 2);
  CHECK(stopped.error == "no complete answer within 500ms");
  ::kill(pid, SIGCONT);
  REQUIRE(channel.send(get(3, url)));
  CHECK(next(channel).body == "awake");
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

TEST_CASE("the courier ends when the last brain's end is closed") {
  CourierProcess courier;
  const int status = courier.close();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
