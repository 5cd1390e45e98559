#include <doctest/doctest.h>

#include <optional>

#include "../lib/courier_fixture.h"

using namespace supv;
using namespace supv::courier;
using namespace supv::test;

namespace {

/// Answers a request to /block only when told to; anything else at once. The body is the path.
class BlockingServer {
 public:
  BlockingServer()
      : server_([this](int fd, const std::string& request) {
          const std::string path = request.substr(4, request.find(' ', 4) - 4);
          if (contains(path, "/block")) {
            ++blocked_;
            while (!open_ && !stopping_) ::poll(nullptr, 0, 5);
            --blocked_;
          }
          return say(fd, answer("200 OK", "X-Consul-Index: 5\r\n", path + filler_));
        }) {}
  ~BlockingServer() { stopping_ = true; }

  ScriptedServer& server() { return server_; }
  int blocked() const { return blocked_; }
  void release() { open_ = true; }
  void fill(std::size_t size) { filler_.assign(size, 'f'); }

 private:
  std::atomic<bool> open_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> blocked_ = 0;
  std::string filler_;
  ScriptedServer server_;
};

Request blocking(std::uint64_t tag, ScriptedServer& server, const std::string& reuse,
                 std::uint32_t deadline_ms = 60000) {
  Request request = get(tag, server.url("/block/" + std::to_string(tag)), deadline_ms);
  request.reuse = reuse;
  return request;
}

}  // namespace

TEST_CASE("a new brain takes over the query of the old one: one connection, one request") {
  BlockingServer blocker;
  const CourierProcess courier;
  {
    CourierChannel old_brain = courier.connect();
    REQUIRE(old_brain.send(blocking(100, blocker.server(), "kv/a")));
    REQUIRE(eventually([&] { return blocker.blocked() == 1; }));
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(blocking(1, blocker.server(), "kv/a")));
  // The courier has read it once it answers what was sent after it.
  REQUIRE(brain.send(get(2, blocker.server().url("/now"))));
  CHECK(next(brain).tag == 2);
  CHECK(blocker.blocked() == 1);
  blocker.release();
  const Done done = next(brain);
  CHECK(done.tag == 1);
  CHECK(done.body == "/block/100");
  CHECK(done.index == 5);
  CHECK(blocker.server().requests() == 2);
  CHECK(blocker.server().connections() == 2);  // /now and /block/100
}

TEST_CASE("without an equal reuse key nothing is taken over, and old tags never arrive") {
  BlockingServer blocker;
  const CourierProcess courier;
  {
    CourierChannel old_brain = courier.connect();
    REQUIRE(old_brain.send(blocking(100, blocker.server(), "kv/a")));
    REQUIRE(old_brain.send(blocking(101, blocker.server(), "")));
    REQUIRE(eventually([&] { return blocker.blocked() == 2; }));
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(blocking(1, blocker.server(), "kv/b")));
  Request other_token = blocking(2, blocker.server(), "kv/a");
  other_token.headers.push_back("X-Consul-Token: other");
  REQUIRE(brain.send(other_token));
  REQUIRE(brain.send(blocking(3, blocker.server(), "")));
  REQUIRE(eventually([&] { return blocker.blocked() == 5; }));
  blocker.release();
  for (int i = 0; i < 3; ++i) {
    const Done done = next(brain);
    CHECK(done.tag >= 1);
    CHECK(done.tag <= 3);
    CHECK(done.body == "/block/" + std::to_string(done.tag));
  }
  CHECK(next(brain, 0.3).tag == 0);
}

TEST_CASE("an answer that lies unread on the socket is not for the next brain") {
  BlockingServer blocker;
  const CourierProcess courier;
  {
    CourierChannel old_brain = courier.connect();
    REQUIRE(old_brain.send(get(100, blocker.server().url("/old"))));
    REQUIRE(old_brain.send(get(101, blocker.server().url("/old"))));
    char packet[70000];
    int packets = 0;
    REQUIRE(eventually([&] {
      if (::recv(old_brain.fd(), packet, sizeof packet, MSG_DONTWAIT) > 0) ++packets;
      return packets == 2;  // Welcome and the first answer; the second one is left.
    }));
    pollfd readable{old_brain.fd(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 10000) == 1);
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(get(1, blocker.server().url("/new"))));
  CHECK(next(brain).tag == 1);
  CHECK(next(brain, 0.2).tag == 0);
}

TEST_CASE("two requests of one brain with the same key are two requests") {
  BlockingServer blocker;
  const CourierProcess courier;
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(blocking(1, blocker.server(), "k")));
  REQUIRE(brain.send(blocking(2, blocker.server(), "k")));
  REQUIRE(eventually([&] { return blocker.blocked() == 2; }));
  blocker.release();
  CHECK(next(brain).tag + next(brain).tag == 3);
}

TEST_CASE("an answer that came between two brains is dropped: the second has read afresh") {
  BlockingServer blocker;
  const CourierProcess courier;
  {
    CourierChannel old_brain = courier.connect();
    REQUIRE(old_brain.send(blocking(100, blocker.server(), "kv/a")));
    REQUIRE(eventually([&] { return blocker.blocked() == 1; }));
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(get(1, blocker.server().url("/now"))));
  CHECK(next(brain).tag == 1);  // The courier knows that the old brain has gone.
  blocker.release();
  REQUIRE(eventually([&] { return blocker.blocked() == 0; }));
  // A second question tells that the first answer has been dealt with.
  REQUIRE(brain.send(get(2, blocker.server().url("/now"))));
  CHECK(next(brain).tag == 2);
  REQUIRE(brain.send(blocking(3, blocker.server(), "kv/a")));
  const Done done = next(brain);
  CHECK(done.tag == 3);
  CHECK(done.body == "/block/3");
}

TEST_CASE(
    "a taken-over query still ends at the new brain's deadline, and can be taken over again") {
  BlockingServer blocker;
  const CourierProcess courier;
  {
    CourierChannel old_brain = courier.connect();
    REQUIRE(old_brain.send(blocking(100, blocker.server(), "k")));
    REQUIRE(eventually([&] { return blocker.blocked() == 1; }));
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(blocking(1, blocker.server(), "k", 200)));
  const Done late = next(brain);
  CHECK(late.tag == 1);
  CHECK(late.status == 0);
  CHECK_FALSE(late.error.empty());
  REQUIRE(brain.send(blocking(2, blocker.server(), "k")));
  blocker.release();
  const Done done = next(brain);
  CHECK(done.tag == 2);
  CHECK(done.body == "/block/100");
  CHECK(blocker.server().requests() == 1);
}

TEST_CASE("many brains one after the other leave one query under way") {
  BlockingServer blocker;
  const CourierProcess courier;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    CourierChannel brain = courier.connect();
    REQUIRE(brain.send(blocking(i, blocker.server(), "k")));
    REQUIRE(eventually([&] { return blocker.blocked() == 1; }));
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(blocking(99, blocker.server(), "k")));
  blocker.release();
  CHECK(next(brain).tag == 99);
  CHECK(blocker.server().connections() == 1);
}

TEST_CASE("a brain that is gone in the middle of a sentence does no harm to the next") {
  BlockingServer blocker;
  const CourierProcess courier;
  {
    // The beginning of a long request, never finished.
    CourierChannel old_brain = courier.connect();
    const std::uint32_t head[] = {2, 10, 1000, 0};
    std::string packet(reinterpret_cast<const char*>(head), sizeof head);
    packet += "0123456789";
    REQUIRE(::send(old_brain.fd(), packet.data(), packet.size(), 0) > 0);
  }
  CourierChannel brain = courier.connect();
  REQUIRE(brain.send(get(1, blocker.server().url("/now"))));
  CHECK(next(brain).body == "/now");
}

TEST_CASE("the brain sees that the courier has gone") {
  std::optional<CourierProcess> courier;
  courier.emplace();
  CourierChannel brain = courier->connect();
  CHECK_FALSE(brain.closed());
  ::kill(courier->pid(), SIGKILL);
  CHECK(eventually([&] {
    (void)brain.receive();
    return brain.closed();
  }));
  CHECK_FALSE(brain.send(get(1, "http://127.0.0.1:1/")));
}

TEST_CASE("a request that is too long is refused at once") {
  const CourierProcess courier;
  CourierChannel brain = courier.connect();
  Request request = get(1, "http://127.0.0.1:1/");
  request.body.assign(kMaxRequest, 'x');
  CHECK_FALSE(brain.send(request));
  CHECK_FALSE(brain.closed());
}
