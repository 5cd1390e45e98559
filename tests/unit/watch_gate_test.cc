// What lets a watch start and says that it has: the transitions of `init` and `start`.
#include <doctest/doctest.h>

#include "lifecycle_bench.h"

using namespace supv;
using std::chrono::seconds;

namespace {

constexpr RunId operator""_run(unsigned long long number) { return static_cast<RunId>(number); }

/// A watch that waits until its init transition lets it start; condition 0 says so.
struct Gated : Bench {
  RunId gate = RunId::none;
  Gated() {
    add("disk", Action::start, phase::kInit);
    make();
    start();
    REQUIRE(armed() != nullptr);
    gate = armed()->run;
  }
};

}  // namespace

TEST_CASE("a start waits for its init transition, without a process and without a limit") {
  Gated bench;
  CHECK(bench.state() == "starting");
  CHECK(bench.count<fx::Spawn>() == 0);
  CHECK(bench.watch->run() == RunId::none);
  CHECK(bench.armed()->subject == RunId::none);
  CHECK(bench.watch->launched_once());  // nobody waits for it
  bench.pass(Duration(0));
  CHECK(bench.count<fx::Poll>() == 1);  // at once
  bench.judge(bench.gate, 0, false);
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.pass(seconds(3600));
  CHECK(bench.state() == "starting");
  CHECK(bench.count<fx::Poll>() == 1);
  bench.judge(99_run, 0, true);  // of somebody else
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.judge(bench.gate, 0, true);
  CHECK(bench.count<fx::Spawn>() == 1);
  CHECK(bench.disarmed(bench.gate));
  CHECK(bench.watch->restarts() == 0);
  REQUIRE(bench.watch->deadline());
  CHECK(*bench.watch->deadline() - bench.now.time == bench.spec->start_timeout);
}

TEST_CASE("`from: init, to: {true: up, false: start}` starts when it is false") {
  Bench bench;
  bench.add("running", Action::up, phase::kInit).otherwise = Action::start;
  bench.make();
  bench.start();
  const RunId gate = bench.armed()->run;
  bench.judge(gate, 0, true);
  CHECK(bench.state() == "starting");
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.judge(gate, 0, false);
  CHECK(bench.count<fx::Spawn>() == 1);
}

TEST_CASE("what is asked for while a start waits at its gate") {
  {
    Gated bench;
    bench.stop();
    CHECK(bench.state() == "stopped");
    CHECK(bench.disarmed(bench.gate));
    CHECK(bench.count<fx::Stop>() == 0);
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 0);
  }
  {
    Gated bench;
    bench.start();  // is waiting already
    CHECK(bench.count<fx::Spawn>() == 0);
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 1);
  }
  {
    Gated bench;
    bench.restart();  // an operator's word goes past the gate
    CHECK(bench.count<fx::Spawn>() == 1);
    CHECK(bench.count<fx::Stop>() == 0);
    CHECK(bench.disarmed(bench.gate));
  }
  {
    Gated bench;
    bench.unmonitor();
    CHECK(bench.state() == "unmonitored");
    CHECK(bench.disarmed(bench.gate));
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 0);
    CHECK_FALSE(bench.watch->deadline());
    bench.monitor();
    CHECK(bench.state() == "starting");
    CHECK(bench.count<fx::Spawn>() == 0);  // it waits again
    REQUIRE(bench.armed() != nullptr);
    bench.judge(bench.armed()->run, 0, true);
    CHECK(bench.count<fx::Spawn>() == 1);
  }
  for (const bool now : {false, true}) {
    Gated bench;
    bench.turn([&](Step& step) { bench.watch->shut_down(step, now); });
    CHECK(bench.state() == "stopped");
    CHECK(bench.count<fx::Stop>() == 0);
    CHECK(bench.disarmed(bench.gate));
    CHECK(bench.watch->at_rest());
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 0);
  }
  {
    Gated bench;
    bench.turn([&](Step& step) { bench.watch->remove(step, bench.by("remove")); });
    CHECK(bench.watch->removed());
    CHECK(bench.disarmed(bench.gate));
  }
  {
    Gated bench;
    // It was asked for before: a hold does not take that back.
    bench.turn([&](Step& step) { bench.watch->hold(step, {std::nullopt, "", "test"}); });
    bench.judge(bench.gate, 0, false);
    CHECK(bench.count<fx::Spawn>() == 0);
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 1);
  }
}

TEST_CASE("a new definition at the gate counts from then on") {
  Gated kept;
  kept.spec->start_timeout = seconds(7);
  kept.redefine();
  CHECK(kept.disarmed(kept.gate));
  REQUIRE(kept.armed() != nullptr);
  CHECK(kept.count<fx::Spawn>() == 0);
  kept.judge(kept.armed()->run, 0, true);
  CHECK(kept.count<fx::Spawn>() == 1);
  // One without a gate has nothing to wait for.
  Gated opened;
  opened.spec = std::make_shared<WatchSpec>(*opened.spec);
  opened.spec->conditions.clear();
  opened.redefine();
  CHECK(opened.count<fx::Spawn>() == 1);
}

TEST_CASE("a new brain waits at the gate where the old one did, and so does a new supvd") {
  for (const bool fresh : {false, true}) {
    CAPTURE(fresh);
    Gated bench;
    const std::string remembered = bench.watch->remember();
    Bench next;
    next.spec = bench.spec;
    next.make();
    next.watch->restore(remembered, next.now);
    if (fresh) next.watch->begin_anew();
    next.boot(fresh);
    CHECK(next.state() == "starting");
    CHECK(next.count<fx::Spawn>() == 0);
    REQUIRE(next.armed() != nullptr);
    next.judge(next.armed()->run, 0, true);
    CHECK(next.count<fx::Spawn>() == 1);
  }
}

TEST_CASE("the first start of a new supvd asks init again, whatever was before") {
  Gated bench;
  bench.judge(bench.gate, 0, true);
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  REQUIRE(bench.state() == "up");
  Bench next;
  next.spec = bench.spec;
  next.make();
  next.watch->restore(bench.watch->remember(), next.now);
  next.watch->begin_anew();
  next.boot(true);  // after a reboot
  CHECK(next.state() == "starting");
  CHECK(next.count<fx::Spawn>() == 0);
}

TEST_CASE("init is asked once: what died is started again without it") {
  Gated bench;
  bench.judge(bench.gate, 0, true);
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  bench.end();
  CHECK(bench.count<fx::Spawn>() == 1);
  bench.launched(bench.watch->run());
  bench.restart();
  bench.end();
  CHECK(bench.count<fx::Spawn>() == 1);
}

TEST_CASE("a transition to `up` says when a start has succeeded, even while it is held") {
  for (const bool held : {false, true}) {
    CAPTURE(held);
    Bench bench;
    bench.spec->ready.kind = ReadySpec::Kind::condition;
    bench.add("answers", Action::up, phase::kStarting | phase::kRestarting);
    bench.make();
    bench.start();
    bench.launched(bench.watch->run());
    const RunId run = bench.watch->run();
    REQUIRE(bench.armed() != nullptr);
    CHECK(bench.armed()->run == run);
    bench.pass(seconds(10));
    CHECK(bench.state() == "starting");  // alive is not enough
    if (held) bench.turn([&](Step& step) { bench.watch->hold(step, {std::nullopt, "", "t"}); });
    bench.judge(run, 0, false);
    CHECK(bench.state() == "starting");
    bench.judge(run, 0, true);
    CHECK(bench.state() == "up");
    CHECK(bench.disarmed(run));
  }
}

TEST_CASE("tries that lead from `start` to `restart` give up the start, with back-off") {
  Bench bench;
  bench.spec->ready.kind = ReadySpec::Kind::condition;
  bench.add("tries", Action::restart, phase::kStarting | phase::kRestarting);
  bench.make();
  bench.start();
  for (const int ms : {0, 500, 1000}) {
    CAPTURE(ms);
    if (ms > 0) {
      REQUIRE(bench.state() == "backoff");
      CHECK(*bench.watch->deadline() - bench.now.time == Duration(ms));
      bench.wait();
    }
    REQUIRE(bench.state() == "starting");
    bench.launched(bench.watch->run());
    bench.judge(bench.watch->run(), 0, true, "5 of 5");
    CHECK(bench.state() == "restarting");
    REQUIRE(bench.count<fx::Stop>() == 1);
    CHECK(bench.find<fx::Stop>()->after == static_cast<std::uint32_t>(After::fail));
    bench.end(143);
    if (ms == 0) {
      // The first failure is tried again at once.
      REQUIRE(bench.state() == "starting");
      bench.launched(bench.watch->run());
      bench.judge(bench.watch->run(), 0, true, "5 of 5");
      bench.end(143);
    }
    CHECK(bench.watch->failure() == "tries: 5 of 5");
  }
}
