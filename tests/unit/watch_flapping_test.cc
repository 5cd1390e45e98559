// What flapped is out of reach of its conditions.
#include <doctest/doctest.h>

#include "lifecycle_bench.h"

using namespace supv;
using std::chrono::seconds;

namespace {

/// A watch that flaps, with a start_if (0) and a lifecycle condition (1) that both say: start.
struct Flapping : Bench {
  explicit Flapping(bool keepalive) {
    spec->keepalive = keepalive;
    rare.flapping.emplace();
    rare.flapping->times = 2;
    rare.flapping->retry_in = seconds(60);
    add("down", Action::start, phase::kRest, ConditionList::start_if);
    add("gone", Action::start, phase::kAlways, ConditionList::lifecycle);
    make();
  }
  void flap() {
    start();
    die();
    if (watch->run() == RunId::none) judge_all();
    REQUIRE(state() == "starting");
    die();
    REQUIRE(state() == "failed");
    REQUIRE(reason_of_note().starts_with("flapping"));
  }
  void die() {
    launched(watch->run());
    ready(watch->run());
    end();
  }
  /// Every condition says yes under every number that conditions of an idle watch may have, until
  /// one starts the watch.
  void judge_all() {
    for (std::uint64_t generation = 1; generation < 32; ++generation)
      for (const std::uint32_t condition : {0U, 1U}) {
        judge(static_cast<RunId>(generation << 16), condition, true);
        if (count<fx::Spawn>() > 0) return;
      }
  }
};

}  // namespace

TEST_CASE("no condition starts what flapped, an operator does") {
  for (const bool keepalive : {true, false}) {
    CAPTURE(keepalive);
    Flapping bench(keepalive);
    bench.flap();
    bench.judge_all();
    CHECK(bench.state() == "failed");
    CHECK(bench.watch->run() == RunId::none);
    bench.start();
    CHECK(bench.count<fx::Spawn>() == 1);
  }
}

TEST_CASE("what flapped stays so in the next brain, until its retry") {
  Flapping bench(false);
  bench.flap();
  Flapping next(false);
  next.watch->restore(bench.watch->remember(), next.now);
  next.boot(false);
  next.judge_all();
  CHECK(next.state() == "failed");
  CHECK(next.watch->run() == RunId::none);
  next.pass(seconds(59));
  next.judge_all();
  CHECK(next.count<fx::Spawn>() == 0);
  next.pass(seconds(1));
  CHECK(next.count<fx::Spawn>() == 1);
}
