// Every state of a watch against every input.
#include <doctest/doctest.h>

#include <cerrno>
#include <map>

#include "watch_bench.h"

using namespace supv;
using std::chrono::seconds;

namespace {

/// What an input makes of a state: the state after it, whether something is spawned, whether the
/// run is told to stop, and what is wanted afterwards.
struct Cell {
  const char* state;
  const char* input;
  const char* after;
  int spawns;
  int stops;
  bool wanted;
};

void apply(WatchBench& bench, const std::string& input) {
  const RunId run = bench.watch->run();
  const auto old_run = static_cast<RunId>(static_cast<std::uint64_t>(0xdead0009));
  if (input == "start") return bench.start();
  if (input == "stop") return bench.stop();
  if (input == "restart") return bench.restart();
  if (input == "monitor") return bench.monitor();
  if (input == "unmonitor") return bench.unmonitor();
  if (input == "launched") return bench.launched(run);
  if (input == "ready") return bench.ready(run);
  if (input == "start failed") return bench.start_failed(run);
  if (input == "gone") return bench.gone(run);
  if (input == "exited, left") return bench.exited(run, 1, 2);
  if (input == "stuck") return bench.stuck(run);
  if (input == "end") return bench.end();
  if (input == "old launched") return bench.launched(old_run);
  if (input == "old ready") return bench.ready(old_run);
  if (input == "old exited") return bench.exited(old_run);
  if (input == "old gone") return bench.gone(old_run);
  if (input == "old start failed") return bench.start_failed(old_run);
  if (input == "old stuck") return bench.stuck(old_run);
  FAIL("no such input");
}

const std::vector<Cell> kTable = {
    // state, input, state after, spawns, stops, wanted
    {"stopped", "start", "starting", 1, 0, true},
    {"stopped", "stop", "stopped", 0, 0, false},
    {"stopped", "restart", "starting", 1, 0, true},
    {"stopped", "monitor", "starting", 1, 0, true},
    {"stopped", "unmonitor", "unmonitored", 0, 0, false},

    {"starting", "start", "starting", 0, 0, true},
    {"starting", "stop", "stopping", 0, 1, false},
    {"starting", "restart", "restarting", 0, 1, true},
    {"starting", "monitor", "starting", 0, 0, true},
    {"starting", "unmonitor", "unmonitored", 0, 0, true},
    {"starting", "launched", "starting", 0, 0, true},
    {"starting", "ready", "up", 0, 0, true},
    {"starting", "start failed", "starting", 1, 0, true},
    {"starting", "end", "starting", 1, 0, true},
    {"starting", "exited, left", "restarting", 0, 0, true},
    {"starting", "stuck", "stuck", 0, 0, true},

    {"up", "start", "up", 0, 0, true},
    {"up", "stop", "stopping", 0, 1, false},
    {"up", "restart", "restarting", 0, 1, true},
    {"up", "monitor", "up", 0, 0, true},
    {"up", "unmonitor", "unmonitored", 0, 0, true},
    {"up", "launched", "up", 0, 0, true},
    {"up", "ready", "up", 0, 0, true},
    {"up", "end", "starting", 1, 0, true},
    {"up", "gone", "starting", 1, 0, true},
    {"up", "exited, left", "restarting", 0, 0, true},
    {"up", "stuck", "stuck", 0, 0, true},

    {"stopping", "start", "restarting", 0, 1, true},
    {"stopping", "stop", "stopping", 0, 1, false},
    {"stopping", "restart", "restarting", 0, 1, true},
    {"stopping", "monitor", "restarting", 0, 1, true},
    {"stopping", "unmonitor", "unmonitored", 0, 0, false},
    {"stopping", "launched", "stopping", 0, 0, false},
    {"stopping", "ready", "stopping", 0, 0, false},
    {"stopping", "end", "stopped", 0, 0, false},
    {"stopping", "exited, left", "stopping", 0, 0, false},
    {"stopping", "start failed", "stopped", 0, 0, false},
    {"stopping", "stuck", "stuck", 0, 0, false},

    {"restarting", "start", "restarting", 0, 1, true},
    {"restarting", "stop", "stopping", 0, 1, false},
    {"restarting", "restart", "restarting", 0, 1, true},
    {"restarting", "unmonitor", "unmonitored", 0, 0, true},
    {"restarting", "ready", "restarting", 0, 0, true},
    {"restarting", "end", "starting", 1, 0, true},
    {"restarting", "start failed", "starting", 1, 0, true},
    {"restarting", "stuck", "stuck", 0, 0, true},

    {"stuck", "start", "stuck", 0, 1, true},
    {"stuck", "stop", "stuck", 0, 1, false},
    {"stuck", "unmonitor", "unmonitored", 0, 0, false},
    {"stuck", "stuck", "stuck", 0, 0, false},
    {"stuck", "end", "stopped", 0, 0, false},

    {"backoff", "start", "starting", 1, 0, true},
    {"backoff", "stop", "stopped", 0, 0, false},
    {"backoff", "restart", "starting", 1, 0, true},
    {"backoff", "monitor", "backoff", 0, 0, true},
    {"backoff", "unmonitor", "unmonitored", 0, 0, true},

    {"exited", "start", "starting", 1, 0, true},
    {"exited", "stop", "stopped", 0, 0, false},
    {"exited", "restart", "starting", 1, 0, true},
    {"exited", "unmonitor", "unmonitored", 0, 0, true},

    {"failed", "start", "starting", 1, 0, true},
    {"failed", "stop", "stopped", 0, 0, false},
    {"failed", "restart", "starting", 1, 0, true},

    {"unmonitored", "start", "up", 0, 0, true},
    {"unmonitored", "monitor", "up", 0, 0, true},
    {"unmonitored", "stop", "stopping", 0, 1, false},
    {"unmonitored", "restart", "restarting", 0, 1, true},
    {"unmonitored", "end", "unmonitored", 0, 0, true},
};

void prepare(WatchBench& bench, const std::string& state) {
  if (state == "exited" || state == "failed") bench.spec->keepalive = false;
  bench.enter(state);
  REQUIRE(bench.watch->shown_state() == state);
}

}  // namespace

TEST_CASE("every state meets every input") {
  for (const Cell& cell : kTable) {
    CAPTURE(cell.state);
    CAPTURE(cell.input);
    WatchBench bench;
    prepare(bench, cell.state);
    apply(bench, cell.input);
    CHECK(bench.watch->shown_state() == cell.after);
    CHECK(bench.count<fx::Spawn>() == static_cast<std::size_t>(cell.spawns));
    CHECK(bench.count<fx::Stop>() == static_cast<std::size_t>(cell.stops));
    CHECK(bench.watch->wanted() == cell.wanted);
  }
}

TEST_CASE("old news changes nothing, whatever the state") {
  for (const char* state : {"stopped", "starting", "up", "stopping", "restarting", "stuck",
                            "backoff", "exited", "failed", "unmonitored"})
    for (const char* news :
         {"old launched", "old ready", "old exited", "old gone", "old start failed", "old stuck"}) {
      CAPTURE(state);
      CAPTURE(news);
      WatchBench bench;
      prepare(bench, state);
      const RunId run = bench.watch->run();
      const int pid = bench.watch->pid();
      apply(bench, news);
      CHECK(bench.watch->shown_state() == state);
      CHECK(bench.watch->run() == run);
      CHECK(bench.watch->pid() == pid);
      CHECK(bench.count<fx::Spawn>() == 0);
      CHECK(bench.count<fx::Stop>() == 0);
    }
}

TEST_CASE("the first death restarts at once, further ones wait longer and longer") {
  WatchBench bench;
  bench.enter("backoff");
  for (const int ms : {500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}) {
    CAPTURE(ms);
    REQUIRE(bench.watch->shown_state() == "backoff");
    REQUIRE(bench.watch->deadline());
    CHECK(*bench.watch->deadline() - bench.now.time == Duration(ms));
    bench.pass(Duration(ms) - Duration(1));
    CHECK(bench.count<fx::Spawn>() == 0);
    bench.pass(Duration(1));
    CHECK(bench.count<fx::Spawn>() == 1);
    bench.launched(bench.watch->run());
    bench.end();
  }
  // A run that lived for reset_after begins anew.
  bench.pass(seconds(60));
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  bench.pass(seconds(61));
  bench.end();
  CHECK(bench.watch->shown_state() == "starting");
}

TEST_CASE("a run that is not ready in time is ended and counts as a failure") {
  WatchBench bench;
  bench.enter("starting");
  bench.pass(seconds(30));
  CHECK(bench.watch->shown_state() == "restarting");
  REQUIRE(bench.count<fx::Stop>() == 1);
  CHECK(bench.find<fx::Stop>()->after == static_cast<std::uint32_t>(After::fail));
  bench.end();
  CHECK(bench.watch->shown_state() == "starting");
  bench.start_failed(bench.watch->run());
  CHECK(bench.watch->shown_state() == "backoff");
}

TEST_CASE("the end of a run is forgotten exactly once, and only then replaced") {
  WatchBench bench;
  bench.enter("restarting");
  const RunId run = bench.watch->run();
  bench.exited(run);
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.gone(run);
  REQUIRE(bench.count<fx::Forget>() == 1);
  CHECK(bench.find<fx::Forget>()->run == run);
  REQUIRE(bench.count<fx::Spawn>() == 1);
  CHECK(bench.find<fx::Spawn>()->run != run);
  CHECK(bench.watch->restarts() == 1);
}

TEST_CASE("what is remembered is what comes back") {
  for (const char* state :
       {"stopped", "up", "stopping", "backoff", "exited", "failed", "unmonitored"}) {
    CAPTURE(state);
    WatchBench bench;
    prepare(bench, state);
    Watch other(0, bench.spec, 1);
    other.restore(bench.watch->remember(), bench.now);
    CHECK(other.wanted() == bench.watch->wanted());
    CHECK(other.monitored() == bench.watch->monitored());
    CHECK(other.restarts() == bench.watch->restarts());
    CHECK(other.failure() == bench.watch->failure());
  }
}

TEST_CASE("a new brain goes on where the old one was") {
  struct Row {
    LiveRun::Phase phase;
    After after;
    bool ready;
    const char* state;
  };
  using Phase = LiveRun::Phase;
  for (const Row& row : {Row{Phase::running, After::fail, true, "up"},
                         Row{Phase::running, After::fail, false, "starting"},
                         Row{Phase::launching, After::fail, false, "starting"},
                         Row{Phase::stopping, After::respawn, true, "restarting"},
                         Row{Phase::stuck, After::respawn, true, "stuck"},
                         Row{Phase::gone, After::respawn, true, "starting"},
                         Row{Phase::gone, After::fail, true, "starting"},
                         Row{Phase::failed, After::fail, false, "starting"}}) {
    CAPTURE(static_cast<int>(row.phase));
    WatchBench bench;
    bench.make();
    Memo memo;
    memo.watch = "w";
    memo.after = row.after;
    memo.ready = row.ready;
    memo.process = fingerprint(bench.spec->process);
    LiveRun live;
    live.run = static_cast<RunId>(static_cast<std::uint64_t>(0x70001));
    live.phase = row.phase;
    live.pid = 42;
    live.after = row.after == After::fail ? 0 : static_cast<std::uint32_t>(row.after);
    live.started = bench.now;
    live.status = ExitStatus{ExitStatus::How::code, 1, false};
    bench.turn([&](Step& step) {
      bench.watch->restore("wanted 1\nstate 2\n", bench.now);
      bench.watch->adopt(step, live, memo);
      bench.watch->boot(step, false);
    });
    CHECK(bench.watch->shown_state() == row.state);
    const bool over = row.phase == Phase::gone || row.phase == Phase::failed;
    CHECK(bench.count<fx::Spawn>() == (over ? 1 : 0));
    CHECK(bench.count<fx::Stop>() == 0);
  }
}

TEST_CASE("a stop that the keeper never heard of is done by the next brain") {
  WatchBench bench;
  bench.make();
  Memo memo;
  memo.watch = "w";
  memo.ready = true;
  memo.process = fingerprint(bench.spec->process);
  LiveRun live;
  live.run = static_cast<RunId>(static_cast<std::uint64_t>(0x70001));
  live.pid = 42;
  live.started = bench.now;
  for (const LiveRun::Phase phase : {LiveRun::Phase::running, LiveRun::Phase::stopping}) {
    WatchBench next;
    next.make();
    live.phase = phase;
    live.after = phase == LiveRun::Phase::stopping ? static_cast<std::uint32_t>(After::respawn) : 0;
    next.turn([&](Step& step) {
      next.watch->restore("ordered 1\nstate 3\n", next.now);
      next.watch->adopt(step, live, memo);
      next.watch->boot(step, false);
    });
    CHECK(next.watch->shown_state() == "stopping");
    next.end();
    CHECK(next.watch->shown_state() == "stopped");
    CHECK(next.count<fx::Spawn>() == 0);
  }
}
