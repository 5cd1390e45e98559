// How another supervisor's process is taken over.
#include <doctest/doctest.h>

#include <cerrno>

#include "lifecycle_bench.h"

using namespace supv;

namespace {

struct Adopting : Bench {
  Adopting() {
    rare.adopt = "/run/god.pid";
    make();
    start();
    REQUIRE(count<fx::Adopt>() == 1);
  }
};

}  // namespace

TEST_CASE("another supervisor's process is taken over without a start") {
  Adopting bench;
  const fx::Adopt deed = *bench.find<fx::Adopt>();
  CHECK(deed.run == bench.watch->run());
  CHECK(deed.pid_file == "/run/god.pid");
  CHECK(deed.process.get() == &bench.spec->process);
  CHECK(deed.ladder == bench.spec->ladder);
  REQUIRE(decode_memo(deed.memo));
  CHECK(decode_memo(deed.memo)->watch == "w");
  CHECK(bench.count<fx::Spawn>() == 0);
  CHECK(bench.state() == "starting");
  bench.launched(deed.run);
  CHECK(bench.state() == "up");  // it knows nothing of a notify socket
  CHECK(bench.watch->pid() == 42);
  CHECK(bench.count<fx::Spawn>() == 0);
  CHECK(bench.reason_of_note() ==
        "process 42, which /run/god.pid names, was taken over; nothing was started");
  CHECK(bench.watch->restarts() == 0);
  // From then on it is a run like any other: its end is followed by a start.
  bench.end();
  CHECK(bench.count<fx::Adopt>() == 0);
  CHECK(bench.count<fx::Spawn>() == 1);
}

TEST_CASE("when there is nobody to take over, the watch is started") {
  for (const std::string why : {"", "pid file /run/god.pid names 7, which is another user's"}) {
    CAPTURE(why);
    Adopting bench;
    const RunId run = bench.watch->run();
    bench.turn([&](Step& step) { bench.watch->on_start_failed(step, {run, "adopt", ESRCH, why}); });
    CHECK(bench.state() == "starting");
    REQUIRE(bench.count<fx::Spawn>() == 1);
    CHECK(bench.watch->run() != run);
    REQUIRE(bench.count<fx::Forget>() == 1);
    CHECK(bench.find<fx::Forget>()->run == run);
    CHECK(bench.watch->failure() == "");
    CHECK(bench.watch->restarts() == 0);
    CHECK(bench.reason_of_note() == why);  // silent, when there is no such file
    bench.launched(bench.watch->run());
    bench.ready(bench.watch->run());
    CHECK(bench.state() == "up");
  }
}

TEST_CASE("a hook before the start belongs to a start, not to a takeover") {
  Bench bench;
  bench.rare.adopt = "/run/god.pid";
  bench.rare.hooks.before_start = Command{{"hook"}, false};
  bench.make();
  bench.start();
  REQUIRE(bench.count<fx::Adopt>() == 1);
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.turn([&](Step& step) {
    bench.watch->on_start_failed(step, {bench.watch->run(), "adopt", ESRCH, ""});
  });
  REQUIRE(bench.count<fx::Spawn>() == 1);
  CHECK(bench.find<fx::Spawn>()->command.argv.front() == "hook");
}

TEST_CASE("a stop that comes while a process is being taken over ends what was taken over") {
  for (const bool again : {false, true}) {
    CAPTURE(again);
    Adopting bench;
    const RunId run = bench.watch->run();
    if (again)
      bench.restart();
    else
      bench.stop();
    REQUIRE(bench.count<fx::Stop>() == 1);
    CHECK(bench.find<fx::Stop>()->run == run);
    bench.launched(run);
    CHECK(bench.state() == (again ? "restarting" : "stopping"));
    bench.end(143);
    CHECK(bench.state() == (again ? "starting" : "stopped"));
    CHECK(bench.count<fx::Spawn>() == (again ? 1 : 0));
    CHECK(bench.count<fx::Adopt>() == 0);
  }
  Adopting nobody;
  nobody.stop();
  nobody.turn([&](Step& step) {
    nobody.watch->on_start_failed(step, {nobody.watch->run(), "adopt", ESRCH, ""});
  });
  CHECK(nobody.state() == "stopped");
  CHECK(nobody.count<fx::Spawn>() == 0);
  CHECK(nobody.watch->at_rest());
}

TEST_CASE("the first start of a new supvd looks for another supervisor's process again") {
  Adopting bench;
  bench.launched(bench.watch->run());
  REQUIRE(bench.state() == "up");
  Bench next;
  next.spec = bench.spec;
  next.make();
  next.watch->restore(bench.watch->remember(), next.now);
  next.watch->begin_anew();
  next.boot(true);
  CHECK(next.count<fx::Adopt>() == 1);
  CHECK(next.count<fx::Spawn>() == 0);
}
