// Whom a watch tells, and of what.
#include <doctest/doctest.h>

#include "lifecycle_bench.h"

using namespace supv;
using std::chrono::seconds;

namespace {

NotifySpec to(const std::string& contact) {
  NotifySpec notify;
  notify.contacts = {contact};
  return notify;
}

void come_up(Bench& bench) {
  bench.start();
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  REQUIRE(bench.state() == "up");
}

}  // namespace

TEST_CASE("a condition that was told of is told once, and that it is over once") {
  Bench bench;
  bench.add("disk", Action::notify, phase::kUp, ConditionList::notify_if).notify = to("ops");
  bench.make();
  come_up(bench);
  CHECK(bench.notices.empty());  // the watch itself names nobody
  const RunId run = bench.watch->run();
  bench.judge(run, 0, true, "91%");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::fired);
  CHECK(bench.notices[0].source == "disk#1");
  CHECK(bench.notices[0].text == "disk: 91%");
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"ops"});
  CHECK(bench.notices[0].lasts);
  bench.judge(run, 0, true, "92%");
  CHECK(bench.notices.empty());
  CHECK(bench.count<fx::Note>() == 0);
  bench.judge(run, 0, false, "50%");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::recovered);
  CHECK(bench.notices[0].text == "disk no longer: 50%");
  bench.judge(run, 0, false, "50%");
  CHECK(bench.notices.empty());
}

TEST_CASE("the next run of the watch may be the one that has recovered") {
  Bench bench;
  bench.add("memory", Action::restart, phase::kUp, ConditionList::restart_if).notify = to("ops");
  bench.make();
  come_up(bench);
  bench.judge(bench.watch->run(), 0, true, "900 MB");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].action == "restart");
  bench.end(143);
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  bench.judge(bench.watch->run(), 0, false, "9 MB");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::recovered);
}

TEST_CASE("nobody is told of what nobody is named for") {
  Bench bench;
  bench.add("disk", Action::notify, phase::kUp, ConditionList::notify_if);
  bench.make();
  come_up(bench);
  bench.judge(bench.watch->run(), 0, true);
  CHECK(bench.notices.empty());
  CHECK(bench.count<fx::Note>() == 1);  // but it is in the history
  bench.end();
  bench.launched(bench.watch->run());
  bench.end();
  CHECK(bench.state() == "backoff");
  CHECK(bench.notices.empty());
}

TEST_CASE("a watch's own contacts are told of its states that last, and of restarts") {
  Bench bench;
  bench.rare.notify = to("ops");
  bench.make();
  bench.start();
  CHECK(bench.notices.empty());  // a step on the way
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::state);
  CHECK(bench.notices[0].text == "w is up");
  CHECK(bench.notices[0].state == "up");
  bench.end(3);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].text == "w is restarted: exit 3");
  bench.launched(bench.watch->run());
  bench.stop();
  CHECK(bench.notices.empty());
  bench.end(143);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].text == "w is stopped: test");
}

TEST_CASE("a condition's own contacts come before those of the watch") {
  Bench bench;
  bench.rare.notify = to("ops");
  bench.add("disk", Action::notify, phase::kUp, ConditionList::notify_if).notify = to("night");
  bench.add("load", Action::notify, phase::kUp, ConditionList::notify_if);
  bench.make();
  come_up(bench);
  bench.judge(bench.watch->run(), 0, true);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"night"});
  bench.judge(bench.watch->run(), 1, true);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"ops"});
}

TEST_CASE("notify_when_flapping tells when so many starts fall into its time") {
  Bench bench;
  bench.rare.flapping_notice = FlappingNoticeSpec{3, seconds(60), {}};
  bench.rare.flapping_notice->notify = to("ops");
  bench.spec->backoff = {Duration(0), Duration(0), 1, 0, seconds(3600)};
  bench.make();
  bench.start();
  const auto die_after = [&](Duration time) {
    bench.launched(bench.watch->run());
    bench.pass(time);
    bench.end();
    REQUIRE(bench.count<fx::Spawn>() == 1);
    return bench.notices.size();
  };
  CHECK(bench.notices.empty());
  CHECK(die_after(seconds(20)) == 0);
  CHECK(die_after(seconds(20)) == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::flapping);
  CHECK(bench.notices[0].source == "notify_when_flapping");
  CHECK(bench.notices[0].text == "w was started 3 times within 1m");
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"ops"});
  CHECK(die_after(seconds(20)) == 1);  // the last three, again
  CHECK(die_after(seconds(29)) == 1);
  CHECK(die_after(seconds(29)) == 1);
  CHECK(die_after(seconds(31)) == 0);  // just not
  CHECK(bench.state() == "starting");  // it only tells
}

TEST_CASE("flapping tells its own contacts") {
  Bench bench;
  bench.rare.flapping.emplace();
  bench.rare.flapping->times = 2;
  bench.rare.flapping->notify = to("ops");
  bench.make();
  bench.start();
  bench.start_failed(bench.watch->run());
  CHECK(bench.notices.empty());
  bench.start_failed(bench.watch->run());
  CHECK(bench.state() == "failed");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::flapping);
  CHECK(bench.notices[0].action == "stop");
}
