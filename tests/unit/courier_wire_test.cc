#include <doctest/doctest.h>

#include <random>

#include "../lib/courier_fixture.h"
#include "courier/frames.h"
#include "courier/wire.h"

using namespace supv;
using namespace supv::courier;

namespace {

struct Pair {
  Pair() {
    int ends[2];
    check_sys(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    a.reset(ends[0]);
    b.reset(ends[1]);
  }
  Fd a;
  Fd b;
};

Request full_request() {
  Request request;
  request.tag = 0x1122334455667788;
  request.reuse = "kv";
  request.method = Method::put;
  request.url = "http://127.0.0.1:1/x";
  request.headers = {"X-Consul-Token: t", "A: b"};
  request.body = std::string("a\0b", 3);
  request.connection = {"/s", "ca", "dir", "cert", "key", "name", true};
  request.deadline_ms = 77;
  return request;
}

}  // namespace

TEST_CASE("a request comes out as it went in") {
  const Request in = full_request();
  const auto out = decode_request(encode(in));
  REQUIRE(out);
  CHECK(out->tag == in.tag);
  CHECK(out->reuse == in.reuse);
  CHECK(out->method == in.method);
  CHECK(out->url == in.url);
  CHECK(out->headers == in.headers);
  CHECK(out->body == in.body);
  CHECK(out->connection == in.connection);
  CHECK(out->deadline_ms == 77);
}

TEST_CASE("an answer comes out as it went in") {
  Done in;
  in.tag = 9;
  in.status = 404;
  in.error = "e";
  in.index = 1ULL << 60;
  in.known_leader = false;
  in.last_contact_ms = 12;
  in.retry_after_s = 30;
  in.body = std::string(100000, '\xff');
  const auto out = decode_done(encode(in));
  REQUIRE(out);
  CHECK(out->tag == 9);
  CHECK(out->status == 404);
  CHECK(out->error == "e");
  CHECK(out->index == 1ULL << 60);
  CHECK_FALSE(out->known_leader);
  CHECK(out->last_contact_ms == 12);
  CHECK(out->retry_after_s == 30);
  CHECK(out->body == in.body);
}

TEST_CASE("every shortened or lengthened payload is refused") {
  const std::string request = encode(full_request());
  for (std::size_t size = 0; size < request.size(); ++size)
    CHECK_FALSE(decode_request(std::string_view(request).substr(0, size)));
  CHECK_FALSE(decode_request(request + "x"));
  const std::string done = encode(Done{});
  for (std::size_t size = 0; size < done.size(); ++size)
    CHECK_FALSE(decode_done(std::string_view(done).substr(0, size)));
  CHECK_FALSE(decode_done(done + "x"));
  CHECK_FALSE(decode_session("1234567"));
}

TEST_CASE("mutated payloads never do harm") {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = encode(full_request());
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    (void)decode_request(bytes);
    (void)decode_done(bytes);
  }
}

TEST_CASE("a long message crosses a socket that takes a little at a time") {
  const Pair pair;
  Outbox outbox;
  Inbox inbox;
  std::string payload(3'000'000, 'x');
  payload[1'500'000] = 'y';
  outbox.push(Kind::done, payload);
  outbox.push(Kind::welcome, encode_session(5));
  std::vector<Message> got;
  int rounds = 0;
  while (got.size() < 2 && ++rounds < 1000) {
    REQUIRE(outbox.flush(pair.a.get()) == Link::open);
    while (auto message = inbox.receive(pair.b.get())) got.push_back(std::move(*message));
  }
  REQUIRE(got.size() == 2);
  CHECK(rounds > 1);  // Otherwise this shows nothing.
  CHECK(got[0].kind == Kind::done);
  CHECK(got[0].payload == payload);
  CHECK(decode_session(got[1].payload) == 5);
  CHECK(outbox.pending() == 0);
}

TEST_CASE("what a cut-off sender began is forgotten when the next message starts") {
  const Pair pair;
  Outbox outbox;
  Inbox inbox;
  outbox.push(Kind::done, std::string(3'000'000, 'x'));
  REQUIRE(outbox.flush(pair.a.get()) == Link::open);
  REQUIRE(outbox.pending() > 0);
  CHECK_FALSE(inbox.receive(pair.b.get()));
  outbox.clear();
  outbox.push(Kind::welcome, encode_session(6));
  REQUIRE(outbox.flush(pair.a.get()) == Link::open);
  const auto message = inbox.receive(pair.b.get());
  REQUIRE(message);
  CHECK(decode_session(message->payload) == 6);
}

TEST_CASE("a reader that comes in the middle of a message waits for the next one") {
  const Pair pair;
  Outbox outbox;
  outbox.push(Kind::done, std::string(100'000, 'x'));
  outbox.push(Kind::welcome, encode_session(7));
  REQUIRE(outbox.flush(pair.a.get()) == Link::open);
  char packet[70000];
  REQUIRE(::recv(pair.b.get(), packet, sizeof packet, 0) > 0);  // The earlier reader's share.
  Inbox inbox;
  const auto message = inbox.receive(pair.b.get());
  REQUIRE(message);
  CHECK(message->kind == Kind::welcome);
  CHECK_FALSE(inbox.closed());
}

TEST_CASE("packets that are none of ours close the inbox") {
  const auto closes = [](const std::string& packet) {
    const Pair pair;
    Inbox inbox;
    REQUIRE(::send(pair.a.get(), packet.data(), packet.size(), 0) >= 0);
    CHECK_FALSE(inbox.receive(pair.b.get()));
    return inbox.closed();
  };
  const auto head = [](std::uint32_t kind, std::uint32_t size, std::uint32_t total,
                       std::uint32_t offset) {
    const std::uint32_t words[] = {kind, size, total, offset};
    return std::string(reinterpret_cast<const char*>(words), sizeof words);
  };
  CHECK(closes("short"));
  CHECK(closes(head(9, 0, 0, 0)));                      // No such kind.
  CHECK(closes(head(4, 5, 5, 0) + "1234"));             // Says 5, has 4.
  CHECK(closes(head(4, 5, 4, 0) + "12345"));            // More than its total.
  CHECK(closes(head(4, 1, 0xffffffff, 0) + "1"));       // Beyond every limit.
  CHECK(closes(head(2, 1, 1024 * 1024 + 1, 0) + "1"));  // Beyond the limit of its kind.
  CHECK_FALSE(closes(head(4, 1, 2, 0) + "1"));          // A good beginning.
}
