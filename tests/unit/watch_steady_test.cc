// Conditions of the lifecycle, which outlive runs, and unmonitor_if.
#include <doctest/doctest.h>

#include "lifecycle_bench.h"

using namespace supv;
using std::chrono::seconds;

TEST_CASE("lifecycle conditions are made once and pointed at each new run") {
  Bench bench;
  bench.add("disk", Action::notify, phase::kAlways, ConditionList::lifecycle);
  bench.add("end", Action::none, phase::kAlways, ConditionList::lifecycle).kind =
      ConditionKind::exit;
  bench.make();
  bench.start();
  REQUIRE(bench.armed() != nullptr);
  const RunId steady = bench.armed()->run;
  CHECK(bench.armed()->conditions == std::vector<std::uint32_t>{0});
  CHECK(steady != bench.watch->run());
  for (int life = 0; life < 3; ++life) {
    CAPTURE(life);
    const RunId run = bench.watch->run();
    bool pointed = false;
    for (const Effect& effect : bench.effects)
      if (const auto* arm = std::get_if<fx::Arm>(&effect); arm != nullptr && arm->subject == run) {
        CHECK(arm->run == steady);
        CHECK(arm->conditions.empty() == (life > 0 || arm != bench.armed()));
        pointed = true;
      }
    CHECK(pointed);
    bench.launched(run);
    bench.ready(run);
    bench.judge(steady, 0, true);
    bench.exited(run);
    CHECK_FALSE(bench.disarmed(steady));
    bench.gone(run);
    CHECK_FALSE(bench.disarmed(steady));
    if (bench.state() == "backoff") {
      CHECK(bench.armed()->subject == RunId::none);
      bench.wait();
    }
  }
}

TEST_CASE("lifecycle conditions live as long as the watch is monitored and wanted") {
  const auto up = [](Bench& bench) {
    bench.add("disk", Action::stop, phase::kAlways, ConditionList::lifecycle);
    bench.make();
    bench.start();
    const RunId steady = bench.armed()->run;
    bench.launched(bench.watch->run());
    bench.ready(bench.watch->run());
    return steady;
  };
  {
    Bench bench;
    const RunId steady = up(bench);
    bench.unmonitor();
    CHECK(bench.disarmed(steady));
    bench.judge(steady, 0, true);
    CHECK(bench.count<fx::Stop>() == 0);
    bench.monitor();
    REQUIRE(bench.armed() != nullptr);
    CHECK(bench.armed()->run != steady);
    CHECK(bench.armed()->subject == bench.watch->run());
    bench.judge(bench.armed()->run, 0, true);
    CHECK(bench.count<fx::Stop>() == 1);
  }
  {
    Bench bench;
    const RunId steady = up(bench);
    bench.stop();
    CHECK(bench.disarmed(steady));
  }
  {
    Bench bench;
    const RunId steady = up(bench);
    bench.turn([&](Step& step) { bench.watch->shut_down(step, false); });
    CHECK(bench.disarmed(steady));
  }
  {
    Bench bench;
    bench.spec->keepalive = false;
    const RunId steady = up(bench);
    bench.end();
    CHECK(bench.state() == "exited");
    CHECK_FALSE(bench.disarmed(steady));  // judged in every state
    bench.pass(seconds(10));
    CHECK(bench.count<fx::Poll>() == 1);
  }
}

TEST_CASE("unmonitor_if leaves the process alone from then on") {
  Bench bench;
  bench.add("odd", Action::unmonitor, phase::kUp, ConditionList::unmonitor_if);
  bench.make();
  bench.start();
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  const RunId run = bench.watch->run();
  bench.judge(run, 0, true);
  CHECK(bench.state() == "unmonitored");
  CHECK(bench.count<fx::Stop>() == 0);
  CHECK(bench.disarmed(run));
  bench.end();
  CHECK(bench.count<fx::Spawn>() == 0);
}
