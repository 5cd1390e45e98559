#include <doctest/doctest.h>

#include <algorithm>

#include "../lib/courier_fixture.h"

using namespace supv;
using namespace supv::courier;
using namespace supv::test;

namespace {

Done fetch(const Request& request) {
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  REQUIRE(channel.send(request));
  Done done = next(channel);
  CHECK(done.tag == request.tag);
  return done;
}

/// /N redirects to /N-1, as `status` says; /0 answers 200.
ScriptedServer::Script countdown(const std::string& status) {
  return [status](int fd, const std::string& request) {
    const char left = request.at(request.find('/') + 1);
    if (left == '0') return say(fd, answer("200 OK", "", "arrived"));
    const std::string to(1, static_cast<char>(left - 1));
    return say(fd, answer(status, "Location: /" + to + "\r\nRetry-After: 7\r\n", "away"));
  };
}

/// An unconnected UDP socket of this machine.
struct UdpSink {
  Fd fd{check_sys(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket")};
  int port = 0;
  UdpSink() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    check_sys(::bind(fd.get(), generic, size), "bind");
    check_sys(::getsockname(fd.get(), generic, &size), "getsockname");
    port = ntohs(address.sin_port);
  }
  std::string take() const {
    pollfd ready{fd.get(), POLLIN, 0};
    if (::poll(&ready, 1, 5000) != 1) return "(nothing came)";
    char bytes[2048];
    const ssize_t size = ::recv(fd.get(), bytes, sizeof bytes, 0);
    return std::string(bytes, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  }
};

}  // namespace

TEST_CASE("every method says its name, with the body and type it was given") {
  ScriptedServer server([](int fd, const std::string& request) {
    if (request.starts_with("HEAD ")) return say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    return say(fd, answer("200 OK", "", "ok"));
  });
  for (const char* name : {"GET", "PUT", "DELETE", "HEAD", "POST", "PATCH", "OPTIONS"}) {
    CAPTURE(name);
    Request request = get(1, server.url("/a"));
    REQUIRE(parse_method(name));
    request.method = *parse_method(name);
    const Done done = fetch(request);
    CHECK(done.status == (request.method == Method::head ? 204 : 200));
    CHECK(server.last_request().starts_with(std::string(name) + " /a HTTP/1.1\r\n"));
  }
  CHECK_FALSE(parse_method("get"));
  for (const char* name : {"GET", "DELETE", "POST", "PATCH"}) {
    CAPTURE(name);
    Request request = get(2, server.url("/b"));
    request.method = *parse_method(name);
    request.headers = {"content-type: application/json"};
    request.body = "{\"a\": 1}";
    CHECK(fetch(request).body == "ok");
    const std::string seen = server.last_request();
    CHECK(seen.starts_with(std::string(name) + " /b "));
    CHECK(contains(seen, "content-type: application/json\r\n"));
    CHECK_FALSE(contains(seen, "octet-stream"));
    CHECK_FALSE(contains(seen, "urlencoded"));
    CHECK(seen.ends_with("\r\n\r\n{\"a\": 1}"));
  }
}

TEST_CASE("redirects are followed as often as allowed, and then are an error") {
  ScriptedServer server(countdown("302 Found"));
  Request request = get(1, server.url("/3"));
  request.redirects = 3;
  const Done done = fetch(request);
  CHECK(done.status == 200);
  CHECK(done.body == "arrived");
  CHECK(done.retry_after_s == 0);
  CHECK(server.requests() == 4);
  request.redirects = 2;
  const Done failed = fetch(request);
  CHECK(failed.status == 0);
  CHECK(failed.error == "more than 2 redirects");
  request.redirects = 0;
  CHECK(fetch(request).status == 302);
}

TEST_CASE("a redirect to another protocol than HTTP is not followed") {
  ScriptedServer server([](int fd, const std::string&) {
    return say(fd, answer("302 Found", "Location: file:///etc/passwd\r\n", ""));
  });
  Request request = get(1, server.url("/"));
  request.redirects = 5;
  const Done done = fetch(request);
  CHECK(done.status == 0);
  CHECK(done.body.empty());
  CHECK_FALSE(done.error.empty());
}

TEST_CASE("a datagram arrives; a port where nobody listens is an error") {
  std::string name = "127.0.0.1";
  SUBCASE("address") {}
  SUBCASE("name") { name = "localhost"; }
  std::string url;
  {
    const UdpSink sink;
    url = "udp://" + name + ':' + std::to_string(sink.port);
    Request request = get(3, url);
    request.method = Method::datagram;
    request.body = "supv.fired:1|c";
    const Done done = fetch(request);
    CHECK(done.error.empty());
    CHECK(done.status == 200);
    CHECK(sink.take() == "supv.fired:1|c");
  }
  Request request = get(4, url);
  request.method = Method::datagram;
  request.body = "x";
  const Done done = fetch(request);
  CHECK(done.status == 0);
  CHECK(done.error == "Connection refused");
}

TEST_CASE("what cannot be a request is refused with its reason") {
  const auto refused = [](Method method, const std::string& url) {
    Request request = get(1, url);
    request.method = method;
    return fetch(request).error;
  };
  CHECK(refused(Method::mail, "http://127.0.0.1/") == "not a mail over smtp:// or smtps://");
  CHECK(refused(Method::datagram, "udp://127.0.0.1") == "not a datagram to udp://HOST:PORT");
  CHECK(refused(Method::get, "smtp://127.0.0.1/") == "not a request over http:// or https://");
  CHECK(refused(Method::post, "ftp://127.0.0.1/") == "not a request over http:// or https://");
  Request mail = get(1, "smtp://127.0.0.1:1/");
  mail.method = Method::mail;
  mail.envelope.recipients = {"a@b>\r\nDATA"};
  CHECK(fetch(mail).error == "not a mail over smtp:// or smtps://");
  const std::string unknown = refused(Method::datagram, "udp://no-such-host.invalid:9");
  CHECK(contains(unknown, "no-such-host.invalid"));
}

TEST_CASE("everything of a request travels") {
  Request request = get(9, "smtp://127.0.0.1:25/host");
  request.method = Method::mail;
  request.body = "text";
  request.redirects = 4;
  request.connect_ms = 77;
  request.connection.proxy = "http://proxy:3128";
  request.envelope = {"from@a", {"to@b", "cc@c"}, "user", "secret", Envelope::Tls::require};
  const auto back = decode_request(encode(request));
  REQUIRE(back);
  CHECK(back->method == Method::mail);
  CHECK(back->envelope == request.envelope);
  CHECK(back->connection == request.connection);
  CHECK(back->redirects == 4);
  CHECK(back->connect_ms == 77);
  for (std::size_t size = 0; size < encode(request).size(); ++size) {
    CHECK_FALSE(decode_request(std::string_view(encode(request)).substr(0, size)));
  }
}
