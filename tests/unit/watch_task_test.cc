// A watch that is a task.
#include <doctest/doctest.h>

#include "lifecycle_bench.h"

using namespace supv;
using std::chrono::seconds;

namespace {

struct Task : Bench {
  RunId rest = RunId::none;
  explicit Task(std::uint32_t retry = 0, Duration timeout = Duration(0)) {
    spec->ready.kind = ReadySpec::Kind::alive;
    spec->autostart = spec->keepalive = false;
    rare.task = TaskSpec{timeout, retry};
    add("go", Action::start, phase::kRest, ConditionList::start_if);
    make();
    boot(true);
    REQUIRE(armed() != nullptr);
    rest = armed()->run;
  }
  void go() { judge(rest, 0, true, "it is time"); }
  bool judged() const { return armed() != nullptr && armed()->subject == RunId::none; }
};

}  // namespace

TEST_CASE("a task waits for its condition, runs, and waits again") {
  Task bench;
  CHECK(bench.state() == "stopped");
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.go();
  REQUIRE(bench.count<fx::Spawn>() == 1);
  CHECK(bench.disarmed(bench.rest));
  using Variables = std::vector<std::pair<std::string, std::string>>;
  CHECK(bench.find<fx::Spawn>()->env == Variables{{"SUPV_REASON", "go: it is time"}});
  bench.launched(bench.watch->run());
  bench.end(0);
  CHECK(bench.state() == "exited");
  CHECK(bench.watch->failure() == "");
  CHECK(bench.count<fx::Spawn>() == 0);
  REQUIRE(bench.judged());
  bench.rest = bench.armed()->run;
  bench.go();
  CHECK(bench.count<fx::Spawn>() == 1);
  CHECK(bench.watch->restarts() == 0);
}

TEST_CASE("a task that fails is repeated so often, each time with its reason, and no more") {
  Task bench(2);
  bench.go();
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    bench.launched(bench.watch->run());
    bench.end(3);
    REQUIRE(bench.state() == "backoff");
    bench.wait();
    REQUIRE(bench.count<fx::Spawn>() == 1);
    REQUIRE(bench.find<fx::Spawn>()->env.size() == 1);
    CHECK(bench.find<fx::Spawn>()->env[0].second == "go: it is time");
  }
  bench.launched(bench.watch->run());
  bench.pass(seconds(5));
  CHECK(bench.state() == "up");
  bench.end(3);
  CHECK(bench.state() == "failed");
  CHECK(bench.watch->failure() == "exit 3");
  REQUIRE(bench.judged());
  // The next time counts anew.
  bench.rest = bench.armed()->run;
  bench.go();
  bench.launched(bench.watch->run());
  bench.end(3);
  CHECK(bench.state() == "backoff");
  bench.wait();
  bench.launched(bench.watch->run());
  bench.end(0);
  CHECK(bench.state() == "exited");
}

TEST_CASE("what ends a task but exit 0 is a failure") {
  Task signal;
  signal.go();
  signal.launched(signal.watch->run());
  signal.pass(seconds(2));
  signal.killed(signal.watch->run(), SIGTERM);
  CHECK(signal.state() == "failed");
  CHECK(signal.watch->failure() == "killed by TERM");
  CHECK(signal.judged());
  Task missing;
  missing.go();
  missing.start_failed(missing.watch->run());
  CHECK(missing.state() == "failed");
  CHECK(missing.judged());
  // A command that ends at once was never to come up.
  Task quick;
  quick.go();
  quick.launched(quick.watch->run());
  quick.end(4);
  CHECK(quick.watch->failure() == "exit 4");
}

TEST_CASE("a task that takes too long is ended, and that is a failure whatever it says") {
  Task bench(1, seconds(20));
  bench.go();
  bench.launched(bench.watch->run());
  bench.pass(seconds(19));
  CHECK(bench.state() == "up");
  CHECK(bench.count<fx::Stop>() == 0);
  bench.pass(seconds(1));
  REQUIRE(bench.count<fx::Stop>() == 1);
  bench.end(0);
  CHECK(bench.state() == "backoff");
  CHECK(bench.watch->failure() == "not done within 20s");
  bench.wait();
  bench.launched(bench.watch->run());
  bench.pass(seconds(1));
  bench.end(0);
  CHECK(bench.state() == "exited");
}

TEST_CASE("a task that an operator stopped is not judged until he starts it") {
  Task bench;
  bench.stop();
  CHECK(bench.disarmed(bench.rest));
  bench.go();
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.start();
  CHECK(bench.count<fx::Spawn>() == 1);
  CHECK(bench.find<fx::Spawn>()->env.empty());
  bench.launched(bench.watch->run());
  bench.pass(seconds(2));
  bench.end(0);
  CHECK(bench.state() == "exited");
  CHECK(bench.judged());
  // The same while it runs.
  bench.rest = bench.armed()->run;
  bench.go();
  bench.launched(bench.watch->run());
  bench.stop();
  bench.end(143);
  CHECK(bench.state() == "stopped");
  CHECK(bench.armed() == nullptr);
  CHECK_FALSE(bench.watch->deadline());
}

TEST_CASE("a new brain finds a task waiting, stopped, or ended as it was") {
  struct Row {
    const char* state;
    bool judged;
  };
  for (const Row& row :
       {Row{"waiting", true}, Row{"exited", true}, Row{"failed", true}, Row{"stopped", false}}) {
    CAPTURE(row.state);
    Task bench;
    const std::string state = row.state;
    if (state == "stopped") bench.stop();
    if (state == "exited" || state == "failed") {
      bench.go();
      bench.launched(bench.watch->run());
      bench.end(state == "exited" ? 0 : 1);
      REQUIRE(bench.state() == state);
    }
    Bench next;
    next.spec = bench.spec;
    next.make();
    next.watch->restore(bench.watch->remember(), next.now);
    next.boot(false);
    CHECK(next.state() == bench.state());
    CHECK((next.armed() != nullptr) == row.judged);
    CHECK(next.count<fx::Spawn>() == 0);
    CHECK(next.watch->kept_down() == (state == "stopped"));
  }
}

TEST_CASE("a new brain goes on with a task that runs, and with its time") {
  Task bench(0, seconds(20));
  bench.go();
  bench.launched(bench.watch->run());
  bench.pass(seconds(5));
  REQUIRE(bench.state() == "up");
  Bench next;
  next.spec = bench.spec;
  next.now = bench.now;
  next.make();
  LiveRun live;
  live.run = bench.watch->run();
  live.pid = 42;
  live.started = {bench.now.time - seconds(5), bench.now.wall_ms - 5000};
  Memo memo;
  memo.watch = "w";
  memo.ready = true;
  memo.process = fingerprint(next.spec->process);
  next.turn([&](Step& step) {
    next.watch->restore(bench.watch->remember(), next.now);
    next.watch->adopt(step, live, memo);
    next.watch->boot(step, false);
  });
  CHECK(next.state() == "up");
  next.pass(Duration(14'999));
  CHECK(next.count<fx::Stop>() == 0);
  next.pass(Duration(1));
  CHECK(next.count<fx::Stop>() == 1);
  next.end(143);
  CHECK(next.state() == "failed");
}
