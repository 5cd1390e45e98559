#include "core/kv_follower.h"

#include <doctest/doctest.h>

#include <string>

using namespace supv;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// "djE=" is "v1".
std::string body(const std::string& key = "app/a", const std::string& value = "djE=") {
  return R"([{"LockIndex":0,"Key":")" + key + R"(","Flags":0,"Value":")" + value +
         R"(","CreateIndex":18,"ModifyIndex":18}])";
}

HttpReply ok(std::uint64_t index, const std::string& text = body()) {
  return {200, "", index, true, 0, text};
}

HttpReply missing(std::uint64_t index) { return {404, "", index, true, 0, ""}; }

struct Fixture {
  KvFollower follower{KvQuery{"", "", "app/a", false, false, Duration(0)}};
  Random random{1};
  Time now{seconds(1000)};
  std::uint64_t tag = 0;

  /// Waits until the next request is due, and sends it.
  fx::Http ask() {
    REQUIRE(follower.due());
    now = std::max(now, *follower.due());
    return follower.ask(now, ++tag);
  }
  std::optional<KvAnswer> reply(Duration after, const HttpReply& reply) {
    now += after;
    return follower.on_reply(now, reply, random);
  }
  Duration pause() const { return std::chrono::duration_cast<Duration>(*follower.due() - now); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "first a plain read, then held queries with the last index") {
  const fx::Http first = ask();
  CHECK(first.path_and_query == "/v1/kv/app/a");
  CHECK(first.reuse.empty());
  CHECK(first.deadline == seconds(10));
  CHECK_FALSE(follower.due());
  const auto answer = reply(milliseconds(3), ok(18));
  REQUIRE(answer);
  CHECK(answer->entries.front().value == "v1");
  const fx::Http second = ask();
  CHECK(second.path_and_query == "/v1/kv/app/a?index=18&wait=55000ms");
  CHECK_FALSE(second.reuse.empty());
  CHECK(second.deadline > seconds(55) * 17 / 16);
  REQUIRE(reply(seconds(56), ok(18)));  // the wait has passed: a heartbeat
  CHECK(ask().path_and_query == "/v1/kv/app/a?index=18&wait=55000ms");
  REQUIRE(reply(seconds(4), ok(19)));
  CHECK(ask().path_and_query == "/v1/kv/app/a?index=19&wait=55000ms");
}

TEST_CASE_FIXTURE(Fixture,
                  "an index that goes back, or an early answer with nothing new, is read again") {
  ask();
  reply(milliseconds(3), ok(2304));
  ask();
  SUBCASE("lower") { CHECK_FALSE(reply(seconds(1), ok(134))); }
  SUBCASE("equal, early: a snapshot is being restored") {
    CHECK_FALSE(reply(seconds(1), ok(2304)));
  }
  CHECK(follower.trouble().empty());
  CHECK(pause() <= milliseconds(500));
  const fx::Http again = ask();
  CHECK(again.path_and_query == "/v1/kv/app/a");
  CHECK(again.reuse.empty());
  CHECK(reply(milliseconds(3), ok(134)));
  CHECK(ask().path_and_query == "/v1/kv/app/a?index=134&wait=55000ms");
}

TEST_CASE_FIXTURE(Fixture, "what is no sample forgets the index and waits") {
  struct Row {
    const char* name;
    HttpReply reply;
    Duration most;
    Duration least;
  };
  const std::vector<Row> rows = {
      {"refused", {0, "connection refused", 0, true, 0, ""}, seconds(5), milliseconds(250)},
      {"500", {500, "", 0, true, 0, "No cluster leader"}, seconds(5), milliseconds(250)},
      {"no leader", {200, "", 18, false, 0, body()}, seconds(5), milliseconds(250)},
      {"no leader, 404", {404, "", 18, false, 0, ""}, seconds(5), milliseconds(250)},
      {"no index", {200, "", 0, true, 0, body()}, seconds(30), milliseconds(250)},
      {"404 of a proxy", {404, "", 0, true, 0, "nginx"}, seconds(30), milliseconds(250)},
      {"301", {301, "", 0, true, 0, ""}, seconds(30), milliseconds(250)},
      {"403", {403, "", 0, true, 0, "Permission denied"}, seconds(30), seconds(15)},
      {"429", {429, "", 0, true, 0, ""}, seconds(30), seconds(15)},
      {"429 that says when", {429, "", 0, true, 45, ""}, seconds(45), seconds(45)},
      {"garbage", {200, "", 18, true, 0, "<html>"}, seconds(30), milliseconds(250)},
      {"another key", {200, "", 18, true, 0, body("app/b")}, seconds(30), milliseconds(250)},
      {"two keys", {200, "", 18, true, 0, "[{},{}]"}, seconds(30), milliseconds(250)},
      {"empty list", {200, "", 18, true, 0, "[]"}, seconds(30), milliseconds(250)},
      {"not base64", {200, "", 18, true, 0, body("app/a", "?")}, seconds(30), milliseconds(250)},
  };
  ask();
  REQUIRE(reply(milliseconds(3), ok(18)));
  for (const Row& row : rows) {
    CAPTURE(row.name);
    ask();
    for (int i = 0; i < 12; ++i) {
      CHECK_FALSE(reply(milliseconds(3), row.reply));
      CHECK_FALSE(follower.trouble().empty());
      CHECK(pause() <= row.most);
      CHECK(pause() >= row.least);
      CHECK(ask().path_and_query == "/v1/kv/app/a");
    }
    CHECK(reply(milliseconds(3), ok(18)));
    CHECK(follower.trouble().empty());
  }
}

TEST_CASE_FIXTURE(Fixture, "failures wait longer and longer") {
  Duration longest{0};
  for (int i = 0; i < 8; ++i) {
    ask();
    reply(milliseconds(1), {500, "", 0, true, 0, ""});
    if (i == 0) CHECK(pause() <= milliseconds(750));
    longest = std::max(longest, pause());
  }
  CHECK(longest > seconds(1));
}

TEST_CASE_FIXTURE(Fixture, "a proxy that restarts is asked again soon, one that stays rarely") {
  Duration longest{0};
  for (int i = 0; i < 12; ++i) {
    ask();
    reply(milliseconds(1), {200, "", 18, true, 0, "<html>"});
    if (i == 0) CHECK(pause() <= milliseconds(750));
    longest = std::max(longest, pause());
  }
  CHECK(longest > seconds(5));
}

TEST_CASE_FIXTURE(Fixture, "an absence is believed when a consistent read confirms it") {
  ask();
  REQUIRE(reply(milliseconds(3), ok(18)));
  ask();
  CHECK_FALSE(reply(seconds(2), missing(20)));
  const fx::Http confirm = ask();
  CHECK(confirm.consistent);
  CHECK(confirm.path_and_query == "/v1/kv/app/a");
  SUBCASE("it is really gone") {
    const auto answer = reply(milliseconds(3), missing(20));
    REQUIRE(answer);
    CHECK(answer->absent);
    // While it stays away the index of the whole table moves: no second confirmation.
    CHECK(ask().path_and_query == "/v1/kv/app/a?index=20&wait=55000ms");
    REQUIRE(reply(seconds(1), missing(25)));
    ask();
    const auto back = reply(seconds(1), ok(30));
    REQUIRE(back);
    CHECK_FALSE(back->absent);
  }
  SUBCASE("a server lagged behind") {
    const auto answer = reply(milliseconds(3), ok(18));
    REQUIRE(answer);
    CHECK_FALSE(answer->absent);
  }
  SUBCASE("the confirmation fails: nothing is known") {
    CHECK_FALSE(reply(milliseconds(3), {500, "", 0, true, 0, ""}));
    ask();
    CHECK_FALSE(reply(milliseconds(3), missing(20)));
    CHECK(ask().consistent);
  }
}

TEST_CASE("polling reads every interval and never waits") {
  KvFollower follower{KvQuery{"", "dc2", "app/a", false, true, seconds(5)}};
  Random random{1};
  Time now{seconds(1000)};
  for (std::uint64_t i = 0; i < 5; ++i) {
    const fx::Http http = follower.ask(now, i);
    CHECK(http.path_and_query == "/v1/kv/app/a");
    CHECK(http.datacenter == "dc2");
    CHECK(follower.on_reply(now, ok(18), random));
    CHECK(*follower.due() - now == seconds(5));
    now = *follower.due();
  }
  follower.ask(now, 9);
  CHECK_FALSE(follower.on_reply(now, {500, "", 0, true, 0, ""}, random));
  CHECK(*follower.due() - now >= seconds(5));
}

TEST_CASE("a prefix asks for everything under it, and only for that") {
  KvFollower follower{KvQuery{"", "", "app/", true, false, Duration(0)}};
  Random random{1};
  const Time now{seconds(1000)};
  CHECK(follower.ask(now, 1).path_and_query == "/v1/kv/app/?recurse");
  CHECK_FALSE(follower.on_reply(now, ok(18, body("other/x")), random));
  follower.ask(now + seconds(40), 2);
  CHECK(follower.on_reply(now + seconds(40), ok(18, body("app/x")), random));
  CHECK(follower.ask(now + seconds(41), 3).path_and_query ==
        "/v1/kv/app/?recurse&index=18&wait=55000ms");
}

TEST_CASE_FIXTURE(Fixture, "a proxy that ignores the index is not asked in a tight loop") {
  int asked = 0;
  const Time end = now + seconds(60);
  while (now < end) {
    ask();
    ++asked;
    reply(milliseconds(1), ok(18));
  }
  CHECK(asked < 400);
}
